"""``greendata footprint``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings
    from greendata.jobs.footprint import By

BY = ("dataset", "region", "tier")


@click.command()
@click.option(
    "--by", type=click.Choice(BY), default="dataset", show_default=True, help="What to sum by."
)
@click.option(
    "--sci", "with_sci", is_flag=True, help="Add the Software Carbon Intensity of each dataset."
)
@shared_options
@click.pass_obj
def footprint(settings: Settings, /, by: By, with_sci: bool) -> None:
    """Show what is stored today in USD, kWh and kgCO2e a month.

    From the inventory of the last `greendata inventory` or `greendata scan`: current objects,
    earlier versions and incomplete uploads. Amounts come with what they lie between; what no list
    knows is named and never zero.

    \b
    Examples:
      greendata footprint
      greendata footprint --by tier
      greendata footprint --by region --json
      greendata footprint --sci
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_json
    from greendata.cli.show_footprint import show_footprint
    from greendata.jobs import footprint as job

    config = settings.config
    request = job.FootprintRequest(
        catalog=settings.catalog,
        as_of=datetime.now(UTC),
        stores=config.stores,
        datasets=config.datasets,
        by=by,
        with_sci=with_sci,
        max_age_seconds=config.inventory_max_age_seconds,
    )
    found = job.measure_footprint(request)
    if settings.is_json:
        print_json(found.as_dict())
    else:
        show_footprint(found, with_sources=settings.verbosity > 0)
