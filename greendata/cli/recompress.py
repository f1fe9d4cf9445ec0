"""``greendata recompress``, ``restore-order``, ``export-jsonl``, ``verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greendata.cli.options import (
    EXIT_SOME_SKIPPED,
    ByteSize,
    memory_option,
    shared_options,
    workers_option,
)
from greendata.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@click.option("-o", "--output", "destination", metavar="DEST", help="An empty place.")
@click.option(
    "--profile",
    type=click.Choice(("stream", "archive")),
    default="stream",
    show_default=True,
    help="stream: zstd 6, pages of 1 MiB, order kept; archive: zstd 9, 8 MiB, similar rows"
    " together.",
)
@click.option("--level", type=click.IntRange(1, 19), help="Of zstd, instead of the profile's.")
@click.option(
    "--target-file-size",
    "file_bytes",
    type=ByteSize(),
    help="Begin a next file from this size on.  [default: 512MiB; archive 1GiB]",
)
@click.option(
    "--row-group-bytes",
    type=ByteSize(),
    help="Largest row group, in memory.  [default: 64MiB; archive 128MiB]",
)
@click.option(
    "--min-saving",
    type=click.FloatRange(0, 1),
    default=0.15,
    show_default=True,
    help="Leave alone what would not become smaller by this share.",
)
@click.option(
    "--order",
    metavar="ORDER",
    help="keep, similar, or column:NAME.  [default: keep; archive similar]",
)
@click.option(
    "--grade",
    type=click.Choice(("logical", "exact")),
    default="logical",
    show_default=True,
    help="exact: the bytes of JSON Lines can be restored too; other formats are skipped.",
)
@click.option(
    "--dry-run",
    "is_dry_run",
    is_flag=True,
    help="Predict from a sample and tell the catalog, for plans.",
)
@click.option(
    "--in-place",
    is_flag=True,
    help="Replace the objects themselves: planned, journalled, and undone with `greendata undo`.",
)
@click.option(
    "--allow-window",
    is_flag=True,
    help="In place: objects may get another name (.jsonl to .parquet) that no manifest tells.",
)
@click.option("-y", "--yes", is_flag=True, help="In place: do not ask.")
@memory_option
@workers_option
@shared_options
@click.pass_obj
def recompress(
    settings: Settings,
    /,
    sources: tuple[str, ...],
    destination: str | None,
    order: str | None,
    grade: str,
    in_place: bool,
    allow_window: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Write datasets as zstd Parquet, where it pays, and prove that no row changed.

    Parquet, Arrow, JSON Lines and CSV are read, plain or compressed. Every row is digested when it
    is read and again when it is read back from DEST, before its object gets its name. The sources
    are not changed. The archive profile puts similar rows together: the order of DEST is then no
    order to train in, and `greendata restore-order` brings the first one back.

    \b
    Examples:
      greendata recompress data/crawl --dry-run
      greendata recompress data/crawl -o small/crawl
      greendata recompress s3://bucket/raw/ -o s3://bucket/cold/ --profile archive
      greendata recompress data/crawl --in-place
    """
    if in_place:
        fixed = {"-o": destination, "--order": order, "--dry-run": options["is_dry_run"]}
        _refuse_with_in_place(fixed | {"--grade": grade != "logical"}, options)
        _in_place(settings, sources, options, allow_window=allow_window, is_confirmed=yes)
        return
    from datetime import UTC, datetime

    from greendata.cli.output import print_answer
    from greendata.cli.show_recompress import show_recompress
    from greendata.jobs import recompress as job
    from greendata.jobs.recompress_records import RecompressRequest
    from greendata.recompress.sources import Grade
    from greendata.stores.opening import normalise_uri

    stores = settings.config.stores
    name, column = _order(order)
    request = RecompressRequest(
        uris=tuple(normalise_uri(uri, stores) for uri in sources),
        destination=None if destination is None else normalise_uri(destination, stores),
        catalog=settings.catalog,
        stores=stores,
        datasets=settings.datasets,
        order=name,
        order_column=column,
        grade=Grade(grade),
        **options,
    )
    with settings.open_progress() as progress:
        found = job.recompress(request, progress=progress, now=datetime.now(UTC))
    print_answer(settings, found, show_recompress)
    if found.skipped:
        raise click.exceptions.Exit(EXIT_SOME_SKIPPED)


def _refuse_with_in_place(given: dict[str, Any], options: dict[str, Any]) -> None:
    """In place objects stay as many as they are, their rows in order, as the profile has them."""
    names = {"--level": "level", "--target-file-size": "file_bytes",
             "--row-group-bytes": "row_group_bytes"}  # fmt: skip
    given |= {name: options[key] for name, key in names.items()}
    unfit = [name for name, value in given.items() if value]
    if unfit:
        raise UsageError(
            f"{unfit[0]} does not go with --in-place.",
            hint="In place each object keeps its rows in their order; -o DEST can do more.",
        )


