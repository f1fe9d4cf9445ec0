"""Opening a catalog to look at what is in it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.errors import ObjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from greendata.catalog.places import Place
    from greendata.config import StoreSettings

MEMORY_BYTES = 2**30
"""For queries that look; beyond it they spill to a temporary folder."""


def catalog_place(catalog: str, stores: Sequence[StoreSettings] = ()) -> Place:
    """Where a catalog is, named by a path or a URI.

    Raises:
        UsageError: another kind of URI.
    """
    from greendata.catalog.places import LocalPlace, RemotePlace
    from greendata.stores.local import uri_to_path
    from greendata.stores.opening import Stores, is_remote, normalise_uri

    uri = normalise_uri(catalog, stores)
    if is_remote(uri):
        return RemotePlace(Stores(stores).store_of(uri), uri)
    return LocalPlace(Path(uri_to_path(uri)))


@contextlib.contextmanager
def open_catalog(
    catalog: str, stores: Sequence[StoreSettings] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that holds the views of what is committed now. Nothing is written.

    Raises:
        ObjectNotFoundError: there is no catalog, or nothing was scanned into it yet.
        CatalogError: it cannot be read.
    """
    from greendata.catalog.queries import create_current_views
    from greendata.catalog.tables import Catalog
    from greendata.sql import temporary_duckdb

    opened = Catalog.open(catalog_place(catalog, stores), create=False)
    if opened.snapshot().last is None:
        raise ObjectNotFoundError(
            f"{opened.name}: nothing was scanned into this catalog yet",
            hint="Run: greendata scan PATH",
        )
    with temporary_duckdb(
        opened.name, memory_bytes=MEMORY_BYTES, threads=os.cpu_count() or 1
    ) as connection:
        create_current_views(connection, opened)
        yield connection


def fetch_one(
    connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any]
) -> tuple[Any, ...]:
    """The one row of an aggregate query; fetching all ends the result, which would block others."""
    (row,) = connection.execute(query, list(values)).fetchall()
    return tuple(row)
