"""The window that was chosen, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, visible
from greendata.units import format_seconds

if TYPE_CHECKING:
    from greendata.jobs.carbon_window import Window
    from greendata.signals.window import Waiting

_REASONS = {
    "no_rule": "no carbon window was asked for",
    "no_signal": "nothing is known about the grid",
    "deadline": "the deadline is reached",
    "cleanest_now": "no window before the deadline is cleaner",
    "below_limit": "the grid is within the limit",
    "cleaner_later": "the grid is cleaner then",
    "below_limit_later": "the grid is within the limit then",
    "limit_never_met": "the limit is met at no time before the deadline; this is the cleanest",
    "waiting_costs_more": "waiting for a cleaner hour costs more carbon than it saves",
}


def show_window(found: Window) -> None:
    """When, why, by whose figures, and what waiting costs."""
    choice = found.choice
    if found.is_open:
        print_line(f"Run now: {_REASONS[choice.reason]}.")
    else:
        wait = format_seconds(found.wait_seconds)
        print_line(
            f"Run at {choice.starts_at:%Y-%m-%d %H:%M} UTC, in {wait}: {_REASONS[choice.reason]}."
        )
    if choice.intensity_gco2e_per_kwh is not None and choice.now_gco2e_per_kwh is not None:
        print_line(
            f"Grid {choice.intensity_gco2e_per_kwh:.0f} gCO2e/kWh until"
            f" {choice.ends_at:%H:%M} UTC, {choice.now_gco2e_per_kwh:.0f} if it began now"
            f" ({visible(found.source or '')} {visible(found.zone or '')}, {found.kind})."
        )
    if found.deadline_at is not None:
        print_line(f"Deadline {found.deadline_at:%Y-%m-%d %H:%M} UTC.")
    if choice.waiting is not None:
        print_line(f"Waiting {_price(choice.waiting)}")
    if choice.rejected is not None:
        until = f"{choice.rejected.until:%Y-%m-%d %H:%M} UTC"
        print_line(f"Waiting until {until} {_price(choice.rejected)}")
    if found.fallback is not None:
        print_line(f"Note: the average of the region stands in: {found.fallback}")
    for note in found.notes:
        print_line(f"Note: {note}")


def _price(waiting: Waiting) -> str:
    costs = (
        f"costs {waiting.usd:.2f} USD, {waiting.energy_kwh:.3g} kWh and"
        f" {waiting.carbon_gco2e:.3g} gCO2e of storage that goes on"
    )
    if waiting.saves_gco2e is None:
        return f"{costs}."
    verdict = " It costs more carbon than it saves." if waiting.costs_more else ""
    return f"{costs}, and saves {waiting.saves_gco2e:.3g} gCO2e of the job's own.{verdict}"
