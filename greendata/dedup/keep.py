"""Which documents stay: nominate, verify, decide, until nothing is left to compare.

The decision is the greedy one: down the rank order, a text is redundant when it is verified against
one that is kept and shares a bucket with it. It is reached by comparing few pairs: each round asks
only for those comparisons that the decision so far leaves open. What is kept at the end is a pure
function of ranks, buckets and texts; the order of comparisons, and what was compared by an earlier
scan, do not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from greendata.dedup.verify import Comparisons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greendata.dedup.buckets import Buckets

Compare = Callable[["NDArray[np.int32]", "NDArray[np.int32]", "NDArray[np.int64]"], Comparisons]
"""``compare(better, worse, later)`` compares pairs; texts of ``later`` are needed in later rounds:
reading them now saves going through all objects once more."""

MAX_COMPARISONS = 64
"""Kept members of a bucket that a document is compared with before it is left alone there."""

DATASET_WIDTH, DATASET_DEPTH = 16, 4
"""Datasets a bucket, and members of each, that members of other datasets are compared with."""

_MAX_ROUND_PAIRS = 2_000_000
"""Pairs nominated in one go; the rest waits for the next round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What stays.

    Attributes:
        kept_for: int32 [ranks]: rank of the kept partner, -1 for a text that is kept itself.
        compared: every pair known at the end, those handed in first.
        left_out: comparisons that MAX_COMPARISONS left out.
        rounds: rounds of verification.
    """

    kept_for: NDArray[np.int32]
    compared: Comparisons
    left_out: int
    rounds: int


def is_verified(compared: Comparisons, threshold: float) -> NDArray[np.bool_]:
    """Which pairs reach the threshold; never a pair whose text could not be read."""
    with np.errstate(invalid="ignore"):
        return np.asarray(compared.is_readable & (compared.jaccard >= threshold))


def decide_kept(
    buckets: Buckets,
    known: Comparisons,
    compare: Compare,
    threshold: float,
    dataset_starts: NDArray[np.int64],
    datasets: NDArray[np.int32],
) -> Decision:
    """Run rounds of nomination and verification until the greedy decision stands.

    Args:
        known: pairs compared earlier; their texts are not read again.
        compare: verifies pairs of ranks.
        dataset_starts, datasets: the dataset numbers of each rank; int64 [ranks + 1], int32.
    """
    rank_starts, rank_buckets = buckets.by_rank()
    parts, quota, rounds, across = [known], 1, 0, True
    while True:
        ledger = Comparisons.concatenate(parts)
        room = min(_MAX_ROUND_PAIRS, len(buckets.members) * max(quota, DATASET_WIDTH))
        table, states = _pair_table(ledger, threshold, room)
        nominated = []
        if across:  # first, so that it only ends when no answer it waits for is outstanding
            nominated = [_nominate_across(buckets, dataset_starts, datasets, table, states, room)]
            across = len(nominated[0][0]) > 0
        waiting = np.zeros(buckets.count, np.bool_)
        kept_for, better, worse, left_out = _decide(
            buckets, rank_starts, rank_buckets, table, states, quota, room, waiting
        )
        nominated.append((better, worse))
        better, worse = (np.concatenate(side) for side in zip(*nominated, strict=True))
        if len(better) == 0:
            return Decision(kept_for=kept_for, compared=ledger, left_out=left_out, rounds=rounds)
        del table, states
        parts.append(compare(better, worse, np.flatnonzero(waiting)))
        rounds += 1
        quota = min(quota * 2, MAX_COMPARISONS) if rounds > 1 else quota


def _pair_table(
    ledger: Comparisons, threshold: float, room: int
) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """Open-addressing table of the known pairs, with room for two lists of nominations."""
    from greendata.dedup.kernel.nominate import FAILED, PASSED, UNREADABLE, fill_pairs

    slots = 1 << (2 * (len(ledger.better) + 2 * room)).bit_length()
    table, states = np.zeros(slots, np.uint64), np.empty(slots, np.int8)
    verdict = np.where(is_verified(ledger, threshold), PASSED, FAILED)
    state = np.where(ledger.is_readable, verdict, UNREADABLE).astype(np.int8)
    fill_pairs(ledger.better, ledger.worse, state, table, states)
    return table, states


def _decide(
    buckets: Buckets,
    rank_starts: NDArray[np.int64],
    rank_buckets: NDArray[np.int32],
    table: NDArray[np.uint64],
    states: NDArray[np.int8],
    quota: int,
    room: int,
    waiting: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], int]:
    from greendata.dedup.kernel.nominate import decide

    kept_for = np.empty(buckets.count, np.int32)
    better, worse = (np.empty(room, np.int32) for _ in range(2))
    found, left_out = decide(
        buckets.starts,
        rank_starts,
        rank_buckets,
        table,
        states,
        quota,
        MAX_COMPARISONS,
        np.empty(len(buckets.members), np.int32),
        np.zeros(len(buckets.starts) - 1, np.int32),
        kept_for,
        better,
        worse,
        waiting,
    )
    return kept_for, better[:found].copy(), worse[:found].copy(), int(left_out)


def _nominate_across(
    buckets: Buckets,
    dataset_starts: NDArray[np.int64],
    datasets: NDArray[np.int32],
    table: NDArray[np.uint64],
    states: NDArray[np.int8],
    room: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    from greendata.dedup.kernel.nominate import nominate_across

    better, worse = (np.empty(room, np.int32) for _ in range(2))
    found = nominate_across(
        buckets.starts,
        buckets.members,
        dataset_starts,
        datasets,
        table,
        states,
        DATASET_WIDTH,
        DATASET_DEPTH,
        better,
        worse,
    )
    return better[:found].copy(), worse[:found].copy()
