"""``greendata objects``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greendata.cli.options import export_options, shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings

STATES = ("current", "noncurrent", "delete-marker", "upload", "all")
ORDERS = ("uri", "size", "idle", "age", "redundant", "cost")
TIERS = ("hot", "intelligent", "cool", "cold", "archive", "deep_archive", "unknown")


@click.command()
@click.option("--dataset", metavar="NAME", help="Only objects of this dataset.")
@click.option("--tier", type=click.Choice(TIERS), help="Only objects in this tier.")
@click.option("--uri", "uri_glob", metavar="GLOB", help="Only objects whose URI matches.")
@click.option(
    "--state",
    type=click.Choice(STATES),
    default="current",
    show_default=True,
    help="Current objects, earlier versions, delete markers or incomplete uploads.",
)
@click.option(
    "--sort", "order", type=click.Choice(ORDERS), default="size", show_default=True, help="Order."
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Objects to show."
)
@click.option("--columns", metavar="NAMES", help="Columns of the inventory, with commas.")
@export_options
@shared_options
@click.pass_obj
def objects(
    settings: Settings,
    /,
    columns: str | None,
    file_format: str | None,
    output: str | None,
    force: bool,
    **filters: Any,
) -> None:
    """Show what the inventory knows of every object.

    The inventory is what `greendata inventory` and `greendata scan` listed last: where an object
    is, how large, old and idle it is, what it costs, and how much of it is stored elsewhere too.

    \b
    Examples:
      greendata objects --sort idle --limit 50
      greendata objects --dataset web-crawl --columns uri,size_bytes,idle_days --format csv
      greendata objects --state all -o objects.parquet
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_json
    from greendata.cli.show_export import show_export
    from greendata.cli.show_objects import show_objects
    from greendata.jobs import objects as job
    from greendata.jobs.export import choose_destination

    destination = choose_destination(file_format, output, overwrite=force)
    config = settings.config
    request = job.ObjectsRequest(
        catalog=settings.catalog,
        as_of=datetime.now(UTC),
        stores=config.stores,
        datasets=config.datasets,
        columns=tuple(name.strip() for name in columns.split(",")) if columns else (),
        max_age_seconds=config.inventory_max_age_seconds,
        **filters,
    )
    if destination is not None:
        show_export(job.export_objects(request, destination), destination, settings)
    elif settings.is_json:
        print_json(job.find_objects(request).as_dict())
    else:
        show_objects(job.find_objects(request), request.columns)
