"""``greendata demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greendata.cli.options import ByteSize, shared_options, workers_option

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.command()
@click.option(
    "--directory",
    metavar="DIR",
    help="Where to write the data, a folder that is new or empty.  [default: a temporary one]",
)
@click.option(
    "--max-bytes",
    type=ByteSize(),
    default="60MB",
    show_default=True,
    help="Take at most so much text.",
)
@workers_option
@shared_options
@click.pass_obj
def demo(settings: Settings, directory: str | None, max_bytes: int, workers: int) -> None:
    """Try greendata on the sources of this Python installation.

    Two versions of a small dataset are written from the standard library and the installed
    packages, then scanned. It stays under a minute and uses no network. The data is kept, so that
    you can look further; delete the folder when you are done.

    \b
    Example:
      greendata demo --directory greendata-demo
    """
    import tempfile
    from datetime import UTC, datetime
    from pathlib import Path

    from greendata.cli.output import print_json
    from greendata.cli.show_demo import show_demo
    from greendata.jobs.demo import run_demo

    folder = directory or tempfile.mkdtemp(prefix="greendata-demo-")
    with settings.open_progress() as progress:
        result = run_demo(
            Path(folder),
            max_bytes=max_bytes,
            workers=workers,
            progress=progress,
            now=datetime.now(UTC),
        )
    if settings.is_json:
        print_json(result.as_dict())
    else:
        show_demo(result, settings)
