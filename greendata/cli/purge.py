"""``greendata purge``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greendata.cli.apply import run_options
from greendata.cli.options import ByteSize, shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings
    from greendata.jobs.parts import Pace


@click.command()
@click.option("--run", "run", metavar="RUN", help="Only what this run put into quarantine.")
@click.option(
    "--older-than",
    metavar="TIME",
    help="Only what has been in quarantine so long, such as 45d, whatever its grace time.",
)
@click.option(
    "-p",
    "--policies",
    multiple=True,
    metavar="PATH",
    help="Policies of the runs, files or folders: what they let expire goes only if they still say"
    " the same.",
)
@click.option("--max-objects", type=click.IntRange(1), default=10_000, show_default=True,
              help="Refuse when more is due.")  # fmt: skip
@click.option("--max-bytes", type=ByteSize(), default="10TiB", show_default=True,
              help="Refuse when more is due.")  # fmt: skip
@run_options
@shared_options
@click.pass_obj
def purge(
    settings: Settings,
    /,
    run: str | None,
    older_than: str | None,
    policies: tuple[str, ...],
    max_objects: int,
    max_bytes: int,
    yes: bool,
    pace: Pace,
) -> None:
    """Remove for ever what has waited in quarantine beyond its grace time.

    No other command removes data. Each object is looked at once more: what stands for it is read
    and compared with it by SHA-256, must be online and not about to leave; of what a policy let
    expire, the policy must be the same still (--policies). Whatever is held, retained, wanted back
    or in doubt stays, and is named. Each removal leaves a tombstone in the run's journal. Killed
    anywhere, the same command goes on. Exits with 3 when something that was due stays.

    \b
    Examples:
      greendata purge
      greendata purge --run 3fa1c0ffee123456-1 --older-than 45d --policies policies/ --yes
    """
    from datetime import UTC, datetime, timedelta

    from greendata.cli.confirm import confirm
    from greendata.cli.output import print_answer
    from greendata.cli.show_purge import exit_code, show_prepared_purge, show_purged
    from greendata.jobs.purge import PurgeRequest, carry_out_purge, prepare_purge
    from greendata.units import format_bytes, format_count, parse_duration

    request = PurgeRequest(
        catalog=settings.catalog,
        run_id=run,
        older_than=timedelta(seconds=parse_duration(older_than) if older_than else 0),
        policies=policies,
        most_objects=max_objects,
        most_bytes=max_bytes,
        stores=settings.config.stores,
        datasets=settings.config.datasets,
        carbon=settings.config.operating.carbon,
        pace=pace,
    )
    with settings.open_progress() as progress:
        prepared = prepare_purge(request, now=datetime.now(UTC), progress=progress)
    if prepared.objects and not yes:
        show_prepared_purge(prepared)
        what = f"{format_count(prepared.objects)} objects, {format_bytes(prepared.size_bytes)}"
        confirm(f"Remove {what}, for ever?", settings)
    with settings.open_progress() as progress:
        summary = carry_out_purge(prepared, progress=progress)
    print_answer(settings, summary, show_purged)
    if code := exit_code(summary):
        raise click.exceptions.Exit(code)
