"""DuckDB views over the committed rows of a catalog."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greendata.catalog.schemas import SCHEMAS, WIDENED

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from greendata.catalog.commits import Snapshot
    from greendata.catalog.tables import Catalog

POSITION_BITS = 36
"""Rows an object may have, as bits; the number of its object stands above them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What a scan that is not committed yet would add: seen by its own connection only."""

    scan_id: str
    objects: pa.Table
    document_files: Sequence[str]
    pair_files: Sequence[str] = ()


def create_views(
    connection: DuckDBPyConnection,
    catalog: Catalog,
    snapshot: Snapshot,
    pending: Pending | None = None,
) -> None:
    """Make the views ``scans, objects, documents, pairs, duplicates, overlaps`` of a snapshot.

    ``groups`` is one more; it and ``duplicates`` show of each text what the last scan that settled
    it wrote. Every view has the columns of ``schemas.SCHEMAS``; ``objects`` holds the newest row of
    each URI that is not removed, with its place in the keep order (``object_order``), and
    ``documents`` only those of readable objects, with ``position`` = object_order and row in one.
    """
    create_objects(connection, catalog, snapshot, pending)
    documents = catalog.files("documents", snapshot.scan_ids)
    create_rows(
        connection, "documents", documents + list(pending.document_files if pending else [])
    )
    _create_raw(connection, catalog, "pairs", snapshot.scan_ids)
    _create_results(connection, catalog, snapshot)
    create_view(connection, "documents", documents_query("documents_rows"))
    _create_pairs(connection, pending)


def documents_query(rows: str) -> str:
    """What the view ``documents`` shows of a table or view of fingerprints."""
    return (
        "SELECT o.object_id, o.uri, o.dataset, d.row, d.row_group, d.digest_high, d.digest_low,"
        " d.text_bytes, d.tokens, o.object_order,"
        f" (o.object_order << {POSITION_BITS}) | d.row AS position"
        f" FROM {rows} d JOIN objects o"
        " ON d.object_id = o.object_id AND d.scan_id = o.documents_scan_id"
        " WHERE o.status = 'read'"
    )


def create_current_views(connection: DuckDBPyConnection, catalog: Catalog) -> Snapshot:
    """``create_views`` of what is committed now, none of whose results were dropped meanwhile."""
    while True:
        snapshot = catalog.snapshot()
        create_views(connection, catalog, snapshot)
        if catalog.snapshot().version == snapshot.version:
            return snapshot


_SAVES_ONCE_PURGED = ("quarantine", "expire", "relocate", "recompress")

IS_REALISED = (
    f"(status = 'done' AND (part = 'purge' OR part = 'apply' AND kind NOT IN {_SAVES_ONCE_PURGED}))"
)
"""SQL, over ``outcomes``: what is saved, or costs more, is so by now; as ``is_realised`` says."""


def is_realised(*, status: str, part: str, kind: str) -> bool:
    """Whether an action has taken effect: of what removes bytes, only once they are purged."""
    takes_effect = part == "purge" or (part == "apply" and kind not in _SAVES_ONCE_PURGED)
    return status == "done" and takes_effect


def create_run_views(
    connection: DuckDBPyConnection, catalog: Catalog, run_ids: Collection[str] | None = None
) -> None:
    """Make the views ``runs`` and ``outcomes``: the newest row of each run, of each action.

    ``outcomes`` has ``is_realised`` too: what it saves is saved by now. ``run_ids``: only these.
    """
    more = {"runs": "", "outcomes": f", {IS_REALISED} AS is_realised"}
    for name, key in (("runs", "run_id"), ("outcomes", "run_id, action_id")):
        _create_raw(connection, catalog, name, run_ids)
        create_view(
            connection,
            name,
            f"SELECT {columns_sql(name)}{more[name]} FROM {name}_rows {newest_of(key)}",
        )


def newest_of(key: str) -> str:
    """The SQL clause that leaves of ``runs_rows`` or ``outcomes_rows`` the newest of each key."""
    newest = "catalog_sequence DESC, filename DESC, file_row_number DESC"
    return f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {newest}) = 1"


def create_objects(
    connection: DuckDBPyConnection,
    catalog: Catalog,
    snapshot: Snapshot,
    pending: Pending | None = None,
) -> None:
    """Tables ``scans`` and ``objects`` alone; rows of a pending scan are newer than all others."""
    _create_scans(connection, snapshot)
    _create_raw(connection, catalog, "objects", snapshot.scan_ids)
    rows = (
        f"SELECT {columns_sql('objects')}, scan_id, s.sequence"
        " FROM objects_rows o JOIN scans s USING (scan_id)"
    )
    if pending is not None:
        connection.register("pending_objects", pending.objects)
        rows += (
            f" UNION ALL BY NAME SELECT *, '{pending.scan_id}' AS scan_id,"
            " 9223372036854775807 AS sequence FROM pending_objects"
        )
    # by the few columns that decide it: a window over whole rows costs five times as much
    newest = (
        "SELECT store_id, uri, max(sequence) AS sequence, arg_max(priority, sequence) AS priority,"
        f" arg_max(status, sequence) AS status FROM ({rows}) GROUP BY store_id, uri"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE objects AS"
        f" SELECT o.* EXCLUDE sequence, object_order FROM ({rows}) o"
        " JOIN (SELECT store_id, uri, sequence,"
        "   row_number() OVER (ORDER BY priority DESC, uri) - 1 AS object_order"
        f"   FROM ({newest}) WHERE status <> 'removed'"
        " ) USING (store_id, uri, sequence)"
    )
    if pending is not None:
        connection.unregister("pending_objects")


def _create_results(connection: DuckDBPyConnection, catalog: Catalog, snapshot: Snapshot) -> None:
    """Views ``duplicates``, ``groups`` and ``overlaps``, and table ``settled_texts``."""
    ids = snapshot.last.results_ids if snapshot.last else ()
    create_rows(connection, "overlaps", catalog.files("overlaps", frozenset(ids[-1:])))
    create_view(connection, "overlaps", f"SELECT {columns_sql('overlaps')} FROM overlaps_rows")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE settled_texts AS SELECT digest_high, digest_low,"
        f" max(place) AS place FROM ({_placed(catalog, 'settled', ids)}) GROUP BY ALL"
    )
    for name, digest in _DIGESTS.items():
        create_view(
            connection,
            name,
            f"SELECT {columns_sql(name)} FROM ({_placed(catalog, name, ids)}) r"
            f" LEFT JOIN (SELECT {digest}, place AS settled_place FROM settled_texts d) s"
            f" USING ({_KEYS[name]}) WHERE settled_place IS NULL OR place >= settled_place",
        )


def _placed(catalog: Catalog, name: str, ids: Sequence[str]) -> str:
    """A query for all rows of these results, with the ``place`` of theirs among ``ids``."""
    places = {results_id: place for place, results_id in enumerate(ids)}
    files: dict[int, list[str]] = {}
    for file in catalog.files(name, frozenset(ids)):
        (folder,) = re.findall(_SCAN_FOLDER, file)
        files.setdefault(places[folder], []).append(file)
    columns = columns_sql(name)
    nulls = ", ".join(
        f"NULL::{SQL_TYPES[str(field.type)]} AS {field.name}" for field in SCHEMAS[name]
    )
    parts = [f"SELECT {nulls}, 0 AS place WHERE false"]
    for place, listed in sorted(files.items()):
        parts.append(f"SELECT {columns}, {place} AS place FROM {_read_parquet(listed)}")
    return " UNION ALL ".join(parts)


def _create_pairs(connection: DuckDBPyConnection, pending: Pending | None) -> None:
    """View ``pairs``; those that a pending scan compared already are among them."""
    columns = columns_sql("pairs")
    rows = f"SELECT {columns} FROM pairs_rows"
    for file in pending.pair_files if pending else ():
        rows += f" UNION ALL SELECT {columns} FROM read_parquet('{_escaped(file)}')"
    create_view(connection, "pairs", rows)


def _create_scans(connection: DuckDBPyConnection, snapshot: Snapshot) -> None:
    import json

    import pyarrow as pa

    rows = [
        {
            "scan_id": scan.scan_id,
            "sequence": scan.sequence,
            "results_id": scan.results_id,
            "earlier_results": json.dumps(scan.earlier_results),
            "starts_over": scan.starts_over,
            "started_at": scan.started_at,
            "committed_at": scan.committed_at,
            "parameters": json.dumps(scan.parameters),
            "summary": json.dumps(scan.summary),
        }
        for scan in snapshot.scans
    ]
    schema = pa.schema([f for f in SCHEMAS["scans"] if f.name != "uris"])
    create_table(connection, "scans", pa.Table.from_pylist(rows, schema=schema))


def _create_raw(
    connection: DuckDBPyConnection, catalog: Catalog, name: str, scan_ids: Collection[str] | None
) -> None:
    """View ``NAME_rows``: all rows of these scans, or of all, with their ``scan_id``."""
    create_rows(connection, name, catalog.files(name, scan_ids))


def create_rows(connection: DuckDBPyConnection, name: str, files: list[str]) -> None:
    """View ``NAME_rows`` over files in ``scan_id=…`` folders; without any, an empty one."""
    if not files:
        import pyarrow as pa

        schema = SCHEMAS[name]
        for column, kind in _FILE_COLUMNS.items():
            schema = schema.append(pa.field(column, kind))
        create_table(connection, f"no_{name}", schema.empty_table())
        create_view(connection, f"{name}_rows", f"SELECT * FROM no_{name}")
        return
    rows = _read_parquet(files, of_any_age=name in WIDENED)
    lacking = _lacking(connection, name, rows)
    create_view(
        connection,
        f"{name}_rows",
        f"SELECT *{lacking}, regexp_extract(filename, '{_SCAN_FOLDER}', 1) AS scan_id, filename,"
        f" file_row_number FROM {rows}",
    )


def _lacking(connection: DuckDBPyConnection, name: str, rows: str) -> str:
    """Columns that none of the files has, which are all older than they, as SQL after others."""
    if name not in WIDENED:
        return ""
    known = {column for column, *_ in connection.execute(f"DESCRIBE FROM {rows}").fetchall()}
    return "".join(
        f", NULL::{kind} AS {column}"
        for column, kind in WIDENED[name].items()
        if column not in known
    )


def _read_parquet(files: Sequence[str], *, of_any_age: bool = False) -> str:
    listed = ", ".join("'" + _escaped(file) + "'" for file in files)
    union = ", union_by_name = true" if of_any_age else ""
    return f"read_parquet([{listed}], hive_partitioning = false{union})"


def hex_digest(alias: str) -> str:
    """SQL of a digest as hashlib's ``hexdigest`` shows it."""
    return "||".join(
        f"lpad(lower(to_hex({alias}.{half})), 16, '0')" for half in ("digest_high", "digest_low")
    )


