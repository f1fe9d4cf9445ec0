"""What runs of this program left at objects, where no listing tells it: as columns of the view.

A tag, a hold or a restored copy is known of the very version that a run set it on, and of the
versions that tier actions made of it, as long as nobody wrote the object since and the action was
not undone. What a listing or report tells that is newer comes first. A tag that somebody else took
off is not noticed until then: ``tags``, which conditions may name, has only what a listing told and
runs changed since; ``known_tags`` is all that is known, and only ever a reason to leave an object
as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from greendata.catalog.queries import create_rows, create_table, newest_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.catalog.commits import Refreshes
    from greendata.catalog.tables import Catalog

KNOWN_TAGS = "known_tags"
"""No column for policies: the tags that are known, whoever tells of them."""

TRACED = {"tags", KNOWN_TAGS, "is_held", "restore_state", "pinned_by"}
"""Columns that runs tell of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Expressions over ``i`` in place of those of a catalog without runs, and their joins."""

    columns: Mapping[str, str] = field(default_factory=dict)
    joins: str = ""


def create_traces(
    connection: DuckDBPyConnection,
    catalog: Catalog,
    refreshes: Refreshes,
    columns: Collection[str],
) -> Traces:
    """What is known by the catalog's outcomes; nothing that a catalog without them would pay for.

    Tables ``own_marks`` (``store_id, uri, etag, marks``), ``own_pins`` (``store_id, uri, run_id``)
    and ``refresh_times``.
    """
    files = catalog.files("outcomes", None)
    if not files:
        return Traces()
    create_rows(connection, "outcomes", files)
    found: dict[str, str] = {}
    joins = ""
    if "pinned_by" in columns and _create_pins(connection):
        found["pinned_by"] = "own_pins.run_id"
        joins += " LEFT JOIN own_pins ON own_pins.store_id = i.store_id AND own_pins.uri = i.uri"
    if (TRACED - {"pinned_by"}) & set(columns) and _create_marks(connection):
        _create_times(connection, refreshes)
        found |= _marked()
        joins += (
            " LEFT JOIN own_marks m ON m.store_id = i.store_id AND m.uri = i.uri"
            " AND m.etag = i.etag LEFT JOIN refresh_times f ON f.scan_id = i.scan_id"
        )
    return Traces(columns=found, joins=joins)


def _has_rows(connection: DuckDBPyConnection, table: str) -> bool:
    (row,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return bool(row[0])


def _create_pins(connection: DuckDBPyConnection) -> bool:
    """What stands for something that a run moved to quarantine: it waits there still."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE own_pins AS"
        " SELECT s.store_id, s.uri, min(run_id) AS run_id FROM ("
        " SELECT run_id, unnest(survivors) AS s FROM (FROM outcomes_rows"
        " WHERE kind IN ('quarantine', 'relocate', 'recompress')"
        f" {newest_of('run_id, action_id')}) WHERE survivors IS NOT NULL) GROUP BY ALL"
    )
    return _has_rows(connection, "own_pins")


def _create_marks(connection: DuckDBPyConnection) -> bool:
    """Tags, holds and restored copies by object version, the oldest first.

    ``seen_at`` is when a run last had the version in hand: what was written later is another, even
    where its ETag is the same. ``stands`` is false where it was undone.
    """
    same = "v.store_id = m.store_id AND v.uri = m.uri AND v.etag = m.etag"
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE own_marks AS WITH RECURSIVE newest AS (FROM outcomes_rows"
        " WHERE kind IN ('tag', 'hold', 'restore', 'tier') AND etag IS NOT NULL"
        f" {newest_of('run_id, action_id')}),"
        " set_marks AS (SELECT *, \"at\" AS seen_at, part = 'apply' AS stands FROM newest"
        " WHERE kind <> 'tier' AND status IN ('done', 'pending')),"
        " made AS (FROM newest WHERE kind = 'tier' AND left_etag IS NOT NULL),"
        ' marks AS (SELECT store_id, uri, version_id, etag, seen_at, "at", kind, status, stands,'
        "  readable_until, CASE WHEN stands THEN tags ELSE map(map_keys(tags),"
        "  list_transform(map_keys(tags), lambda k: NULL::VARCHAR)) END AS tags FROM set_marks"
        '  UNION SELECT m.store_id, m.uri, v.left_version_id, v.left_etag, v."at", m."at",'
        "  m.kind, m.status, m.stands, m.readable_until, m.tags FROM marks m"
        f" JOIN made v ON {same} AND v.version_id IS NOT DISTINCT FROM m.version_id"
        "  AND v.\"at\" > m.seen_at WHERE m.kind = 'tag')"
        " SELECT store_id, uri, etag, list({'version_id': version_id, 'seen_at': seen_at,"
        " 'at': \"at\", 'kind': kind, 'status': status, 'stands': stands,"
        " 'readable_until': readable_until, 'tags': tags} ORDER BY \"at\", seen_at) AS marks"
        " FROM marks GROUP BY ALL"
    )
    return _has_rows(connection, "own_marks")


def _create_times(connection: DuckDBPyConnection, refreshes: Refreshes) -> None:
    import pyarrow as pa

    from greendata.schemas import TIME

    live = refreshes.live("objects")
    times = {
        "scan_id": pa.array([entry.scan_id for entry in live], pa.string()),
        "as_of": pa.array([entry.as_of for entry in live], TIME),
    }
    create_table(connection, "refresh_times", pa.table(times))


_IS_MINE = (
    "x.seen_at >= i.modified_at AND (x.version_id IS NOT DISTINCT FROM i.version_id"
    " OR (x.version_id IS NULL OR i.version_id IS NULL) AND coalesce(i.is_latest, true))"
)


def _mine(kind: str, more: str = "true") -> str:
    return f"list_filter(m.marks, lambda x: x.kind = '{kind}' AND {more} AND {_IS_MINE})"


def _with_tags(marks: str, first: str) -> str:
    """Tags with what marks set after them; what was taken back is unknown."""
    merged = (
        f"list_reduce(list_transform({marks}, lambda x: x.tags),"
        f" lambda a, b: map_concat(a, b), {first})"
    )
    return f"coalesce({merged}, {first})"


def _marked() -> dict[str, str]:
    changed = _with_tags(_mine("tag", "x.at > f.as_of"), "i.tags")
    told = f"CASE WHEN i.tags IS NOT NULL THEN {changed}"
    none = "map([]::VARCHAR[], []::VARCHAR[])"
    hold, copy = f"{_mine('hold')}[-1]", f"{_mine('restore')}[-1]"
    return {
        "tags": f"{told} END",
        KNOWN_TAGS: f"{told} WHEN m.marks IS NOT NULL THEN {_with_tags(_mine('tag'), none)} END",
        "is_held": f"CASE WHEN {hold} IS NULL OR (i.is_held IS NOT NULL"
        f" AND {hold}.at <= f.as_of) THEN i.is_held WHEN {hold}.stands THEN true END",
        "restore_state": f"CASE WHEN {copy}.stands AND {copy}.status = 'pending' THEN 'pending'"
        f" WHEN {copy}.stands AND {copy}.readable_until > {{as_of}} THEN 'restored' END",
    }
