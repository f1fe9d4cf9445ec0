"""Redundant documents and those kept for them: held narrow, shown as the catalog has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.catalog.queries import hex_digest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def load_duplicates(connection: DuckDBPyConnection) -> None:
    """View ``duplicate_rows``, from the tables ``near``, ``unverified`` and ``copies``."""
    connection.execute(_DUPLICATES.format(shown=_shown("duplicate_places")))


def sorted_duplicates(order: str) -> str:
    """A query for ``duplicate_rows`` in an order of its columns; names and digests come last."""
    return _shown(f"(SELECT * FROM duplicate_places ORDER BY {order})")


def _shown(places: str) -> str:
    document = hex_digest("d")
    kept = document.replace("digest_", "kept_")
    names = ", ".join(f"{name}::VARCHAR AS {name}" for name in _NAMES)
    return (
        f"SELECT * REPLACE ({names}), {document} AS document_digest, {kept} AS kept_digest"
        f" FROM {places} d"
    )


_NAMES = (
    "document_uri",
    "kept_uri",
    "document_dataset",
    "kept_dataset",
    "document_etag",
    "kept_etag",
)


# Names are numbers of an ENUM and digests two integers until they are shown: rows are sorted, and
# those of strings would be four times as large (measured: five times the CPU time).
_DUPLICATES = """
CREATE OR REPLACE TEMP TABLE partners AS
    SELECT * FROM near UNION ALL SELECT * FROM unverified
    UNION ALL SELECT digest_high, digest_low, position, 1.0, 1.0, 'exact'
    FROM copies ANTI JOIN near USING (digest_high, digest_low);
CREATE OR REPLACE TEMP TABLE kept_documents AS
    SELECT position, object_order, row, row_group, text_bytes, digest_high, digest_low
    FROM documents
    SEMI JOIN (SELECT DISTINCT kept_position AS position FROM partners) USING (position);
CREATE OR REPLACE TEMP TABLE redundant_documents AS
    SELECT d.object_order, d.row, d.row_group, d.text_bytes, p.*
    FROM documents d JOIN partners p USING (digest_high, digest_low)
    WHERE d.position <> p.kept_position;
CREATE OR REPLACE TEMP TABLE named_objects AS
    SELECT object_order, uri, dataset, etag FROM objects SEMI JOIN (
        SELECT object_order FROM redundant_documents UNION SELECT object_order FROM kept_documents
    ) USING (object_order);
DROP TABLE IF EXISTS duplicate_places;
CREATE OR REPLACE TYPE uris AS ENUM (SELECT DISTINCT uri FROM named_objects ORDER BY uri);
CREATE OR REPLACE TYPE datasets AS ENUM (
    SELECT DISTINCT dataset FROM named_objects WHERE dataset IS NOT NULL ORDER BY dataset);
CREATE OR REPLACE TYPE etags AS ENUM (
    SELECT DISTINCT etag FROM named_objects WHERE etag IS NOT NULL ORDER BY etag);
CREATE TEMP TABLE duplicate_places AS
    WITH names AS (
        SELECT object_order, uri::uris AS uri, dataset::datasets AS dataset, etag::etags AS etag
        FROM named_objects)
    SELECT od.uri AS document_uri, d.row AS document_row, ok.uri AS kept_uri, k.row AS kept_row,
        d.kind, d.jaccard, d.containment,
        d.text_bytes AS document_text_bytes, k.text_bytes AS kept_text_bytes,
        od.dataset AS document_dataset, ok.dataset AS kept_dataset,
        od.etag AS document_etag, ok.etag AS kept_etag,
        d.row_group AS document_row_group, k.row_group AS kept_row_group,
        d.digest_high, d.digest_low, k.digest_high AS kept_high, k.digest_low AS kept_low
    FROM redundant_documents d JOIN kept_documents k ON k.position = d.kept_position
    JOIN names od ON od.object_order = d.object_order
    JOIN names ok ON ok.object_order = k.object_order;
DROP TABLE redundant_documents;
CREATE OR REPLACE TEMP VIEW duplicate_rows AS {shown};
"""
