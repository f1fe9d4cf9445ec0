"""Texts that may have a near-duplicate, in the order in which they are kept: arrays by rank.

What follows from ranks is looked up in these arrays. Joins of the same in DuckDB spilled, and took
a seventh of the CPU time and more of the wall time of a scan of ten million documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.catalog.queries import POSITION_BITS, create_table
from greendata.dedup.buckets import shared_entries
from greendata.dedup.lsh import BandBatch
from greendata.dedup.sets import sorted_set
from greendata.dedup.verify import Comparisons
from greendata.jobs.bands import BAND_ROWS, BandFile
from greendata.model import KeepOrder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

OBJECT_ORDERS = {
    KeepOrder.LONGEST: "priority DESC, uri",
    KeepOrder.NEWEST: "priority DESC, modified_at DESC, uri",
    KeepOrder.OLDEST: "priority DESC, modified_at, uri",
    KeepOrder.FIRST: "priority DESC, uri",
    KeepOrder.SCORE: "priority DESC, uri",
}
"""Which of several objects' copies of a text is kept."""

_CLASSES = {
    KeepOrder.LONGEST: "priority DESC",
    KeepOrder.NEWEST: "priority DESC, modified_at DESC",
    KeepOrder.OLDEST: "priority DESC, modified_at",
    KeepOrder.FIRST: "priority DESC",
    KeepOrder.SCORE: "priority DESC",
}
"""What objects tell of different texts; their lengths and digests come after it."""

