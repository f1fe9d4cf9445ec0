"""What the catalog knows of how rows are alike: the groups that an order puts together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.errors import ObjectNotFoundError
from greendata.shards.columns import is_string, pick_text_column, resolve_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

    from greendata.catalog.places import Place
    from greendata.catalog.tables import Catalog
    from greendata.recompress.sources import Source

_VERIFIED = "kind <> 'candidate'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The positions of a source's rows: from ``start``, as many as it has rows."""

    uri: str
    etag: str
    start: int
    rows: int


def open_views(connection: DuckDBPyConnection, catalog: Catalog | None) -> bool:
    """The catalog's views on this connection; whether there is a scan to look at."""
    from greendata.catalog.queries import create_current_views

    if catalog is None or catalog.snapshot().last is None:
        return False
    create_current_views(connection, catalog)
    return True


def known_catalog(place: Place) -> Catalog | None:
    """The catalog at a place, if there is one."""
    from greendata.catalog.tables import Catalog

    try:
        return Catalog.open(place, create=False)
    except ObjectNotFoundError:
        return None


def redundant_shares(
    connection: DuckDBPyConnection, etags: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Text bytes of redundant documents and of all, by URI of sources that are as scanned."""
    from greendata.catalog.queries import create_table

    create_table(
        connection,
        "wanted",
        pa.table({"uri": list(etags), "etag": list(etags.values())}, schema=_WANTED),
    )
    found = connection.execute(
        "SELECT o.uri, coalesce(sum(d.document_text_bytes), 0), any_value(o.text_bytes)"
        " FROM objects o SEMI JOIN wanted USING (uri, etag)"
        f" LEFT JOIN (SELECT * FROM duplicates WHERE {_VERIFIED}) d"
        " ON d.document_uri = o.uri AND d.document_etag = o.etag"
        " WHERE o.status = 'read' GROUP BY o.uri"
    ).fetchall()
    return {uri: (int(redundant), int(whole or 0)) for uri, redundant, whole in found}


_WANTED = pa.schema([("uri", pa.string()), ("etag", pa.string())])
_SPANS = pa.schema(
    [("uri", pa.string()), ("etag", pa.string()), ("start", pa.int64()), ("rows", pa.int64())]
)


def load_members(connection: DuckDBPyConnection, spans: Sequence[Span]) -> int:
    """Fill ``members(position, leader, place)`` from the verified duplicates; how many there are.

    A group is a kept document and those that are redundant because of it, the most alike first.
    """
    from greendata.catalog.queries import create_table

    rows = [{"uri": s.uri, "etag": s.etag, "start": s.start, "rows": s.rows} for s in spans]
    create_table(connection, "spans", pa.Table.from_pylist(rows, schema=_SPANS))
    connection.execute(
        "INSERT INTO members WITH found AS ("
        " SELECT s.start + d.document_row AS position, d.kept_uri, d.kept_row, d.jaccard,"
        "  d.kind = 'exact' AS is_exact"
        f" FROM duplicates d JOIN spans s ON s.uri = d.document_uri AND s.etag = d.document_etag"
        f" WHERE {_VERIFIED} AND d.document_row < s.rows"
        " UNION ALL SELECT DISTINCT s.start + d.kept_row, d.kept_uri, d.kept_row, 2.0, true"
        " FROM duplicates d JOIN spans s ON s.uri = d.kept_uri AND s.etag = d.kept_etag"
        f" WHERE {_VERIFIED} AND d.kept_row < s.rows)"
        " SELECT position,"
        "  first_value(position) OVER (PARTITION BY kept_uri, kept_row ORDER BY jaccard DESC,"
        "   is_exact DESC, position),"
        "  row_number() OVER (PARTITION BY kept_uri, kept_row ORDER BY jaccard DESC,"
        "   is_exact DESC, position) FROM found"
        " QUALIFY row_number() OVER (PARTITION BY position ORDER BY jaccard DESC) = 1"
    )
    ((count,),) = connection.execute("SELECT count(*) FROM members").fetchall()
    return int(count)


def text_columns(connection: DuckDBPyConnection) -> dict[str, str]:
    """The text column of each scanned object, by URI."""
    found = connection.execute(
        "SELECT uri, text_column FROM objects WHERE status = 'read' AND text_column IS NOT NULL"
    ).fetchall()
    return dict(found)


def text_path(source: Source, known: str | None, first: pa.RecordBatch) -> tuple[str, ...] | None:
    """Where the texts of a source are: as it was scanned, else by the rule that a scan has."""
    if known is not None:
        path = resolve_path(source.schema, known)
        if path is not None:
            return path
    sizes = {
        field.name: first.column(index).nbytes
        for index, field in enumerate(source.schema)
        if is_string(field.type)
    }
    name = pick_text_column(sizes)
    return None if name is None else (name,)
