"""What the report says of redundant documents: counted by DuckDB over what scans verified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from greendata.jobs.duplicates import DuplicatesRequest, groups_of
from greendata.jobs.results import fetch_one

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.config import StoreSettings
    from greendata.report.document import (
        DuplicateGroup,
        OverlapCell,
        RedundantDataset,
        RedundantSection,
    )

MAP_DATASETS = 16
"""Datasets on the map of overlaps: more squares than that nobody reads."""

_COUNTS = (
    "objects", "documents", "text_bytes", "exact_documents", "near_documents",
    "redundant_text_bytes", "within_documents", "across_documents",
)  # fmt: skip
_SUMS = ", ".join(f"coalesce(sum({name}), 0)::HUGEINT::VARCHAR" for name in _COUNTS)

_DATASETS = """
CREATE TEMP TABLE report_datasets AS
WITH held AS (
    SELECT dataset, count(*) AS objects, sum(documents) AS documents, sum(text_bytes) AS text_bytes
    FROM objects WHERE status = 'read' GROUP BY dataset
), found AS (
    SELECT document_dataset AS dataset, count(*) FILTER (kind = 'exact') AS exact_documents,
        count(*) FILTER (kind = 'near') AS near_documents,
        sum(document_text_bytes) AS redundant_text_bytes,
        count(*) FILTER (kept_dataset = document_dataset) AS within_documents,
        count(*) FILTER (kept_dataset <> document_dataset) AS across_documents
    FROM duplicates WHERE kind <> 'candidate' GROUP BY document_dataset
)
SELECT dataset AS name, coalesce(redundant_text_bytes, 0) AS weight, *
FROM held LEFT JOIN found USING (dataset)
"""
_SIDES = (
    'SELECT a AS name, a_in_b_documents * a_documents AS shared FROM "overlaps"'
    " WHERE level = 'dataset' UNION ALL"
    " SELECT b, b_in_a_documents * b_documents FROM \"overlaps\" WHERE level = 'dataset'"
)


def redundant_section(
    connection: DuckDBPyConnection,
    *,
    top: int,
    with_texts: bool,
    stores: tuple[StoreSettings, ...],
    catalog: str,
) -> RedundantSection:
    """Of the scans that are in force; texts are read back from their objects if asked for."""
    from greendata.report.document import RedundantSection

    (scans,) = fetch_one(connection, "SELECT count(*) FROM scans", [])
    connection.execute(_DATASETS)
    places = (
        "(SELECT *, row_number() OVER (ORDER BY weight DESC, text_bytes DESC, name) AS place"
        " FROM report_datasets)"
    )
    shown = connection.execute(
        f"SELECT any_value(name), count(*), {_SUMS} FROM {places} GROUP BY least(place, $top + 1)"
        " ORDER BY least(place, $top + 1)",
        {"top": top},
    ).fetchall()
    names = [row[0] for row in connection.execute(
        f"SELECT name FROM ({_SIDES}) GROUP BY name ORDER BY sum(shared) DESC, name LIMIT ?",
        [MAP_DATASETS],
    ).fetchall()]  # fmt: skip
    (pairs,) = fetch_one(
        connection, "SELECT count(*) FROM \"overlaps\" WHERE level = 'dataset'", []
    )
    found = groups_of(
        connection,
        DuplicatesRequest(
            catalog=catalog, limit=top, members=1, with_texts=with_texts, stores=stores
        ),
    )
    return RedundantSection(
        is_scanned=scans > 0,
        total=_dataset(
            ("total", *fetch_one(connection, f"SELECT count(*), {_SUMS} FROM report_datasets", []))
        ),
        datasets=tuple(map(_dataset, shown[:top])),
        others=_dataset(shown[top]) if len(shown) > top else None,
        overlap_datasets=tuple(sorted(names)),
        overlaps=_cells(connection, names),
        total_overlaps=pairs,
        groups=tuple(map(_group, found.groups)),
        total_groups=found.total_groups,
        unverified_candidates=found.unverified_candidates,
    )


def _dataset(row: Sequence[Any]) -> RedundantDataset:
    from greendata.report.document import RedundantDataset

    name, groups, *counts = row
    return RedundantDataset(
        name=name, groups=groups, **dict(zip(_COUNTS, map(int, counts), strict=True))
    )


def _cells(connection: DuckDBPyConnection, names: list[str]) -> tuple[OverlapCell, ...]:
    from greendata.report.document import OverlapCell

    rows = connection.execute(
        "SELECT a, b, a_in_b_documents, a_in_b_exact_documents, b_in_a_documents,"
        " b_in_a_exact_documents FROM \"overlaps\" WHERE level = 'dataset'"
        " AND list_contains($names, a) AND list_contains($names, b) ORDER BY a, b",
        {"names": names},
    ).fetchall()
    found = []
    for a, b, share, exact, back, back_exact in rows:
        found.append(OverlapCell(a=a, b=b, share=share, exact_share=exact))
        found.append(OverlapCell(a=b, b=a, share=back, exact_share=back_exact))
    return tuple(found)


def _group(found: Any) -> DuplicateGroup:
    from greendata.report.document import DuplicateGroup

    return DuplicateGroup(
        kept_uri=found.kept_uri,
        kept_row=found.kept_row,
        kept_dataset=found.kept_dataset,
        redundant_documents=found.redundant_documents,
        redundant_text_bytes=found.redundant_text_bytes,
        lowest_jaccard=found.duplicates[0].jaccard if found.duplicates else None,
        text_start=found.text_start,
        text_problem=found.text_problem,
    )
