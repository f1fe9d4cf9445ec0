"""Which copy stays for each object that is to be quarantined, as SQL; no survivor, no quarantine.

Identical bytes: objects of one size and SHA-256, both of which were read; whole rows are in
``contained``. A copy that no policy
touches stays anyway and may stand for the others. Where there is none, one of those to be
quarantined is chosen to stay, held > in its training region > online > oldest > by URI. Whatever
any policy decided to take away or to archive never counts as a survivor, even if its action is
refused later, so that no two policies can remove each other's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from greendata.catalog.queries import create_table, create_view
from greendata.plan.contained import SURVIVOR_SQL, add_contained, create_no_rows
from greendata.policy.tiers import ARCHIVES
from greendata.policy.verdicts import allows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SURVIVOR_COLUMNS = (
    "uri", "store_id", "version_id", "etag", "size_bytes", "region", "training_region",
    "residency", "tier", "restore_state", "modified_at", "is_held", "is_latest", "is_delete_marker",
)  # fmt: skip
"""Of the view besides ``format``, to tell which copy may stay."""

_LEAVING = ("quarantine", "expire", "relocate", "recompress")


def create_survivors(
    connection: DuckDBPyConnection, columns: Sequence[str], areas: Mapping[str, str]
) -> None:
    """Table ``plan_survivors`` of each decided quarantine.

    ``number``, the ``survivors`` that stay with their ``survivor_basis``, or ``problem`` and
    ``detail``. From
    ``plan_acting``, ``inventory``, ``plan_contents`` (``store_id, uri, etag, sha256``: bytes that
    were read) and ``plan_texts`` (``store_id, uri, etag, survivor_uri, survivor_etag, is_exact,
    jaccard``: objects all of whose documents stand in another) and ``plan_rows`` of ``contained``.
    ``columns`` are the slots' columns that ``plan_acting`` has.
    """
    _create_copies(connection, columns)
    online = f"(c.tier NOT IN {ARCHIVES} AND NOT c.is_archived)"
    allowed = _allowed("w.residency", "c.region", areas)
    # of those that stay anyway, the best for each object to be quarantined
    create_view(
        connection,
        "plan_stayers",
        "SELECT w.number, arg_min(c.position, c.rank) AS position"
        " FROM plan_copies w JOIN plan_copies c USING (size_bytes, sha256)"
        f" WHERE w.is_wanted AND NOT c.is_leaving AND {online} AND {allowed} GROUP BY w.number",
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_chosen AS SELECT w.number, w.size_bytes, w.sha256,"
        " w.residency, w.rank, w.position AS own, s.position"
        " FROM plan_copies w LEFT JOIN plan_stayers s USING (number) WHERE w.is_wanted"
    )
    # the others of a group keep the best of themselves
    create_view(
        connection,
        "plan_kept",
        "SELECT p.size_bytes, p.sha256, arg_min(p.own, p.rank) AS position FROM plan_chosen p"
        " JOIN plan_copies c ON c.position = p.own"
        f" WHERE p.position IS NULL AND {online} GROUP BY ALL",
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_survivors AS"
        f" SELECT w.number, CASE WHEN c.uri IS NOT NULL THEN [{SURVIVOR_SQL}] END AS survivors,"
        " 'sha256:' || w.sha256 AS survivor_basis,"
        " CASE WHEN w.position IS NOT NULL THEN NULL"
        " WHEN k.position = w.own THEN 'survivor'"
        f" WHEN k.position IS NULL OR NOT {_allowed('w.residency', 'c.region', areas)}"
        " THEN 'no-survivor' END AS problem, NULL::VARCHAR AS detail"
        " FROM plan_chosen w LEFT JOIN plan_kept k USING (size_bytes, sha256)"
        " LEFT JOIN plan_copies c ON c.position = coalesce(w.position, k.position)"
    )
    rows = "(SELECT DISTINCT store_id, uri, etag FROM plan_rows)"
    add_contained(
        connection,
        "SELECT *, NOT is_archived AND NOT coalesce(tier IN"
        f" {ARCHIVES}, false) AS is_online FROM ({_current_sql(columns, rows)})",
        _allowed("w.residency", "c.region", areas),
    )
    _add_texts(connection, areas)


def create_no_survivors(connection: DuckDBPyConnection) -> None:
    """The empty table of a plan that quarantines nothing by content."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_survivors (number BIGINT, survivors STRUCT(uri VARCHAR,"
        " store_id VARCHAR, version_id VARCHAR, etag VARCHAR)[], survivor_basis VARCHAR,"
        " problem VARCHAR, detail VARCHAR)"
    )


