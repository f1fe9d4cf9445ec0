"""Banding, and the buckets of documents that share a band key."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

RECALL_WEIGHTS = (0.05, 0.95)
"""Weights of false positives and negatives: every candidate is verified, so recall matters."""

# datasketch's optimiser with RECALL_WEIGHTS and 128 permutations; a test compares them with it.
DEFAULT_BANDS = {
    0.5: (26, 3),
    0.6: (24, 4),
    0.7: (21, 6),
    0.75: (18, 7),
    0.8: (16, 8),
    0.85: (12, 10),
    0.9: (9, 14),
}
_FETCH_ROWS = 1 << 20
_MIN_FILTER_BITS, _BITS_PER_KEY = 1 << 16, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Banding:
    """``bands`` keys a document, each of ``rows`` signature values."""

    bands: int
    rows: int

    def recall(self, jaccard: float) -> float:
        """Probability that two documents of this Jaccard share a key: 1 - (1 - s^r)^b.

        Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.2.
        """
        return float(1.0 - (1.0 - jaccard**self.rows) ** self.bands)


def choose_banding(threshold: float, num_perm: int) -> Banding:
    """The banding for a threshold: a known constant, or datasketch's optimiser (2 s to import)."""
    if num_perm == 128 and threshold in DEFAULT_BANDS:
        bands, rows = DEFAULT_BANDS[threshold]
    else:
        from datasketch import MinHashLSH

        try:
            lsh = MinHashLSH(threshold=threshold, num_perm=num_perm, weights=RECALL_WEIGHTS)
            bands, rows = lsh.b, lsh.r
        except ValueError:  # near 1 its optimum is one band, which it refuses
            bands, rows = 2, num_perm // 2
    return Banding(bands=bands, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandBatch:
    """Band keys of some documents, one a distinct text.

    Attributes:
        digests: uint64 [n, 2].
        keys: uint64 [n, bands].
        usable: bool [n]; false for documents without tokens, copies and objects that left.
    """

    digests: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    usable: NDArray[np.bool_]


ReadBands = Callable[[], Iterator[BandBatch]]
"""Reads all band keys of the catalog, in bounded batches, as often as it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """Documents that share band keys, by rank: 0 is the text that is kept before all others.

    Attributes:
        starts: int64 [buckets + 1], into ``members``.
        members: int32, ranks, ascending inside a bucket.
        count: number of ranks.
    """

    starts: NDArray[np.int64]
    members: NDArray[np.int32]
    count: int

    def by_rank(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The inverse: starts [count + 1] and the buckets of each rank."""
        from greendata.dedup.kernel.nominate import invert_buckets

        starts = np.empty(self.count + 1, np.int64)
        buckets = np.empty(len(self.members), np.int32)
        invert_buckets(self.starts, self.members, starts, buckets)
        return starts, buckets


def load_members(
    connection: DuckDBPyConnection, read_bands: ReadBands, key_count: int, filter_bytes: int
) -> None:
    """Fill table ``members(key, digest_high, digest_low)`` with all keys that two texts share.

    Two passes over the keys: the first finds, in two bitmaps, which bits occur twice; the second
    lets only those keys through to DuckDB (measured: 0.5 instead of 3.1 microseconds a document).

    Args:
        key_count: keys there are, at most; sizes the bitmaps.
        filter_bytes: bound on both bitmaps together.
    """
    from greendata.dedup.kernel.nominate import mark_keys, repeated_keys

    bits = min(max(_MIN_FILTER_BITS, key_count * _BITS_PER_KEY), max(filter_bytes, 1 << 14) * 4)
    exponent = int(math.log2(bits))
    shift = np.uint64(64 - exponent)
    once, twice = (np.zeros(1 << (exponent - 6), np.uint64) for _ in range(2))
    for batch in read_bands():
        mark_keys(batch.keys[batch.usable].ravel(), once, twice, shift)
    del once
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE nominated_keys"
        "(key BIGINT, digest_high BIGINT, digest_low BIGINT)"
    )
    for batch in read_bands():
        documents = np.empty(batch.keys.size, np.int64)
        keys = np.empty(batch.keys.size, np.uint64)
        found = repeated_keys(batch.keys, batch.usable, twice, shift, documents, keys)
        if found:
            _insert_keys(connection, keys[:found], batch.digests[documents[:found]])
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE members AS SELECT nominated_keys.* FROM nominated_keys"
        " SEMI JOIN (SELECT key FROM nominated_keys GROUP BY key HAVING count(*) > 1) USING (key)"
    )
    connection.execute("DROP TABLE nominated_keys")


