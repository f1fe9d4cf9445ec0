"""The report as one page: headline figures, sections, definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from greendata.report.basis import basis_section
from greendata.report.definitions import DEFINITIONS
from greendata.report.done import done_section, net_usd
from greendata.report.figures import amount_cell, bytes_cell, counted, share_cell, usd_cell
from greendata.report.page import Card, Cell, Page
from greendata.report.planned import plan_section
from greendata.report.redundant import redundant_section
from greendata.report.stored import is_part, stored_section
from greendata.report.trend import trend_section

if TYPE_CHECKING:
    from greendata.report.document import Report


def page_of(report: Report) -> Page:
    """What every format is written from."""
    return Page(
        title="Storage report",
        facts=tuple(_facts(report)),
        warnings=report.warnings,
        cards=tuple(_cards(report)),
        sections=(
            stored_section(report.stored),
            redundant_section(report.redundant, report.stored),
            done_section(report.done),
            plan_section(report.plan),
            trend_section(report.trend),
            basis_section(report.basis),
        ),
        definitions=tuple((key, *entry) for key, entry in DEFINITIONS.items()),
    )


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "Catalog", report.catalog
    yield "Inventory as of", f"{report.inventory_as_of:%Y-%m-%d %H:%M} UTC"
    yield "Made", f"{report.made_at:%Y-%m-%d %H:%M} UTC"
    if report.since is not None:
        yield "Runs and scans since", f"{report.since:%Y-%m-%d %H:%M} UTC"
    yield "Model", report.model_version
    yield "greendata", report.program_version


def _cards(report: Report) -> Iterator[Card]:
    total = report.stored.total
    found = total.footprint
    objects = found.objects + total.unsized_objects
    yield Card(
        label="Stored",
        definition="stored-bytes",
        value=bytes_cell(found.size_bytes),
        detail=counted(objects, "object"),
    )
    yield Card(
        label="Cost a month",
        definition="cost",
        value=amount_cell(found.cost_usd, "usd", is_part=is_part("priced", found)),
        detail="at list prices" if found.cost_usd else "no list price is known",
    )
    running = amount_cell(found.operational_kgco2e, "kgco2e").plain
    hardware = amount_cell(found.embodied_kgco2e, "kgco2e").plain
    is_known = found.carbon_kgco2e is not None
    yield Card(
        label="CO₂e a month",
        definition="carbon",
        value=amount_cell(found.carbon_kgco2e, "kgco2e", is_part=is_part("carbon", found)),
        detail=f"running {running}; hardware {hardware}"
        if is_known
        else "its energy or its grid is not known",
    )
    yield _redundant_card(report)
    if report.done.total_runs:
        yield Card(
            label="Saved up to now, net",
            definition="net",
            value=usd_cell(net_usd(report.done)),
            detail=f"and {usd_cell(report.done.total.realised_usd).plain} a month from here on",
        )
    if report.plan is not None:
        plan = report.plan.totals
        yield Card(
            label="Open plan saves a month",
            definition="planned",
            value=usd_cell(plan.monthly_saving_usd, is_part=plan.unknown_savings > 0),
            detail=f"{counted(plan.objects, 'object')}, {usd_cell(plan.fees_usd).plain} once",
        )


def _redundant_card(report: Report) -> Card:
    if not report.redundant.is_scanned:
        return Card(
            label="Redundant",
            definition="redundant-bytes",
            value=Cell(text="not scanned", tone="muted"),
            detail="no scan is in this catalog",
        )
    total, found = report.stored.total, report.stored.redundant_footprint
    share = share_cell(total.redundant_bytes, total.footprint.size_bytes).text
    costs = [
        amount_cell(found.cost_usd, "usd").plain if found.cost_usd else "",
        amount_cell(found.carbon_kgco2e, "kgco2e").plain if found.carbon_kgco2e else "",
    ]
    told = " and ".join(filter(None, costs))
    return Card(
        label="Redundant",
        definition="redundant-bytes",
        value=bytes_cell(total.redundant_bytes),
        detail=f"{share} of what is stored" + (f"; {told} a month" if told else ""),
    )