def _in_place(
    settings: Settings,
    sources: tuple[str, ...],
    options: dict[str, Any],
    *,
    allow_window: bool,
    is_confirmed: bool,
) -> None:
    """Plan with one policy, and carry it out."""
    import tempfile
    from datetime import UTC, datetime
    from pathlib import Path

    from greendata.cli.apply import apply_request, carry_out_asked
    from greendata.jobs.in_place import InPlaceRequest, in_place_limits, plan_in_place
    from greendata.stores.opening import normalise_uri

    config = settings.config
    with tempfile.TemporaryDirectory(prefix="greendata-plan-") as scratch:
        request = InPlaceRequest(
            uris=tuple(normalise_uri(uri, config.stores) for uri in sources),
            directory=Path(scratch) / "plan",
            catalog=settings.catalog,
            stores=config.stores,
            datasets=config.datasets,
            limits=config.limits,
            profile=options["profile"],
            min_saving=options["min_saving"],
            allow_window=allow_window,
            workers=options["workers"],
        )
        with settings.open_progress() as progress:
            plan_in_place(request, progress=progress, now=datetime.now(UTC))
        carry_out_asked(
            settings,
            apply_request(
                settings,
                directory=request.directory,
                workers=request.workers,
                limits=in_place_limits(config.limits),
            ),
            is_confirmed=is_confirmed,
        )


def _order(text: str | None) -> tuple[str | None, str | None]:
    """The order and the column it is by."""
    if text is None or text in ("keep", "similar"):
        return text, None
    name, _, column = text.partition(":")
    if name != "column" or not column:
        raise UsageError(f"--order: {text!r} is none of keep, similar, column:NAME.")
    return name, column


@click.command("restore-order")
@click.argument("place", metavar="PLACE")
@click.option(
    "-o", "--output", "destination", required=True, metavar="DEST", help="An empty place."
)
@click.option(
    "--profile",
    type=click.Choice(("stream", "archive")),
    default="stream",
    show_default=True,
    help="Level, pages and row groups of what is written; the order is always the first one.",
)
@memory_option
@shared_options
@click.pass_obj
def restore_order(settings: Settings, /, place: str, destination: str, **options: Any) -> None:
    """Write what was ordered by similarity or by a column in its first order.

    Each source gets objects of its own again, under its own name. The ordered digest that each one
    had when it was read is compared with that of the rows written here.

    \b
    Example:
      greendata restore-order cold/crawl -o train/crawl
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_answer
    from greendata.cli.show_recompress import show_restored
    from greendata.jobs import restore_order as job
    from greendata.stores.opening import normalise_uri

    stores = settings.config.stores
    request = job.RestoreRequest(
        place=normalise_uri(place, stores),
        destination=normalise_uri(destination, stores),
        stores=stores,
        **options,
    )
    with settings.open_progress() as progress:
        found = job.restore_order(request, progress=progress, now=datetime.now(UTC))
    print_answer(settings, found, show_restored)


@click.command("export-jsonl")
@click.argument("place", metavar="PLACE")
@click.option(
    "-o", "--output", "destination", required=True, metavar="DEST", help="An empty place."
)
@memory_option
@shared_options
@click.pass_obj
def export_jsonl(settings: Settings, /, place: str, destination: str, **options: Any) -> None:
    """Write the JSON Lines again that recompress made Parquet of, in their first order.

    What was recompressed with --grade exact is byte for byte what it was before it was compressed,
    and its SHA-256 is compared; with --grade logical its values are the same.

    \b
    Example:
      greendata export-jsonl small/crawl -o lines/crawl
    """
    from greendata.cli.output import print_answer
    from greendata.cli.show_recompress import show_exported
    from greendata.jobs import export_jsonl as job
    from greendata.stores.opening import normalise_uri

    stores = settings.config.stores
    request = job.ExportJsonlRequest(
        place=normalise_uri(place, stores),
        destination=normalise_uri(destination, stores),
        stores=stores,
        **options,
    )
    with settings.open_progress() as progress:
        found = job.export_jsonl(request, progress=progress)
    print_answer(settings, found, show_exported)
    if found.skipped:
        raise click.exceptions.Exit(EXIT_SOME_SKIPPED)


@click.command()
@click.argument("place", metavar="DEST")
@click.option(
    "--full",
    "is_full",
    is_flag=True,
    help="Read everything: SHA-256, the checksum of every page, digests of all rows.",
)
@workers_option
@shared_options
@click.pass_obj
def verify(settings: Settings, /, place: str, **options: Any) -> None:
    """Compare what is stored with its manifest, as recompress and dedup wrote it.

    Without --full, sizes and ETags are compared and nothing is read. Exit code 31 if anything is
    missing or differs.

    \b
    Examples:
      greendata verify small/crawl
      greendata verify s3://bucket/cold/ --full
    """
    from greendata.cli.output import print_answer
    from greendata.cli.show_recompress import show_verify
    from greendata.jobs import verify as job
    from greendata.stores.opening import normalise_uri

    stores = settings.config.stores
    request = job.VerifyRequest(place=normalise_uri(place, stores), stores=stores, **options)
    with settings.open_progress() as progress:
        found = job.verify(request, progress=progress)
    print_answer(settings, found, show_verify)
    if found.damaged:
        raise click.exceptions.Exit(IntegrityError.exit_code)
