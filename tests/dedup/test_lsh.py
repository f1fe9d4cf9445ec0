from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

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
    choose_banding,
    load_buckets,
    load_members,
)


@pytest.mark.parametrize("threshold", DEFAULT_BANDS)
def test_default_bandings_are_datasketchs_optimum(threshold: float) -> None:
    lsh = MinHashLSH(threshold=threshold, num_perm=128, weights=RECALL_WEIGHTS)
    assert DEFAULT_BANDS[threshold] == (lsh.b, lsh.r)


def test_other_thresholds_ask_the_optimiser() -> None:
    banding = choose_banding(0.77, 64)
    lsh = MinHashLSH(threshold=0.77, num_perm=64, weights=RECALL_WEIGHTS)
    assert (banding.bands, banding.rows) == (lsh.b, lsh.r)


def test_recall_is_the_banding_curve() -> None:
    banding = Banding(bands=16, rows=8)
    assert banding.recall(0.8) == pytest.approx(0.947, abs=5e-4)
    assert banding.recall(0.85) == pytest.approx(0.994, abs=5e-4)
    assert (banding.recall(0.0), banding.recall(1.0)) == (0.0, 1.0)


def batches(keys: np.ndarray, usable: np.ndarray, size: int) -> Iterator[BandBatch]:
    digests = np.arange(2 * len(keys), dtype=np.uint64).reshape(-1, 2)
    for start in range(0, len(keys), size):
        part = slice(start, start + size)
        yield BandBatch(digests=digests[part], keys=keys[part], usable=usable[part])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), max_size=30),
    st.integers(1, 7),
    st.sampled_from([1 << 14, 1 << 20]),
    st.randoms(),
)
def test_all_texts_that_share_a_key_are_in_its_bucket(
    drawn: list[list[int]], size: int, filter_bytes: int, random: object
) -> None:
    # keys spread over 64 bits, a few of them equal; band b's keys never equal another band's
    keys = np.array(
        [[(value * 3 + band + 1) * 0x9E3779B97F4A7C15 % 2**64 for band, value in enumerate(row)]
         for row in drawn],
        np.uint64,
    ).reshape(-1, 3)  # fmt: skip
    usable = np.array([index % 5 != 4 for index in range(len(keys))], np.bool_)
    connection = duckdb.connect()
    load_members(connection, lambda: batches(keys, usable, size), keys.size, filter_bytes)
    connection.execute(
        "CREATE TABLE candidates AS SELECT (row_number() OVER (ORDER BY digest_high) - 1)::INTEGER"
        " AS rank, digest_high, digest_low FROM (SELECT DISTINCT digest_high, digest_low"
        " FROM members)"
    )
    buckets = load_buckets(connection)
    order = [row[0] // 2 for row in connection.execute(
        "SELECT digest_high FROM candidates ORDER BY rank").fetchall()]  # fmt: skip
    found = {
        tuple(order[rank] for rank in buckets.members[low:high].tolist())
        for low, high in zip(buckets.starts[:-1].tolist(), buckets.starts[1:].tolist(), strict=True)
    }
    wanted = defaultdict(list)
    for document, row in enumerate(keys.tolist()):
        for key in row if usable[document] else ():
            wanted[key].append(document)
    assert found == {tuple(held) for held in wanted.values() if len(held) > 1}


def test_no_keys_make_no_buckets() -> None:
    connection = duckdb.connect()
    load_members(connection, lambda: iter([]), 0, 1 << 20)
    connection.execute(
        "CREATE TABLE candidates AS SELECT 0::INTEGER AS rank, digest_high, digest_low FROM members"
    )
    buckets = load_buckets(connection)
    assert (buckets.count, buckets.starts.tolist()) == (0, [0])
    assert buckets.by_rank()[0].tolist() == [0]
