"""``greendata inventory``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from greendata.cli.options import (
    EXIT_SOME_SKIPPED,
    read_cost_options,
    shared_options,
    workers_option,
)
from greendata.errors import UsageError

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.command()
@click.argument("uris", nargs=-1, metavar="[URI]...")
@click.option(
    "--from-reports",
    is_flag=True,
    help="The URIs hold S3 or Azure Blob Inventory reports; the newest complete one is read.",
)
@click.option(
    "--versions", "with_versions", is_flag=True, help="List earlier versions and delete markers."
)
@click.option(
    "--uploads",
    "with_uploads",
    is_flag=True,
    help="With --from-reports: list incomplete uploads of the buckets the reports are about.",
)
@click.option(
    "--access-logs",
    multiple=True,
    metavar="URI",
    help="S3 server access logs below URI say when objects were last read; may be repeated.",
)
@click.option(
    "--accesses",
    metavar="FILE",
    help="A Parquet or CSV file of uri, accessed_at (and reads, read_bytes) says so.",
)
@click.option(
    "--verify-bytes",
    is_flag=True,
    help="Read objects of equal size, to prove which are identical.",
)
@click.option(
    "--verify-rows",
    is_flag=True,
    help="Read objects whose texts others have, by the last scan, to prove that their whole rows"
    " stand there.",
)
@read_cost_options
@workers_option
@shared_options
@click.pass_obj
def inventory(
    settings: Settings,
    /,
    uris: tuple[str, ...],
    access_logs: tuple[str, ...],
    accesses: str | None,
    **options: Any,
) -> None:
    """Take stock of every object, without reading what is in them.

    Objects come from listings, or from inventory reports of S3 (CSV, Parquet, ORC) and Azure (CSV,
    Parquet), whose checksums are compared. What is known is kept in the catalog (`greendata
    objects` shows it). Shows objects and bytes by bucket, storage class and state: earlier versions
    and incomplete uploads are the commonest waste.

    \b
    Examples:
      greendata inventory s3://bucket/prefix/ --versions
      greendata inventory s3://reports/bucket/config --from-reports
      greendata inventory --access-logs s3://logs/bucket/
      greendata inventory az://images/ --verify-bytes
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_answer
    from greendata.cli.show_inventory import show_inventory
    from greendata.jobs.inventory import InventoryRequest, take_inventory
    from greendata.stores.opening import normalise_uri

    if not uris and not access_logs and accesses is None:
        raise UsageError(
            "nothing to take stock of", hint="Name a URI, --access-logs or --accesses."
        )
    stores = settings.config.stores
    request = InventoryRequest(
        uris=tuple(normalise_uri(uri, stores) for uri in uris),
        catalog=settings.catalog,
        stores=stores,
        access_logs=tuple(normalise_uri(uri, stores) for uri in access_logs),
        accesses=None if accesses is None else Path(accesses),
        **options,
    )
    with settings.open_progress() as progress:
        found = take_inventory(request, progress=progress, now=datetime.now(UTC))
    print_answer(settings, found, show_inventory)
    if found.skipped:
        raise click.exceptions.Exit(EXIT_SOME_SKIPPED)
