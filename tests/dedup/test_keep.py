from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup import keep
from greendata.dedup.buckets import Buckets
from greendata.dedup.keep import Compare, Decision, decide_kept, is_verified
from greendata.dedup.verify import Comparisons
from tests.examples import examples

THRESHOLD = 0.8
Pair = tuple[int, int]


def as_buckets(groups: Sequence[set[int]], count: int) -> Buckets:
    held = [sorted(group) for group in groups if len(group) > 1]
    starts = np.cumsum([0, *map(len, held)]).astype(np.int64)
    members = np.array([rank for group in held for rank in group], np.int32)
    return Buckets(starts=starts, members=members, count=count)


def comparisons(pairs: list[Pair], similar: set[Pair], lost: set[int]) -> Comparisons:
    """Jaccard 9/11 for similar pairs and 1/19 for others."""
    shared = [-1 if {a, b} & lost else 9 if (a, b) in similar else 1 for a, b in pairs]
    return Comparisons(
        better=np.array([pair[0] for pair in pairs], np.int32),
        worse=np.array([pair[1] for pair in pairs], np.int32),
        shared=np.array(shared, np.int64),
        better_shingles=np.full(len(pairs), 10, np.int64),
        worse_shingles=np.full(len(pairs), 10, np.int64),
    )


def pairs_of(better: np.ndarray, worse: np.ndarray) -> list[Pair]:
    return list(zip(better.tolist(), worse.tolist(), strict=True))


def comparer(similar: set[Pair], lost: set[int], asked: list[Pair]) -> Compare:
    """Compares, and holds that no pair is asked for twice or the wrong way round."""

    def compare(better: np.ndarray, worse: np.ndarray, _: np.ndarray) -> Comparisons:
        pairs = pairs_of(better, worse)
        asked.extend(pairs)
        assert len(set(asked)) == len(asked)
        assert all(a < b for a, b in pairs)
        return comparisons(pairs, similar, lost)

    return compare


def run(
    groups: Sequence[set[int]],
    count: int,
    similar: set[Pair],
    *,
    known: Sequence[Pair] = (),
    lost: set[int] = frozenset(),  # type: ignore[assignment]
    datasets: Sequence[set[int]] = (),
) -> Decision:
    starts = np.cumsum([0, *map(len, datasets or [set[int]()] * count)]).astype(np.int64)
    names = np.array([name for held in datasets for name in sorted(held)], np.int32)
    return decide_kept(
        as_buckets(groups, count),
        comparisons(list(known), similar, lost),
        comparer(similar, lost, list(known)),
        THRESHOLD,
        starts,
        names,
    )


def greedy(
    groups: Sequence[set[int]], count: int, similar: set[Pair], cap: int
) -> tuple[list[bool], int]:
    """Kept or not, by the definition, and the comparisons that the cap leaves out.

    Down the ranks; in every bucket, over the first ``cap`` of those that are kept.
    """
    kept: list[bool] = []
    left_out = 0
    for rank in range(count):
        leaders = [
            [better for better in sorted(group) if better < rank and kept[better]]
            for group in groups
            if rank in group
        ]
        near = any((better, rank) in similar for held in leaders for better in held[:cap])
        kept.append(not near)
        if not near:
            left_out += sum(max(0, len(held) - cap) for held in leaders)
    return kept, left_out


COUNT = 14
RANKS = range(COUNT)
PAIRS = list(combinations(RANKS, 2))
GROUPS = st.lists(st.sets(st.sampled_from(RANKS), max_size=COUNT), max_size=8)


@settings(max_examples=examples(300))
@given(
    groups=GROUPS,
    similar=st.sets(st.sampled_from(PAIRS)),
    known=st.sets(st.sampled_from(PAIRS)),
    lost=st.sets(st.sampled_from(RANKS), max_size=2),
    datasets=st.lists(st.sets(st.integers(0, 2), min_size=1), min_size=COUNT, max_size=COUNT),
    cap=st.sampled_from([1, 2, 3, 64]),
    room=st.sampled_from([1, 5, 2_000_000]),
)
def test_kept_texts_are_those_of_the_greedy_definition(
    groups: list[set[int]],
    similar: set[Pair],
    known: set[Pair],
    lost: set[int],
    datasets: list[set[int]],
    cap: int,
    room: int,
) -> None:
    readable = {pair for pair in similar if not set(pair) & lost}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keep, "MAX_COMPARISONS", cap)
        patch.setattr(keep, "_MAX_ROUND_PAIRS", room)
        decision = run(groups, COUNT, similar, known=sorted(known), lost=lost, datasets=datasets)
    kept = [partner < 0 for partner in decision.kept_for.tolist()]
    assert (kept, decision.left_out) == greedy(groups, COUNT, readable, cap)
    compared = pairs_of(decision.compared.better, decision.compared.worse)
    assert compared[: len(known)] == sorted(known)
    verdicts = is_verified(decision.compared, THRESHOLD).tolist()
    passed = {pair for pair, good in zip(compared, verdicts, strict=True) if good}
    assert passed <= readable
    for rank, partner in enumerate(decision.kept_for.tolist()):
        assert partner < 0 or (kept[partner] and (partner, rank) in passed)


