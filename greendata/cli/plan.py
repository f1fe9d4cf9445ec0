"""``greendata plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from datetime import datetime

    from greendata.cli.settings import Settings

EXIT_FOUND = 4


@click.command()
@click.argument("policies", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    "directory",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the plan goes; must be empty or not there.",
)
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]),
    help="Decide and price as of this moment (UTC) rather than now.",
)
@click.option(
    "--detailed-exitcode", is_flag=True, help="Exit with 4 when there is something to do."
)
@shared_options
@click.pass_obj
def plan(
    settings: Settings,
    /,
    policies: tuple[str, ...],
    directory: Path,
    as_of: datetime | None,
    detailed_exitcode: bool,
) -> None:
    """Decide what policies (files or folders) would do, price it, and write it down.

    Nothing is changed. DIR gets plan.json, actions.parquet (what would be done to which object,
    why, for what money, energy and carbon) and decisions.parquet (why every other object stays).
    Actions that do not pay back, whose price is not known, or whose copy does not stay are
    refused; that is a result, not a failure. Applying a plan beyond the limits of greendata.yaml
    is refused (by default 10,000 objects, 10 TiB, 20 % of the objects in scope).

    \b
    Examples:
      greendata plan policies/ -o plan/
      greendata plan policies/archive.yaml -o plan/ --detailed-exitcode
      greendata show plan/ --format markdown
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_json
    from greendata.cli.show_plan import show_plan
    from greendata.jobs.plan import PlanRequest, make_plan

    config = settings.config
    moment = datetime.now(UTC) if as_of is None else as_of
    found = make_plan(
        PlanRequest(
            paths=policies,
            directory=directory,
            catalog=settings.catalog,
            as_of=moment if moment.tzinfo else moment.replace(tzinfo=UTC),
            stores=config.stores,
            datasets=config.datasets,
            limits=config.limits,
            max_age_seconds=config.inventory_max_age_seconds,
        )
    )
    if settings.is_json:
        print_json(found.model_dump(mode="json"))
    else:
        show_plan(found, directory)
    if detailed_exitcode and found.totals.actions:
        raise click.exceptions.Exit(EXIT_FOUND)
