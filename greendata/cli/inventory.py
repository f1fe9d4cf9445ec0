"""``greendata inventory``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options
from greendata.errors import UsageError

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.command()
@click.argument("uris", nargs=-1, required=True, metavar="URI...")
@click.option(
    "--from-reports",
    is_flag=True,
    help="The URIs hold S3 or Azure Blob Inventory reports; the newest complete one is read.",
)
@click.option(
    "--versions", "with_versions", is_flag=True, help="List earlier versions and delete markers."
)
@click.option("-o", "--output", metavar="FILE", help="Write the objects to this Parquet file.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@shared_options
@click.pass_obj
def inventory(
    settings: Settings,
    /,
    uris: tuple[str, ...],
    from_reports: bool,
    with_versions: bool,
    output: str | None,
    force: bool,
) -> None:
    """Take stock of every object, without reading what is in them.

    Objects come from listings, or from inventory reports of S3 (CSV, Parquet, ORC) and Azure (CSV,
    Parquet), whose checksums are compared. Shows objects and bytes by bucket, storage class and
    state: earlier versions and incomplete uploads are the commonest waste.

    \b
    Examples:
      greendata inventory s3://bucket/prefix --versions
      greendata inventory s3://reports/bucket/config --from-reports -o objects.parquet
    """
    from greendata.cli.output import print_json
    from greendata.cli.show_inventory import show_inventory
    from greendata.jobs.inventory import InventoryRequest, take_inventory
    from greendata.stores.opening import normalise_uri

    if output is not None and not force and Path(output).exists():
        raise UsageError(f"{output}: is there already", hint="--force replaces it.")
    stores = settings.config.stores
    request = InventoryRequest(
        uris=tuple(normalise_uri(uri, stores) for uri in uris),
        stores=stores,
        from_reports=from_reports,
        with_versions=with_versions,
        output=None if output is None else Path(output),
    )
    with settings.open_progress() as progress:
        found = take_inventory(request, progress)
    if settings.is_json:
        print_json(found.as_dict())
    else:
        show_inventory(found)