@settings(max_examples=examples(150))
@given(
    groups=GROUPS,
    similar=st.sets(st.sampled_from(PAIRS)),
    lost=st.sets(st.sampled_from(RANKS), max_size=1),
    datasets=st.lists(st.sets(st.integers(0, 2), min_size=1), min_size=COUNT, max_size=COUNT),
    room=st.sampled_from([3, 2_000_000]),
)
def test_every_member_is_held_against_the_best_of_the_other_datasets_until_one_is_near(
    groups: list[set[int]],
    similar: set[Pair],
    lost: set[int],
    datasets: list[set[int]],
    room: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keep, "_MAX_ROUND_PAIRS", room)
        decision = run(groups, COUNT, similar, lost=lost, datasets=datasets)
    compared = set(pairs_of(decision.compared.better, decision.compared.worse))
    near = {pair for pair in similar if not set(pair) & lost}
    for group in groups:
        for rank in group if len(group) > 1 else ():
            for dataset in {0, 1, 2} - datasets[rank]:
                leaders = [other for other in sorted(group) if dataset in datasets[other]]
                for leader in leaders[: keep.DATASET_DEPTH]:
                    pair = (min(leader, rank), max(leader, rank))
                    assert pair in compared
                    if pair in near:
                        break


def test_best_of_another_dataset_is_followed_by_the_next_even_where_both_were_asked_otherwise() -> (
    None
):
    # 0 and 3 are of one dataset, 1 and 2 of another; the second bucket asks for (1, 3) by itself,
    # and nobody but the overlap asks for (2, 3), because 2 is redundant
    groups = [{0, 1, 2, 3}, {1, 3}]
    decision = run(groups, 4, {(0, 2)}, datasets=[{0}, {1}, {1}, {0}])
    assert (2, 3) in pairs_of(decision.compared.better, decision.compared.worse)


def test_a_chain_is_not_a_star() -> None:
    decision = run([{0, 1}, {1, 2}], 3, {(0, 1), (1, 2)})
    assert decision.kept_for.tolist() == [-1, 0, -1]


def test_a_document_that_fails_against_the_best_goes_on_to_the_next() -> None:
    decision = run([{0, 1, 2, 3}], 4, {(1, 3), (2, 3)})
    assert decision.kept_for.tolist() == [-1, -1, -1, 1]


def test_an_unreadable_text_is_kept_and_keeps_nothing() -> None:
    decision = run([{0, 1, 2}], 3, {(0, 1), (0, 2), (1, 2)}, lost={0})
    assert decision.kept_for.tolist() == [-1, -1, 1]
    assert int((~decision.compared.is_readable).sum()) == 2


def test_known_pairs_are_not_compared_again() -> None:
    decision = run([{0, 1, 2}], 3, {(0, 1), (0, 2)}, known=[(0, 1), (0, 2)])
    assert decision.rounds == 0
    assert decision.kept_for.tolist() == [-1, 0, 0]


def test_a_star_costs_one_comparison_a_member() -> None:
    decision = run([set(range(1000))] * 16, 1000, {(0, rank) for rank in range(1, 1000)})
    assert len(decision.compared.better) == 999
    assert decision.rounds == 1


def test_buckets_of_unlike_texts_are_left_at_the_cap_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keep, "MAX_COMPARISONS", 3)
    decision = run([set(range(10))], 10, set())
    assert len(decision.compared.better) == 1 + 2 + 3 * 7
    assert decision.left_out == 1 + 2 + 3 + 4 + 5 + 6


def test_more_pairs_than_fit_one_round_are_compared_in_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keep, "_MAX_ROUND_PAIRS", 7)
    similar, asked = {(0, rank) for rank in range(1, 40)}, list[set[int]]()
    compared = comparer(similar, set(), [])

    def compare(better: np.ndarray, worse: np.ndarray, later: np.ndarray) -> Comparisons:
        asked.append({*better.tolist(), *worse.tolist(), *later.tolist()})
        return compared(better, worse, later)

    none = np.empty(0, np.int32)
    starts = np.zeros(41, np.int64)
    buckets = as_buckets([set(range(40))], 40)
    decision = decide_kept(buckets, Comparisons.concatenate([]), compare, THRESHOLD, starts, none)
    assert decision.kept_for.tolist() == [-1] + [0] * 39
    assert len(asked) == decision.rounds > 5
    assert asked[0] == set(range(40))  # so that all texts are read in one go


@pytest.mark.parametrize("count", [0, 3])
def test_nothing_to_decide(count: int) -> None:
    decision = run([], count, set())
    assert decision.kept_for.tolist() == [-1] * count
    assert decision.rounds == 0


def test_exactly_the_threshold_is_verified() -> None:
    found = Comparisons(
        better=np.zeros(4, np.int32),
        worse=np.ones(4, np.int32),
        shared=np.array([8, 799, 0, -1], np.int64),
        better_shingles=np.array([8, 899, 0, 5], np.int64),
        worse_shingles=np.array([10, 900, 0, 5], np.int64),
    )
    assert is_verified(found, 0.8).tolist() == [True, False, False, False]
