"""Quarantine proved by whole rows: every row of an object stands in objects that stay.

The objects to be quarantined are gone through in one order (most rows first, then as survivors are
chosen): one may leave when each of its rows stands in an object that no policy touches, or in one
before it that stays. So what leaves never depends on what leaves too. Rounds settle many at once;
an object waits for a later round only while one that it needs is not settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from greendata.catalog.queries import create_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROUNDS = 100
"""A longer chain of objects, each within the one before, ends with objects that stay."""

BASIS = "rows:blake2b-128"


def add_contained(connection: DuckDBPyConnection, objects: str, allowed: str) -> None:
    """Add to ``plan_survivors`` what ``plan_rows`` proves, and ``survivor`` where one must stay.

    Args:
        connection: with ``plan_rows`` (``store_id, uri, etag, digest_high, digest_low``, distinct;
            all rows of an object or none).
        objects: a query of objects whose rows are known: ``number`` (null if no policy acts),
            ``store_id, uri, version_id, etag, region, residency, rank, is_online, is_leaving,
            is_wanted``.
        allowed: SQL, whether ``c`` may stand for ``w``.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_objects AS SELECT *, row_number() OVER"
        " (ORDER BY row_count DESC, rank) AS place, CASE WHEN is_open THEN 'open'"
        " WHEN NOT is_leaving OR is_survivor THEN 'stays' ELSE 'leaves' END AS status"
        " FROM (SELECT o.*, n.row_count, coalesce(v.problem = 'survivor', false) AS is_survivor,"
        " o.is_wanted AND v.number IS NULL AS is_open"
        f" FROM ({objects}) o JOIN (SELECT store_id, uri, etag, count(*) AS row_count"
        " FROM plan_rows GROUP BY ALL) n USING (store_id, uri, etag)"
        " LEFT JOIN plan_survivors v ON v.number = o.number)"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_digests AS SELECT o.place, r.digest_high,"
        " r.digest_low FROM plan_row_objects o JOIN plan_rows r USING (store_id, uri, etag)"
        " WHERE o.status <> 'leaves'"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_links AS SELECT a.place, a.digest_high,"
        " a.digest_low, c.place AS other FROM plan_row_objects w"
        " JOIN plan_row_digests a ON a.place = w.place AND w.status = 'open'"
        " JOIN plan_row_digests b ON b.digest_high = a.digest_high AND b.digest_low = a.digest_low"
        " JOIN plan_row_objects c ON c.place = b.place"
        f" WHERE c.place <> w.place AND c.is_online AND ({allowed})"
        " AND (c.status = 'stays' OR c.place < w.place)"
    )
    for _ in range(MOST_ROUNDS):
        if not _settle(connection):
            break
    _choose(connection)


def _settle(connection: DuckDBPyConnection) -> bool:
    """One round; whether any object is open still."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_round AS SELECT place, bool_and(is_kept) AS leaves,"
        " bool_and(is_kept OR is_open) AS waits FROM (SELECT d.place, d.digest_high, d.digest_low,"
        " coalesce(bool_or(c.status = 'stays'), false) AS is_kept,"
        " coalesce(bool_or(c.status = 'open'), false) AS is_open"
        " FROM plan_row_objects w JOIN plan_row_digests d ON d.place = w.place"
        " LEFT JOIN plan_row_links l ON l.place = d.place AND l.digest_high = d.digest_high"
        " AND l.digest_low = d.digest_low LEFT JOIN plan_row_objects c ON c.place = l.other"
        " WHERE w.status = 'open' GROUP BY ALL) GROUP BY place"
    )
    connection.execute(
        "UPDATE plan_row_objects o SET status = CASE WHEN r.leaves THEN 'leaves' ELSE 'stays' END"
        " FROM plan_row_round r WHERE r.place = o.place AND (r.leaves OR NOT r.waits)"
    )
    (row,) = connection.execute(
        "SELECT count(*) FROM plan_row_objects WHERE status = 'open'"
    ).fetchall()
    return bool(row[0])


def _choose(connection: DuckDBPyConnection) -> None:
    """The best to stay of those that hold all rows; a quarantine names one survivor to pin."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_chosen AS"
        " SELECT w.place, arg_min(x.other, c.rank) FILTER (x.row_count = w.row_count) AS other"
        " FROM (SELECT place, other, count(*) AS row_count FROM plan_row_links GROUP BY ALL) x"
        " JOIN plan_row_objects w ON w.place = x.place AND w.is_open AND w.status = 'leaves'"
        " JOIN plan_row_objects c ON c.place = x.other AND c.status = 'stays' GROUP BY w.place"
    )
    connection.execute(
        "INSERT INTO plan_survivors BY NAME SELECT w.number, c.uri AS survivor_uri,"
        " c.store_id AS survivor_store_id, c.version_id AS survivor_version_id,"
        f" c.etag AS survivor_etag, '{BASIS}:' || w.row_count AS survivor_basis,"
        " CASE WHEN c.uri IS NULL THEN 'several' END AS problem"
        " FROM plan_row_chosen f JOIN plan_row_objects w ON w.place = f.place"
        " LEFT JOIN plan_row_objects c ON c.place = f.other"
    )
    connection.execute(
        "INSERT INTO plan_survivors BY NAME SELECT o.number, 'survivor' AS problem"
        " FROM plan_row_objects o WHERE o.is_open AND o.status = 'stays'"
        " AND o.place IN (SELECT other FROM plan_row_chosen)"
    )


def create_no_rows(connection: DuckDBPyConnection) -> None:
    """Empty ``plan_rows``: no row was read."""
    import pyarrow as pa

    kinds: Mapping[str, pa.DataType] = {
        "store_id": pa.string(), "uri": pa.string(), "etag": pa.string(),
        "digest_high": pa.int64(), "digest_low": pa.int64(),
    }  # fmt: skip
    create_table(connection, "plan_rows", pa.schema(list(kinds.items())).empty_table())
