"""``greendata apply`` and ``greendata resume``."""

from __future__ import annotations

import functools
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from greendata.cli.settings import Settings
    from greendata.jobs.apply import ApplyRequest
    from greendata.jobs.parts import Pace

EXIT_PARTIAL = 3


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of everything that changes stores: ``yes``, and the rest as one ``pace``."""

    @functools.wraps(command)
    def with_pace(
        *values: object,
        workers: int,
        actions_per_second: float | None,
        most_failures: int,
        break_lease: bool,
        **named: object,
    ) -> None:
        from greendata.jobs.parts import Pace

        pace = Pace(
            workers=workers,
            actions_per_second=actions_per_second,
            most_failures=most_failures,
            break_lease=break_lease,
        )
        command(*values, pace=pace, **named)

    options = [
        click.option("-y", "--yes", is_flag=True, help="Do not ask: for scheduled jobs."),
        click.option("--workers", type=click.IntRange(1, 256), default=16, show_default=True,
                     help="Actions at the same time."),
        click.option("--rate", "actions_per_second", type=click.FloatRange(0.001), metavar="N",
                     help="At most so many actions a second."),
        click.option("--max-failures", "most_failures", type=click.IntRange(1), default=20,
                     show_default=True, help="Stop after so many failures in a row."),
        click.option("--break-lease", is_flag=True,
                     help="Take over from a run that is alive; only when you know that it is not."),
    ]  # fmt: skip
    for option in reversed(options):
        with_pace = option(with_pace)
    return with_pace


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--allow-irreversible",
    is_flag=True,
    help="Carry out actions that nothing can bring back, such as aborting uploads.",
)
@run_options
@shared_options
@click.pass_obj
def apply(
    settings: Settings,
    /,
    directory: Path,
    yes: bool,
    allow_irreversible: bool,
    pace: Pace,
) -> None:
    """Carry out the plan in DIR: journalled, conditional, verified, and to be gone on with.

    Each object is looked at again before it is changed; whatever is not as it was planned is left
    alone. Nothing is deleted: what is removed waits in quarantine until purge. Killed anywhere, the
    same command goes on. Refused are plans that were edited, that are older than seven days, that
    go beyond the limits of greendata.yaml (by default 10,000 objects, 10 TiB, 20 % of the objects
    in scope), and stores that ignore a precondition that safety needs (exit 33; see doctor).
    Exits with 3 when some objects were left alone.

    \b
    Examples:
      greendata apply plan/
      greendata apply plan/ --yes --rate 50
    """
    carry_out_asked(
        settings,
        apply_request(
            settings,
            directory=directory,
            allow_irreversible=allow_irreversible,
            **asdict(pace),
        ),
        is_confirmed=yes,
    )


@click.command()
@click.argument("run", metavar="RUN")
@run_options
@shared_options
@click.pass_obj
def resume(
    settings: Settings,
    /,
    run: str,
    yes: bool,
    pace: Pace,
) -> None:
    """Go on with a run that was stopped, or whose pending actions are due.

    The plan is kept beside the journal, so that its folder is not needed.

    \b
    Examples:
      greendata resume 3fa1c0ffee123456-1 --yes
    """
    carry_out_asked(
        settings,
        apply_request(
            settings,
            run_id=run,
            allow_irreversible=True,  # asked for when the run began
            **asdict(pace),
        ),
        is_confirmed=yes,
    )


def apply_request(settings: Settings, **named: object) -> ApplyRequest:
    """A request with what greendata.yaml says."""
    from greendata.jobs.apply import ApplyRequest

    config = settings.config
    known: dict[str, object] = {
        "catalog": settings.catalog,
        "stores": config.stores,
        "datasets": config.datasets,
        "carbon": config.operating.carbon,
        "limits": config.limits,
    }
    return ApplyRequest(**known | named)  # type: ignore[arg-type]


def carry_out_asked(settings: Settings, request: ApplyRequest, *, is_confirmed: bool) -> None:
    """Check, ask unless that was done, carry out, and tell."""
    from datetime import UTC, datetime

    from greendata.cli.confirm import confirm
    from greendata.cli.output import print_answer
    from greendata.cli.show_run import exit_code, show_prepared, show_summary
    from greendata.jobs.apply import carry_out, prepare_apply

    with settings.open_progress() as progress:
        prepared = prepare_apply(request, now=datetime.now(UTC), progress=progress)
    if prepared.open_actions and not is_confirmed:
        show_prepared(prepared)
        confirm("Carry it out?", settings)
    with settings.open_progress() as progress:
        summary = carry_out(prepared, progress=progress)
    print_answer(settings, summary, show_summary)
    code = exit_code(summary)
    if code:
        raise click.exceptions.Exit(code)