def load_no_members(connection: DuckDBPyConnection) -> None:
    """An empty table ``members``: nothing is nominated."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE members(key BIGINT, digest_high BIGINT, digest_low BIGINT)"
    )


def _insert_keys(
    connection: DuckDBPyConnection, keys: NDArray[np.uint64], digests: NDArray[np.uint64]
) -> None:
    import pyarrow as pa

    rows = pa.table(
        {
            "key": keys.view(np.int64),
            "digest_high": np.ascontiguousarray(digests[:, 0]).view(np.int64),
            "digest_low": np.ascontiguousarray(digests[:, 1]).view(np.int64),
        }
    )
    connection.register("nominated_rows", rows)
    connection.execute("INSERT INTO nominated_keys SELECT * FROM nominated_rows")
    connection.unregister("nominated_rows")


def load_buckets(connection: DuckDBPyConnection) -> Buckets:
    """Buckets from ``members`` and ``candidates(rank, digest_high, digest_low, …)``."""
    ((size, count),) = connection.execute(
        "SELECT (SELECT count(*) FROM members), (SELECT count(*) FROM candidates)"
    ).fetchall()
    ranks = np.empty(int(size), np.int32)
    edges = [np.zeros(1, np.int64)]
    done, last = 0, None
    relation = connection.sql(
        "SELECT m.key, c.rank FROM members m JOIN candidates c USING (digest_high, digest_low)"
        " ORDER BY m.key, c.rank"
    )
    for batch in relation.to_arrow_reader(_FETCH_ROWS):  # streamed: it may be as large as memory
        keys = batch["key"].to_numpy()
        ranks[done : done + len(keys)] = batch["rank"].to_numpy()
        if last is not None and len(keys) and keys[0] != last:
            edges.append(np.array([done], np.int64))
        edges.append(np.flatnonzero(keys[1:] != keys[:-1]) + (done + 1))
        done, last = done + len(keys), keys[-1] if len(keys) else last
    if done:
        edges.append(np.array([done], np.int64))
    starts = np.concatenate(edges)
    edges.clear()
    starts, members = without_repeated_pairs(starts, ranks[:done])
    return Buckets(starts=starts, members=members, count=int(count))


def without_repeated_pairs(
    starts: NDArray[np.int64], members: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Buckets, of which those of the same two members are one.

    Two near-duplicates share most of their keys, so that most buckets are such (measured: 8 of 9 at
    20 % near-duplicates); nothing that is decided depends on how many there are.

    Args:
        starts, members: int64 [buckets + 1], int32, ascending inside a bucket.
    """
    sizes = np.diff(starts)
    is_pair = sizes == 2
    firsts = starts[:-1][is_pair]
    pairs = members[firsts].astype(np.uint64)
    pairs <<= np.uint64(32)
    pairs |= members[firsts + 1].astype(np.uint64)
    del firsts
    pairs.sort()
    if len(pairs):
        pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
    others = members[np.repeat(~is_pair, sizes)]
    in_pairs = np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], axis=1)
    ends = np.concatenate([sizes[~is_pair], np.full(len(pairs), 2)])
    kept = np.zeros(len(ends) + 1, np.int64)
    np.cumsum(ends, out=kept[1:])
    return kept, np.concatenate([others, in_pairs.ravel().astype(np.int32)])
