"""A deduplicated copy's summary, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, visible_uri
from greendata.units import format_bytes, format_count, format_share

if TYPE_CHECKING:
    from greendata.jobs.dedup import DedupSummary


def show_dedup(found: DedupSummary) -> None:
    """What was written, and what was left out and why."""
    redundant = found.left_out_exact + found.left_out_near
    share = format_share(redundant / found.rows_in if found.rows_in else 0.0)
    verb = "Left out" if found.rows_out < found.rows_in or not redundant else "Marked"
    print_line(
        f"{format_count(found.rows_out)} of {format_count(found.rows_in)} rows of"
        f" {format_count(len(found.objects))} objects are in {visible_uri(found.destination)}."
    )
    print_line(
        f"{verb}: {format_count(redundant)} documents ({share}),"
        f" {format_bytes(found.left_out_text_bytes)} of text: {format_count(found.left_out_exact)}"
        f" identical to a kept one, {format_count(found.left_out_near)} with a Jaccard of"
        f" {found.threshold} or more, verified."
    )
    print_line(
        f"Stored: {format_bytes(found.size_bytes_in)} before,"
        f" {format_bytes(found.size_bytes_out)} now, as zstd Parquet."
    )
    for alarm in found.alarms:
        print_line(f"Confirmed in spite of: {alarm.message}")
    if found.not_copied:
        print_line(
            f"Not copied: {format_count(len(found.not_copied))} objects without documents, such as"
            f" {visible_uri(found.not_copied[0].uri)}"
        )
    for entry in found.skipped:
        print_line(f"Not copied: {visible_uri(entry.uri)}: {entry.detail}")
    print_line(f"What and why: {visible_uri(found.destination)}/_greendata/left_out.parquet")
