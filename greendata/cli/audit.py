"""``greendata audit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greendata.cli.options import shared_options
from greendata.errors import IntegrityError

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


class Share(click.ParamType[float]):
    """``1%``, ``0.5%``, ``100%``."""

    name = "percent"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """A share, above 0 and at most 1."""
        if isinstance(value, float):
            return value
        try:
            percent = float(str(value).removesuffix("%"))
        except ValueError:
            percent = 0.0
        if not 0 < percent <= 100:
            self.fail(f"{value!r} is not a percentage such as 1% or 100%", param, ctx)
        return percent / 100


@click.command()
@click.argument("uris", metavar="[URI]...", nargs=-1)
@click.option("--full", "is_full", is_flag=True, help="Read every object and digest it.")
@click.option(
    "--sample",
    type=Share(),
    default="100%",
    metavar="PERCENT",
    help="Look at so many of the objects, those first that were not looked at for longest.",
)
@shared_options
@click.pass_obj
def audit(settings: Settings, /, uris: tuple[str, ...], is_full: bool, sample: float) -> None:
    """Look whether everything that runs rely on is there: nothing is changed.

    Every copy that stands for others, everything in quarantine, every pin and every object that a
    dataset's manifest names is asked for (with --full: read and compared by SHA-256). Also named
    are pins, quarantine and staging that no run of this catalog knows, uploads of ours that nobody
    completed, and damaged journals. With --sample 1% every day all is looked at in a hundred days.
    Exits with 31 when anything is wrong.

    \b
    Examples:
      greendata audit
      greendata audit s3://bucket/ --full --sample 1%
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_answer
    from greendata.cli.show_audit import show_audit
    from greendata.jobs.audit import AuditRequest
    from greendata.jobs.audit import audit as look

    request = AuditRequest(
        catalog=settings.catalog,
        uris=uris,
        is_full=is_full,
        sample=sample,
        datasets=settings.config.datasets,
        stores=settings.config.stores,
    )
    with settings.open_progress() as progress:
        found = look(request, now=datetime.now(UTC), progress=progress)
    print_answer(settings, found, show_audit)
    if not found.is_clean:
        raise click.exceptions.Exit(IntegrityError.exit_code)
