"""The section on what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greendata.report.figures import (
    NONE_CELL,
    UNKNOWN,
    UNKNOWN_CELL,
    Unit,
    amount_cell,
    bars,
    bytes_cell,
    column_unit,
    count_cell,
    counted,
    name_cell,
    range_bars,
    share_cell,
    words_cell,
)
from greendata.report.page import Bar, Cell, Column, Notes, Row, Section, Table

if TYPE_CHECKING:
    from greendata.footprint.estimate import Footprint
    from greendata.report.document import Breakdown, StoredGroup, StoredSection

TIERS = ("hot", "intelligent", "cool", "cold", "archive", "deep_archive", "unknown")
MOST_MISSING = 12

_TITLES = {
    "dataset": "By dataset",
    "tier": "By tier",
    "region": "By region",
    "format": "By format",
    "state": "By state",
}
_NUMBERS = (
    Column(title="Objects", definition="objects", is_number=True),
    Column(title="Stored", definition="stored-bytes", is_number=True, is_wide=True),
    Column(title="Share", definition="share", is_number=True),
    Column(title="Cost a month", definition="cost", is_number=True),
    Column(title="Energy a month", definition="energy", is_number=True),
    Column(title="CO₂e a month", definition="carbon", is_number=True, is_wide=True),
)


def stored_section(found: StoredSection) -> Section:
    """Tables by dataset, tier, region, format and state."""
    return Section(
        key="stored",
        title="What is stored",
        lead=(
            "Keeping everything as it is, for a month. Amounts stand before what they lie between:"
            " of CO₂e the dot is the central value, and the line the range."
        ),
        blocks=(
            *_tables(found),
            *_unsized(found.total),
            *_missing(found.total.footprint),
            *_intensities(found),
        ),
    )


def is_part(amount: str, footprint: Footprint) -> bool:
    """Whether an amount leaves out some of what is stored."""
    known: int = getattr(footprint, f"{amount}_bytes")
    return known < footprint.size_bytes


def _tables(found: StoredSection) -> Iterator[Table | Notes]:
    alike = []
    for breakdown in found.breakdowns:
        if breakdown.by != "dataset" and len(breakdown.groups) < 2:
            alike += [f"{breakdown.by} {group.name or UNKNOWN}" for group in breakdown.groups]
            continue
        yield _table(breakdown, found.total)
        if breakdown.by == "dataset" and _has_tiers(found):
            yield _tiers_table(found)
    if alike:
        yield Notes(lines=(f"Of all of it: {', '.join(alike)}.",))


def _table(breakdown: Breakdown, total: StoredGroup) -> Table:
    sizes = bars([group.footprint.size_bytes for group in breakdown.groups])
    carbon = range_bars([group.footprint.carbon_kgco2e for group in breakdown.groups])
    units = _units([group.footprint for group in breakdown.groups])
    rows = [
        Row(cells=(name_cell(group.name), *_cells(group, total, units, size, range_)))
        for group, size, range_ in zip(breakdown.groups, sizes, carbon, strict=True)
    ]
    others = breakdown.others
    if others is not None:
        cells = (words_cell(f"{others.groups:,} more"), *_cells(others, total, units))
        rows.append(Row(cells=cells, is_fixed=True))
    if len(rows) > 1:
        cells = (words_cell("Total"), *_cells(total, total, units))
        rows.append(Row(cells=cells, is_fixed=True, is_total=True))
    return Table(
        key=f"stored-by-{breakdown.by}",
        title=_TITLES[breakdown.by],
        columns=(Column(title=breakdown.by.capitalize(), definition=breakdown.by), *_NUMBERS),
        rows=tuple(rows),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Units:
    """Those of the columns of one table."""

    energy: Unit
    carbon: Unit


def _units(footprints: Sequence[Footprint]) -> _Units:
    return _Units(
        energy=column_unit([found.energy_kwh for found in footprints], "kwh"),
        carbon=column_unit([found.carbon_kgco2e for found in footprints], "kgco2e"),
    )


def _cells(
    group: StoredGroup,
    total: StoredGroup,
    units: _Units,
    size: Bar | None = None,
    carbon: Bar | None = None,
) -> tuple[Cell, ...]:
    found = group.footprint
    is_unsized = not found.objects and group.unsized_objects > 0
    return (
        count_cell(found.objects + group.unsized_objects),
        UNKNOWN_CELL if is_unsized else bytes_cell(found.size_bytes, size),
        share_cell(found.size_bytes, 0 if is_unsized else total.footprint.size_bytes),
        amount_cell(found.cost_usd, "usd", is_part=is_part("priced", found)),
        amount_cell(found.energy_kwh, "kwh", is_part=is_part("energy", found), unit=units.energy),
        amount_cell(
            found.carbon_kgco2e,
            "kgco2e",
            is_part=is_part("carbon", found),
            bar=carbon,
            unit=units.carbon,
        ),
    )


def _has_tiers(found: StoredSection) -> bool:
    return len({tier for _, tiers in found.tiers for tier in tiers}) > 1


def _tiers_table(found: StoredSection) -> Table:
    """How hot each dataset is kept: a bar in parts, and the numbers beside it."""
    held = [tier for tier in TIERS if any(tier in tiers for _, tiers in found.tiers)]
    sizes = dict(found.tiers)
    rows = []
    for group in found.breakdowns[0].groups:
        tiers = sizes.get(group.name, {})
        whole = sum(tiers.values())
        shown = [bytes_cell(tiers[tier]) if tiers.get(tier) else NONE_CELL for tier in held]
        rows.append(Row(cells=(name_cell(group.name), _parts_cell(tiers, whole), *shown)))
    return Table(
        key="stored-by-dataset-and-tier",
        title="By dataset and tier",
        columns=(
            Column(title="Dataset", definition="dataset"),
            Column(title="Share that is hot", definition="tier", is_number=True, is_wide=True),
            *(Column(title=tier, definition="tier", is_number=True) for tier in held),
        ),
        rows=tuple(rows),
        legend=tuple(held),
    )


def _parts_cell(tiers: Mapping[str, int], whole: int) -> Cell:
    parts, start = [], 0.0
    for tier in TIERS:
        width = 100 * tiers.get(tier, 0) / whole if whole else 0.0
        if width:
            parts.append((tier, round(start, 2), round(width, 2)))
        start += width
    return share_cell(tiers.get("hot", 0), whole, Bar(end=100.0, parts=tuple(parts)))


def _unsized(total: StoredGroup) -> Iterator[Notes]:
    if total.unsized_objects:
        told = f"Incomplete uploads: {total.unsized_objects:,}. Their size is not known; they"
        yield Notes(lines=(f"{told} count as objects, and in no amount.",))


def _missing(total: Footprint) -> Iterator[Notes]:
    if not total.missing:
        return
    shown = sorted(total.missing, key=lambda entry: -entry.size_bytes)
    lines = [
        f"{entry.what}: {counted(entry.objects, 'object')}, {bytes_cell(entry.size_bytes).plain}"
        for entry in shown[:MOST_MISSING]
    ]
    if len(shown) > MOST_MISSING:
        lines.append(f"{len(shown) - MOST_MISSING:,} more facts")
    yield Notes(
        title="Not known, and left out of figures that end in +", lines=tuple(lines), tone="warn"
    )


def _intensities(found: StoredSection) -> Iterator[Table]:
    if not any(entry.gco2e for entry in found.intensities):
        return
    units = sorted({entry.unit for entry in found.intensities})
    by_dataset: dict[str | None, dict[str, Cell]] = {}
    for entry in found.intensities:
        cell = amount_cell(entry.gco2e, "gco2e")
        if entry.gco2e is None:
            cell = words_cell(entry.detail or "not known", tone="muted", sort=-1.0)
        by_dataset.setdefault(entry.dataset, {})[entry.unit] = cell
    yield Table(
        key="intensity",
        title="Software Carbon Intensity",
        columns=(
            Column(title="Dataset", definition="dataset"),
            *(_unit_column(unit) for unit in units),
        ),
        rows=tuple(
            Row(cells=(name_cell(name), *(cells[unit] for unit in units)))
            for name, cells in by_dataset.items()
        ),
        is_folded=True,
    )


def _unit_column(unit: str) -> Column:
    return Column(title=f"CO₂e for one {unit}", definition="intensity", is_number=True)
