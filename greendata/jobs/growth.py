"""A scan that changes little: which texts it can make a difference to, so that only these are
resolved again.

What is kept for a text depends on the texts of its group alone: those that band keys connect it
with, directly or through others. A scan touches the groups of texts that came, left or moved, and
of texts that have a key of one that came. Which those are, the groups of the last results and the
indexes of keys tell; everything else stays as the last results have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from greendata.catalog.queries import (
    POSITION_BITS,
    Pending,
    create_objects,
    create_rows,
    create_table,
    create_view,
    create_views,
    documents_query,
    hex_digest,
)
from greendata.dedup.keyindex import Rows, find_digests, find_keys
from greendata.dedup.lsh import BandBatch
from greendata.dedup.sets import sorted_set
from greendata.jobs.bands import BAND_COLUMNS, FACTS, band_batch
from greendata.jobs.keyindexes import index_keys, read_all_bands

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from greendata.catalog.commits import Snapshot
    from greendata.catalog.tables import Catalog

MOST_SHARE = 0.2
"""Share of all documents that are looked at again before everything is."""

_WAITING_ROWS = 1 << 20


def narrow(
    connection: DuckDBPyConnection,
    catalog: Catalog,
    base: Snapshot,
    pending: Pending,
    *,
    threshold: float,
) -> bool:
    """Views of the pending scan, their ``documents`` only those of texts that it touches.

    Leaves the tables ``settled_rows`` (these texts), ``chosen_rows`` (where their fingerprints are)
    and ``documents_before, verified_before, shared_before`` (as the last results saw them).

    Returns:
        False where it touches so much that all may as well be resolved; the views are whole then.
    """
    create_objects(connection, catalog, base)
    connection.execute(_OBJECTS_BEFORE)
    create_views(connection, catalog, base, pending)
    connection.execute(_UNREAD)
    _load_seeds(connection, pending)
    ((documents,),) = connection.execute(
        "SELECT coalesce(sum(documents), 0) FROM objects WHERE status = 'read'"
    ).fetchall()
    most = MOST_SHARE * int(documents)
    if _count(connection, "settled_rows") > most:
        return False
    files = catalog.files("documents", base.scan_ids)
    indexes = index_keys(files)
    neighbours = _neighbours(indexes, pending)
    try:
        if not _add_digests(connection, neighbours, most):
            return False
        connection.execute(_ADD_GROUPS)
        if _count(connection, "settled_rows") > most:
            return False
        _load_chosen(connection, indexes, pending)
    except (FileNotFoundError, ValueError):  # removed meanwhile, or damaged: made again later
        for path in indexes:
            path.unlink(missing_ok=True)
        return False
    connection.execute(_DOCUMENTS_BEFORE)
    connection.execute(_VERIFIED_BEFORE, {"threshold": threshold})
    connection.execute(_SHARED_BEFORE)
    create_view(connection, "documents", documents_query("chosen_rows"))
    return True


def _count(connection: DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


# Objects as the last results saw them.
_OBJECTS_BEFORE = """
CREATE OR REPLACE TEMP TABLE objects_before AS
    SELECT store_id, uri, dataset, object_id, documents_scan_id FROM objects WHERE status = 'read'
"""

# Pairs of texts that could not be read then. ``pairs_rows`` are those of committed scans.
_UNREAD = """
CREATE OR REPLACE TEMP TABLE unread_pairs AS
    SELECT DISTINCT a_digest_high, a_digest_low, b_digest_high, b_digest_low
    FROM pairs_rows p WHERE jaccard IS NULL;
DELETE FROM unread_pairs p WHERE EXISTS (
    SELECT 1 FROM pairs_rows k WHERE k.jaccard IS NOT NULL
    AND k.a_digest_high = p.a_digest_high AND k.a_digest_low = p.a_digest_low
    AND k.b_digest_high = p.b_digest_high AND k.b_digest_low = p.b_digest_low);
CREATE OR REPLACE TEMP TABLE unread_texts AS
    SELECT a_digest_high AS digest_high, a_digest_low AS digest_low FROM unread_pairs
    UNION SELECT b_digest_high, b_digest_low FROM unread_pairs;
"""


def _load_seeds(connection: DuckDBPyConnection, pending: Pending) -> None:
    """Table ``settled_rows``: texts of objects that changed, came or left."""
    create_table(connection, "changed", pending.objects.select(["store_id", "uri"]))
    ((known,),) = connection.execute(
        "SELECT count(*) FROM objects_before SEMI JOIN changed USING (store_id, uri)"
    ).fetchall()
    rows = "documents_rows"
    if not known and pending.document_files:  # all that changed was read by this scan
        rows = "came_rows"
        create_rows(connection, "came", list(pending.document_files))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE settled_rows AS"
        f" SELECT DISTINCT digest_high, digest_low FROM {rows} d SEMI JOIN ("
        "   SELECT object_id, documents_scan_id AS scan_id FROM objects_before"
        "   SEMI JOIN changed USING (store_id, uri)"
        "   UNION SELECT object_id, documents_scan_id FROM objects"
        "   SEMI JOIN changed USING (store_id, uri) WHERE status = 'read'"
        " ) o USING (object_id, scan_id)"
    )
    if _count(connection, "unread_texts"):
        connection.execute(_ADD_UNREAD)


_ADD_UNREAD = """
CREATE OR REPLACE TEMP TABLE readable_texts AS
    SELECT DISTINCT digest_high, digest_low
    FROM (SELECT * FROM documents_rows SEMI JOIN unread_texts USING (digest_high, digest_low)) d
    SEMI JOIN (SELECT * FROM objects WHERE status = 'read' AND format <> 'index') o
    ON d.object_id = o.object_id AND d.scan_id = o.documents_scan_id;
