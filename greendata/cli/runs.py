"""``greendata runs`` and ``greendata runs show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Runs.")
@shared_options
@click.pass_context
def runs(context: click.Context, /, limit: int) -> None:
    """List the runs of plans, newest first.

    A run is one attempt at one plan. It is running, finished, partial (some actions were skipped
    or failed), pending (some go on later), stopped, undone or purged.

    \b
    Examples:
      greendata runs
      greendata runs show 0f3a91c2b4d5e6f7-1
    """
    from greendata.cli.output import print_answer
    from greendata.cli.show_runs import show_runs
    from greendata.jobs.run_history import RunsRequest, find_runs

    if context.invoked_subcommand is not None:
        return
    settings: Settings = context.obj
    request = RunsRequest(
        catalog=settings.catalog,
        limit=limit,
        stores=settings.config.stores,
        datasets=settings.config.datasets,
    )
    print_answer(settings, find_runs(request), show_runs)


@runs.command("show")
@click.argument("run_id", metavar="RUN")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Lines of each list."
)
@shared_options
@click.pass_obj
def show_command(settings: Settings, /, run_id: str, limit: int) -> None:
    """Show what a run did, what it left undone and why, and what waits to be purged.

    \b
    Example:
      greendata runs show 0f3a91c2b4d5e6f7-1
    """
    from greendata.cli.output import print_answer
    from greendata.cli.show_runs import show_run
    from greendata.jobs.run_history import RunsRequest
    from greendata.jobs.run_history import show_run as find_run

    request = RunsRequest(
        catalog=settings.catalog,
        run_id=run_id,
        limit=limit,
        stores=settings.config.stores,
        datasets=settings.config.datasets,
    )
    print_answer(settings, find_run(request), show_run)
