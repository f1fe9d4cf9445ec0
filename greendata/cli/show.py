"""``greendata show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(("text", "markdown", "json")),
    default="text",
    show_default=True,
    help="For people, for a pull request, or for programs.",
)
@click.option(
    "--against",
    metavar="OTHERDIR",
    type=click.Path(path_type=Path),
    help="Show what differs from this plan on the same inventory.",
)
@shared_options
@click.pass_obj
def show(settings: Settings, /, directory: Path, kind: str, against: Path | None) -> None:
    """Show a plan that `greendata plan` wrote, checked to be as it was written.

    \b
    Examples:
      greendata show plan/
      greendata show plan/ --format markdown > comment.md
      greendata show plan/ --against base-plan/ --format markdown
    """
    import sys
    from dataclasses import asdict

    from greendata.cli.output import print_json
    from greendata.cli.show_plan import show_difference, show_plan
    from greendata.jobs.show import compare, read_plan
    from greendata.model import SCHEMA_VERSION
    from greendata.plan.render import markdown, markdown_difference

    is_json = settings.is_json or kind == "json"
    if against is not None:
        difference = compare(directory, against)
        if is_json:
            print_json({"schema_version": SCHEMA_VERSION} | asdict(difference))
        elif kind == "markdown":
            sys.stdout.write(markdown_difference(difference))
        else:
            show_difference(difference)
        return
    found = read_plan(directory)
    if is_json:
        print_json(found.model_dump(mode="json"))
    elif kind == "markdown":
        sys.stdout.write(markdown(found))
    else:
        show_plan(found, directory)
