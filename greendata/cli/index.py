"""``greendata index``: export and import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from greendata.cli.options import memory_option, shared_options, workers_option

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.group()
@shared_options
def index() -> None:
    """Take a dataset's index elsewhere, without its data.

    \b
    Examples:
      greendata index export web-crawl -o web-crawl.index
      greendata index import web-crawl.index --catalog site-b
    """


@index.command("export")
@click.argument("dataset")
@click.option("-o", "--output", required=True, metavar="FILE", help="The index file.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@shared_options
@click.pass_obj
def export_command(settings: Settings, /, dataset: str, output: str, force: bool) -> None:
    """Write the fingerprints of a dataset's documents: about 150 bytes each, no text.

    \b
    Example:
      greendata index export web-crawl -o web-crawl.index
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_json, print_line, visible_uri
    from greendata.jobs.index import export_index
    from greendata.units import format_bytes, format_count

    found = export_index(
        dataset,
        Path(output),
        catalog=settings.catalog,
        stores=settings.config.stores,
        overwrite=force,
        now=datetime.now(UTC),
    )
    if settings.is_json:
        print_json(found.as_dict())
    else:
        print_line(
            f"{format_count(found.documents)} documents of {format_count(found.objects)} objects"
            f" ({format_bytes(found.text_bytes)} of text): {format_bytes(found.size_bytes)} in"
            f" {visible_uri(found.path)}"
        )


@index.command("import")
@click.argument("file", metavar="FILE")
@click.option("--name", metavar="NAME", help="The dataset's name here; by default as exported.")
@memory_option
@workers_option
@shared_options
@click.pass_obj
def import_command(
    settings: Settings, /, file: str, name: str | None, memory_bytes: int, workers: int
) -> None:
    """Add an index to the catalog as a dataset; one of that name is replaced.

    Identical documents are found; near-duplicates stay candidates, as there is no text to compare.

    \b
    Example:
      greendata index import web-crawl.index --name public-crawl
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_json
    from greendata.cli.show_scan import show_scan
    from greendata.jobs.index import import_index
    from greendata.jobs.request import ScanRequest

    request = ScanRequest(
        uris=(),
        catalog=settings.catalog,
        stores=settings.config.stores,
        memory_bytes=memory_bytes,
        workers=workers,
    )
    with settings.open_progress() as progress:
        found = import_index(
            Path(file), request, name=name, progress=progress, now=datetime.now(UTC)
        )
    if settings.is_json:
        print_json(found.as_dict())
    else:
        show_scan(found, settings)
