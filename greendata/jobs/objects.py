"""``greendata objects``: what the catalog's inventory knows of every object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from greendata.catalog.inventory import INVENTORY_COLUMNS
from greendata.config import DatasetSettings, StoreSettings, did_you_mean
from greendata.errors import UsageError
from greendata.jobs.export import ROWS_PER_BATCH, Destination, write_rows
from greendata.jobs.results import fetch_one
from greendata.jobs.view import open_inventory
from greendata.model import SCHEMA_VERSION

State = Literal["current", "noncurrent", "delete-marker", "upload", "all"]
Order = Literal["uri", "size", "idle", "age", "redundant", "cost"]

_STATES = {
    "current": "is_latest AND NOT is_delete_marker AND format IS DISTINCT FROM 'upload'",
    "noncurrent": "NOT is_latest AND NOT is_delete_marker AND format IS DISTINCT FROM 'upload'",
    "delete-marker": "is_delete_marker",
    "upload": "format = 'upload'",
    "all": "true",
}
_STATE_COLUMNS = ("is_latest", "is_delete_marker", "format")
_ORDERS = {
    "uri": "uri, version_id",
    "size": "size_bytes DESC NULLS LAST, uri, version_id",
    "idle": "idle_days DESC NULLS LAST, uri, version_id",
    "age": "age_days DESC NULLS LAST, uri, version_id",
    "redundant": "redundant_bytes DESC NULLS LAST, uri, version_id",
    "cost": "monthly_cost_usd DESC NULLS LAST, uri, version_id",
}
SHOWN_COLUMNS = (
    "uri",
    "dataset",
    "size_bytes",
    "storage_class",
    "tier",
    "age_days",
    "idle_days",
    "access_source",
    "documents",
    "redundant_bytes",
    "identical_to",
    "verified_copies",
    "monthly_cost_usd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsRequest:
    """Which objects to look at; ``uri_glob`` is matched as DuckDB's GLOB does.

    ``max_age_seconds`` is what ``inventory.max_age`` says; an older inventory is told of.
    """

    catalog: str
    as_of: datetime
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    dataset: str | None = None
    tier: str | None = None
    uri_glob: str | None = None
    state: State = "current"
    order: Order = "size"
    limit: int = 20
    columns: tuple[str, ...] = ()
    max_age_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObjects:
    """The objects asked for, how many there are in all, and how old the inventory may be.

    Cost is of those whose list price is known, None if it is of none.
    """

    objects: tuple[dict[str, Any], ...]
    total_objects: int
    total_bytes: int
    total_monthly_cost_usd: Decimal | None
    as_of: datetime
    warnings: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``objects --json``."""
        return asdict(self)


def find_objects(request: ObjectsRequest) -> StoredObjects:
    """The first objects in the order asked for.

    Raises:
        ObjectNotFoundError: nothing was listed into the catalog yet.
        UsageError: an unknown column.
    """
    shown = _columns(request) or SHOWN_COLUMNS
    where, values = _filters(request)
    with _open(request, (*shown, "size_bytes", "monthly_cost_usd")) as opened:
        total, size_bytes, cost = fetch_one(
            opened.connection,
            "SELECT count(*), coalesce(sum(size_bytes), 0), sum(monthly_cost_usd)"
            f" FROM inventory WHERE {where}",
            values,
        )
        query = (
            f"SELECT {_listed(shown)} FROM inventory WHERE {where}"
            f" ORDER BY {_ORDERS[request.order]} LIMIT ?"
        )
        relation = opened.connection.sql(query, params=[*values, request.limit])
        rows = relation.to_arrow_table().to_pylist()  # DuckDB's own rows need pytz for times
        as_of = opened.oldest_as_of
        warnings = tuple(opened.stale_places(request.as_of, request.max_age_seconds))
    return StoredObjects(
        objects=tuple(rows),
        total_objects=total,
        total_bytes=int(size_bytes),
        total_monthly_cost_usd=cost,
        as_of=as_of,
        warnings=warnings,
    )


def export_objects(request: ObjectsRequest, destination: Destination) -> int:
    """Write all rows the filters let through, in the order asked for; the number of rows."""
    shown = _columns(request) or INVENTORY_COLUMNS
    where, values = _filters(request)
    with _open(request, shown) as opened:
        query = (
            f"SELECT {_listed(shown)} FROM inventory WHERE {where}"
            f" ORDER BY {_ORDERS[request.order]}"
        )
        reader = opened.connection.sql(query, params=values).to_arrow_reader(ROWS_PER_BATCH)
        return write_rows(reader, "objects", destination)


def _open(request: ObjectsRequest, columns: Iterable[str]) -> Any:
    needed = {*columns, "uri", "version_id", *_STATE_COLUMNS}
    needed |= {name for name in INVENTORY_COLUMNS if name in _ORDERS[request.order]}
    needed |= {"dataset"} if request.dataset is not None else set()
    needed |= {"tier"} if request.tier is not None else set()
    return open_inventory(
        request.catalog,
        stores=request.stores,
        datasets=request.datasets,
        as_of=request.as_of,
        columns=needed,
    )


def _columns(request: ObjectsRequest) -> tuple[str, ...]:
    for name in request.columns:
        if name not in INVENTORY_COLUMNS:
            raise UsageError(
                f"{name!r} is no column of the inventory.{did_you_mean(name, INVENTORY_COLUMNS)}",
                hint=f"Its columns are {', '.join(INVENTORY_COLUMNS)}.",
            )
    return request.columns


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _filters(request: ObjectsRequest) -> tuple[str, list[Any]]:
    clauses, bound = [_STATES[request.state]], []
    for clause, value in (
        ("dataset = ?", request.dataset),
        ("tier = ?", request.tier),
        ("uri GLOB ?", request.uri_glob),
    ):
        if value is not None:
            clauses.append(clause)
            bound.append(value)
    return " AND ".join(clauses), bound
