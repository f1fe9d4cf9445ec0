"""What the demo found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line
from greendata.cli.show_duplicates import show_groups
from greendata.cli.show_overlap import show_overlaps
from greendata.cli.show_scan import show_next, show_scan

if TYPE_CHECKING:
    from greendata.cli.settings import Settings
    from greendata.jobs.demo import DemoResult


def show_demo(result: DemoResult, settings: Settings) -> None:
    """The summary, the largest groups, the overlap, and where to look next."""
    settings.catalog_option = result.catalog
    print_line("Two versions of a dataset, from the sources of this Python installation")
    print_line()
    show_scan(result.summary, settings)
    print_line()
    print_line("The largest groups of duplicates")
    print_line()
    show_groups(result.groups)
    print_line()
    print_line("The largest groups of near-duplicates alone")
    print_line()
    show_groups(result.near_groups)
    print_line()
    print_line("Overlap")
    print_line()
    show_overlaps(result.overlaps)
    print_line()
    show_next(settings)
    print_line()
    print_line(f"The data and the catalog are in {result.directory}; delete it when you are done.")
