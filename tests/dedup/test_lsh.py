from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import duckdb
import numpy as np
import pytest
from datasketch import MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup.lsh import (
    DEFAULT_BANDS,
    RECALL_WEIGHTS,
    BandBatch,
    Banding,
    Buckets,
    choose_banding,
    load_buckets,
    load_members,
    without_repeated_pairs,
)
from tests.examples import examples


@pytest.mark.parametrize("threshold", DEFAULT_BANDS)
def test_default_bandings_are_datasketchs_optimum(threshold: float) -> None:
    assert RECALL_WEIGHTS == (0.05, 0.95)
    lsh = MinHashLSH(threshold=threshold, num_perm=128, weights=RECALL_WEIGHTS)
    assert DEFAULT_BANDS[threshold] == (lsh.b, lsh.r)
    assert choose_banding(threshold, 128) == Banding(bands=lsh.b, rows=lsh.r)


@pytest.mark.parametrize(("threshold", "num_perm"), [(0.77, 64), (0.8, 256), (0.3, 128)])
def test_other_thresholds_and_permutations_ask_the_optimiser(
    threshold: float, num_perm: int
) -> None:
    lsh = MinHashLSH(threshold=threshold, num_perm=num_perm, weights=RECALL_WEIGHTS)
    assert choose_banding(threshold, num_perm) == Banding(bands=lsh.b, rows=lsh.r)


@pytest.mark.parametrize("threshold", [0.01, 0.9, 0.97, 0.99, 0.999, 1.0])
@pytest.mark.parametrize("num_perm", [2, 3, 16, 128])
def test_every_threshold_that_can_be_asked_for_has_a_banding(
    threshold: float, num_perm: int
) -> None:
    banding = choose_banding(threshold, num_perm)
    assert banding.bands >= 1
    assert banding.rows >= 1
    assert banding.bands * banding.rows <= num_perm
    assert banding.recall(1.0) == 1.0


@pytest.mark.parametrize("jaccard", [0.0, 0.3, 0.5, 0.8, 0.85, 0.9, 1.0])
@pytest.mark.parametrize(("bands", "rows"), [(16, 8), (9, 13), (1, 128), (128, 1)])
def test_recall_is_the_banding_curve(bands: int, rows: int, jaccard: float) -> None:
    missed_in_all = np.prod([1 - np.prod([jaccard] * rows)] * bands)
    found = Banding(bands=bands, rows=rows).recall(jaccard)
    assert found == pytest.approx(1 - missed_in_all, abs=1e-12)


def test_recall_is_what_the_design_promises() -> None:
    assert Banding(bands=16, rows=8).recall(0.8) == pytest.approx(0.947, abs=5e-4)
    assert Banding(bands=16, rows=8).recall(0.85) == pytest.approx(0.994, abs=5e-4)


@cache
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def batches(keys: np.ndarray, usable: np.ndarray, size: int) -> Iterator[BandBatch]:
    """Document d has digest (d, 2**64 - 1 - d)."""
    high = np.arange(len(keys), dtype=np.uint64)
    digests = np.stack([high, ~high], axis=1)
    for start in range(0, len(keys), size):
        part = slice(start, start + size)
        yield BandBatch(digests=digests[part], keys=keys[part], usable=usable[part])


def buckets_of(keys: np.ndarray, usable: np.ndarray, size: int, filter_bytes: int) -> Buckets:
    """Buckets of documents, ranked in their order."""
    load_members(connection(), lambda: batches(keys, usable, size), keys.size, filter_bytes)
    connection().execute(
        "CREATE OR REPLACE TABLE candidates AS SELECT digest_high::INTEGER AS rank, digest_high,"
        f" digest_low FROM (SELECT range AS digest_high, -1 - range AS digest_low"
        f" FROM range({len(keys)}))"
    )
    return load_buckets(connection())


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
)
def test_all_texts_that_share_a_key_are_in_its_bucket(
    drawn: list[tuple[int, int, int, bool]], size: int, filter_bytes: int
) -> None:
    keys = np.array([row[:3] for row in drawn], np.uint64).reshape(-1, 3)
    keys += np.array([7, 14, 21], np.uint64)  # band b's keys never equal another band's
    usable = np.array([row[3] for row in drawn], np.bool_)
    held: dict[int, list[int]] = defaultdict(list)
    for document, row in enumerate(keys.tolist()):
        for key in row if usable[document] else ():
            held[key].append(document)
    buckets = buckets_of(keys, usable, size, filter_bytes)
    assert buckets.count == len(drawn)
    shared = [group for group in held.values() if len(group) > 1]
    pairs = {tuple(group) for group in shared if len(group) == 2}  # of equal ones, one is left
    assert sorted(members(buckets)) == sorted(
        [*(group for group in shared if len(group) > 2), *map(list, pairs)]
    )


def test_a_small_filter_drops_no_shared_key() -> None:
    generator = np.random.RandomState(5)
    keys = generator.randint(0, 1 << 63, (20_000, 16), dtype=np.uint64) * np.uint64(2)
    shared = generator.choice(20_000, 400, replace=False).reshape(-1, 2)
    keys[shared[:, 0], 3] = keys[shared[:, 1], 3]
    # 320 000 keys on 65 536 bits: nearly every one shares its bit with another
    found = members(buckets_of(keys, np.ones(len(keys), np.bool_), 3000, 0))
    assert sorted(found) == sorted(sorted(pair) for pair in shared.tolist())


def test_no_keys_make_no_buckets() -> None:
    buckets = buckets_of(np.empty((0, 16), np.uint64), np.empty(0, np.bool_), 1, 1 << 20)
    assert (buckets.count, buckets.starts.tolist()) == (0, [0])
    assert buckets.by_rank()[0].tolist() == [0]


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


def test_buckets_of_the_same_two_are_one() -> None:
    groups = [[0, 1], [0, 1, 2], [1, 5], [0, 1], [3, 4, 6], [0, 1, 2], [1, 5], [2, 7]]
    starts = np.cumsum([0, *map(len, groups)]).astype(np.int64)
    members = np.array([rank for group in groups for rank in group], np.int32)
    starts, members = without_repeated_pairs(starts, members)
    assert members.dtype == np.int32
    found = [members[a:b].tolist() for a, b in pairwise(starts)]
    assert sorted(found) == sorted([*[g for g in groups if len(g) == 3], [0, 1], [1, 5], [2, 7]])


def test_no_buckets_stay_none() -> None:
    starts, members = without_repeated_pairs(np.zeros(1, np.int64), np.empty(0, np.int32))
    assert (starts.tolist(), members.tolist()) == ([0], [])
