"""Runs, for people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from greendata.cli.output import print_line, print_table, visible_uri
from greendata.execute.records import REASONS
from greendata.units import format_bytes, format_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from greendata.jobs.run_history import RecordedRun, RunDetails, Runs

_COUNTS = ("actions", "done", "pending", "skipped", "failed", "undone", "purged")
_UNKNOWN = "?"


def show_runs(found: Runs) -> None:
    """A line a run."""
    if not found.runs:
        print_line("No plan was applied yet.")
        return
    numbers = (*_COUNTS[:5], "size")
    print_table(
        ("run", "state", "started", "by", *numbers),
        [
            (
                run.run_id,
                run.state,
                _moment(run.started_at),
                run.owner,
                *(format_count(run.totals[name]) for name in _COUNTS[:5]),
                format_bytes(run.totals["size_bytes"]),
            )
            for run in found.runs
        ],
        right=numbers,
    )
    more = found.total_runs - len(found.runs)
    if more:
        print_line(f"and {format_count(more)} more (--limit)")


def show_run(found: RunDetails) -> None:
    """What it was, what it came to, and then what is left."""
    run = found.run
    finished = f", finished {_moment(run.finished_at)}" if run.finished_at else ""
    print_line(f"Run {run.run_id}: {run.state}, attempt {run.attempt} at plan {run.plan_id}")
    print_line(f"Started {_moment(run.started_at)} by {run.owner or _UNKNOWN}{finished}")
    print_line(_counts(run.totals))
    print_line(_sums(run.totals))
    if run.state == "running":
        print_line(f"If nobody is at work on it any more: greendata resume {run.run_id}")
    _show_own(run)
    _show_not_done(found)
    _show_pending(found)
    _show_quarantine(found)
    for words in found.damaged:
        print_line(f"Damaged: {words}")
    if found.damaged:
        print_line("What its journals do not tell is looked up in the store by: greendata resume")


def _counts(totals: Mapping[str, Any]) -> str:
    told = [f"{format_count(totals[name])} {name}" for name in _COUNTS[1:] if totals[name]]
    if totals["unsettled"]:
        told.append(f"{format_count(totals['unsettled'])} begun, their end is not known")
    if totals["left"]:
        told.append(f"{format_count(totals['left'])} not begun")
    return f"{format_count(totals['actions'])} actions: {', '.join(told) or 'none begun'}"


def _sums(totals: Mapping[str, Any]) -> str:
    carbon = _UNKNOWN
    if totals["carbon_kgco2e"] is not None:
        low, central, high = totals["carbon_kgco2e"]
        carbon = f"{central:.3g} ({low:.3g} to {high:.3g})"
    unknown = "".join(
        f"; the {what} of {format_count(totals[name])} is not known"
        for name, what in (("unknown_savings", "saving"), ("unknown_carbon", "carbon"))
        if totals[name]
    )
    return (
        f"Done: {format_bytes(totals['size_bytes'])} of objects,"
        f" {format_bytes(totals['moved_bytes'])} moved,"
        f" {_usd(totals['fees_usd'])} USD of fees; saves {_usd(totals['monthly_saving_usd'])} USD"
        f" and {carbon} kgCO2e a month once all of it is purged,"
        f" {_usd(totals['realised_monthly_saving_usd'])} USD of that now{unknown}"
    )


def _usd(amount: str) -> str:
    return f"{float(amount):,.4f}"


def _show_own(run: RecordedRun) -> None:
    """What the run itself took, as ``OwnFootprint.as_dict`` keeps it."""
    own = run.totals["own"]
    if not own:
        return
    carbon = own.get("carbon_kgco2e")
    print_line(
        f"Its own: {own['cpu_seconds']:.1f} CPU seconds in {own['wall_seconds']:.1f} s,"
        f" {format_bytes(own['read_bytes'] + own['written_bytes'])} moved,"
        f" {format_count(sum(own['requests'].values()))} requests;"
        f" {_range(own['energy_kwh'])} kWh,"
        f" {_range(carbon) if carbon else _UNKNOWN} kgCO2e, {own['cost_usd']['central']} USD"
        f" ({own['grade']}: {own['basis']})"
    )


def _range(found: Mapping[str, float]) -> str:
    return f"{found['central']:.3g} ({found['low']:.3g} to {found['high']:.3g})"


def _show_not_done(found: RunDetails) -> None:
    if not found.not_done:
        return
    print_line()
    print_line("Not done:")
    print_table(
        ("status", "reason", "actions", "size", "because", "such as"),
        [
            (
                entry.status,
                entry.reason,
                format_count(entry.actions),
                format_bytes(entry.size_bytes),
                REASONS.get(entry.reason, ""),
                entry.example_detail or visible_uri(entry.example_uri),
            )
            for entry in found.not_done
        ],
        right=("actions", "size"),
    )


def _show_pending(found: RunDetails) -> None:
    if not found.pending:
        return
    print_line()
    print_line("Going on later:")
    print_table(
        ("object", "action", "policy", "due", "detail"),
        [
            (visible_uri(entry.uri), entry.kind, entry.policy, _moment(entry.due_at), entry.detail)
            for entry in found.pending
        ],
    )
    _show_more(found.run.totals["pending"] - len(found.pending))


def _show_quarantine(found: RunDetails) -> None:
    if not found.quarantine:
        return
    totals = found.run.totals
    first, last = _moment(found.first_purge_after), _moment(found.last_purge_after)
    print_line()
    print_line(
        f"In quarantine: {format_count(totals['waiting'])} objects,"
        f" {format_bytes(totals['waiting_bytes'])}; to be purged from {first}"
        + (f" (the last from {last})" if last != first else "")
    )
    print_table(
        ("object", "action", "size", "purge after", "kept as"),
        [
            (
                visible_uri(entry.uri),
                entry.kind,
                _UNKNOWN if entry.size_bytes is None else format_bytes(entry.size_bytes),
                _moment(entry.purge_after),
                visible_uri(entry.quarantine_uri or _UNKNOWN),
            )
            for entry in found.quarantine
        ],
        right=("size",),
    )
    _show_more(totals["waiting"] - len(found.quarantine))


def _show_more(more: int) -> None:
    if more > 0:
        print_line(f"and {format_count(more)} more (--limit)")


def _moment(at: datetime | None) -> str:
    return _UNKNOWN if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
