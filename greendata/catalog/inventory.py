"""The inventory view: everything a policy may ask about one object, in one row.

It is put together from parts, each a join that gives some columns; a query that names few columns
pays for few joins. What nothing told is NULL.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from greendata.catalog.queries import create_rows, create_table, create_view
from greendata.catalog.recompressed import create_recompressed
from greendata.catalog.schemas import SCHEMAS
from greendata.catalog.traces import KNOWN_TAGS, TRACED, Traces, create_traces

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from greendata.catalog.commits import Refreshes
    from greendata.catalog.tables import Catalog

LOG_GAP_DAYS = 2
"""Days without any request to a bucket after which its access logs count as interrupted."""

READS_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryInputs:
    """What the view needs to be handed.

    Attributes:
        as_of: ages and idle times are up to this moment.
        classes: ``provider, storage_class, tier``.
        rates: prices by ``provider, region, storage_class``, joined as ``rates_join`` says.
        monthly_cost: SQL of what an object costs a month, over ``i`` and its row ``r`` of them.
        prefixes: ``prefix`` (ends with a slash), ``object_uri`` (without), ``dataset, owner,
            region, training_region, residency, priority`` of declared datasets, none inside
            another.
    """

    as_of: datetime
    classes: pa.Table
    rates: pa.Table
    rates_join: str
    monthly_cost: str
    prefixes: pa.Table


RATIOS = "recompress_ratios"
"""No column for policies: ``recompress_ratio`` by the profile that it was measured with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Columns and the join they need; ``needs`` are parts that must be joined before."""

    columns: dict[str, str]
    join: str = ""
    needs: tuple[str, ...] = ()


_IS_CURRENT = "coalesce(i.is_latest, true) AND coalesce(i.format, '') <> 'upload'"
_STORE = (  # a fifth of what split_part costs, which makes lists
    "CASE WHEN starts_with(i.uri, 's3://') THEN 's3' WHEN starts_with(i.uri, 'az://') THEN 'az'"
    " WHEN starts_with(i.uri, 'file://') THEN 'file' ELSE split_part(i.uri, '://', 1) END"
)
_CODECS = "gz|gzip|zst|zstd|bz2|xz|lz4"
_BARE = f"regexp_replace(lower(coalesce(i.key, i.uri)), '\\.({_CODECS})$', '')"


def _days_since(moment: str) -> str:
    """Whole days up to ``as_of``; a tenth of what ``date_sub`` costs, which asks for time zones."""
    return f"(epoch_us({{as_of}}) - epoch_us({moment})) // 86_400_000_000"


_PARTS: dict[str, _Part] = {
    "object": _Part(
        columns={
            "uri": "i.uri",
            "store": _STORE,
            "store_id": "i.store_id",
            "account": "nullif(regexp_extract(i.uri, '^az://[^@/]*@([^/]+)/', 1), '')",
            "bucket": "i.bucket",
            "key": "coalesce(i.key, url_decode(substr(i.uri, 8)))",
            "size_bytes": "i.size_bytes",
            "storage_class": "i.storage_class",
            "created_at": "i.created_at",
            "modified_at": "i.modified_at",
            "age_days": _days_since("i.modified_at"),
            "tier_changed_at": "i.tier_changed_at",
            "days_in_tier": _days_since("coalesce(i.tier_changed_at, i.modified_at)"),
            "etag": "i.etag",
            "version_id": "i.version_id",
            "is_latest": "coalesce(i.is_latest, i.format IS DISTINCT FROM 'upload')",
            "is_delete_marker": "coalesce(i.is_delete_marker, false)",
            "tags": "i.tags",
            KNOWN_TAGS: "i.tags",
            "metadata": "NULL::MAP(VARCHAR, VARCHAR)",
            "is_held": "i.is_held",
            "retain_until": "i.retain_until",
            "is_locked": "i.is_locked",
            "encryption": "i.encryption",
            "restore_state": "NULL::VARCHAR",
            "replication_status": "i.replication_status",
            "pinned_by": "NULL::VARCHAR",
        },
    ),
    "class": _Part(
        columns={
            "tier": "CASE WHEN i.storage_class IS NULL OR starts_with(i.uri, 'file:') THEN 'hot'"
            " ELSE coalesce(c.tier, 'unknown') END",
        },
        join=f"LEFT JOIN storage_classes c ON c.provider = {_STORE}"
        " AND c.storage_class = i.storage_class",
    ),
    "scanned": _Part(
        columns={
            "format": "coalesce(i.format, o.format,"
            f" nullif(regexp_extract({_BARE}, '\\.([a-z0-9_]{{1,16}})$', 1), ''))",
            "codec": "coalesce(o.codec, nullif(regexp_extract("
            f"lower(coalesce(i.key, i.uri)), '\\.({_CODECS})$', 1), ''))",
            "documents": "o.documents",
            "text_bytes": "o.text_bytes",
        },
        join="LEFT JOIN scanned_objects o ON o.store_id = i.store_id AND o.uri = i.uri"
        f" AND o.etag = i.etag AND {_IS_CURRENT}",
    ),
    "dataset": _Part(
        columns={
            "dataset": "coalesce(d.dataset, o.dataset)",
            "owner": "d.owner",
            "region": "d.region",
            "training_region": "d.training_region",
            "residency": "d.residency",
        },
        join="LEFT JOIN declared d ON starts_with(i.uri, d.prefix) OR i.uri = d.object_uri",
        needs=("scanned",),
    ),
    "price": _Part(
        columns={"monthly_cost_usd": "{monthly_cost}"},
        join="LEFT JOIN storage_rates r ON {rates_join}",
        needs=("scanned", "dataset"),
    ),
    "access": _Part(
        columns={
            "accessed_at": "greatest(a.accessed_at, {told})",
            # no longer than since it was written
            "idle_days": "date_sub('day', CASE WHEN a.accessed_at IS NOT NULL OR {told} IS NOT NULL"
            " THEN greatest(a.accessed_at, {told}, i.modified_at)"
            " WHEN l.since IS NOT NULL THEN greatest(l.since::TIMESTAMPTZ, i.modified_at) END,"
            " {as_of})",
            "access_source": "CASE WHEN a.accessed_at IS NOT NULL"
            " AND a.accessed_at >= coalesce({told}, '-infinity'::TIMESTAMPTZ) THEN a.source"
            " WHEN {told} IS NOT NULL THEN coalesce(i.access_source, 'before_scan')"
            " WHEN l.since IS NOT NULL THEN 'access_logs' END",
            "reads_30d": "CASE WHEN l.since <= {as_of}::DATE - {days} OR a.source = 'table'"
            " THEN coalesce(a.reads, 0) END",
            "read_bytes_30d": "CASE WHEN l.since <= {as_of}::DATE - {days} OR a.source = 'table'"
            " THEN coalesce(a.read_bytes, 0) END",
        },
        join="LEFT JOIN object_accesses a ON a.uri = i.uri"
        " AND (a.store_id IS NULL OR a.store_id = i.store_id)"
        " LEFT JOIN logged_buckets l ON l.store_id = i.store_id"
        f" AND l.uri = {_STORE} || '://' || i.bucket || '/'",
        needs=("scanned",),
    ),
    "duplicates": _Part(
        columns={
            "duplicate_documents": "CASE WHEN o.documents IS NOT NULL"
            " THEN coalesce(r.duplicate_documents, 0) END",
            "duplicate_fraction": "CASE WHEN o.documents > 0"
            " THEN coalesce(r.duplicate_documents, 0) / o.documents END",
            "redundant_bytes": "CASE WHEN o.text_bytes > 0 THEN CAST(round(i.size_bytes"
            " * coalesce(r.redundant_text_bytes, 0) / o.text_bytes) AS BIGINT)"
            " WHEN o.documents IS NOT NULL THEN 0 END",
        },
        join="LEFT JOIN redundant_objects r ON r.uri = o.uri AND r.etag = o.etag",
        needs=("scanned",),
    ),
    "contained": _Part(
        columns={
            "contained_in": "n.contained_in",
            "contained_fraction": "CASE WHEN o.documents IS NOT NULL"
            " THEN coalesce(n.contained_fraction, 0) END",
            "exact_contained_fraction": "CASE WHEN o.documents IS NOT NULL"
            " THEN coalesce(n.exact_contained_fraction, 0) END",
        },
        join="LEFT JOIN contained_objects n ON n.uri = o.uri",
        needs=("scanned",),
    ),
    "recompressed": _Part(
        columns={"recompress_ratio": "w.ratio", RATIOS: "w.ratios"},
        join="LEFT JOIN recompressed_objects w ON w.store_id = i.store_id AND w.uri = i.uri"
        f" AND w.etag = i.etag AND {_IS_CURRENT}",
    ),
    "identical": _Part(
        columns={
            "identical_to": "s.identical_to",
            "verified_copies": "coalesce(s.verified_copies, 0)",
        },
        join="LEFT JOIN identical_objects s ON s.store_id = i.store_id AND s.uri = i.uri"
        f" AND {_IS_CURRENT}",
    ),
}

# Azure's last access time is ours when a scan read the object then: what was known before holds.
_TOLD = (
    "CASE WHEN i.accessed_at BETWEEN o.started_at AND o.committed_at THEN o.accessed_at"
    " ELSE i.accessed_at END"
)

INVENTORY_COLUMNS = (
    "uri",
    "store",
    "store_id",
    "account",
    "bucket",
    "key",
    "dataset",
    "owner",
    "region",
    "training_region",
    "residency",
    "size_bytes",
    "format",
    "codec",
    "storage_class",
    "tier",
    "created_at",
    "modified_at",
    "age_days",
    "accessed_at",
    "idle_days",
    "access_source",
    "reads_30d",
    "read_bytes_30d",
    "tier_changed_at",
    "days_in_tier",
    "etag",
    "version_id",
    "is_latest",
    "is_delete_marker",
    "tags",
    "metadata",
    "is_held",
    "retain_until",
    "is_locked",
    "encryption",
    "restore_state",
    "replication_status",
    "documents",
    "text_bytes",
    "duplicate_documents",
    "duplicate_fraction",
    "redundant_bytes",
    "identical_to",
    "verified_copies",
    "contained_in",
    "contained_fraction",
    "exact_contained_fraction",
    "recompress_ratio",
    "pinned_by",
    "monthly_cost_usd",
)
"""Columns of the view, in this order (design, section 6)."""

UPLOAD_FORMAT = "upload_format"
"""Asked for instead of ``format``, the view's ``format`` only tells uploads from other objects:
what a name or a scan tells of the others costs a third of reading the view."""


def create_inventory_view(
    connection: DuckDBPyConnection,
    catalog: Catalog,
    inputs: InventoryInputs,
    columns: Collection[str] = INVENTORY_COLUMNS,
) -> Refreshes:
    """Make the view ``inventory`` of these columns over the views that ``create_views`` made."""
    refreshes = catalog.refreshes()
    create_objects_view(connection, catalog, refreshes)
    create_table(connection, "storage_classes", inputs.classes)
    create_table(connection, "storage_rates", inputs.rates)
    create_table(connection, "declared", inputs.prefixes)
    chosen = _parts_for(columns)
    if "scanned" in chosen:
        _create_scanned(connection)
    if "access" in chosen:
        _create_accesses(connection, catalog, refreshes, _as_of_sql(inputs))
    if "identical" in chosen:
        _create_identical(connection, catalog)
    if "recompressed" in chosen:
        create_recompressed(connection, catalog)
    found = {
        name: expression for part in chosen for name, expression in _PARTS[part].columns.items()
    }
    traces = Traces()
    if TRACED & set(columns):
        traces = create_traces(connection, catalog, refreshes, columns)
        found |= traces.columns
    selected = ", ".join(
        f'{_completed(found[name], inputs)} AS "{name}"'
        for name in INVENTORY_COLUMNS
        if name in columns
    )
    for name in (RATIOS, KNOWN_TAGS):
        if name in columns:
            selected += f', {_completed(found[name], inputs)} AS "{name}"'
    if UPLOAD_FORMAT in columns:
        selected += ', i.format AS "format"'
    joins = " ".join(_completed(_PARTS[part].join, inputs) for part in chosen) + traces.joins
    create_view(connection, "inventory", f"SELECT {selected} FROM object_rows i {joins}")
    return refreshes


def _as_of_sql(inputs: InventoryInputs) -> str:
    return f"TIMESTAMPTZ '{inputs.as_of.isoformat()}'"


def _completed(expression: str, inputs: InventoryInputs) -> str:
    """An expression with what differs from query to query, and what many expressions share."""
    for name, text in (
        ("{told}", _TOLD),
        ("{as_of}", _as_of_sql(inputs)),
        ("{days}", str(READS_DAYS)),
        ("{monthly_cost}", inputs.monthly_cost),
        ("{rates_join}", inputs.rates_join),
    ):
        expression = expression.replace(name, text)
    return expression


def _parts_for(columns: Collection[str]) -> list[str]:
    """Parts that give these columns, those they need before them."""
    wanted: set[str] = {"object"}
    for name, part in _PARTS.items():
        if part.columns.keys() & set(columns):
            wanted |= {name, *part.needs}
    return [name for name in _PARTS if name in wanted]


def create_objects_view(
    connection: DuckDBPyConnection, catalog: Catalog, refreshes: Refreshes
) -> None:
    """View ``object_rows``: of every place what the newest refresh told that covers it."""
    import pyarrow as pa

    live = refreshes.live("objects")
    create_rows(
        connection, "inventory", catalog.files("inventory", {entry.scan_id for entry in live})
    )
    hidden = [
        {
            "scan_id": entry.scan_id,
            "store_id": cover.store_id,
            "object_uri": cover.uri,
            "prefix": cover.uri.rstrip("/") + "/",
            "has_versions": later.has_versions,
            "has_uploads": later.has_uploads,
        }
        for entry in live
        for later, cover in refreshes.later(entry)
    ]
    query = f"SELECT {', '.join(SCHEMAS['inventory'].names)}, scan_id FROM inventory_rows i"
    if hidden:
        create_table(connection, "hidden", pa.Table.from_pylist(hidden))
        query += f" WHERE {_not_hidden('h.object_uri = i.uri')}"
        query += f" AND {_not_hidden('starts_with(i.uri, h.prefix)')}"
    create_view(connection, "object_rows", query)


def _not_hidden(match: str) -> str:
    """Objects match by equality, a hash join; folders, of which there are few, one by one."""
    return (
        "NOT EXISTS (FROM hidden h WHERE h.scan_id = i.scan_id AND h.store_id = i.store_id"
        f" AND {match} AND (h.has_versions OR coalesce(i.is_latest, true))"
        " AND (h.has_uploads OR i.format IS DISTINCT FROM 'upload'))"
    )


def _create_scanned(connection: DuckDBPyConnection) -> None:
    """What scans know of objects they read, of their duplicates and overlaps."""
    create_view(
        connection,
        "scanned_objects",
        "SELECT o.store_id, o.uri, o.etag, o.dataset, o.format, o.codec, o.documents,"
        " o.text_bytes, o.accessed_at, s.started_at, s.committed_at"
        " FROM objects o LEFT JOIN scans s ON s.scan_id = o.documents_scan_id"
        " WHERE o.status = 'read'",
    )
    create_view(
        connection,
        "redundant_objects",
        "SELECT document_uri AS uri, document_etag AS etag, count(*) AS duplicate_documents,"
        " sum(document_text_bytes) AS redundant_text_bytes FROM duplicates"
        " WHERE kind <> 'candidate' GROUP BY ALL",
    )
    create_view(
        connection,
        "contained_objects",
        "SELECT uri, arg_max(other, (fraction, exact, other)) AS contained_in,"
        " max(fraction) AS contained_fraction, max(exact) AS exact_contained_fraction FROM ("
        " SELECT a AS uri, b AS other, a_in_b_documents AS fraction,"
        "  a_in_b_exact_documents AS exact FROM \"overlaps\" WHERE level = 'object'"
        " UNION ALL SELECT b, a, b_in_a_documents, b_in_a_exact_documents"
        "  FROM \"overlaps\" WHERE level = 'object'"
        ") WHERE fraction > 0 GROUP BY uri",
    )


def _create_accesses(
    connection: DuckDBPyConnection, catalog: Catalog, refreshes: Refreshes, as_of: str
) -> None:
    """``object_accesses``: newest read and reads of the last days; ``logged_buckets``: since when
    every day's requests of a bucket are known, up to now."""
    import pyarrow as pa

    live = refreshes.live("accesses")
    create_rows(
        connection, "accesses", catalog.files("accesses", {entry.scan_id for entry in live})
    )
    until = [
        (entry.scan_id, min(days))
        for entry in live
        if (days := [later.from_day for later in refreshes.over(entry) if later.from_day])
    ]
    create_table(
        connection,
        "told_again",
        pa.table(
            {
                "scan_id": pa.array([scan_id for scan_id, _ in until], pa.string()),
                "from_day": pa.array([day for _, day in until], pa.string()),
            }
        ),
    )
    create_view(
        connection,
        "access_days",
        "SELECT a.* FROM accesses_rows a LEFT JOIN told_again t ON t.scan_id = a.scan_id"
        " WHERE t.from_day IS NULL OR a.day < t.from_day::DATE",
    )
    create_view(
        connection,
        "object_accesses",
        "SELECT store_id, uri, max(accessed_at) AS accessed_at,"
        " arg_max(source, accessed_at) AS source,"
        f" sum(reads) FILTER (day > {as_of}::DATE - {READS_DAYS})::BIGINT AS reads,"
        f" sum(read_bytes) FILTER (day > {as_of}::DATE - {READS_DAYS})::BIGINT AS read_bytes"
        " FROM access_days WHERE NOT ends_with(uri, '/') GROUP BY store_id, uri",
    )
    create_view(
        connection,
        "logged_buckets",
        "SELECT store_id, uri, min(day) AS since FROM (SELECT *, sum(is_gap) OVER"
        " (PARTITION BY store_id, uri ORDER BY day DESC) AS gaps FROM (SELECT store_id, uri, day,"
        " CASE WHEN lead(day) OVER (PARTITION BY store_id, uri ORDER BY day) - day"
        f" > {LOG_GAP_DAYS} THEN 1 ELSE 0 END AS is_gap"
        " FROM (SELECT DISTINCT store_id, uri, day FROM access_days"
        " WHERE ends_with(uri, '/')))) WHERE gaps = 0 GROUP BY store_id, uri"
        f" HAVING max(day) >= {as_of}::DATE - {LOG_GAP_DAYS + 1}",
    )


