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
    if found.output is not None:
        print_line(f"Written to {found.output}.")
