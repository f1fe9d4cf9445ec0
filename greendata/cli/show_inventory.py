"""An inventory's summary, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible_uri
from greendata.units import format_bytes, format_count

if TYPE_CHECKING:
    from greendata.jobs.inventory import InventorySummary


def show_inventory(found: InventorySummary) -> None:
    """Objects and bytes by place, storage class and state."""
    print_table(
        ("place", "class", "tier", "state", "objects", "stored"),
        [
            (
                visible_uri(group.place) if group.place != "file://" else "this machine",
                group.storage_class or "",
                group.tier,
                group.state,
                format_count(group.objects),
                format_bytes(group.size_bytes),
            )
            for group in found.groups
        ],
        right=("objects", "stored"),
    )
    print_line()
    print_line(f"{format_count(found.objects)} objects, {format_bytes(found.size_bytes)}.")
    if found.unknown_columns:
        print_line(f"Columns that were not read: {', '.join(found.unknown_columns)}.")
    for source in found.accesses:
        print_line(
            f"{visible_uri(source.uri)}: {format_count(source.reads)} reads of"
            f" {format_count(source.objects)} objects from {source.first_day} to"
            f" {source.last_day}."
        )
        if source.unread_lines:
            print_line(f"{format_count(source.unread_lines)} lines could not be read.")
    if found.identical is not None:
        print_line(
            f"Identical, all bytes compared: {format_count(found.identical.copies)} copies"
            f" ({format_bytes(found.identical.copy_bytes)}) in"
            f" {format_count(found.identical.groups)} groups;"
            f" {format_bytes(found.identical.read_bytes)} read."
        )
    if found.contained is not None:
        print_line(
            f"Contained, whole rows compared: {format_count(found.contained.contained)} objects"
            f" ({format_bytes(found.contained.contained_bytes)}) have no row that others lack;"
            f" {format_count(found.contained.rows)} rows of"
            f" {format_count(found.contained.objects)} objects read."
        )
    for entry in found.skipped:
        print_line(f"Not listed or read: {visible_uri(entry.uri)}: {entry.detail}")
    for warning in found.warnings:
        print_line(f"Note: {warning}")
