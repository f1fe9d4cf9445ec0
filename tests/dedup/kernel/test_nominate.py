from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup.kernel.nominate import (
    FAILED,
    PASSED,
    PENDING,
    UNREADABLE,
    decide,
    fill_pairs,
    mark_keys,
    nominate_across,
    repeated_keys,
)
from tests.examples import examples

Pair = tuple[int, int]
Known = dict[Pair, int]


@settings(max_examples=examples(300))
@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 9), st.booleans()), max_size=40),
    st.sampled_from([6, 7, 10]),
    st.integers(0, 40),
)
def test_keys_whose_bit_is_set_twice_are_selected_and_no_others(
    drawn: list[tuple[int, int, bool]], exponent: int, split: int
) -> None:
    keys = np.array([[key, low << 58] for key, low, _ in drawn], np.uint64).reshape(-1, 2)
    usable = np.array([row[2] for row in drawn], np.bool_)
    shift = 64 - exponent
    once, twice = (np.zeros(1 << (exponent - 6), np.uint64) for _ in range(2))
    for part in (slice(None, split), slice(split, None)):
        mark_keys(keys[part][usable[part]].ravel(), once, twice, np.uint64(shift))
    documents, found = np.empty(keys.size, np.int64), np.empty(keys.size, np.uint64)
    count = repeated_keys(keys, usable, twice, np.uint64(shift), documents, found)
    live = [
        (document, key)
        for document, row in enumerate(keys.tolist())
        for key in row
        if usable[document]
    ]
    bits = Counter(key >> shift for _, key in live)
    wanted = [(document, key) for document, key in live if bits[key >> shift] > 1]
    assert list(zip(documents[:count].tolist(), found[:count].tolist(), strict=True)) == wanted


def filled(known: Known, slots: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    table, states = np.zeros(slots, np.uint64), np.full(slots, -9, np.int8)
    pairs = np.array(sorted(known), np.int32).reshape(-1, 2)
    state = np.array([known[pair] for pair in sorted(known)], np.int8)
    better, worse = (np.ascontiguousarray(side) for side in pairs.T)
    fill_pairs(better, worse, state, table, states)
    return table, states


def entries(table: np.ndarray, states: np.ndarray) -> Known:
    """What a table of pairs holds."""
    used = np.flatnonzero(table)
    return {
        (int(key) >> 32, int(key) & 0xFFFFFFFF): int(state)
        for key, state in zip(table[used], states[used], strict=True)
    }


RANKS = st.integers(0, 2**31 - 1)


@settings(max_examples=examples(200))
@given(
    st.dictionaries(
        st.tuples(RANKS, RANKS).filter(lambda pair: pair[0] < pair[1]),
        st.sampled_from([FAILED, PASSED, UNREADABLE]),
        max_size=31,
    )
)
def test_a_table_of_pairs_holds_each_with_its_state(known: Known) -> None:
    assert entries(*filled(known, 64)) == known


def flat(groups: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *map(len, groups)]).astype(np.int64)
    return starts, np.array([rank for group in groups for rank in group], np.int32)


def decided(
    groups: list[list[int]], count: int, known: Known, *, quota: int, cap: int = 64, room: int = 500
) -> tuple[list[int], list[Pair], int]:
    """(kept partner of each rank, pairs nominated, comparisons left out)."""
    starts, members = flat(groups)
    of_rank = [[b for b, group in enumerate(groups) if rank in group] for rank in range(count)]
    rank_starts, rank_buckets = flat(of_rank)
    table, states = filled(known)
    kept_for = np.empty(count, np.int32)
    better, worse = np.empty(room, np.int32), np.empty(room, np.int32)
    found, left_out = decide(
        starts, rank_starts, rank_buckets, table, states, quota, cap,
        np.empty(len(members), np.int32), np.zeros(len(groups), np.int32), kept_for, better, worse,
        np.zeros(count, np.bool_),
    )  # fmt: skip
    pairs = list(zip(better[:found].tolist(), worse[:found].tolist(), strict=True))
    assert entries(table, states) == known | dict.fromkeys(pairs, PENDING)
    return kept_for.tolist(), pairs, left_out


def test_first_pass_nominates_against_the_best_of_each_bucket() -> None:
    kept_for, pairs, _ = decided([[0, 2, 3], [1, 2, 3]], 4, {}, quota=1)
    assert kept_for == [-1, -1, -1, -1]
    assert pairs == [(0, 2), (1, 2), (0, 3), (1, 3)]


@pytest.mark.parametrize("quota", [1, 2, 3, 9])
def test_quota_bounds_what_a_bucket_asks_for_a_member(quota: int) -> None:
    _, pairs, _ = decided([list(range(6))], 6, {}, quota=quota)
    assert pairs == [(a, b) for b in range(6) for a in range(min(b, quota))]


def test_pairs_that_failed_make_way_for_the_next() -> None:
    known = {(0, 2): FAILED, (0, 3): UNREADABLE, (0, 1): FAILED}
    _, pairs, _ = decided([[0, 1, 2, 3]], 4, known, quota=1)
    assert pairs == [(1, 2), (1, 3)]


