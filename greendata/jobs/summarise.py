"""The numbers of a scan, counted from the catalog's views."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from greendata.catalog.queries import create_table
from greendata.dedup.keep import MAX_COMPARISONS
from greendata.jobs.quality import LINES_KEPT
from greendata.model import DatasetSummary, QualityHints, RepeatedLine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.jobs.changes import Found
    from greendata.jobs.resolve import Resolution

_DATASETS = """
WITH held AS (
    SELECT dataset, count(*) AS objects, sum(size_bytes) AS object_bytes,
        sum(documents) AS documents, sum(text_bytes) AS text_bytes,
        sum(null_documents) AS nulls, sum(skipped_documents) AS skipped,
        list_sort(list(DISTINCT text_column) FILTER (text_column IS NOT NULL)) AS text_columns,
        coalesce(sum(empty_documents), 0)::BIGINT AS empty,
        coalesce(sum(short_documents), 0)::BIGINT AS short,
        coalesce(sum(invalid_documents), 0)::BIGINT AS invalid,
        coalesce(sum(sampled_documents), 0)::BIGINT AS sampled,
        list(repeated_lines) FILTER (repeated_lines IS NOT NULL) AS lines
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

    create_table(connection, "scope", pa.table({"uri": pa.array(sorted(uris), pa.string())}))


def count_datasets(
    connection: DuckDBPyConnection, duplicates: str
) -> tuple[tuple[DatasetSummary, ...], int, int]:
    """Summaries by dataset, null documents and skipped documents of the objects in ``scope``.

    ``duplicates`` is the view or table that holds the duplicates.
    """
    summaries, nulls, skipped = [], 0, 0
    for row in connection.execute(_DATASETS.format(duplicates=duplicates)).fetchall():
        name, objects, object_bytes, documents, text_bytes, null, skip, columns = row[:8]
        exact, near, redundant_bytes, within = row[13:]
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
                quality=_hints(*row[8:13]),
            )
        )
    return tuple(summaries), nulls, skipped


def _hints(
    empty: int, short: int, invalid: int, sampled: int, lines: list[str] | None
) -> QualityHints:
    """Lines of several objects add up as far as each object named them."""
    counts: Counter[str] = Counter()
    for document in lines or ():
        for line, count in json.loads(document):
            counts[line] += count
    common = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:LINES_KEPT]
    return QualityHints(
        empty_documents=empty,
        short_documents=short,
        invalid_documents=invalid,
        sampled_documents=sampled,
        repeated_lines=tuple(RepeatedLine(line=line, documents=n) for line, n in common),
    )


def warnings_of(found: Found, resolution: Resolution | None) -> tuple[str, ...]:
    """What whoever asked for the scan should know of it."""
    resolving = _of_resolving(resolution) if resolution else ()
    return (*_emptiness(found), *resolving)


def _emptiness(found: Found) -> Iterator[str]:
    if not found.uris() and not found.skipped:
        for uri in found.scope.uris:
            yield f"{uri}: there is no file with documents here. Check the path, or --format."


def _of_resolving(resolution: Resolution) -> Iterator[str]:
    for uri, reason in sorted(resolution.unreadable.items()):
        yield f"{uri}: could not be read back for verification: {reason}"
    if resolution.left_out:
        yield (
            f"{resolution.left_out} comparisons were left out: a text was compared with"
            f" {MAX_COMPARISONS} kept texts of a bucket and like none of them."
        )
    if resolution.crowded_texts:
        yield (
            f"{resolution.crowded_texts} texts stand in so many objects that object overlaps"
            " are lower bounds."
        )