def _escaped(file: str) -> str:
    """A path inside quotes that DuckDB does not take for a glob."""
    return re.sub(r"([*?\[])", r"[\1]", file).replace("'", "''")


def columns_sql(name: str) -> str:
    """Names of a table's columns, quoted: ``at`` is a word of DuckDB's SQL."""
    return ", ".join(f'"{column}"' for column in SCHEMAS[name].names)


# Not by hive_partitioning: folders above a catalog may be named column=value too, and would win.
_SCAN_FOLDER = "scan_id=([^/]+)/[^/]+$"

_KEYS = {"duplicates": "document_digest", "groups": "digest_high, digest_low"}
_DIGESTS = {
    "duplicates": f"{hex_digest('d')} AS document_digest",
    "groups": "digest_high, digest_low",
}

SQL_TYPES = {"string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "double": "DOUBLE"}
"""DuckDB's names of the types in ``schemas.SCHEMAS`` that results have."""

_FILE_COLUMNS = {"scan_id": "string", "filename": "string", "file_row_number": "int64"}


def create_view(connection: DuckDBPyConnection, name: str, query: str) -> None:
    """A temporary view in place of one of that name."""
    connection.execute(f'CREATE OR REPLACE TEMP VIEW "{name}" AS {query}')


def create_table(connection: DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """A temporary table of these rows in place of one of that name."""
    connection.register("arrow_rows", rows)
    connection.execute(f'CREATE OR REPLACE TEMP TABLE "{name}" AS SELECT * FROM arrow_rows')
    connection.unregister("arrow_rows")
