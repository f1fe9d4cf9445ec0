"""``greendata doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options
from greendata.errors import UnsupportedError

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.command()
@click.argument("uri", metavar="URI")
@shared_options
@click.pass_obj
def doctor(settings: Settings, /, uri: str) -> None:
    """Find out what a store really honours, with small objects below .greendata/probe/.

    Tries every precondition that safe changes depend on, also with 16 writers at once, prints which
    actions are safe there, and deletes its objects again. The result is kept in the catalog. Exits
    with 33 when an action would be refused, by a precondition that is ignored or a lifecycle rule
    of the bucket that would delete what an undo needs.

    \b
    Examples:
      greendata doctor s3://bucket/prefix
      greendata doctor az://container@account --json
    """
    from datetime import UTC, datetime

    from greendata.catalog.tables import Catalog
    from greendata.cli.output import print_answer
    from greendata.cli.show_doctor import show_diagnosis
    from greendata.jobs.doctor import diagnose, keep_diagnosis
    from greendata.jobs.results import catalog_place
    from greendata.stores.opening import Stores, normalise_uri

    stores = settings.config.stores
    target = normalise_uri(uri, stores)
    with settings.open_progress() as progress:
        found = diagnose(
            Stores(stores).store_of(target), target, now=datetime.now(UTC), progress=progress
        )
    catalog = Catalog.open(catalog_place(settings.catalog, stores), create=True)
    keep_diagnosis(catalog, found)
    print_answer(settings, found, show_diagnosis)
    if not found.is_safe:
        raise click.exceptions.Exit(UnsupportedError.exit_code)
