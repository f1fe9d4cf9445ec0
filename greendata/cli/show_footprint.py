"""What is stored in money, energy and carbon, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible
from greendata.units import format_bytes, format_count, format_number

if TYPE_CHECKING:
    from greendata.footprint.ranges import Range, UsdRange
    from greendata.jobs.footprint import FootprintSummary, Group, Intensity

_UNKNOWN = "?"
_PART = " +"
"""After an amount that leaves out some of what is stored."""
_NUMBERS = ("objects", "size", "USD", "kWh", "kgCO2e running", "kgCO2e hardware")


def show_footprint(found: FootprintSummary, *, with_sources: bool) -> None:
    """A line a group, then what is missing, what is assumed, and of which model it is."""
    print_line("Stored today, for a month: central value (low to high)")
    print_line()
    print_table(
        (found.by, *_NUMBERS),
        [_row(group) for group in (*found.groups, found.total)],
        right=_NUMBERS,
    )
    for group in found.groups:
        if group.unsized_objects:
            print_line(
                f"{visible(group.name or _UNKNOWN)}: incomplete uploads, of unknown size and not"
                f" counted: {format_count(group.unsized_objects)}."
            )
    _show_missing(found)
    if found.intensities:
        _show_intensities(found.intensities)
    print_line()
    print_line(f"Inventory as of {found.as_of:%Y-%m-%d %H:%M} UTC. Model {found.model_version}.")
    for assumption in found.assumptions:
        print_line(f"- {assumption}")
    if with_sources:
        print_line()
        print_line("Sources:")
        for source in found.sources:
            print_line(f"- {source}")
    else:
        print_line(f"{len(found.sources)} sources: -v lists them, --json has them.")
    for warning in found.warnings:
        print_line(f"Note: {warning}")


def _row(group: Group) -> tuple[str, ...]:
    found = group.footprint
    return (
        visible(group.name or _UNKNOWN),
        format_count(found.objects),
        format_bytes(found.size_bytes),
        _bounds(found.cost_usd, is_part=found.priced_bytes < found.size_bytes),
        _bounds(found.energy_kwh, is_part=found.energy_bytes < found.size_bytes),
        _bounds(found.operational_kgco2e, is_part=found.carbon_bytes < found.size_bytes),
        _bounds(found.embodied_kgco2e, is_part=found.energy_bytes < found.size_bytes),
    )


def _show_missing(found: FootprintSummary) -> None:
    if not found.total.footprint.missing:
        return
    print_line()
    print_line(f"Not known; figures that leave some of it out end in {_PART.strip()}:")
    for entry in found.total.footprint.missing:
        objects = "1 object" if entry.objects == 1 else f"{format_count(entry.objects)} objects"
        print_line(f"- {visible(entry.what)}: {objects}, {format_bytes(entry.size_bytes)}")


def _show_intensities(intensities: tuple[Intensity, ...]) -> None:
    print_line()
    print_line("Software Carbon Intensity (ISO/IEC 21031): storage; jobs and training not counted")
    print_line()
    print_table(
        ("dataset", "for one", "gCO2e"),
        [
            (
                visible(entry.dataset or _UNKNOWN),
                entry.unit,
                _bounds(entry.gco2e) if entry.gco2e else f"{_UNKNOWN} ({entry.detail})",
            )
            for entry in intensities
        ],
        right=("gCO2e",),
    )


def _bounds(amount: Range | UsdRange | None, *, is_part: bool = False) -> str:
    if amount is None:
        return _UNKNOWN
    low, central, high = (
        format_number(float(x)) for x in (amount.low, amount.central, amount.high)
    )
    shown = central if low == central == high else f"{central} ({low} to {high})"
    return shown + _PART if is_part else shown