def _create_copies(connection: DuckDBPyConnection, columns: Sequence[str]) -> None:
    """``plan_copies``: current objects whose bytes were read, if any of the same is wanted."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_copies AS"
        " SELECT row_number() OVER (ORDER BY store_id, uri) AS position, *"
        f" FROM ({_current_sql(columns, 'plan_contents')})"
        " QUALIFY bool_or(is_wanted) OVER (PARTITION BY size_bytes, sha256)"
    )


def _current_sql(columns: Sequence[str], contents: str) -> str:
    """Current objects of which ``contents`` knows something, by how well each may stay.

    Their columns, those of ``contents``, ``number`` of an object that a policy acts on,
    ``is_leaving``, ``is_archived`` and ``is_wanted`` (it needs proof to leave) by this plan, and
    ``rank``.
    """
    leaving = " OR ".join(f"d.{name}_policy IS NOT NULL" for name in _LEAVING if name in columns)
    archived = (
        f"coalesce(t.tier IN {ARCHIVES}, false)" if "tier" in columns else "false"
    )  # by a decision of this plan
    tier = "LEFT JOIN plan_policies t ON t.number = d.tier_policy" if "tier" in columns else ""
    return (
        "SELECT *, row_number() OVER (ORDER BY coalesce(is_held, false) DESC,"
        " coalesce(region = training_region, false) DESC,"
        f" tier NOT IN {ARCHIVES} DESC, modified_at NULLS LAST, store_id, uri) AS rank"
        " FROM (SELECT i.store_id, i.uri, i.version_id, i.etag, i.size_bytes, i.region,"
        " i.training_region, i.residency, i.tier, i.modified_at, i.is_held,"
        " k.* EXCLUDE (store_id, uri, etag),"
        f" d.number AS number, coalesce({leaving}, false) AS is_leaving,"
        f" {archived} AS is_archived,"
        " coalesce(d.quarantine_policy IS NOT NULL AND q.allow IS NULL, false) AS is_wanted"
        f" FROM inventory i JOIN {contents} k USING (store_id, uri, etag)"
        " LEFT JOIN plan_acting d ON d.store_id = i.store_id AND d.uri = i.uri"
        " AND d.version_id IS NOT DISTINCT FROM i.version_id"
        f" LEFT JOIN plan_policies q ON q.number = d.quarantine_policy {tier}"
        " WHERE i.is_latest AND NOT i.is_delete_marker AND i.format IS DISTINCT FROM 'upload'"
        " AND i.size_bytes > 0)"
    )


def _allowed(residency: str, region: str, areas: Mapping[str, str]) -> str:
    """Whether a residency lets a copy in that region stand for an object; none allows all."""
    inside = allows(region, residency, areas)
    return f"(coalesce(len({residency}), 0) = 0 OR coalesce({inside}, false))"


def _add_texts(connection: DuckDBPyConnection, areas: Mapping[str, str]) -> None:
    """Policies that settle for equal or similar texts: one other object that holds them all.

    It must stay: untouched by any decision, or the copy that was chosen to stay for others.
    """
    allowed = _allowed("i.residency", "c.region", areas)
    connection.execute(
        "INSERT INTO plan_survivors BY NAME SELECT * EXCLUDE rank FROM ("
        f" SELECT d.number AS number, [{SURVIVOR_SQL}] AS survivors,"
        " CASE WHEN x.is_exact THEN 'texts:equal'"
        " ELSE 'texts:jaccard>=' || printf('%.3f', x.jaccard) END AS survivor_basis,"
        " row_number() OVER (PARTITION BY d.number ORDER BY x.is_exact DESC,"
        " coalesce(c.is_held, false) DESC, coalesce(c.region = c.training_region, false) DESC,"
        " c.modified_at NULLS LAST, c.store_id, c.uri) AS rank"
        " FROM plan_acting d JOIN plan_policies p ON p.number = d.quarantine_policy"
        " JOIN plan_texts x ON x.store_id = d.store_id AND x.uri = d.uri AND x.etag = d.etag"
        " JOIN inventory i ON i.store_id = d.store_id AND i.uri = d.uri AND i.etag = d.etag"
        " JOIN inventory c ON c.uri = x.survivor_uri AND c.etag = x.survivor_etag"
        " LEFT JOIN plan_acting e ON e.store_id = c.store_id AND e.uri = c.uri"
        " AND e.version_id IS NOT DISTINCT FROM c.version_id"
        " LEFT JOIN plan_survivors v ON v.number = e.number AND v.problem = 'survivor'"
        " WHERE p.allow IS NOT NULL AND i.is_latest AND c.is_latest"
        " AND (e.uri IS NULL OR v.number IS NOT NULL)"
        f" AND c.tier NOT IN {ARCHIVES} AND {allowed}"
        " AND (x.is_exact OR p.allow = 'near' AND x.jaccard >= p.min_jaccard)"
        ") WHERE rank = 1"
    )


def create_no_contents(connection: DuckDBPyConnection) -> None:
    """Empty ``plan_contents`` and ``plan_texts``: nothing was read."""
    import pyarrow as pa

    text = pa.string()
    contents = pa.schema([(name, text) for name in ("store_id", "uri", "etag", "sha256")])
    texts = pa.schema(
        [
            *((name, text) for name in ("store_id", "uri", "etag", "survivor_uri")),
            ("survivor_etag", text),
            ("is_exact", pa.bool_()),
            ("jaccard", pa.float64()),
        ]
    )
    create_table(connection, "plan_contents", contents.empty_table())
    create_table(connection, "plan_texts", texts.empty_table())
    create_no_rows(connection)