INSERT INTO settled_rows
    SELECT digest_high, digest_low FROM (
        SELECT a_digest_high AS digest_high, a_digest_low AS digest_low FROM unread_pairs p
        SEMI JOIN readable_texts r ON r.digest_high = b_digest_high AND r.digest_low = b_digest_low
        UNION SELECT b_digest_high, b_digest_low FROM unread_pairs p
        SEMI JOIN readable_texts r ON r.digest_high = a_digest_high AND r.digest_low = a_digest_low
    ) SEMI JOIN readable_texts USING (digest_high, digest_low)
    ANTI JOIN settled_rows USING (digest_high, digest_low);
"""


def _neighbours(indexes: Iterable[Path], pending: Pending) -> Iterator[NDArray[np.uint64]]:
    """Digests of texts that have a band key of a text that came."""
    keys = [
        batch.keys[batch.usable].ravel() for batch in read_all_bands(list(pending.document_files))
    ]
    asked = sorted_set(np.concatenate([np.empty(0, np.uint64), *keys]))
    for path in indexes:
        for found in find_keys(path, asked):
            yield found.digests


def _add_digests(
    connection: DuckDBPyConnection, digests: Iterator[NDArray[np.uint64]], most: float
) -> bool:
    """Add texts to ``settled_rows``; False when there are more of them than ``most``."""
    import pyarrow as pa

    held, parts, waiting = np.empty((0, 2), np.uint64), [], 0
    for part in digests:
        parts.append(part)
        waiting += len(part)
        if waiting > max(_WAITING_ROWS, len(held)):
            held, parts, waiting = _unique_rows(np.concatenate([held, *parts])), [], 0
            if len(held) > most:
                return False
    held = _unique_rows(np.concatenate([held, *parts]))
    if len(held) > most:
        return False
    columns = held.view(np.int64)
    create_table(
        connection,
        "neighbours",
        pa.table({"digest_high": columns[:, 0].copy(), "digest_low": columns[:, 1].copy()}),
    )
    connection.execute(
        "INSERT INTO settled_rows SELECT * FROM neighbours"
        " ANTI JOIN settled_rows USING (digest_high, digest_low)"
    )
    return True


def _unique_rows(digests: NDArray[np.uint64]) -> NDArray[np.uint64]:
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    digests = digests[order]
    is_first = np.ones(len(digests), np.bool_)
    is_first[1:] = (digests[1:] != digests[:-1]).any(axis=1)
    return digests[is_first]


_ADD_GROUPS = """
CREATE OR REPLACE TEMP TABLE touched_groups AS
    SELECT DISTINCT text_group FROM groups SEMI JOIN settled_rows USING (digest_high, digest_low);
INSERT INTO settled_rows
    SELECT DISTINCT digest_high, digest_low FROM groups SEMI JOIN touched_groups USING (text_group)
    ANTI JOIN settled_rows USING (digest_high, digest_low);
"""


def _load_chosen(
    connection: DuckDBPyConnection, indexes: Mapping[Path, list[str]], pending: Pending
) -> None:
    """Table ``chosen_rows``: fingerprints of the settled texts, and where they are.

    Rows of this scan are few; those of others are found in the indexes, so that the fingerprints
    of all documents are not gone through.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    came = list(pending.document_files)
    if came:
        create_rows(connection, "came", came)
    else:
        create_view(connection, "came_rows", "SELECT * FROM documents_rows WHERE false")
    names = [*came, *(name for indexed in indexes.values() for name in indexed)]
    files = pa.table({"filename": names, "file": np.arange(len(names), dtype=np.int32)})
    create_table(connection, "chosen_files", files)
    connection.execute(_CHOSEN)
    first = len(came)
    texts = _settled_digests(connection)
    for path, indexed in indexes.items():
        rows = [pq.read_metadata(name).num_rows for name in indexed]
        starts = np.concatenate([[0], np.cumsum(rows)])
        parts = [_found_rows(found, starts, first) for found in find_digests(path, texts)]
        if parts:
            create_table(connection, "found_rows", pa.concat_tables(parts))
            connection.execute(_CHOSEN_BEFORE, [path.stem])
        first += len(indexed)


def _settled_digests(connection: DuckDBPyConnection) -> NDArray[np.uint64]:
    found = connection.execute("SELECT digest_high, digest_low FROM settled_rows").fetchnumpy()
    halves = [np.asarray(found[half], np.int64) for half in ("digest_high", "digest_low")]
    return np.stack(halves, axis=1).view(np.uint64)


