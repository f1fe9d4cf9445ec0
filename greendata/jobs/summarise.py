"""The numbers of a scan, counted from the catalog's views."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from greendata.model import DatasetSummary

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DATASETS = """
WITH held AS (
    SELECT dataset, count(*) AS objects, sum(size_bytes) AS object_bytes,
        sum(documents) AS documents, sum(text_bytes) AS text_bytes,
        sum(null_documents) AS nulls, sum(skipped_documents) AS skipped,
        list_sort(list(DISTINCT text_column) FILTER (text_column IS NOT NULL)) AS text_columns
    FROM objects SEMI JOIN scope USING (uri) WHERE status = 'read' GROUP BY dataset
), found AS (
    SELECT document_dataset AS dataset,
        count(*) FILTER (kind = 'exact') AS exact, count(*) FILTER (kind = 'near') AS near,
        sum(document_text_bytes) AS redundant_bytes,
        count(*) FILTER (kept_dataset = document_dataset) AS within
    FROM {duplicates} d SEMI JOIN scope ON scope.uri = d.document_uri
    WHERE kind <> 'candidate' GROUP BY document_dataset
)
SELECT held.*, coalesce(exact, 0), coalesce(near, 0), coalesce(redundant_bytes, 0),
    coalesce(within, 0)
FROM held LEFT JOIN found USING (dataset) ORDER BY dataset
"""


def load_scope(connection: DuckDBPyConnection, uris: Collection[str]) -> None:
    """Table ``scope(uri)``: the objects a summary is about."""
    import pyarrow as pa

    connection.register("arrow_rows", pa.table({"uri": pa.array(sorted(uris), pa.string())}))
    connection.execute("CREATE OR REPLACE TEMP TABLE scope AS SELECT * FROM arrow_rows")
    connection.unregister("arrow_rows")


def count_datasets(
    connection: DuckDBPyConnection, duplicates: str
) -> tuple[tuple[DatasetSummary, ...], int, int]:
    """Summaries by dataset, null documents and skipped documents of the objects in ``scope``.

    ``duplicates`` is the view or table that holds the duplicates.
    """
    summaries, nulls, skipped = [], 0, 0
    for row in connection.execute(_DATASETS.format(duplicates=duplicates)).fetchall():
        name, objects, object_bytes, documents, text_bytes, null, skip, columns = row[:8]
        exact, near, redundant_bytes, within = row[8:]
        nulls, skipped = nulls + int(null), skipped + int(skip)
        summaries.append(
            DatasetSummary(
                name=name,
                objects=objects,
                object_bytes=int(object_bytes),
                documents=int(documents),
                text_bytes=int(text_bytes),
                exact_duplicate_documents=exact,
                near_duplicate_documents=near,
                redundant_documents=exact + near,
                redundant_text_bytes=int(redundant_bytes),
                redundant_documents_within=within,
                redundant_documents_across=exact + near - within,
                text_columns=tuple(columns or ()),
            )
        )
    return tuple(summaries), nulls, skipped
