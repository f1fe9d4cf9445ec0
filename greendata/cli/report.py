"""``greendata report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from datetime import datetime

    from greendata.cli.settings import Settings

FORMATS = ("html", "markdown", "json")


@click.command()
@click.option("-o", "--output", metavar="FILE", help="Write to FILE; its ending names the format.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="Write in this format, on stdout or with -o.",
)
@click.option("--force", is_flag=True, help="Replace the file of -o if it is there already.")
@click.option(
    "--plan",
    "plan",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Show what the plan in DIR would do, and what it refuses.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]),
    help="Leave out runs, scans and refreshes before this moment (UTC).",
)
@click.option(
    "--top",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Entries of each list; the rest is summed in one more.",
)
@click.option(
    "--texts", "with_texts", is_flag=True, help="Show how the texts of the largest groups begin."
)
@shared_options
@click.pass_obj
def report(
    settings: Settings,
    /,
    output: str | None,
    file_format: str | None,
    force: bool,
    plan: Path | None,
    since: datetime | None,
    top: int,
    with_texts: bool,
) -> None:
    """Write what is stored, redundant, done and open as one page.

    The HTML page is one file that loads nothing: charts are in it, tables sort and filter, it reads
    well in light and dark, on paper and with a screen reader. Every figure links to what it means.

    \b
    Examples:
      greendata report -o report.html
      greendata report -o report.html --force --plan plan/ --since 2026-01-01
      greendata report --format markdown > report.md
      greendata report --json
    """
    from datetime import UTC, datetime

    from greendata.cli.show_report import show_report
    from greendata.jobs import report as job

    chosen = file_format or ("json" if settings.is_json and output is None else None)
    target = job.choose_target(chosen, output, overwrite=force)
    config = settings.config
    request = job.ReportRequest(
        catalog=settings.catalog,
        as_of=datetime.now(UTC),
        stores=config.stores,
        datasets=config.datasets,
        since=None if since is None else since if since.tzinfo else since.replace(tzinfo=UTC),
        top=top,
        plan=plan,
        with_texts=with_texts,
        max_age_seconds=config.inventory_max_age_seconds,
    )
    found = job.make_report(request)
    show_report(found, job.write_report(found, target), target, settings)