def test_a_pair_in_two_buckets_is_nominated_once() -> None:
    _, pairs, _ = decided([[0, 1], [0, 1]], 2, {}, quota=1)
    assert pairs == [(0, 1)]


def test_a_redundant_document_leads_nobody_and_is_kept_for_its_best_partner() -> None:
    known = {(0, 1): FAILED, (0, 2): PASSED, (1, 2): PASSED, (0, 3): FAILED, (1, 3): PASSED}
    known |= {(2, 3): PASSED}
    kept_for, pairs, _ = decided([[1, 2, 3], [0, 1, 2, 3]], 4, known, quota=1)
    assert kept_for == [-1, -1, 0, 1]
    assert pairs == []


def test_a_pair_of_no_common_bucket_decides_nothing() -> None:
    kept_for, _, _ = decided([[0, 2], [1, 2]], 3, {(0, 1): PASSED}, quota=1)
    assert kept_for[1] == -1


def test_beyond_the_cap_nothing_is_asked_or_believed() -> None:
    known = dict.fromkeys(combinations(range(5), 2), FAILED) | {(3, 4): PASSED}
    assert decided([[0, 1, 2, 3, 4]], 5, known, quota=1, cap=3)[0][4] == -1
    assert decided([[0, 1, 2, 3, 4]], 5, known, quota=1, cap=4)[0][4] == 3
    assert decided([[0, 1, 2, 3, 4]], 5, {}, quota=9, cap=3)[2] == 0 + 0 + 0 + 0 + 1


def test_nominations_stop_where_there_is_no_room() -> None:
    for room in range(8):
        _, pairs, _ = decided([[0, 1, 2, 3]], 4, {}, quota=9, room=room)
        assert pairs == [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)][:room]


def across(
    groups: list[list[int]],
    datasets: list[list[int]],
    known: Known,
    *,
    width: int = 16,
    depth: int = 4,
    room: int = 500,
) -> list[Pair]:
    better, worse = np.empty(room, np.int32), np.empty(room, np.int32)
    table, states = filled(known)
    found = nominate_across(
        *flat(groups), *flat(datasets), table, states, width, depth, better, worse
    )
    pairs = list(zip(better[:found].tolist(), worse[:found].tolist(), strict=True))
    assert entries(table, states) == known | dict.fromkeys(pairs, PENDING)
    return pairs


DATASETS = [[1], [1], [2], [2], [3]]


def test_members_are_nominated_against_the_best_of_every_other_dataset() -> None:
    found = across([[0, 1, 2, 3, 4]], DATASETS, {})
    assert set(found) == {(0, 2), (0, 4), (1, 2), (1, 4), (2, 4), (0, 3), (3, 4)}
    assert len(found) == len(set(found))


@pytest.mark.parametrize("state", [FAILED, UNREADABLE])
def test_only_what_did_not_pass_goes_on_to_the_next_of_a_dataset(state: int) -> None:
    groups, datasets = [[0, 1, 2, 3]], DATASETS[:4]
    assert set(across(groups, datasets, {(0, 2): state})) == {(0, 3), (1, 2)}
    known = {(0, 2): state, (0, 3): PASSED, (1, 2): PASSED}
    assert across(groups, datasets, known) == []


def test_only_the_first_of_a_dataset_are_asked() -> None:
    datasets = [[1], [2], [2], [2]]
    known = {(0, 1): FAILED, (0, 2): FAILED}
    assert across([[0, 1, 2, 3]], datasets, known, depth=3) == [(0, 3)]
    known = {(0, 1): FAILED, (0, 2): FAILED, (0, 3): FAILED}
    assert across([[0, 1, 2, 3]], datasets, known, depth=2) == []


def test_only_the_first_datasets_of_a_bucket_are_looked_at() -> None:
    datasets = [[1], [2], [3], [4]]
    assert set(across([[0, 1, 2, 3]], datasets, {}, width=2)) == {
        (0, 1), (0, 2), (1, 2), (0, 3), (1, 3),
    }  # fmt: skip


def test_a_text_in_both_datasets_needs_no_comparison() -> None:
    assert across([[0, 1]], [[1], [1, 2]], {}) == [(0, 1)]
    assert across([[0, 1]], [[1, 2], [1, 2]], {}) == []


def test_one_dataset_has_nothing_across() -> None:
    assert across([[0, 1, 2]], [[7], [7], [7]], {}) == []
    assert across([[0, 1, 2]], [[], [], []], {}) == []


def test_a_pair_in_two_buckets_is_nominated_across_once() -> None:
    assert across([[0, 1], [0, 1]], [[1], [2]], {}) == [(0, 1)]


def test_nominations_across_stop_where_there_is_no_room() -> None:
    whole = across([[0, 1, 2, 3, 4]], DATASETS, {})
    for room in range(len(whole) + 1):
        assert across([[0, 1, 2, 3, 4]], DATASETS, {}, room=room) == whole[:room]
