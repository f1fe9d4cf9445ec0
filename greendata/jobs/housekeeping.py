"""Keeping a catalog small: what many scans left is written again as one, and the rest dropped.

A compaction is a scan that starts over with everything the views show: rows of objects that were
replaced or removed, and pairs of texts that are gone, are not in it, and many small files become
few. Like any scan it counts once it is committed, and not at all when another one came first.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.catalog.commits import new_id
from greendata.catalog.queries import create_views
from greendata.catalog.schemas import RESULTS, SCHEMAS
from greendata.errors import CommitConflictError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.catalog.tables import Catalog

MOST_SCANS = 32
"""Scans that a catalog holds before they are made one."""

MOST_DEAD_SHARE = 0.5
"""Share of fingerprints that belong to no object any more before they are dropped."""

_LEAST_DEAD_ROWS = 100_000
_ROW_GROUP_ROWS = 65_536

_QUERIES = {
    "objects": "SELECT {columns} FROM objects ORDER BY uri",
    "documents": "SELECT {columns} FROM documents_rows d SEMI JOIN objects o"
    " ON d.object_id = o.object_id AND d.scan_id = o.documents_scan_id AND o.status = 'read'"
    " ORDER BY object_id, row",
    "pairs": "SELECT {columns} FROM pairs p"
    " SEMI JOIN documents a ON a.digest_high = a_digest_high AND a.digest_low = a_digest_low"
    " SEMI JOIN documents b ON b.digest_high = b_digest_high AND b.digest_low = b_digest_low"
    " ORDER BY ALL",
    "duplicates": "SELECT {columns} FROM duplicates ORDER BY document_uri, document_row",
    "groups": "SELECT {columns} FROM groups SEMI JOIN documents USING (digest_high, digest_low)"
    " ORDER BY text_group, digest_high, digest_low",
    "overlaps": 'SELECT {columns} FROM "overlaps" ORDER BY level, a, b',
}


def is_worthwhile(connection: DuckDBPyConnection, scans: int) -> bool:
    """Whether there are many scans, or many rows that nothing shows: of a catalog's views."""
    if scans > MOST_SCANS:
        return True
    query = (
        "SELECT (SELECT count(*) FROM documents_rows),"
        " (SELECT coalesce(sum(documents), 0) FROM objects WHERE status = 'read')"
    )
    ((rows, live),) = connection.execute(query).fetchall()
    dead = int(rows) - int(live)
    return dead > _LEAST_DEAD_ROWS and dead > MOST_DEAD_SHARE * int(rows)


def compact(
    connection: DuckDBPyConnection, catalog: Catalog, folder: Path, *, now: datetime
) -> bool:
    """Write the catalog's scans as one, if nobody else is at work.

    Args:
        connection: of this moment's use; its views are made anew.
        folder: of the scan that does this, for files that are not part of the catalog yet.

    Returns:
        Whether it was done; False, too, when another scan was committed first.
    """
    base = catalog.snapshot()
    if base.last is None or catalog.has_others_at_work(folder.name):
        return False
    create_views(connection, catalog, base)
    scan_id = new_id(now)
    results_id = f"{scan_id}.0"
    for name in _QUERIES:
        path = folder / f"compacted-{name}.parquet"
        if _write(connection, name, scan_id, path):
            catalog.adopt_files(name, results_id if name in RESULTS else scan_id, [path])
    last = base.last
    row = {
        "scan_id": scan_id,
        "sequence": last.sequence + 1,
        "results_id": results_id,
        "starts_over": True,
        "started_at": last.started_at,
        "committed_at": last.committed_at,
        "parameters": json.dumps(last.parameters),
        "uris": "[]",
        "summary": json.dumps(last.summary),
    }
    try:
        catalog.commit_scan(row, base)
    except CommitConflictError:
        return False
    catalog.drop_results_before(results_id)
    catalog.drop_forgotten_scans(folder.name)
    return True


def _write(connection: DuckDBPyConnection, name: str, scan_id: str, path: Path) -> int:
    """The rows that the views show, as one file; how many."""
    names = SCHEMAS[name].names
    columns = ", ".join(
        f"CASE WHEN documents_scan_id IS NOT NULL THEN '{scan_id}' END AS documents_scan_id"
        if column == "documents_scan_id"
        else column
        for column in names
    )
    query = _QUERIES[name].format(columns=columns)
    target = str(path).replace("'", "''")
    done = connection.execute(
        f"COPY ({query}) TO '{target}'"
        f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP_ROWS})"
    )
    return int(done.fetchall()[0][0])
