"""A plan for people."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible
from greendata.plan.render import (
    acl_warning,
    action_text,
    age_warning,
    bounds_text,
    headline,
    payback_text,
    several_text,
)
from greendata.units import format_bytes, format_count, format_number

if TYPE_CHECKING:
    from greendata.plan.compare import Difference
    from greendata.plan.document import PlanDocument, Stays, Totals

_NUMBERS = ("objects", "size", "USD once", "USD saved a month", "payback", "kWh saved a month",
            "kgCO2e saved a month", "irreversible")  # fmt: skip
_MOST_REASONS = 10


def show_plan(found: PlanDocument, directory: Path) -> None:
    """A line a policy, then what is refused or withheld, and what to do next."""
    print_line(headline(found).replace("**", ""))
    print_line()
    rows = [
        (entry.policy, action_text(entry.action), *_cells(entry.totals))
        for entry in found.policies
        if entry.totals.actions
    ]
    rows.append(("total", "", *_cells(found.totals)))
    print_table(("policy", "action", *_NUMBERS), rows, right=_NUMBERS)
    idle = [entry.policy for entry in found.policies if not entry.totals.actions]
    if idle:
        print_line(f"Nothing to do for: {', '.join(idle)}.")
    for entry in found.policies:
        if entry.withheld:
            print_line(f"Withheld: {entry.policy}: guard {entry.withheld}.")
    for warning in (several_text(found), age_warning(found), acl_warning(found)):
        if warning is not None:
            print_line(warning)
    for limit in found.limits.exceeded:
        print_line(f"Beyond the limit {limit.limit}: {limit.words}; applying is refused.")
    refused = [entry for entry in found.stays if entry.is_refused]
    if refused:
        print_line()
        print_line("Refused, and why:")
        for reason in refused[:_MOST_REASONS]:
            print_line(f"- {_reason(reason)}")
        if len(refused) > _MOST_REASONS:
            print_line(f"- and {len(refused) - _MOST_REASONS} more reasons: --format json")
    print_line()
    print_line(
        f"Plan {found.plan_id[:16]} in {visible(str(directory))}, as of"
        f" {found.as_of:%Y-%m-%d %H:%M} UTC; prices {found.model_version}."
    )
    print_line(
        f"For a pull request: greendata show {shlex.quote(str(directory))} --format markdown"
    )


def _reason(found: Stays) -> str:
    objects = "1 object" if found.objects == 1 else f"{format_count(found.objects)} objects"
    return (
        f"{found.policy}: {objects}, {format_bytes(found.size_bytes)}: {found.reason}:"
        f" {found.because} (such as {found.example_uri})"
    )


def _cells(found: Totals) -> tuple[str, ...]:
    return (
        format_count(found.objects),
        format_bytes(found.size_bytes),
        format_number(float(found.fees_usd)),
        format_number(float(found.monthly_saving_usd)) + (" +?" if found.unknown_savings else ""),
        payback_text(found),
        bounds_text(found.energy_kwh),
        bounds_text(found.carbon_kgco2e),
        format_count(found.irreversible),
    )


def show_difference(found: Difference) -> None:
    """What one plan has more, fewer and otherwise."""
    print_line(
        f"{format_count(found.added)} actions more, {format_count(found.removed)} fewer,"
        f" {format_count(found.changed)} otherwise, {format_count(found.same)} the same."
    )
    if not found.policies:
        return
    print_line()
    names = ("more", "fewer", "otherwise", "USD once", "USD saved a month", "irreversible")
    print_table(
        ("policy", *names),
        [
            (
                entry.policy,
                format_count(entry.added),
                format_count(entry.removed),
                format_count(entry.changed),
                format_number(float(entry.fees_usd)),
                format_number(float(entry.monthly_saving_usd)),
                str(entry.irreversible),
            )
            for entry in found.policies
        ],
        right=names,
    )
