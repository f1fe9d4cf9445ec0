"""``greendata run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings
    from greendata.jobs.schedule import ScheduledRequest


class Percent(click.ParamType[float]):
    """``1%`` or ``0.5%``, as a share."""

    name = "percent"

    def convert(
        self, value: object, param: click.Parameter | None, context: click.Context | None
    ) -> float:
        """The share that a text means."""
        if isinstance(value, float):
            return value
        text = str(value)
        try:
            found = float(text.removesuffix("%")) / 100
        except ValueError:
            found = -1.0
        if not text.endswith("%") or not 0 < found <= 1:
            self.fail(f"{text!r} is not a percentage such as 1%", param, context)
        return found


@click.command()
@click.argument("policies", nargs=-1, required=True, metavar="POLICY…")
@click.option("--uri", "uris", multiple=True, metavar="URI", help="Refresh this; may be repeated.")
@click.option(
    "--from-reports",
    "reports",
    multiple=True,
    metavar="URI",
    help="Inventory reports below URI say what there is: no listing, no scan; may be repeated.",
)
@click.option("--no-scan", is_flag=True, help="Refresh the inventory only; read no texts.")
@click.option("--no-wait", is_flag=True, help="Outside the carbon window end with 5.")
@click.option("--print-window", is_flag=True, help="Show when it would run, and do nothing.")
@click.option(
    "--print-schedule",
    type=click.Choice(["cron", "systemd", "k8s", "github", "airflow"]),
    help="Print what runs this command every night, and do nothing.",
)
@click.option(
    "--canary",
    "canary_share",
    type=Percent(),
    metavar="1%",
    help="Carry out this share first; go on only if it went well, else take it back.",
)
@click.option(
    "--max-canary-failures",
    "most_canary_failures",
    type=Percent(),
    default="5%",
    show_default=True,
    help="Share of failures up to which it went well.",
)
@click.option("--must-tell", is_flag=True, help="An alert that reaches nobody gives exit code 3.")
@click.option(
    "--break-lease",
    is_flag=True,
    help="Take over what another process holds: only if it is certainly dead.",
)
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write a report.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    help="Actions at the same time; fewer where `scale_workers` says so.",
)
@click.option(
    "--rate",
    "actions_per_second",
    type=click.FloatRange(0.001),
    metavar="N",
    help="At most so many actions a second.",
)
@shared_options
@click.pass_obj
def run(
    settings: Settings,
    /,
    policies: tuple[str, ...],
    uris: tuple[str, ...],
    reports: tuple[str, ...],
    no_scan: bool,
    no_wait: bool,
    print_window: bool,
    print_schedule: str | None,
    canary_share: float | None,
    most_canary_failures: float,
    must_tell: bool,
    break_lease: bool,
    report: Path | None,
    workers: int,
    actions_per_second: float | None,
) -> None:
    """One scheduled pass: refresh, plan, apply within limits, report.

    First it goes on with runs that were stopped or killed, or whose pending actions are due. Then
    it refreshes the inventory and reads what changed, checks the policies and runs their cases,
    plans, applies within the limits of greendata.yaml, and tells whom `alerts:` names. With
    `carbon:` it waits for the cleanest hours, and runs at the deadline in any case. What cannot be
    undone is left alone unless the policy's guard says `unattended: true`. The last line is JSON.

    \b
    Exit codes: 0 done or nothing to do, 3 some objects were left alone, 5 postponed, 13 a policy
    case fails, 32 a limit or an enforced budget is exceeded, 40 another pass is at work.

    \b
    Examples:
      greendata run policies/
      greendata run policies/ --canary 1% --report report.html
      greendata run policies/ --no-wait
      greendata run policies/ --print-schedule k8s
    """
    from greendata.cli.output import print_answer, print_json_line
    from greendata.cli.show_window import show_window
    from greendata.jobs.print_schedule import render_schedule
    from greendata.jobs.schedule import ScheduledRequest
    from greendata.jobs.scheduled import run_scheduled, scheduled_window
    from greendata.stores.opening import normalise_uri

    if print_schedule is not None:
        click.echo(render_schedule(print_schedule, policies), nl=False)
        return
    config = settings.config
    request: ScheduledRequest = ScheduledRequest(
        policies=policies,
        catalog=settings.catalog,
        operating=config.operating,
        uris=uris,
        reports=tuple(normalise_uri(uri, config.stores) for uri in reports),
        stores=config.stores,
        datasets=config.datasets,
        limits=config.limits,
        max_age_seconds=config.inventory_max_age_seconds,
        with_scan=not no_scan,
        no_wait=no_wait,
        canary_share=canary_share,
        most_canary_failures=most_canary_failures,
        must_tell=must_tell,
        break_lease=break_lease,
        workers=workers,
        actions_per_second=actions_per_second,
        report=report,
    )
    if print_window:
        print_answer(settings, scheduled_window(request), show_window)
        return
    with settings.open_progress() as progress:
        found = run_scheduled(request, progress=progress)
    print_json_line(found.as_dict())
    if found.exit_code:
        raise click.exceptions.Exit(found.exit_code)
