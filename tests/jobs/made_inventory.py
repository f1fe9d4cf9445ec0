"""Inventories made by hand, and all that the view tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from greendata.catalog.commits import Cover
from greendata.catalog.inventory import INVENTORY_COLUMNS
from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.config import DatasetSettings
from greendata.jobs.refresh import refresh_objects
from greendata.jobs.view import open_inventory
from greendata.schemas import INVENTORY

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(key: str, **values: Any) -> dict[str, Any]:
    """A current object of an S3 bucket, written a year ago."""
    bucket, _, name = key.partition("/")
    known = {
        "uri": f"s3://{key}",
        "store_id": "s3:aws",
        "bucket": bucket,
        "key": name,
        "size_bytes": 1_000,
        "storage_class": "STANDARD",
        "modified_at": NOW - timedelta(days=365),
        "etag": f"etag-{key}",
    }
    return known | values


def cover(uri: str, store_id: str = "s3:aws") -> Cover:
    return Cover(store_id=store_id, uri=uri)


def take(
    path: Path,
    rows: Sequence[dict[str, Any]],
    *uris: str,
    now: datetime = NOW,
    store_id: str = "s3:aws",
    **values: Any,
) -> Catalog:
    """Commit a refresh of these rows that covers these URIs."""
    catalog = Catalog.open(LocalPlace(path), create=True)
    refresh_objects(
        catalog,
        pa.Table.from_pylist(list(rows), schema=INVENTORY).to_batches(),
        covers=[cover(uri, store_id) for uri in uris],
        source="listing",
        as_of=now,
        now=now,
        **values,
    )
    return catalog


def view(
    path: Path,
    *columns: str,
    datasets: Sequence[DatasetSettings] = (),
    as_of: datetime = NOW,
) -> list[dict[str, Any]]:
    """Rows of the inventory view by URI and version; of all columns where none is named."""
    names = columns or INVENTORY_COLUMNS
    with open_inventory(
        str(path),
        stores=(),
        datasets=datasets,
        as_of=as_of,
        columns={*names, "uri", "version_id"},
    ) as opened:
        listed = ", ".join(names)
        found = opened.connection.sql(f"SELECT {listed} FROM inventory ORDER BY uri, version_id")
        rows: list[dict[str, Any]] = found.to_arrow_table().to_pylist()
    return rows
