"""Runs that are taken back, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, visible
from greendata.cli.show_run import print_reasons
from greendata.units import format_bytes, format_count

if TYPE_CHECKING:
    from greendata.jobs.run_summary import RunSummary
    from greendata.jobs.undo import PreparedUndo


def show_prepared_undo(prepared: PreparedUndo) -> None:
    """What is about to be taken back, what cannot be, and what it costs."""
    kinds = ", ".join(f"{kind}: {format_count(count)}" for kind, count in prepared.kinds.items())
    print_line(
        f"Take back run {prepared.request.run_id}: {format_count(sum(prepared.kinds.values()))}"
        f" actions ({kinds or 'none'}), {format_bytes(prepared.size_bytes)}."
    )
    if prepared.unknown:
        print_line(
            f"- {format_count(prepared.unknown)} were begun; the store is asked whether they were"
            " done."
        )
    for words, count in prepared.irreversible.items():
        print_line(f"- {format_count(count)} stay as they are: {visible(words)}.")
    if prepared.restored:
        unknown = prepared.restored_without_price
        more = f", and what {format_count(unknown)} of them cost is not known" if unknown else ""
        print_line(
            f"- {format_count(prepared.restored)} are archived and restored first, which takes"
            f" hours and costs {prepared.restore_usd:.2f} USD{more}."
        )
    for words in prepared.damaged:
        print_line(f"- damaged journal: {visible(words)}")


def show_undone(found: RunSummary) -> None:
    """Counts, and why what was not taken back was not."""
    print_line(
        f"Run {found.run_id}: {found.state}; {format_count(found.done)} taken back,"
        f" {format_count(found.pending)} pending, {format_count(found.skipped)} left alone,"
        f" {format_count(found.failed)} failed; {format_bytes(found.size_bytes)} in"
        f" {found.seconds:.1f} s."
    )
    print_reasons(found)
    if found.stopped_because is not None:
        print_line(f"Stopped: {visible(found.stopped_because)}.")
    if found.next_due_at is not None:
        print_line(
            f"The rest goes on from {found.next_due_at:%Y-%m-%d %H:%M} UTC:"
            f" greendata undo {found.run_id}"
        )
    elif found.state != "undone":
        print_line(f"To try the rest again: greendata undo {found.run_id}")
