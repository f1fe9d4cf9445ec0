"""``greendata overlap``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greendata.cli.options import export_options, shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings

LEVELS = ("object", "dataset", "all")


@click.command()
@click.option(
    "--level", type=click.Choice(LEVELS), default="all", show_default=True, help="What to compare."
)
@click.option(
    "--min-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Only where at least this share of one is in the other, 0 to 1.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Pairs of each level."
)
@export_options
@shared_options
@click.pass_obj
def overlap(
    settings: Settings,
    level: Any,
    min_share: float,
    limit: int,
    file_format: str | None,
    output: str | None,
    force: bool,
) -> None:
    """Show how much of one object or dataset is contained in another, both ways.

    Exact duplicates and verified near-duplicates count. Shares are of documents and of bytes of
    text.

    \b
    Examples:
      greendata overlap --level dataset
      greendata overlap --min-share 0.5 -o overlap.csv
    """
    from greendata.cli.output import print_json
    from greendata.cli.show_export import show_export
    from greendata.cli.show_overlap import show_overlaps
    from greendata.jobs import overlap as job
    from greendata.jobs.export import choose_destination

    destination = choose_destination(file_format, output, overwrite=force)
    request = job.OverlapRequest(
        catalog=settings.catalog,
        level=level,
        min_share=min_share,
        limit=limit,
        stores=settings.config.stores,
    )
    if destination is not None:
        show_export(job.export_overlaps(request, destination), destination, settings)
    elif settings.is_json:
        print_json(job.find_overlaps(request).as_dict())
    else:
        show_overlaps(job.find_overlaps(request))
