"""``greendata footprint``: what is stored today, in USD, kWh and kgCO2e a month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from greendata.config import DatasetSettings, StoreSettings, did_you_mean
from greendata.footprint.carbon import class_carbon
from greendata.footprint.columns import (
    billed_bytes_sql,
    is_monitored_sql,
    rates_join_sql,
    rates_table,
)
from greendata.footprint.estimate import (
    Footprint,
    Missing,
    Stored,
    footprint_of,
    sci_gco2e,
    total,
)
from greendata.footprint.prices import (
    DEFAULT_CLASS,
    REFERENCE_REGION,
    PriceList,
    places,
    price_list,
)
from greendata.footprint.ranges import Range
from greendata.footprint.tables import model_version, sources
from greendata.jobs.view import OpenInventory, open_inventory
from greendata.model import SCHEMA_VERSION

By = Literal["dataset", "region", "tier"]

ASSUMPTIONS = (
    "USD are list prices of storage, no requests or discounts; low is the cheapest band listed.",
    "kWh and kgCO2e are of this data's share of drives: their power, copies, buildings and making.",
    "Bounds are meant as about 90 %. Independent factors combine in log space; sums share them.",
    "Grids count by the average of the place over a year, life cycle; certificates do not count.",
    "Archive classes count as drives like all others: what they stand on is not disclosed.",
    "A model estimate, not an inventory: never add it to a provider's figures.",
)
_AZURE = "Azure accounts are taken as locally redundant; cool tiers as billed for 128 KiB at least."
_INTELLIGENT = (
    "Of Intelligent-Tiering objects the access tier is not known: frequent access counts."
)
_NO_REGION = (
    "Objects whose region nobody declared have the prices of {list} and no grid: write `region:`"
    " at their dataset in greendata.yaml."
)

SCI_DOCUMENTS = 1_000_000
"""Unique documents that the second functional unit counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FootprintRequest:
    """Whose footprint; ``by`` is what each group has in common.

    ``max_age_seconds`` is what ``inventory.max_age`` says; an older inventory is told of.
    """

    catalog: str
    as_of: datetime
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    by: By = "dataset"
    with_sci: bool = False
    max_age_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What objects of one dataset, region or tier come to; the name is None where it is not known.

    Objects of an unknown size (incomplete uploads) are counted apart.
    """

    name: str | None
    footprint: Footprint
    unsized_objects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """Software Carbon Intensity of a dataset kept for a month, or why there is none."""

    dataset: str | None
    unit: str
    gco2e: Range | None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FootprintSummary:
    """Groups, the largest first, and all of them together, for one month."""

    by: By
    groups: tuple[Group, ...]
    total: Group
    intensities: tuple[Intensity, ...]
    as_of: datetime
    model_version: str
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]
    warnings: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``footprint --json``; USD as decimal text, a month is the unit."""
        document = {
            entry.name: getattr(self, entry.name)
            for entry in fields(self)
            if entry.name not in ("groups", "total", "intensities")
        }
        return document | {
            "groups": [_as_dict(group) for group in self.groups],
            "total": _as_dict(self.total),
            "intensities": [asdict(entry) for entry in self.intensities],
        }


def _as_dict(group: Group) -> dict[str, Any]:
    carbon = group.footprint.carbon_kgco2e
    return {
        "name": group.name,
        **asdict(group.footprint),
        "carbon_kgco2e": None if carbon is None else asdict(carbon),
        "unsized_objects": group.unsized_objects,
    }


def measure_footprint(request: FootprintRequest) -> FootprintSummary:
    """All that the catalog's inventory holds: current objects, earlier versions and uploads.

    Raises:
        ObjectNotFoundError: nothing was listed into the catalog yet.
    """
    with open_inventory(
        request.catalog,
        stores=request.stores,
        datasets=request.datasets,
        as_of=request.as_of,
        columns=(*STORED_COLUMNS, *_DOCUMENTS),
    ) as opened:
        rows = stored_rows(opened, request.as_of)
        documents = _unique_documents(opened) if request.with_sci else {}
        as_of = opened.oldest_as_of
        warnings = tuple(opened.stale_places(request.as_of, request.max_age_seconds))
    groups = _groups(rows, request.by, price_list(request.as_of.date()))
    by_dataset = _groups(rows, "dataset", price_list(request.as_of.date()))
    whole = Group(
        name="total",
        footprint=total(group.footprint for group in groups),
        unsized_objects=sum(group.unsized_objects for group in groups),
    )
    return FootprintSummary(
        by=request.by,
        groups=groups,
        total=whole,
        intensities=tuple(intensities_of(by_dataset, documents)) if request.with_sci else (),
        as_of=as_of,
        model_version=model_version(),
        assumptions=tuple(assumptions_of(rows)),
        sources=sources(
            {(row["store"], row["region"] or list_region(row["store"])) for row in rows},
            SOURCE_FILES,
        ),
        warnings=(*warnings, *unknown_regions(rows)),
    )


SOURCE_FILES = ("prices", "class_limits", "region_factors", "coefficients")
STORED_COLUMNS = ("dataset", "region", "tier", "store", "storage_class", "size_bytes")
_DOCUMENTS = ("documents", "duplicate_documents", "is_latest")