def _create_identical(connection: DuckDBPyConnection, catalog: Catalog) -> None:
    """``identical_objects``: by SHA-256 of their bytes where both were read, else by ETag.

    An S3 ETag of the same shape is that of the same bytes in all likelihood (MD5), so these are
    shown; only what was read counts in ``verified_copies``. The first of a group, by priority and
    URI as in the keep order of documents, is what the others are identical to.
    """
    create_rows(connection, "digests", catalog.files("digests", None))
    create_view(
        connection,
        "identical_objects",
        "WITH current_rows AS (SELECT i.store_id, i.uri, i.size_bytes, i.etag, i.modified_at,"
        "  coalesce(d.priority, 0) AS priority, g.sha256 FROM object_rows i"
        "  LEFT JOIN declared d ON starts_with(i.uri, d.prefix) OR i.uri = d.object_uri"
        "  LEFT JOIN (SELECT DISTINCT store_id, uri, etag, sha256 FROM digests_rows) g"
        "  ON g.store_id = i.store_id AND g.uri = i.uri AND g.etag = i.etag"
        f"  WHERE {_IS_CURRENT} AND i.size_bytes > 0),"
        " named AS (SELECT *, CASE WHEN sha256 IS NOT NULL THEN sha256"
        "  WHEN starts_with(uri, 's3:') AND regexp_full_match(etag, '[0-9a-f]{32}(-[0-9]+)?')"
        "  THEN etag END AS content FROM current_rows),"
        " counted AS (SELECT *, count(*) OVER same AS copies,"
        "  first_value(uri) OVER (same ORDER BY priority DESC, uri) AS first_uri"
        "  FROM named WHERE content IS NOT NULL WINDOW same AS (PARTITION BY size_bytes, content))"
        " SELECT store_id, uri, CASE WHEN uri <> first_uri THEN first_uri END AS identical_to,"
        " CASE WHEN sha256 IS NOT NULL THEN copies - 1 ELSE 0 END AS verified_copies"
        " FROM counted WHERE copies > 1",
    )
