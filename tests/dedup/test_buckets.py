from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup import buckets as rooms
from greendata.dedup.buckets import Buckets, collect_buckets, repeated_entries, shared_entries
from greendata.dedup.lsh import BandBatch
from tests.examples import examples


def batches(keys: np.ndarray, usable: np.ndarray, size: int) -> Iterator[BandBatch]:
    for start in range(0, len(keys), size):
        part = slice(start, start + size)
        digests = np.zeros((len(keys[part]), 2), np.uint64)
        facts = np.empty((len(digests), 0), np.int64)
        yield BandBatch(digests=digests, keys=keys[part], usable=usable[part], facts=facts)


def buckets_of(
    keys: np.ndarray, usable: np.ndarray, size: int, filter_bytes: int, range_keys: int = 1 << 20
) -> list[list[int]]:
    """Rows in each bucket; the row read last has the best rank."""
    with (
        mock.patch.object(rooms, "_RANGE_KEYS", range_keys),
        tempfile.TemporaryDirectory() as folder,
    ):
        shared = collect_buckets(
            shared_entries(
                lambda: batches(keys, usable, size), keys.size, filter_bytes, Path(folder)
            )
        )
        assert not list(Path(folder).iterdir())
    ranks = np.arange(len(shared.rows), dtype=np.int32)[::-1].copy()
    found = shared.ranked(ranks)
    assert found.count == len(shared.rows)
    groups = members(found)
    assert all(group == sorted(group) for group in groups)
    return [sorted(shared.rows[::-1][group].tolist()) for group in groups]


def members(buckets: Buckets) -> list[list[int]]:
    edges = buckets.starts.tolist()
    return [buckets.members[a:b].tolist() for a, b in pairwise(edges)]


# Few upper bits, so that different keys fall on one bit of the filter; few lower ones, so that
# there are equal keys.
KEYS = st.builds(
    lambda upper, lower: (upper << 40 | lower) & (1 << 64) - 1,
    st.sampled_from([0, 1, 1 << 8, 1 << 20, (1 << 24) - 1]),
    st.integers(0, 6),
)


@settings(max_examples=examples(60))
@given(
    st.lists(st.tuples(KEYS, KEYS, KEYS, st.booleans()), max_size=40),
    st.integers(1, 7),
    st.sampled_from([0, 1 << 14, 1 << 22]),
    st.sampled_from([1, 8, 1 << 20]),
)
def test_all_texts_that_share_a_key_are_in_its_bucket(
    drawn: list[tuple[int, int, int, bool]], size: int, filter_bytes: int, range_keys: int
) -> None:
    keys = np.array([row[:3] for row in drawn], np.uint64).reshape(-1, 3)
    keys += np.array([7, 14, 21], np.uint64)  # band b's keys never equal another band's
    usable = np.array([row[3] for row in drawn], np.bool_)
    held: dict[int, list[int]] = defaultdict(list)
    for document, row in enumerate(keys.tolist()):
        for key in row if usable[document] else ():
            held[key].append(document)
    buckets = buckets_of(keys, usable, size, filter_bytes, range_keys)
    shared = [group for group in held.values() if len(group) > 1]
    pairs = {tuple(group) for group in shared if len(group) == 2}  # of equal ones, one is left
    assert sorted(buckets) == sorted(
        [*(group for group in shared if len(group) > 2), *map(list, pairs)]
    )


def test_a_small_filter_drops_no_shared_key() -> None:
    generator = np.random.RandomState(5)
    keys = generator.randint(0, 1 << 63, (20_000, 16), dtype=np.uint64) * np.uint64(2)
    shared = generator.choice(20_000, 400, replace=False).reshape(-1, 2)
    keys[shared[:, 0], 3] = keys[shared[:, 1], 3]
    # 320 000 keys on 65 536 bits: nearly every one shares its bit with another
    found = buckets_of(keys, np.ones(len(keys), np.bool_), 3000, 0)
    assert sorted(found) == sorted(sorted(pair) for pair in shared.tolist())


def test_no_keys_make_no_buckets() -> None:
    assert buckets_of(np.empty((0, 16), np.uint64), np.empty(0, np.bool_), 1, 1 << 20) == []
    none = collect_buckets(()).ranked(np.empty(0, np.int32))
    assert (none.count, none.starts.tolist()) == (0, [0])
    assert none.by_rank()[0].tolist() == [0]


@given(st.lists(st.sets(st.integers(0, 9), min_size=2), max_size=6))
def test_buckets_by_rank_are_the_inverse(groups: list[set[int]]) -> None:
    ranked = [sorted(group) for group in groups]
    buckets = Buckets(
        starts=np.cumsum([0, *map(len, ranked)]).astype(np.int64),
        members=np.array([rank for group in ranked for rank in group], np.int32),
        count=10,
    )
    starts, found = buckets.by_rank()
    for rank in range(10):
        wanted = [place for place, group in enumerate(ranked) if rank in group]
        assert found[starts[rank] : starts[rank + 1]].tolist() == wanted


def entries(groups: list[list[int]]) -> np.ndarray:
    """Each group under a key of its own."""
    found = [(key, row) for key, group in enumerate(groups) for row in group]
    return np.array(found, np.uint64).reshape(-1, 2)


def test_buckets_of_the_same_two_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "_WAITING_PAIRS", 1)
    groups = [[0, 9], [0, 9, 2], [5, 1], [9, 0], [3, 4, 6], [2, 9, 0], [1, 5], [2, 7]]
    shared = collect_buckets([entries(groups[:3]), entries([]), entries(groups[3:])])
    assert shared.rows.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    buckets = shared.ranked(np.arange(9, dtype=np.int32))
    assert buckets.members.dtype == np.int32
    found = [shared.rows[group].tolist() for group in members(buckets)]
    assert found == [[0, 2, 9], [3, 4, 6], [0, 2, 9], [0, 9], [1, 5], [2, 7]]


@given(st.lists(st.one_of(st.integers(0, 3), st.integers(0, (1 << 64) - 1)), max_size=12))
def test_repeated_entries_are_those_whose_key_another_has(keys: list[int]) -> None:
    found = repeated_entries(np.array(list(enumerate(keys)), np.uint64).reshape(-1, 2)[:, ::-1])
    wanted = sorted((key, row) for row, key in enumerate(keys) if keys.count(key) > 1)
    assert found[:, 0].tolist() == [key for key, _ in wanted]
    assert sorted(map(tuple, found.tolist())) == wanted