def _found_rows(found: Rows, starts: NDArray[np.int64], first: int) -> pa.Table:
    """Rows of an index as those of the table ``documents``, with the number of their file.

    Args:
        starts: where each of the index's files begins among its rows.
        first: the number of the first of these files.
    """
    import pyarrow as pa

    places = np.searchsorted(starts, found.rows, "right") - 1
    columns = dict(zip(FACTS, found.facts.T.copy(), strict=True))
    digests = found.digests.view(np.int64).T.copy()
    columns |= {"digest_high": digests[0], "digest_low": digests[1]}
    columns |= {"file": places + first, "file_row_number": found.rows - starts[places]}
    return pa.table(columns)


_COLUMNS = """
    row, row_group::INTEGER AS row_group, digest_high, digest_low, text_bytes, tokens,
    file::INTEGER AS file, file_row_number
"""

_CHOSEN = f"""
CREATE OR REPLACE TEMP TABLE chosen_rows AS
    SELECT object_id, scan_id, {_COLUMNS} FROM came_rows JOIN chosen_files USING (filename)
    SEMI JOIN settled_rows USING (digest_high, digest_low)
"""

_CHOSEN_BEFORE = f"""
INSERT INTO chosen_rows
    SELECT object_id, ? AS scan_id, {_COLUMNS} FROM found_rows
    SEMI JOIN settled_rows USING (digest_high, digest_low)
"""

_DOCUMENTS_BEFORE = """
CREATE OR REPLACE TEMP TABLE documents_before AS
    SELECT digest_high, digest_low, uri, dataset, text_bytes
    FROM chosen_rows d JOIN objects_before o
    ON d.object_id = o.object_id AND d.scan_id = o.documents_scan_id
"""

_VERIFIED_BEFORE = """
CREATE OR REPLACE TEMP TABLE verified_before AS
    SELECT a_digest_high, a_digest_low, b_digest_high, b_digest_low FROM pairs_rows
    SEMI JOIN settled_rows s ON s.digest_high = a_digest_high AND s.digest_low = a_digest_low
    WHERE jaccard >= $threshold
"""

_SHARED_BEFORE = """
CREATE OR REPLACE TEMP TABLE shared_before AS
    SELECT digest_high, digest_low FROM documents_before GROUP BY ALL HAVING count(*) > 1
    UNION SELECT a_digest_high, a_digest_low FROM verified_before
    UNION SELECT b_digest_high, b_digest_low FROM verified_before
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenDocuments:
    """The first document of each text that is looked at again.

    Attributes:
        names: files of fingerprints.
        files, rows: of its fingerprint: number of the file, and the row in it; by file and row.
        positions: int64.
    """

    names: list[str]
    files: NDArray[np.int32]
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]


def choose_documents(connection: DuckDBPyConnection) -> ChosenDocuments:
    """Of each text in ``settled_rows`` that is there and has tokens."""
    places = connection.execute(
        f"SELECT file, file_row_number, (object_order << {POSITION_BITS}) | row AS position"
        " FROM chosen_rows d JOIN objects o ON d.object_id = o.object_id"
        "  AND d.scan_id = o.documents_scan_id AND o.status = 'read'"
        " WHERE tokens > 0 QUALIFY row_number() OVER ("
        "  PARTITION BY digest_high, digest_low ORDER BY position) = 1"
        " ORDER BY file, file_row_number"
    ).fetchnumpy()
    names = connection.execute("SELECT filename FROM chosen_files ORDER BY file").fetchall()
    return ChosenDocuments(
        names=[name for (name,) in names],
        files=np.asarray(places["file"], np.int32),
        rows=np.asarray(places["file_row_number"], np.int64),
        positions=np.asarray(places["position"], np.int64),
    )


def read_chosen_bands(documents: ChosenDocuments) -> Iterator[BandBatch]:
    """Band keys of these documents, in order, read from their row groups only."""
    import pyarrow.parquet as pq

    for number in sorted_set(documents.files).tolist():
        lo, hi = np.searchsorted(documents.files, [number, number + 1])
        chosen = documents.rows[lo:hi]
        with pq.ParquetFile(documents.names[number]) as file:
            start = 0
            for group in range(file.metadata.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                lo, hi = np.searchsorted(chosen, [start, stop])
                if lo < hi:
                    table = file.read_row_group(group, columns=BAND_COLUMNS, use_threads=False)
                    (batch,) = table.combine_chunks().to_batches()
                    yield band_batch(batch.take(chosen[lo:hi] - start))
                start = stop


def show_all_duplicates(connection: DuckDBPyConnection) -> str:
    """A table of what is counted of all duplicates after ``resolve``, of a scan narrowed before."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE settled_digests AS"
        f" SELECT {hex_digest('s')} AS document_digest FROM settled_rows s"
    )
    columns = (
        "document_uri, document_row, document_dataset, document_text_bytes, kind, kept_uri,"
        " kept_row, kept_dataset"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE duplicates_now AS"
        f" SELECT {columns} FROM duplicates ANTI JOIN settled_digests USING (document_digest)"
        f" UNION ALL SELECT {columns} FROM duplicate_rows"
    )
    return "duplicates_now"
