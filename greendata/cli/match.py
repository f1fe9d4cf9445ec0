"""``greendata match``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greendata.cli.options import (
    EXIT_SOME_SKIPPED,
    export_options,
    shared_options,
    workers_option,
)
from greendata.errors import UsageError

if TYPE_CHECKING:
    from greendata.cli.settings import Settings

EXIT_FOUND = 4


@click.command()
@click.argument("paths", nargs=-1, metavar="[DOCS]...")
@click.option("--stdin", "is_stdin", is_flag=True, help="Read JSON Lines from standard input.")
@click.option("--text-column", metavar="NAME", help="The column of the text; a.b for a field.")
@click.option("--rows", "whole_rows", is_flag=True, help="Compare whole rows, not one column.")
@click.option("--lines", is_flag=True, help="In plain text every line is a document.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    help="Jaccard from which a document is known.  [default: that of the last scan]",
)
@click.option("--dataset", metavar="NAME", help="Only documents of this dataset of the catalog.")
@click.option(
    "--max-candidates",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Texts that one document is compared with, the likeliest first.",
)
@workers_option
@export_options
@shared_options
@click.pass_obj
def match(
    settings: Settings,
    /,
    paths: tuple[str, ...],
    is_stdin: bool,
    file_format: str | None,
    output: str | None,
    force: bool,
    text_column: str | None,
    whole_rows: bool,
    lines: bool,
    **options: Any,
) -> None:
    """Say which of these documents the catalog already has, and where.

    A gate before ingestion: exits with 4 when any is known, 0 when all are new. Every match was
    verified by comparing the texts. Nothing is kept.

    \b
    Examples:
      greendata match incoming/*.jsonl
      zcat new.jsonl.gz | greendata match --stdin --threshold 0.9 --json
    """
    import sys

    import pyarrow as pa

    from greendata.cli.output import print_json
    from greendata.cli.show_export import show_export
    from greendata.cli.show_match import show_matches
    from greendata.jobs import match as job
    from greendata.jobs.export import choose_destination, write_rows
    from greendata.shards.base import ReadOptions
    from greendata.stores.opening import normalise_uri

    if bool(paths) == is_stdin:
        raise UsageError("nothing to match", hint="Name DOCS, or give --stdin, not both.")
    if whole_rows and text_column is not None:
        raise UsageError("--rows and --text-column exclude each other")
    destination = choose_destination(file_format, output, overwrite=force)
    stores = settings.config.stores
    request = job.MatchRequest(
        uris=tuple(normalise_uri(path, stores) for path in paths),
        catalog=settings.catalog,
        stores=stores,
        read_options=ReadOptions(text_column=text_column, whole_rows=whole_rows, lines=lines),
        **options,
    )
    with settings.open_progress() as progress:
        if is_stdin:
            found = job.match_stream(sys.stdin.buffer.read(), request, progress=progress)
        else:
            found = job.match(request, progress=progress)
    if destination is not None:
        reader = pa.RecordBatchReader.from_batches(job.SCHEMA, job.rows_of(found))
        show_export(write_rows(reader, "matches", destination), destination, settings)
    elif settings.is_json:
        print_json(found.as_dict())
    else:
        show_matches(found)
    if found.matches:
        raise click.exceptions.Exit(EXIT_FOUND)
    if found.skipped:
        raise click.exceptions.Exit(EXIT_SOME_SKIPPED)
