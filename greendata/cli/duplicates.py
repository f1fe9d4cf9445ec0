"""``greendata duplicates``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greendata.cli.options import export_options, shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings

KINDS = ("exact", "near", "candidate")


@click.command()
@click.option("--dataset", metavar="NAME", help="Only redundant documents of this dataset.")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    help="Only this kind; can be given again.  [default: exact and near]",
)
@click.option(
    "--min-jaccard", type=click.FloatRange(0, 1), help="Only pairs at least so similar, 0 to 1."
)
@click.option("--uri", metavar="GLOB", help="Only redundant documents in objects that match.")
@click.option(
    "--limit", type=click.IntRange(1), default=10, show_default=True, help="Groups to show."
)
@click.option(
    "--members",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Redundant documents to show of each group.",
)
@click.option("--no-text", is_flag=True, help="Do not read the texts back to show differences.")
@export_options
@shared_options
@click.pass_obj
def duplicates(
    settings: Settings,
    dataset: str | None,
    kinds: tuple[str, ...],
    min_jaccard: float | None,
    uri: str | None,
    limit: int,
    members: int,
    no_text: bool,
    file_format: str | None,
    output: str | None,
    force: bool,
) -> None:
    """Show the largest groups of duplicates, or write all of them to a file.

    A group is one kept document and those that are redundant because of it. Groups are ordered by
    the bytes of redundant text. For the least similar member the difference of the texts is shown,
    changed words in brackets. Candidates are pairs whose texts could not be read to be compared;
    they are shown only with --kind candidate.

    \b
    Examples:
      greendata duplicates --kind near --min-jaccard 0.9
      greendata duplicates -o duplicates.parquet
    """
    from greendata.cli.output import print_json
    from greendata.cli.show_duplicates import show_groups
    from greendata.cli.show_export import show_export
    from greendata.jobs import duplicates as job
    from greendata.jobs.export import choose_destination

    destination = choose_destination(file_format, output, overwrite=force)
    request = job.DuplicatesRequest(
        catalog=settings.catalog,
        kinds=kinds or job.VERIFIED_KINDS,  # type: ignore[arg-type]
        dataset=dataset,
        min_jaccard=min_jaccard,
        uri_glob=None if uri is None else _uri_pattern(uri, settings),
        limit=limit,
        members=members,
        with_texts=not no_text,
        stores=settings.config.stores,
    )
    if destination is not None:
        show_export(job.export_duplicates(request, destination), destination, settings)
    elif settings.is_json:
        print_json(job.find_groups(request).as_dict())
    else:
        show_groups(job.find_groups(request))


def _uri_pattern(pattern: str, settings: Settings) -> str:
    """A path pattern as one for URIs; a pattern that starts with ``*`` matches anywhere."""
    from greendata.stores.opening import normalise_uri

    return pattern if pattern.startswith("*") else normalise_uri(pattern, settings.config.stores)
