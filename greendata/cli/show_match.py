"""Matches, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible_uri
from greendata.units import format_count

if TYPE_CHECKING:
    from greendata.jobs.match import Matches

_SHOWN = 50


def show_matches(found: Matches) -> None:
    """A line a document that is known, then how many are."""
    if found.matches:
        print_table(
            ("document", "row", "kind", "jaccard", "known as", "row", "dataset"),
            [
                (
                    visible_uri(entry.uri),
                    str(entry.row),
                    entry.kind,
                    f"{entry.jaccard:.3f}",
                    visible_uri(entry.known_uri),
                    str(entry.known_row),
                    visible_uri(entry.known_dataset),
                )
                for entry in found.matches[:_SHOWN]
            ],
        )
        more = len(found.matches) - _SHOWN
        if more > 0:
            print_line(f"and {format_count(more)} more (-o FILE for all)")
        print_line()
    print_line(
        f"{format_count(len(found.matches))} of {format_count(found.documents)} documents are known"
        f" (Jaccard {found.threshold} or more, verified)."
    )
    if found.left_out:
        print_line(f"{format_count(found.left_out)} less likely candidates were not compared.")
    if found.unread:
        print_line(f"{format_count(found.unread)} candidates could not be read, so not compared.")
    for entry in found.skipped:
        print_line(f"Not read: {visible_uri(entry.uri)}: {entry.detail}")
