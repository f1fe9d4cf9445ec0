"""What an audit found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible_uri
from greendata.execute.auditing import PROBLEMS
from greendata.units import format_count

if TYPE_CHECKING:
    from greendata.jobs.audit import AuditSummary

_SHOWN = 50


def show_audit(found: AuditSummary) -> None:
    """What was looked at, and what is wrong."""
    how = "read" if found.is_full else "asked for"
    print_line(
        f"{format_count(found.checked)} of {format_count(found.objects)} objects of"
        f" {format_count(found.runs)} runs {how} in {found.seconds:.1f} s."
    )
    if found.oldest_at is not None and found.checked < found.objects:
        print_line(f"Every object was looked at since {found.oldest_at:%Y-%m-%d %H:%M} UTC.")
    if found.is_clean:
        print_line("All is there.")
        return
    print_line()
    rows = [
        (entry.problem, visible_uri(entry.uri), entry.detail) for entry in found.findings[:_SHOWN]
    ]
    print_table(("problem", "object", "detail"), rows)
    print_line()
    for problem, count in found.problems.items():
        print_line(f"{problem} ({format_count(count)}): {PROBLEMS[problem]}.")
    if len(found.findings) > _SHOWN:
        print_line(f"{format_count(len(found.findings) - _SHOWN)} more: greendata audit --json")
