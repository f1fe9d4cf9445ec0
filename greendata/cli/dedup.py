"""``greendata dedup``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greendata.cli.options import (
    EXIT_SOME_SKIPPED,
    guard_options,
    memory_option,
    shared_options,
    workers_option,
)

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@click.option(
    "-o", "--output", "destination", required=True, metavar="DEST", help="An empty place."
)
@click.option(
    "--keep",
    default="longest",
    show_default=True,
    metavar="ORDER",
    help="longest, newest, oldest, first, or column:NAME, the highest value first.",
)
@click.option("--exact-only", "is_exact_only", is_flag=True, help="Leave only identical texts out.")
@click.option(
    "--mark",
    "is_mark",
    is_flag=True,
    help="Leave nothing out; add the columns duplicate_of and copies.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    help="Jaccard from which a document is redundant.  [default: that of the last scan]",
)
@click.option(
    "--profile",
    type=click.Choice(("stream", "archive")),
    default="stream",
    show_default=True,
    help="zstd 6 with pages of 1 MiB, or 9 with 8 MiB; the order of rows is kept.",
)
@guard_options
@click.option("--confirm", "is_confirmed", is_flag=True, help="Go on in spite of an alarm.")
@memory_option
@workers_option
@shared_options
@click.pass_obj
def dedup(
    settings: Settings, /, sources: tuple[str, ...], destination: str, keep: str, **options: Any
) -> None:
    """Write a copy of scanned datasets without their redundant documents, as zstd Parquet.

    A document is left out only for one that is in the copy, and whose similarity was verified; its
    text is compared with what was scanned once more while it is copied. _greendata/left_out.parquet
    beside the copy names all of them. The source is not changed.

    \b
    Examples:
      greendata dedup data/crawl -o clean/crawl
      greendata dedup s3://bucket/crawl/ -o s3://bucket/clean/ --keep column:quality --exact-only
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_answer
    from greendata.cli.show_dedup import show_dedup
    from greendata.jobs import dedup as job
    from greendata.jobs.request import keep_order
    from greendata.stores.opening import normalise_uri

    stores = settings.config.stores
    order, column = keep_order(keep)
    request = job.DedupRequest(
        uris=tuple(normalise_uri(uri, stores) for uri in sources),
        destination=normalise_uri(destination, stores),
        catalog=settings.catalog,
        stores=stores,
        keep=order,
        score_column=column,
        **options,
    )
    with settings.open_progress() as progress:
        found = job.dedup(request, progress=progress, now=datetime.now(UTC))
    print_answer(settings, found, show_dedup)
    if found.skipped:
        raise click.exceptions.Exit(EXIT_SOME_SKIPPED)
