"""The section on how things went from scan to scan."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from greendata.report.figures import (
    bytes_cell,
    count_cell,
    newest_of,
    share_cell,
    time_cell,
    words_cell,
)
from greendata.report.page import Block, Cell, Column, Notes, Plot, Row, Section, Table
from greendata.report.plotting import Series, plot_of
from greendata.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from greendata.report.document import ScanPoint, TrendSection

MOST_CURVES = 4


def trend_section(found: TrendSection) -> Section:
    """Curves of stored and redundant bytes, and the scans and refreshes themselves."""
    blocks: tuple[Block, ...] = (
        *_plot(found.scans),
        *_scans_table(found),
        *_refreshes_table(found),
    )
    return Section(
        key="trend",
        title="How it went",
        lead="From scan to scan, each over the places it was given.",
        blocks=blocks or (Notes(lines=("Nothing in this time.",), tone="muted"),),
    )


def _series(scans: tuple[ScanPoint, ...]) -> list[list[ScanPoint]]:
    """Scans of the same URIs, the series of the newest scan first."""
    found: dict[tuple[str, ...], list[ScanPoint]] = {}
    for scan in scans:
        found.setdefault(scan.uris, []).append(scan)
    lists = sorted(found.values(), key=lambda points: points[-1].committed_at, reverse=True)
    return [points for points in lists if len(points) > 1]


def _plot(scans: tuple[ScanPoint, ...]) -> Iterator[Plot]:
    shown = _series(scans)[:MOST_CURVES]
    series = [
        Series(
            name=f"{words}, {_scope(points[0])}",
            place=place,
            points=[(point.committed_at, getattr(point, name)) for point in points],
            is_dashed=name != "text_bytes",
        )
        for place, points in enumerate(shown)
        for words, name in (("text", "text_bytes"), ("redundant text", "redundant_text_bytes"))
    ]
    plot = plot_of(
        series,
        _label,
        key="trend-text",
        title="Text read and redundant text, by scan",
        words=_words(shown),
        definition="scan",
    )
    if plot is not None:
        yield plot


def _label(size_bytes: float) -> str:
    return format_bytes(round(size_bytes)) if size_bytes else "0"


def _words(series: list[list[ScanPoint]]) -> str:
    told = []
    for one in series:
        begin, end = one[0], one[-1]
        told.append(
            f"{_scope(begin)}: text from {format_bytes(begin.text_bytes)} to"
            f" {format_bytes(end.text_bytes)}, redundant text from"
            f" {format_bytes(begin.redundant_text_bytes)} to"
            f" {format_bytes(end.redundant_text_bytes)}, in {len(one)} scans"
        )
    return ". ".join(told) + "."


def _scope(scan: ScanPoint) -> str:
    shown = ", ".join(scan.uris[:2])
    return shown if len(scan.uris) <= 2 else f"{shown} and {len(scan.uris) - 2} more"


def _scans_table(found: TrendSection) -> Iterator[Table]:
    if not found.scans:
        return
    rows = [
        Row(
            cells=(
                time_cell(scan.committed_at),
                Cell(text=_scope(scan), sort=json.dumps(scan.uris), is_name=True),
                count_cell(scan.objects),
                bytes_cell(scan.object_bytes),
                count_cell(scan.documents),
                bytes_cell(scan.text_bytes),
                bytes_cell(scan.redundant_text_bytes),
                share_cell(scan.redundant_text_bytes, scan.text_bytes),
                Cell(text=format_seconds(scan.seconds), sort=scan.seconds),
            )
        )
        for scan in reversed(found.scans)
    ]
    yield Table(
        key="scans",
        title="Scans",
        columns=(
            Column(title="When (UTC)", definition="scan", is_time=True),
            Column(title="What", definition="scan"),
            Column(title="Objects", definition="objects", is_number=True),
            Column(title="Stored", definition="stored-bytes", is_number=True),
            Column(title="Documents", definition="documents", is_number=True),
            Column(title="Text", definition="documents", is_number=True),
            Column(title="Redundant text", definition="redundant-text", is_number=True),
            Column(title="of its text", definition="redundant-text", is_number=True),
            Column(title="Took", definition="scan", is_number=True),
        ),
        rows=tuple(rows),
        note=newest_of(len(found.scans), found.total_scans, "scans"),
    )


def _refreshes_table(found: TrendSection) -> Iterator[Table]:
    if not found.refreshes:
        return
    rows = [
        Row(
            cells=(
                time_cell(entry.taken_at),
                Cell(text=", ".join(entry.covers), sort=", ".join(entry.covers), is_name=True),
                words_cell(f"{entry.kind} from {entry.source}".replace("_", " ")),
                time_cell(entry.as_of),
                count_cell(entry.objects),
            )
        )
        for entry in reversed(found.refreshes)
    ]
    yield Table(
        key="refreshes",
        title="Refreshes of the inventory",
        columns=(
            Column(title="When (UTC)", definition="refresh", is_time=True),
            Column(title="Places", definition="refresh"),
            Column(title="What", definition="refresh"),
            Column(title="As of (UTC)", definition="refresh", is_time=True),
            Column(title="Rows", definition="refresh", is_number=True),
        ),
        rows=tuple(rows),
        note=newest_of(len(found.refreshes), found.total_refreshes, "refreshes"),
        is_folded=True,
    )
