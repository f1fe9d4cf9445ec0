"""Objects of the inventory, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from greendata.cli.output import print_line, print_table, visible_uri
from greendata.units import format_bytes, format_count

if TYPE_CHECKING:
    from greendata.jobs.objects import StoredObjects

_UNKNOWN = "?"
_NUMBERS = ("size", "age", "idle", "redundant", "USD a month")


def show_objects(found: StoredObjects, columns: Sequence[str]) -> None:
    """A line an object; what is not known is a question mark."""
    if columns:
        rows = [tuple(_cell(row[name]) for name in columns) for row in found.objects]
        print_table(tuple(columns), rows)
    else:
        print_table(
            (
                "object",
                "dataset",
                "size",
                "class",
                "tier",
                "age",
                "idle",
                "redundant",
                "USD a month",
            ),
            [_row(entry) for entry in found.objects],
            right=_NUMBERS,
        )
    for entry in found.objects:
        if not columns and entry["identical_to"]:
            proof = "the same bytes" if entry["verified_copies"] else "probably the same, not read"
            print_line(
                f"{visible_uri(entry['uri'])} is {visible_uri(entry['identical_to'])} again:"
                f" {proof}."
            )
    print_line()
    cost = found.total_monthly_cost_usd
    price = "" if cost is None else f", {cost:.2f} USD a month at list price"
    print_line(
        f"{format_count(found.total_objects)} objects, {format_bytes(found.total_bytes)}{price};"
        f" as of {found.as_of:%Y-%m-%d %H:%M} UTC or later."
    )
    more = found.total_objects - len(found.objects)
    if more > 0:
        print_line(f"{format_count(more)} more (--limit, or -o FILE for all)")
    for warning in found.warnings:
        print_line(f"Note: {warning}")


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    cost = entry["monthly_cost_usd"]
    return (
        visible_uri(entry["uri"]),
        visible_uri(entry["dataset"] or ""),
        _size(entry["size_bytes"]),
        entry["storage_class"] or "",
        entry["tier"],
        _days(entry["age_days"]),
        _days(entry["idle_days"]),
        _size(entry["redundant_bytes"]),
        _UNKNOWN if cost is None else f"{cost:.4f}",
    )


def _size(size_bytes: int | None) -> str:
    return _UNKNOWN if size_bytes is None else format_bytes(size_bytes)


def _days(days: int | None) -> str:
    return _UNKNOWN if days is None else f"{days} d"


def _cell(value: Any) -> str:
    return _UNKNOWN if value is None else visible_uri(str(value))