def stored_rows(opened: OpenInventory, as_of: datetime) -> list[dict[str, Any]]:
    """What is stored, summed by all that decides what it costs and by dataset.

    The inventory has to be opened with ``STORED_COLUMNS``.
    """
    opened.connection.register("footprint_rates", rates_table(as_of.date()))
    join = rates_join_sql(provider="i.store", region="i.region", storage_class="i.storage_class")
    query = (
        "SELECT i.dataset, i.region, i.tier, i.store, i.storage_class,"
        " count(i.size_bytes) AS objects, count(*) - count(i.size_bytes) AS unsized_objects,"
        " coalesce(sum(i.size_bytes), 0)::HUGEINT::VARCHAR AS size_bytes,"
        f" coalesce(sum({billed_bytes_sql('i.size_bytes')}), 0)::HUGEINT::VARCHAR AS billed_bytes,"
        f" count(*) FILTER ({is_monitored_sql('i.size_bytes')}) AS monitored_objects"
        f" FROM inventory i LEFT JOIN footprint_rates r ON {join} GROUP BY ALL ORDER BY ALL"
    )
    rows: list[dict[str, Any]] = opened.connection.sql(query).to_arrow_table().to_pylist()
    for row in rows:
        row["size_bytes"], row["billed_bytes"] = int(row["size_bytes"]), int(row["billed_bytes"])
    return rows


def _unique_documents(opened: OpenInventory) -> dict[str | None, int]:
    """Documents of each dataset that are not redundant, of the objects that a scan read."""
    query = (
        "SELECT dataset, coalesce(sum(documents) - sum(duplicate_documents), 0)"
        " FROM inventory WHERE is_latest GROUP BY dataset"
    )
    return {dataset: int(unique) for dataset, unique in opened.connection.sql(query).fetchall()}


def _groups(rows: Sequence[dict[str, Any]], by: By, prices: PriceList) -> tuple[Group, ...]:
    found: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row[by]].append(row)
    groups = [
        Group(
            name=name,
            footprint=total(row_footprint(row, prices) for row in members),
            unsized_objects=sum(row["unsized_objects"] for row in members),
        )
        for name, members in found.items()
    ]
    return tuple(sorted(groups, key=lambda g: (-g.footprint.size_bytes, g.name or "")))


def row_footprint(row: dict[str, Any], prices: PriceList) -> Footprint:
    """Keeping for a month what one row of sums by store, region and class stands for."""
    store, name = row["store"], row["storage_class"] or DEFAULT_CLASS.get(row["store"], "")
    if store not in DEFAULT_CLASS:
        what = f"{store} objects" if store != "file" else "local files"
        return _unknown(row, what)
    if not row["objects"]:
        return Footprint()
    place = row["region"] or "an unknown region"
    key = (store, row["region"] or "", name)
    return footprint_of(
        Stored(
            objects=row["objects"],
            size_bytes=row["size_bytes"],
            billed_bytes=row["billed_bytes"],
            monitored_objects=row["monitored_objects"],
        ),
        prices.classes.get(key),
        class_carbon().get(key),
        what=f"{store} {name} in {place}",
        where=f"{store} objects in {place}",
    )


def _unknown(row: dict[str, Any], what: str) -> Footprint:
    missing = Missing(
        what=f"price, energy and carbon of {what}",
        objects=row["objects"],
        size_bytes=row["size_bytes"],
    )
    return Footprint(objects=row["objects"], size_bytes=row["size_bytes"], missing=(missing,))


def intensities_of(
    groups: Iterable[Group], documents: dict[str | None, int]
) -> Iterator[Intensity]:
    """Per dataset kept for a month, and per unique documents: removing duplicates lowers both."""
    for group in groups:
        unique = documents.get(group.name, 0) / SCI_DOCUMENTS
        yield _intensity(group, "dataset-month", 1)
        yield _intensity(group, "million unique documents, month", unique)


def _intensity(group: Group, unit: str, units: float) -> Intensity:
    found = group.footprint
    operational, embodied = found.operational_kgco2e, found.embodied_kgco2e
    if operational is None or embodied is None or found.carbon_bytes < found.size_bytes:
        why = "the carbon of all or a part of it is not known"
        return Intensity(dataset=group.name, unit=unit, gco2e=None, detail=why)
    if not units:
        return Intensity(dataset=group.name, unit=unit, gco2e=None, detail="not scanned")
    gco2e = sci_gco2e(operational, embodied, units)
    return Intensity(dataset=group.name, unit=unit, gco2e=gco2e)


def list_region(store: str) -> str:
    """The region whose list stands in where none is known."""
    return REFERENCE_REGION.get(store, "")


def unknown_regions(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Declared regions that no list knows, in words."""
    for store, region in sorted({(row["store"], row["region"] or "") for row in rows}):
        known = {name for provider, name in places() if provider == store}
        if known and region not in known:
            yield (
                f"{region!r} is no region of {store} that the data files know."
                f"{did_you_mean(region, known)}"
            )


def assumptions_of(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What amounts of such rows assume."""
    yield from ASSUMPTIONS
    stores = {row["store"] for row in rows}
    if "az" in stores:
        yield _AZURE
    if any(row["tier"] == "intelligent" for row in rows):
        yield _INTELLIGENT
    nowhere = {row["store"] for row in rows if not row["region"]} & set(REFERENCE_REGION)
    if nowhere:
        lists = " and ".join(f"{store} {list_region(store)}" for store in sorted(nowhere))
        yield _NO_REGION.format(list=lists)
