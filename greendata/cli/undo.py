"""``greendata undo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greendata.cli.apply import run_options
from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings
    from greendata.jobs.parts import Pace


@click.command()
@click.argument("run", metavar="RUN")
@run_options
@shared_options
@click.pass_obj
def undo(
    settings: Settings,
    /,
    run: str,
    yes: bool,
    pace: Pace,
) -> None:
    """Take back what a run did: bytes, metadata, tags, storage class, times of files.

    For each object the last action is taken back first. Whatever somebody else changed or put there
    since is left alone and named. What is archived is restored first: it goes on when it is
    readable, with the same command. Says what nothing takes back. Killed anywhere, the same command
    goes on; done twice it is done once. The plan can be applied again afterwards. Exits with 3 when
    something was left alone.

    \b
    Examples:
      greendata undo 3fa1c0ffee123456-1
      greendata undo 3fa1c0ffee123456-1 --yes --json
    """
    from datetime import UTC, datetime

    from greendata.cli.confirm import confirm
    from greendata.cli.output import print_answer
    from greendata.cli.show_run import exit_code
    from greendata.cli.show_undo import show_prepared_undo, show_undone
    from greendata.jobs.undo import UndoRequest, carry_out_undo, prepare_undo

    request = UndoRequest(
        catalog=settings.catalog,
        run_id=run,
        stores=settings.config.stores,
        datasets=settings.config.datasets,
        carbon=settings.config.operating.carbon,
        pace=pace,
    )
    with settings.open_progress() as progress:
        prepared = prepare_undo(request, now=datetime.now(UTC), progress=progress)
    if prepared.open_actions and not yes:
        show_prepared_undo(prepared)
        confirm("Take it back?", settings)
    with settings.open_progress() as progress:
        summary = carry_out_undo(prepared, progress=progress)
    print_answer(settings, summary, show_undone)
    if code := exit_code(summary):
        raise click.exceptions.Exit(code)
