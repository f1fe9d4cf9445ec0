"""What is removed for ever, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible, visible_uri
from greendata.cli.show_run import EXIT_INTERRUPTED, EXIT_PARTIAL
from greendata.execute.records import REASONS
from greendata.units import format_bytes, format_count

if TYPE_CHECKING:
    from greendata.jobs.purge import PreparedPurge, PurgeSummary


def show_prepared_purge(prepared: PreparedPurge) -> None:
    """What is about to be removed, run by run."""
    for run in prepared.runs:
        size_bytes = sum(entry.held.size_bytes for entry in run.due)
        expired = sum(entry.held.cause == "expire" for entry in run.due)
        print_line(
            f"- run {run.state.run_id}: {format_count(len(run.due))} objects,"
            f" {format_bytes(size_bytes)}"
        )
        if expired and not run.policies_stand:
            print_line(
                f"  {format_count(expired)} of them expired and stay: name the policies of the run,"
                " as they were, with --policies."
            )


def show_purged(found: PurgeSummary) -> None:
    """Counts, and why what was due and stays does."""
    print_line(
        f"Purged {format_count(found.purged)} objects, {format_bytes(found.size_bytes)}, in"
        f" {found.seconds:.1f} s; {format_count(sum(found.kept.values()))} stay."
    )
    if found.kept:
        print_line()
        rows = []
        for reason, count in found.kept.items():
            example = next(iter(found.examples.get(reason, ())), {"uri": ""})
            rows.append(
                (reason, format_count(count), REASONS.get(reason, ""), visible_uri(example["uri"]))
            )
        print_table(("reason", "objects", "because", "such as"), rows, right=("objects",))
        print_line()
    if found.stopped_because is not None:
        print_line(f"Stopped: {visible(found.stopped_because)}. To go on: greendata purge")
    if found.next_at is not None:
        print_line(f"The next are due on {found.next_at:%Y-%m-%d}.")


def exit_code(found: PurgeSummary) -> int:
    """3 when something that was due stays, 130 when it was interrupted."""
    if found.is_interrupted:
        return EXIT_INTERRUPTED
    return EXIT_PARTIAL if found.is_partial else 0
