"""The section on the plan that is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from greendata.plan.render import action_text, payback_text
from greendata.report.figures import (
    NONE_CELL,
    amount_cell,
    bytes_cell,
    count_cell,
    counted,
    name_cell,
    usd_cell,
    words_cell,
)
from greendata.report.page import Cell, Column, Notes, Row, Section, Table

if TYPE_CHECKING:
    from greendata.plan.document import PlanDocument, PolicyTotals, Stays, Totals

MOST_REASONS = 50

_NUMBERS = (
    Column(title="Objects", definition="objects", is_number=True),
    Column(title="Stored", definition="stored-bytes", is_number=True),
    Column(title="USD once", definition="fees", is_number=True),
    Column(title="Saved a month", definition="planned", is_number=True),
    Column(title="Payback", definition="payback", is_number=True),
    Column(title="CO₂e saved a month", definition="carbon", is_number=True),
    Column(title="Irreversible", definition="irreversible", is_number=True),
)


def plan_section(plan: PlanDocument | None) -> Section:
    """What the plan would do and what it refuses; without one, how to name one."""
    if plan is None:
        lead = "No plan was named. `greendata report --plan DIR` shows what a plan would do."
        return Section(key="open", title="What is open", lead=lead, blocks=())
    lead = (
        f"Plan {plan.plan_id[:16]}, decided as of {plan.as_of:%Y-%m-%d %H:%M} UTC on an inventory"
        f" of {plan.inventory_as_of:%Y-%m-%d %H:%M} UTC, for"
        f" {counted(plan.scope_objects, 'object')} in scope."
    )
    return Section(
        key="open",
        title="What is open",
        lead=lead,
        blocks=(
            *_warnings(plan),
            *_policies_table(plan),
            *_refused_table(plan.stays),
            Notes(title="What the plan assumes", lines=plan.assumptions, is_folded=True),
        ),
    )


def _warnings(plan: PlanDocument) -> Iterator[Notes]:
    lines = [
        f"Beyond the limit {entry.limit}: {entry.words}. Applying it is refused."
        for entry in plan.limits.exceeded
    ]
    lines += [
        f"Policy {entry.policy} is withheld by a guard: {entry.withheld}."
        for entry in plan.policies
        if entry.withheld
    ]
    if plan.totals.irreversible:
        size = bytes_cell(plan.totals.irreversible_bytes).plain
        actions = counted(plan.totals.irreversible, "action")
        lines.append(f"Irreversible: {actions} on {size} cannot be undone once purged.")
    if lines:
        yield Notes(lines=tuple(lines), tone="warn")


def _policies_table(plan: PlanDocument) -> Iterator[Table | Notes]:
    if not plan.totals.actions:
        yield Notes(lines=("Nothing to do: all objects in scope stay as they are.",))
        return
    rows = [Row(cells=_policy_cells(entry)) for entry in plan.policies]
    total = (words_cell("Total"), words_cell(""), *_cells(plan.totals))
    rows.append(Row(cells=total, is_fixed=True, is_total=True))
    yield Table(
        key="plan-policies",
        title="By policy",
        columns=(
            Column(title="Policy", definition="planned"),
            Column(title="Action", definition="planned"),
            *_NUMBERS,
        ),
        rows=tuple(rows),
    )


def _policy_cells(entry: PolicyTotals) -> tuple[Cell, ...]:
    action = action_text(entry.action)
    return (
        name_cell(entry.policy),
        Cell(text=action, sort=action, is_name=True),
        *_cells(entry.totals),
    )


def _cells(totals: Totals) -> tuple[Cell, ...]:
    days = totals.payback_days
    return (
        count_cell(totals.objects),
        bytes_cell(totals.size_bytes),
        usd_cell(totals.fees_usd),
        usd_cell(totals.monthly_saving_usd, is_part=totals.unknown_savings > 0),
        Cell(text=payback_text(totals) or "\u2013", sort=None if days is None else float(days)),
        amount_cell(totals.carbon_kgco2e, "kgco2e") if totals.actions else NONE_CELL,
        count_cell(totals.irreversible),
    )


def _refused_table(stays: tuple[Stays, ...]) -> Iterator[Table]:
    refused = [entry for entry in stays if entry.is_refused]
    if not refused:
        return
    shown = refused[:MOST_REASONS]
    yield Table(
        key="plan-refused",
        title="Refused, and why",
        columns=(
            Column(title="Policy", definition="refused"),
            Column(title="Why", definition="refused"),
            Column(title="Because", definition="refused"),
            Column(title="For example", definition="refused"),
            Column(title="Objects", definition="objects", is_number=True),
            Column(title="Stored", definition="stored-bytes", is_number=True),
        ),
        rows=tuple(Row(cells=_refused_cells(entry)) for entry in shown),
        note=(
            f"The {len(shown):,} commonest of {len(refused):,} reasons."
            if len(refused) > len(shown)
            else ""
        ),
    )


def _refused_cells(entry: Stays) -> tuple[Cell, ...]:
    return (
        name_cell(entry.policy),
        words_cell(entry.reason.replace("_", " ")),
        Cell(text=entry.because, sort=entry.because, is_name=True),
        Cell(text=entry.example_uri, sort=entry.example_uri, is_name=True),
        count_cell(entry.objects),
        bytes_cell(entry.size_bytes),
    )
