"""Redundant documents and those kept for them: held narrow, shown as the catalog has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.catalog.queries import POSITION_BITS, hex_digest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def load_duplicates(connection: DuckDBPyConnection) -> None:
    """View ``duplicate_rows``, from the tables ``near``, ``unverified`` and ``copied``."""
    connection.execute(
        _DUPLICATES.format(
            columns=_COLUMNS,
            bits=POSITION_BITS,
            mask=(1 << POSITION_BITS) - 1,
            shown=_shown(f"({_places('true')})"),
        )
    )


def sorted_duplicates(condition: str, order: str) -> str:
    """A query for some of ``duplicate_rows`` in an order of its columns.

    Names and digests come last. ``condition`` is one on ``duplicate_numbers``.
    """
    return _shown(f"({_places(condition)} ORDER BY {order})")


def _places(condition: str) -> str:
    return _PLACES.format(condition=condition)


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
# those of strings would be four times as large (measured: five times the CPU time). The rows of
# ``near`` and ``unverified`` are of one document of a text; ``copied`` has all of copied texts.
_DUPLICATES = """
CREATE OR REPLACE TEMP VIEW partners AS
    SELECT {columns}, jaccard, containment, 'near' AS kind FROM near UNION ALL
    SELECT {columns}, NULL::DOUBLE, NULL::DOUBLE, 'candidate' AS kind FROM unverified;
CREATE OR REPLACE TEMP TABLE copied_duplicates AS
    SELECT d.position, d.row_group, d.text_bytes, p.* EXCLUDE (position, row_group, text_bytes)
    FROM copied d JOIN partners p USING (digest_high, digest_low) WHERE d.position <> d.first
    UNION ALL
    SELECT d.position, d.row_group, d.text_bytes, d.digest_high, d.digest_low,
        k.position, k.row_group, k.text_bytes, k.digest_high, k.digest_low, 1.0, 1.0, 'exact'
    FROM (SELECT * FROM copied ANTI JOIN near USING (digest_high, digest_low)) d
    JOIN copied k ON k.position = d.first WHERE d.position <> d.first;
CREATE OR REPLACE TEMP VIEW duplicate_numbers AS
    SELECT * EXCLUDE (position, kept_position),
        position >> {bits} AS document_order, position & {mask} AS document_row,
        kept_position >> {bits} AS kept_order, kept_position & {mask} AS kept_row
    FROM (SELECT * FROM partners UNION ALL SELECT * FROM copied_duplicates);
CREATE OR REPLACE TEMP TABLE named_objects AS
    SELECT object_order, uri, dataset, etag FROM objects SEMI JOIN (
        SELECT document_order AS object_order FROM duplicate_numbers
        UNION SELECT kept_order FROM duplicate_numbers
    ) USING (object_order);
DROP TABLE IF EXISTS named;
CREATE OR REPLACE TYPE uris AS ENUM (SELECT DISTINCT uri FROM named_objects ORDER BY uri);
CREATE OR REPLACE TYPE datasets AS ENUM (
    SELECT DISTINCT dataset FROM named_objects WHERE dataset IS NOT NULL ORDER BY dataset);
CREATE OR REPLACE TYPE etags AS ENUM (
    SELECT DISTINCT etag FROM named_objects WHERE etag IS NOT NULL ORDER BY etag);
CREATE TEMP TABLE named AS
    SELECT object_order, uri::uris AS uri, dataset::datasets AS dataset, etag::etags AS etag
    FROM named_objects;
CREATE OR REPLACE TEMP VIEW duplicate_rows AS {shown};
"""

# LEFT, though all are named: of a position's bits DuckDB cannot tell how many objects they name,
# and would take the millions of rows for few and hold them in memory.
_PLACES = """
SELECT od.uri AS document_uri, d.document_row, ok.uri AS kept_uri, d.kept_row,
    d.kind, d.jaccard, d.containment,
    d.text_bytes AS document_text_bytes, d.kept_text_bytes,
    od.dataset AS document_dataset, ok.dataset AS kept_dataset,
    od.etag AS document_etag, ok.etag AS kept_etag,
    d.row_group AS document_row_group, d.kept_row_group,
    d.digest_high, d.digest_low, d.kept_high, d.kept_low
FROM (SELECT * FROM duplicate_numbers WHERE {condition}) d
LEFT JOIN named od ON od.object_order = d.document_order
LEFT JOIN named ok ON ok.object_order = d.kept_order
"""

_COLUMNS = (
    "position, row_group, text_bytes, digest_high, digest_low, kept_position, kept_row_group,"
    " kept_text_bytes, kept_high, kept_low"
)
