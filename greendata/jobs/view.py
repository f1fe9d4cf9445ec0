"""The inventory view for a job: opened with what configuration and price list say."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.catalog.inventory import (
    INVENTORY_COLUMNS,
    InventoryInputs,
    create_inventory_view,
)
from greendata.catalog.queries import create_current_views
from greendata.config import folders_above
from greendata.errors import ConfigError, ObjectNotFoundError
from greendata.footprint.columns import (
    RATES,
    class_tiers,
    monthly_cost_sql,
    rates_join_sql,
    rates_table,
)
from greendata.jobs.results import MEMORY_BYTES, catalog_place
from greendata.sql import temporary_duckdb
from greendata.stores.opening import normalise_uri

if TYPE_CHECKING:
    import duckdb

    from greendata.catalog.commits import CommittedRefresh
    from greendata.catalog.tables import Catalog
    from greendata.config import DatasetSettings, StoreSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenInventory:
    """A connection with the view ``inventory``, and the refreshes it is made of, oldest first."""

    connection: duckdb.DuckDBPyConnection
    catalog: Catalog
    refreshes: tuple[CommittedRefresh, ...]

    @property
    def oldest_as_of(self) -> datetime:
        """How old what it tells may be."""
        return min(refresh.as_of for refresh in self.refreshes)

    def stale_places(self, now: datetime, max_age_seconds: float | None) -> Iterator[str]:
        """What was listed longer ago than allowed, in words; None allows any age."""
        for refresh in self.refreshes if max_age_seconds is not None else ():
            age = (now - refresh.as_of).total_seconds()
            if age > (max_age_seconds or 0):
                places = ", ".join(cover.uri for cover in refresh.covers[:3])
                yield f"{places}: the inventory is {age / 3600:.0f} hours old; refresh it."


@contextlib.contextmanager
def open_inventory(
    catalog: str,
    *,
    stores: Sequence[StoreSettings],
    datasets: Sequence[DatasetSettings],
    as_of: datetime,
    columns: Collection[str] = INVENTORY_COLUMNS,
    memory_bytes: int = MEMORY_BYTES,
    threads: int | None = None,
) -> Iterator[OpenInventory]:
    """The inventory view of a catalog. Nothing is written.

    Raises:
        ObjectNotFoundError: there is no catalog, or nothing was listed into it yet.
        ConfigError: datasets overlap.
        CatalogError: it cannot be read.
    """
    from greendata.catalog.tables import Catalog

    opened = Catalog.open(catalog_place(catalog, stores), create=False)
    inputs = InventoryInputs(
        as_of=as_of,
        classes=class_tiers(),
        rates=(
            rates_table(as_of.date())
            if "monthly_cost_usd" in columns
            else RATES.empty_table()  # the table takes a tenth of a second to make
        ),
        rates_join=rates_join_sql(
            provider="split_part(i.uri, '://', 1)",
            region="d.region",
            storage_class="i.storage_class",
        ),
        monthly_cost=monthly_cost_sql("i.size_bytes"),
        prefixes=prefix_table(datasets, stores),
    )
    with temporary_duckdb(
        opened.name, memory_bytes=memory_bytes, threads=threads or os.cpu_count() or 1
    ) as connection:
        create_current_views(connection, opened)
        refreshes = create_inventory_view(connection, opened, inputs, columns)
        live = refreshes.live("objects")
        if not live:
            raise ObjectNotFoundError(
                f"{opened.name}: no object was listed into this catalog yet",
                hint="Run: greendata inventory URI",
            )
        yield OpenInventory(connection=connection, catalog=opened, refreshes=live)


def prefix_table(datasets: Sequence[DatasetSettings], stores: Sequence[StoreSettings]) -> pa.Table:
    """Prefixes of declared datasets as the view takes them.

    Raises:
        ConfigError: one lies in another, so that an object would belong to both.
    """
    found: dict[str, DatasetSettings] = {}
    for entry in datasets:
        for prefix in entry.prefixes:
            found[normalise_uri(prefix, stores).rstrip("/")] = entry
    rows = []
    for uri, entry in sorted(found.items()):
        outer = [other for other in folders_above(uri) if other in found]
        if any(found[other].name != entry.name for other in outer):
            raise ConfigError(
                f"dataset {entry.name!r}: {uri} lies in {outer[0]} of another dataset",
                hint="An object belongs to one dataset: name prefixes that do not overlap.",
            )
        if not outer:
            rows.append(_prefix_row(uri, entry))
    return pa.Table.from_pylist(rows, schema=_PREFIXES)


def _prefix_row(uri: str, entry: DatasetSettings) -> dict[str, object]:
    return {
        "prefix": f"{uri}/",
        "object_uri": uri,
        "dataset": entry.name,
        "owner": entry.owner,
        "region": entry.region,
        "training_region": entry.training_region,
        "residency": list(entry.residency),
        "priority": entry.priority,
    }


_PREFIXES = pa.schema(
    [
        ("prefix", pa.string()),
        ("object_uri", pa.string()),
        ("dataset", pa.string()),
        ("owner", pa.string()),
        ("region", pa.string()),
        ("training_region", pa.string()),
        ("residency", pa.list_(pa.string())),
        ("priority", pa.int32()),
    ]
)
