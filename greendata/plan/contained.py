"""Quarantine proved by whole rows: every row of an object stands in objects that stay.

The objects to be quarantined are gone through in one order (most rows first, then as survivors are
chosen): one may leave when each of its rows stands in an object that no policy touches, or in one
before it that stays. So what leaves never depends on what leaves too. Rounds settle many at once;
an object waits for a later round only while one that it needs is not settled. The rows of one may
stand in several, as of a dataset that was cut into other shards; then a few that hold them all are
chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from greendata.catalog.queries import create_table
from greendata.plan.actions import MOST_SURVIVORS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROUNDS = 100
"""A longer chain of objects, each within the one before, ends with objects that stay."""

BASIS = "rows:blake2b-128"

SURVIVOR_SQL = "{'uri': c.uri, 'store_id': c.store_id, 'version_id': c.version_id, 'etag': c.etag}"
"""What a plan records of an object ``c`` that stays (``actions.SURVIVOR``)."""


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
        "CREATE OR REPLACE TEMP TABLE plan_row_digests AS SELECT o.place, o.is_open, r.digest_high,"
        " r.digest_low FROM plan_row_objects o JOIN plan_rows r USING (store_id, uri, etag)"
        " WHERE o.status <> 'leaves'"
    )
    _link(connection, allowed)
    for _ in range(MOST_ROUNDS):
        if not _settle(connection):
            break
    _choose(connection)


def _link(connection: DuckDBPyConnection, allowed: str) -> None:
    """Rows of what is to leave, with each object before it that has the row and may stand for it.

    By digest first: joined with all pairs of objects, 20 by 200 of them took 1.5 GB for 200,000
    rows.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_links AS SELECT a.place, a.digest_high,"
        " a.digest_low, b.place AS other FROM plan_row_digests a JOIN plan_row_digests b"
        " ON b.digest_high = a.digest_high AND b.digest_low = a.digest_low"
        " WHERE a.is_open AND b.place <> a.place AND (NOT b.is_open OR b.place < a.place)"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_unfit AS SELECT x.place, x.other"
        " FROM (SELECT DISTINCT place, other FROM plan_row_links) x"
        " JOIN plan_row_objects w ON w.place = x.place JOIN plan_row_objects c ON c.place = x.other"
        f" WHERE (c.is_online AND ({allowed})) IS NOT TRUE"
    )
    connection.execute(
        "DELETE FROM plan_row_links"
        " WHERE (place, other) IN (SELECT (place, other) FROM plan_row_unfit)"
    )


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
    """Of those that stay, a few that hold all rows of each object that leaves.

    The one that holds the most rows is taken first, of several the best to stay, then the one that
    holds the most of the rest. So one that holds them all stands alone.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_left AS SELECT l.*, c.rank"
        " FROM plan_row_links l JOIN plan_row_objects w"
        " ON w.place = l.place AND w.is_open AND w.status = 'leaves'"
        " JOIN plan_row_objects c ON c.place = l.other AND c.status = 'stays'"
    )
    connection.execute("DROP TABLE plan_row_links")
    connection.execute("DROP TABLE plan_row_digests")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_taken AS SELECT place, NULL::BIGINT AS other,"
        " 0 AS turn, row_count AS missing FROM plan_row_objects WHERE is_open AND status = 'leaves'"
    )
    for turn in range(1, MOST_SURVIVORS + 1):
        if not _take(connection, turn):
            break
    _add_chosen(connection)


def _take(connection: DuckDBPyConnection, turn: int) -> bool:
    """One more survivor for each object that has rows left; whether any still has.

    Given up are those of which so many as may still be taken cannot hold all that is left.
    """
    connection.execute(
        f"INSERT INTO plan_row_taken SELECT o.place, o.other, {turn}, t.missing - o.row_count"
        " FROM ("
        "  SELECT place, arg_min(other, turn) AS other, max(row_count) AS row_count,"
        f"  sum(row_count) FILTER (turn <= {MOST_SURVIVORS + 1 - turn}) AS reach FROM ("
        "   SELECT place, other, count(*) AS row_count,"
        "   row_number() OVER (PARTITION BY place ORDER BY count(*) DESC, rank) AS turn"
        "   FROM plan_row_left GROUP BY place, other, rank) GROUP BY place) o"
        f" JOIN plan_row_taken t ON t.place = o.place AND t.turn = {turn - 1}"
        " WHERE o.reach >= t.missing"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_left AS SELECT l.* FROM plan_row_left l"
        f" JOIN plan_row_taken t ON t.place = l.place AND t.turn = {turn} AND t.missing > 0"
        " ANTI JOIN plan_row_left k ON k.place = t.place AND k.other = t.other"
        " AND k.digest_high = l.digest_high AND k.digest_low = l.digest_low"
    )
    (row,) = connection.execute("SELECT count(*) FROM plan_row_left").fetchall()
    return bool(row[0])


def _add_chosen(connection: DuckDBPyConnection) -> None:
    """To ``plan_survivors``: those with all rows found, others as ``several``, and what stays."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_row_chosen AS SELECT place, other, turn"
        " FROM plan_row_taken WHERE turn > 0"
        " AND place IN (SELECT place FROM plan_row_taken WHERE missing = 0)"
    )
    connection.execute(
        "INSERT INTO plan_survivors BY NAME SELECT w.number,"
        f" list({SURVIVOR_SQL} ORDER BY f.turn) AS survivors,"
        f" '{BASIS}:' || w.row_count AS survivor_basis"
        " FROM plan_row_chosen f JOIN plan_row_objects w ON w.place = f.place"
        " JOIN plan_row_objects c ON c.place = f.other GROUP BY w.number, w.row_count"
    )
    connection.execute(
        "INSERT INTO plan_survivors BY NAME"
        " SELECT number, if(status = 'stays', 'survivor', 'several') AS problem"
        " FROM plan_row_objects WHERE is_open AND ("
        " status = 'stays' AND place IN (SELECT other FROM plan_row_chosen) OR"
        " status = 'leaves' AND place NOT IN (SELECT place FROM plan_row_chosen))"
    )


def create_no_rows(connection: DuckDBPyConnection) -> None:
    """Empty ``plan_rows``: no row was read."""
    import pyarrow as pa

    kinds: Mapping[str, pa.DataType] = {
        "store_id": pa.string(), "uri": pa.string(), "etag": pa.string(),
        "digest_high": pa.int64(), "digest_low": pa.int64(),
    }  # fmt: skip
    create_table(connection, "plan_rows", pa.schema(list(kinds.items())).empty_table())
