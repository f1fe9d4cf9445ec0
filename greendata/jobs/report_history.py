"""What the report says of the past: scans and refreshes of the inventory, by their commits."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greendata.catalog.tables import Catalog
    from greendata.report.document import ScanPoint, TrendSection

MOST_POINTS = 200
"""Scans, and refreshes, that a report shows; of more the newest."""

_COLUMNS = ("scan_id", "committed_at", "uris", "summary")


def trend_section(catalog: Catalog, since: datetime | None) -> TrendSection:
    """All scans, also those that later ones started over from, and all refreshes."""
    from greendata.report.document import RefreshPoint, TrendSection

    scans: deque[ScanPoint] = deque(maxlen=MOST_POINTS)
    total_scans = 0
    for row in _commits(catalog):
        if since is None or row["committed_at"] >= since:
            scans.append(_scan(row))
            total_scans += 1
    refreshes = [
        RefreshPoint(
            taken_at=entry.taken_at,
            as_of=entry.as_of,
            kind=entry.kind,
            source=entry.source,
            covers=tuple(cover.uri for cover in entry.covers[:3]),
            objects=entry.objects,
        )
        for entry in catalog.refreshes().refreshes
        if since is None or entry.taken_at >= since
    ]
    return TrendSection(
        scans=tuple(scans),
        total_scans=total_scans,
        refreshes=tuple(refreshes[-MOST_POINTS:]),
        total_refreshes=len(refreshes),
    )


def _commits(catalog: Catalog) -> Iterator[dict[str, Any]]:
    """Rows of the table ``scans`` in their order; the summary of one at a time is in memory."""
    import pyarrow.parquet as pq

    places = []
    for path in catalog.files("scans", None):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            sequences = file.read_row_group(group, columns=["sequence"])["sequence"].to_pylist()
            places += [(sequence, path, group, row) for row, sequence in enumerate(sequences)]
    for _, path, group, row in sorted(places):
        table = pq.ParquetFile(path).read_row_group(group, columns=list(_COLUMNS))
        yield table.slice(row, 1).to_pylist()[0]


def _scan(row: dict[str, Any]) -> ScanPoint:
    from greendata.report.document import ScanPoint

    summary = json.loads(row["summary"])
    return ScanPoint(
        scan_id=row["scan_id"],
        committed_at=row["committed_at"].astimezone(UTC),
        uris=tuple(json.loads(row["uris"] or "[]")),
        objects=summary["objects"],
        object_bytes=summary["object_bytes"],
        documents=summary["documents"],
        text_bytes=summary["text_bytes"],
        redundant_documents=summary["redundant_documents"],
        redundant_text_bytes=summary["redundant_text_bytes"],
        seconds=summary["seconds"],
        cpu_seconds=summary["cpu_seconds"],
    )
