"""Runs for people: what would be carried out, and what came of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible, visible_uri
from greendata.execute.records import REASONS
from greendata.units import format_bytes, format_count

if TYPE_CHECKING:
    from greendata.jobs.apply import Prepared
    from greendata.jobs.run_summary import RunSummary

EXIT_PARTIAL = 3
EXIT_INTERRUPTED = 128 + signal.SIGINT


def show_prepared(prepared: Prepared) -> None:
    """What is about to happen, and where."""
    totals = prepared.document.totals
    goes = "Run" if prepared.is_new else "Go on with run"
    print_line(
        f"{goes} {prepared.run_id}: {format_count(prepared.open_actions)} of"
        f" {format_count(totals.actions)} actions, {format_bytes(totals.size_bytes)},"
        f" {totals.fees_usd:.2f} USD once, {totals.monthly_saving_usd:.2f} USD saved a month;"
        f" {format_count(totals.irreversible)} irreversible."
    )
    for way in prepared.ways.values():
        kept = "versions are kept" if way.is_versioned else "moved to .greendata/quarantine/"
        alone = "; exclusive writer, as greendata.yaml says" if way.is_exclusive else ""
        print_line(f"- {visible_uri(way.root)}: {kept}{alone}")


def show_summary(found: RunSummary) -> None:
    """Counts, why what was not done was not, and what to do next."""
    print_line(
        f"Run {found.run_id}: {found.state}; {format_count(found.done)} done,"
        f" {format_count(found.pending)} pending, {format_count(found.skipped)} left alone,"
        f" {format_count(found.failed)} failed, {format_count(found.not_begun)} not begun;"
        f" {format_bytes(found.size_bytes)} in {found.seconds:.1f} s."
    )
    print_reasons(found)
    if found.stopped_because is not None:
        print_line(f"Stopped: {visible(found.stopped_because)}.")
    if found.state == "stopped":
        print_line(f"To go on: greendata resume {found.run_id}")
    elif found.failed:
        print_line(f"To try what failed again: greendata resume {found.run_id}")
    if found.next_due_at is not None:
        print_line(
            f"Pending actions go on from {found.next_due_at:%Y-%m-%d %H:%M} UTC:"
            f" greendata resume {found.run_id}"
        )
    if found.done:
        print_line(f"To take it back: greendata undo {found.run_id}")
    if found.purge_after is not None:
        print_line(f"Nothing is removed before {found.purge_after:%Y-%m-%d}: greendata purge")


def print_reasons(found: RunSummary) -> None:
    """A table of why what was not done was not, with an example each."""
    if not found.reasons:
        return
    print_line()
    rows = []
    for reason, count in found.reasons.items():
        example = next(iter(found.examples.get(reason, ())), {"uri": ""})
        rows.append(
            (reason, format_count(count), REASONS.get(reason, ""), visible_uri(example["uri"]))
        )
    print_table(("reason", "actions", "because", "such as"), rows, right=("actions",))
    print_line()


def exit_code(found: RunSummary) -> int:
    """3 when anything was left alone or not done, 130 when it was interrupted."""
    if found.is_interrupted:
        return EXIT_INTERRUPTED
    return EXIT_PARTIAL if found.state in ("partial", "stopped") else 0
