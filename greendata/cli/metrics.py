"""``greendata metrics``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.command()
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write them to FILE, which is replaced as a whole: for node exporter's textfile collector"
    " it ends in .prom.",
)
@click.option(
    "--openmetrics", "is_openmetrics", is_flag=True, help="Print OpenMetrics instead of Prometheus."
)
@click.option(
    "--push", is_flag=True, help="Send them by OTLP to `metrics: otlp` of greendata.yaml."
)
@shared_options
@click.pass_obj
def metrics(settings: Settings, /, output: str | None, is_openmetrics: bool, push: bool) -> None:
    """Print what is stored, what it costs and what runs took, for Prometheus.

    Gauges are of the catalog's inventory, in bytes, grams, joules, seconds and USD; estimates are
    of a month, each with its bounds beside it. Counters go on from run to run.

    \b
    Examples:
      greendata metrics
      greendata metrics -o /var/lib/node_exporter/greendata.prom
      greendata metrics --push
      greendata metrics --json
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_json, print_line, visible
    from greendata.jobs import metrics as job

    config = settings.config
    found = job.catalog_metrics(
        job.MetricsRequest(
            catalog=settings.catalog,
            as_of=datetime.now(UTC),
            stores=config.stores,
            datasets=config.datasets,
            budgets=config.operating.budgets,
        )
    )
    if push:
        job.push_metrics(found.metrics, config.operating.metrics)
    if output is not None:
        job.write_text_file(found.metrics, Path(output))
    if settings.is_json:
        print_json(found.as_dict())
    elif output is not None or push:
        count = len(found.metrics.samples())
        print_line(f"{count} values{f' in {visible(output)}' if output else ' sent'}.")
    else:
        click.echo(found.metrics.render(is_openmetrics=is_openmetrics), nl=False)
    for warning in found.warnings:
        click.echo(f"Note: {visible(warning)}", err=True)
