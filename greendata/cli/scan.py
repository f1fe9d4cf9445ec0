"""``greendata scan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greendata.cli.options import (
    EXIT_SOME_SKIPPED,
    ByteSize,
    NamedPath,
    guard_options,
    read_cost_options,
    shared_options,
    workers_option,
)
from greendata.errors import UsageError
from greendata.jobs.request import RUNNERS

if TYPE_CHECKING:
    from greendata.cli.settings import Settings
    from greendata.jobs.request import ScanRequest
    from greendata.model import Dataset

FORMATS = ("parquet", "arrow", "jsonl", "csv", "tsv", "text")


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--text-column", metavar="NAME", help="The column of the text; a.b for a field.")
@click.option("--rows", "whole_rows", is_flag=True, help="Compare whole rows, not one column.")
@click.option("--lines", is_flag=True, help="In plain text every line is a document.")
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="Read files as this format, instead of finding out from their content.",
)
@click.option(
    "--dataset",
    "named",
    type=NamedPath(),
    multiple=True,
    metavar="NAME=PATH",
    help="Scan PATH as a dataset of this name; can be given again.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="Jaccard similarity from which two documents are near-duplicates.",
)
@click.option(
    "--shingle",
    "shingle_size",
    type=click.IntRange(1, 32),
    default=5,
    show_default=True,
    help="Consecutive words in a shingle.",
)
@click.option(
    "--num-perm",
    type=click.IntRange(2, 1024),
    default=128,
    show_default=True,
    help="Permutations of the signature; more find more and take longer.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Of the hashes."
)
@workers_option
@click.option(
    "--memory",
    "memory_bytes",
    type=ByteSize(),
    default="2GiB",
    show_default=True,
    envvar="GREENDATA_MEMORY",
    show_envvar=True,
    help="Peak memory to stay under.",
)
@click.option(
    "--max-record-bytes",
    type=ByteSize(),
    default="64MiB",
    show_default=True,
    help="A longer line or record is skipped and named.",
)
@click.option(
    "--rebuild",
    "starts_over",
    is_flag=True,
    help="Forget what the catalog knows; needed to change how texts are compared.",
)
@click.option(
    "--runner",
    type=click.Choice(RUNNERS),
    default="local",
    show_default=True,
    help="Threads of this process, or tasks of a Ray cluster.",
)
@click.option(
    "--ray-address",
    metavar="HOST:PORT",
    envvar="RAY_ADDRESS",
    show_envvar=True,
    help="The cluster's head, or auto; by default --workers processes on this machine.",
)
@click.option(
    "--ray-folder",
    metavar="FOLDER",
    help="Where tasks leave files, best one that all machines see; by default the catalog's.",
)
@read_cost_options
@guard_options
@click.option(
    "--estimate", "is_estimate", is_flag=True, help="Say what would be read and its price; stop."
)
@shared_options
@click.pass_obj
def scan(
    settings: Settings,
    /,
    paths: tuple[str, ...],
    named: tuple[tuple[str, str], ...],
    is_estimate: bool,
    **options: Any,
) -> None:
    """Fingerprint the documents in files and folders and find what is there twice.

    PATH is a file, a folder, an s3:// or az:// prefix, or a quoted glob. Formats are found out from
    the content: Parquet, Arrow, JSON Lines, CSV and plain text, also compressed with gzip or zstd.
    Every duplicate that is reported was verified by comparing the texts. Nothing is changed but the
    catalog; a second scan reads only what is new. Nothing is read from archive tiers.

    \b
    Examples:
      greendata scan data/
      greendata scan 'data/*.jsonl.zst' --text-column content --threshold 0.9
      greendata scan s3://bucket/crawl/ az://container@account/crawl/ --estimate
      greendata scan --dataset crawl=data/crawl --dataset books=data/books
      greendata scan s3://bucket/crawl/ --runner ray --ray-address auto
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_json, print_line
    from greendata.cli.show_scan import show_next, show_scan
    from greendata.jobs.scan import scan as run_scan

    request = _request(settings, paths, named, options)
    if is_estimate:
        _show_estimate(request, settings)
        return
    with settings.open_progress() as progress:
        summary = run_scan(request, progress=progress, now=datetime.now(UTC))
    if settings.is_json:
        print_json(summary.as_dict())
    else:
        show_scan(summary, settings)
        if summary.documents:
            print_line()
            show_next(settings)
    if summary.skipped:
        raise click.exceptions.Exit(EXIT_SOME_SKIPPED)


def _show_estimate(request: ScanRequest, settings: Settings) -> None:
    from greendata.cli.output import print_answer
    from greendata.cli.show_scan import show_estimate
    from greendata.jobs.estimate import estimate

    found = estimate(request)
    print_answer(settings, found, show_estimate)


def _request(
    settings: Settings,
    paths: tuple[str, ...],
    named: tuple[tuple[str, str], ...],
    options: dict[str, Any],
) -> ScanRequest:
    from greendata.jobs.request import ScanRequest

    if not paths and not named:
        raise UsageError("nothing to scan", hint="Name a PATH, or --dataset NAME=PATH.")
    if options["whole_rows"] and options["text_column"] is not None:
        raise UsageError("--rows and --text-column exclude each other")
    return ScanRequest(
        uris=tuple(_uri(settings, path) for path in (*paths, *(path for _, path in named))),
        datasets=_datasets(settings, named),
        catalog=settings.catalog,
        stores=settings.config.stores,
        **options,
    )


def _datasets(settings: Settings, named: tuple[tuple[str, str], ...]) -> tuple[Dataset, ...]:
    """The declared ones, then those of ``--dataset``, which win where both name a place."""
    from greendata.model import Dataset

    declared = settings.datasets
    priorities = {entry.name: entry.priority for entry in declared}
    prefixes: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, path in named:
        uri = _uri(settings, path)
        other = names.setdefault(uri.rstrip("/"), name)
        if other != name:
            raise UsageError(
                f"--dataset: {path} cannot be of both {other!r} and {name!r}",
                hint="An object belongs to one dataset: name each place once.",
            )
        prefixes.setdefault(name, []).append(uri)
    return (
        *declared,
        *(
            Dataset(name=name, prefixes=tuple(uris), priority=priorities.get(name, 0))
            for name, uris in prefixes.items()
        ),
    )


def _uri(settings: Settings, path: str) -> str:
    from greendata.stores.opening import normalise_uri

    return normalise_uri(path, settings.config.stores)