_ROW_MASK = (1 << POSITION_BITS) - 1
_COLUMNS = ["object_id", "row", "row_group", "digest_high", "digest_low", "text_bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDocuments:
    """The document that stands for each of n texts.

    Attributes:
        digests: int64 [n, 2].
        positions, text_bytes: int64 [n].
        row_groups: int64 [n].
    """

    digests: NDArray[np.int64]
    positions: NDArray[np.int64]
    text_bytes: NDArray[np.int64]
    row_groups: NDArray[np.int64]

    @classmethod
    def empty(cls, count: int) -> TextDocuments:
        """Arrays to be filled."""
        return cls(
            digests=np.empty((count, 2), np.int64),
            positions=np.empty(count, np.int64),
            text_bytes=np.empty(count, np.int64),
            row_groups=np.empty(count, np.int64),
        )

    @property
    def orders(self) -> NDArray[np.int64]:
        """Places of their objects in the keep order."""
        return self.positions >> POSITION_BITS

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of their objects."""
        return self.positions & _ROW_MASK

    def take(self, order: NDArray[np.int64]) -> TextDocuments:
        """These of them, in this order."""
        return TextDocuments(
            digests=self.digests[order],
            positions=self.positions[order],
            text_bytes=self.text_bytes[order],
            row_groups=self.row_groups[order],
        )


def documents_of_rows(
    connection: DuckDBPyConnection, files: list[BandFile], rows: NDArray[np.uint64]
) -> TextDocuments:
    """The documents that some rows, by their numbers ascending, are of."""
    import pyarrow.parquet as pq

    known = connection.execute(
        "SELECT object_id, object_order FROM objects WHERE status = 'read' ORDER BY object_id"
    ).fetchnumpy()
    ids, orders = (np.asarray(known[name], np.int64) for name in ("object_id", "object_order"))
    found, done = TextDocuments.empty(len(rows)), 0
    for band_file in files:
        start = band_file.first
        with pq.ParquetFile(band_file.path) as file:
            for batch in file.iter_batches(BAND_ROWS, columns=_COLUMNS, use_threads=False):
                stop = done + int(np.searchsorted(rows[done:], np.uint64(start + batch.num_rows)))
                chosen = rows[done:stop].astype(np.int64) - start
                column = {name: batch[name].to_numpy()[chosen] for name in _COLUMNS}
                order = orders[np.searchsorted(ids, column["object_id"])]
                found.positions[done:stop] = order << POSITION_BITS | column["row"]
                found.digests[done:stop, 0] = column["digest_high"]
                found.digests[done:stop, 1] = column["digest_low"]
                found.text_bytes[done:stop] = column["text_bytes"]
                found.row_groups[done:stop] = column["row_group"]
                done, start = stop, start + batch.num_rows
    return found


def documents_at(connection: DuckDBPyConnection, positions: NDArray[np.int64]) -> TextDocuments:
    """The documents at a few positions."""
    register_arrays(
        connection, "texts", {"position": positions, "place": np.arange(len(positions))}
    )
    found = connection.execute(
        "SELECT place, digest_high, digest_low, text_bytes, row_group"
        " FROM documents JOIN texts USING (position)"
    ).fetchnumpy()
    documents = TextDocuments.empty(len(positions))
    places = np.asarray(found["place"])
    documents.positions[:] = positions
    documents.digests[places, 0] = found["digest_high"]
    documents.digests[places, 1] = found["digest_low"]
    documents.text_bytes[places] = found["text_bytes"]
    documents.row_groups[places] = found["row_group"]
    return documents


def keep_order(
    connection: DuckDBPyConnection, documents: TextDocuments, keep: KeepOrder
) -> NDArray[np.int64]:
    """The numbers of these texts, that which is kept before all others first."""
    known = connection.execute(
        f"SELECT object_order, dense_rank() OVER (ORDER BY {_CLASSES[keep]}) AS class FROM objects"
        " ORDER BY object_order"
    ).fetchnumpy()
    numbers = np.searchsorted(np.asarray(known["object_order"], np.int64), documents.orders)
    classes = np.asarray(known["class"], np.int64)[numbers]
    if keep is KeepOrder.FIRST:
        return np.lexsort((documents.positions, classes))
    digests = (documents.digests[:, 1], documents.digests[:, 0])
    longest = int(np.max(documents.text_bytes, initial=0))
    if keep is KeepOrder.SCORE:
        scores = _scores(connection, documents.positions)
        return np.lexsort((*digests, -documents.text_bytes, scores, classes))
    return np.lexsort((*digests, classes * (longest + 1) - documents.text_bytes))


def _scores(connection: DuckDBPyConnection, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the scores at some positions, the highest first; NaN is above all, as in DuckDB."""
    register_arrays(
        connection, "texts", {"position": positions, "place": np.arange(len(positions))}
    )
    found = connection.execute(
        "SELECT place, score FROM documents JOIN texts USING (position) WHERE score IS NOT NULL"
    ).fetchnumpy()
    _, places = np.unique(np.asarray(found["score"], np.float64), return_inverse=True)
    scores = np.ones(len(positions), np.int64)
    scores[np.asarray(found["place"])] = -places
    return scores


def known_pairs(connection: DuckDBPyConnection, texts: TextDocuments) -> Comparisons:
    """Pairs that earlier scans compared, as ranks; unreadable ones are tried again."""
    ((count,),) = connection.execute("SELECT count(*) FROM pairs").fetchall()
    if not count:
        return Comparisons.concatenate([])
    _load_ranks(connection, texts)
    found = connection.execute(
        "SELECT DISTINCT ON (least(a.rank, b.rank), greatest(a.rank, b.rank))"
        " least(a.rank, b.rank) AS better, greatest(a.rank, b.rank) AS worse, p.shared_shingles,"
        " CASE WHEN a.rank < b.rank THEN a_shingles ELSE b_shingles END AS better_shingles,"
        " CASE WHEN a.rank < b.rank THEN b_shingles ELSE a_shingles END AS worse_shingles"
        " FROM pairs p"
        " JOIN ranks a ON a.digest_high = a_digest_high AND a.digest_low = a_digest_low"
        " JOIN ranks b ON b.digest_high = b_digest_high AND b.digest_low = b_digest_low"
        " WHERE p.jaccard IS NOT NULL"
    ).fetchnumpy()
    connection.execute("DROP TABLE ranks")
    return Comparisons(
        better=np.asarray(found["better"], np.int32),
        worse=np.asarray(found["worse"], np.int32),
        shared=np.asarray(found["shared_shingles"], np.int64),
        better_shingles=np.asarray(found["better_shingles"], np.int64),
        worse_shingles=np.asarray(found["worse_shingles"], np.int64),
    )


def dataset_numbers(
    connection: DuckDBPyConnection, texts: TextDocuments
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Dataset numbers of each rank; nothing at all where there is one dataset."""
    count = len(texts.positions)
    starts = np.zeros(count + 1, np.int64)
    ((datasets,),) = connection.execute("SELECT count(DISTINCT dataset) FROM objects").fetchall()
    if datasets < 2:
        return starts, np.empty(0, np.int32)
    _load_ranks(connection, texts)
    found = connection.execute(
        "WITH numbers AS (SELECT dataset, row_number() OVER (ORDER BY dataset) AS number"
        " FROM (SELECT DISTINCT dataset FROM objects))"
        " SELECT DISTINCT r.rank, n.number FROM documents d"
        " JOIN ranks r USING (digest_high, digest_low) JOIN numbers n USING (dataset)"
        " ORDER BY r.rank, n.number"
    ).fetchnumpy()
    connection.execute("DROP TABLE ranks")
    np.cumsum(np.bincount(np.asarray(found["rank"]), minlength=count), out=starts[1:])
    return starts, np.asarray(found["number"], np.int32)


def _load_ranks(connection: DuckDBPyConnection, texts: TextDocuments) -> None:
    columns = {"rank": np.arange(len(texts.positions), dtype=np.int32)}
    register_arrays(connection, "ranks", columns | digest_columns(texts.digests))


def digest_columns(digests: NDArray[np.int64], prefix: str = "digest_") -> dict[str, NDArray[Any]]:
    """Both halves of digests as columns of a table."""
    halves = np.ascontiguousarray(digests.T)
    return {f"{prefix}high": halves[0], f"{prefix}low": halves[1]}


def load_repeated(
    connection: DuckDBPyConnection, files: list[str], filter_bytes: int, folder: Path
) -> int:
    """Table ``repeated(digest_high)``: of all digests that two rows of these files have, and few
    more. Returns how many there are.

    Found as shared band keys are: grouping all digests in DuckDB spills.
    """
    import pyarrow.parquet as pq

    def read() -> Iterator[BandBatch]:
        for name in files:
            with pq.ParquetFile(name) as file:
                for batch in file.iter_batches(
                    BAND_ROWS, columns=["digest_high"], use_threads=False
                ):
                    yield _half_digests(batch["digest_high"].to_numpy())

    rows = sum(pq.read_metadata(name).num_rows for name in files)
    ranges = shared_entries(read, rows, filter_bytes, folder)
    found = [sorted_set(entries[:, 0]) for entries in ranges]
    highs = np.concatenate([np.empty(0, np.uint64), *found]).view(np.int64)
    register_arrays(connection, "repeated", {"digest_high": highs})
    return len(highs)


def _half_digests(highs: NDArray[np.int64]) -> BandBatch:
    count = len(highs)
    return BandBatch(
        digests=np.empty((count, 0), np.uint64),
        keys=highs.view(np.uint64)[:, None],
        usable=np.ones(count, np.bool_),
        facts=np.empty((count, 0), np.int64),
    )


def register_arrays(
    connection: DuckDBPyConnection, name: str, columns: dict[str, NDArray[Any]]
) -> None:
    """Make a temporary table of arrays."""
    import pyarrow as pa

    create_table(connection, name, pa.table(columns))
