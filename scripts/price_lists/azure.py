"""Azure retail prices: locally redundant storage of blobs, consumption in USD."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from scripts.price_lists.rows import PriceListError, as_text

# (tier, item): names of the meter; LRS stands in some lists and not in others
AZURE_TIERS = ("Hot", "Cool", "Cold", "Archive")
AZURE_METERS: Mapping[str, tuple[str, ...]] = {
    "storage": ("{tier} LRS Data Stored",),
    "put": ("{tier} LRS Write Operations", "{tier} Write Operations"),
    "transition": ("{tier} LRS Write Operations", "{tier} Write Operations"),
    "get": ("{tier} LRS Read Operations", "{tier} Read Operations"),
    "retrieval": ("{tier} LRS Data Retrieval", "{tier} Data Retrieval"),
}
AZURE_ARCHIVE = {
    "retrieval_standard": ("Archive LRS Data Retrieval", "Archive Data Retrieval"),
    "restore_standard": ("Archive LRS Read Operations", "Archive Read Operations"),
    "retrieval_high": ("Archive Priority Data Retrieval", "Archive LRS Priority Data Retrieval"),
    "restore_high": ("Archive Priority Read Operations", "Archive LRS Priority Read Operations"),
}
AZURE_PRODUCTS = ("General Block Blob v2", "Blob Storage")
"""The newer first; some tiers stand only under the older one in some regions."""

AZURE_UNITS = {"1 GB/Month": "USD/GiB-month", "1 GB": "USD/GiB", "10K": "USD/10000"}


def azure_rows(
    document: Mapping[str, Any], retrieved_on: str
) -> tuple[list[dict[str, str]], list[str]]:
    """Rows of ``prices.csv`` from retail prices (all pages as one), and prices not named.

    Only locally redundant storage, consumption in USD.

    Raises:
        PriceListError: they are none, or a unit is not known.
    """
    items = _azure_items(document)
    wanted = {
        (tier, item): tuple(name.format(tier=tier) for name in names)
        for tier in AZURE_TIERS
        for item, names in AZURE_METERS.items()
        if item != "retrieval" or tier in ("Cool", "Cold")
    } | {("Archive", item): names for item, names in AZURE_ARCHIVE.items()}
    rows, not_found = [], []
    for region in sorted({str(item.get("armRegionName")) for item in items} - {"", "None"}):
        here = [item for item in items if item.get("armRegionName") == region]
        for (tier, item), names in wanted.items():
            bands = _azure_bands(here, tier, names)
            if not bands:
                not_found.append(f"az {region} {tier} {item}")
                continue
            rows.append(_azure_row(region, tier, item, bands, retrieved_on))
        if any(row["region"] == region and row["storage_class"] == "Hot" for row in rows):
            free = next(row for row in rows if row["region"] == region)
            nothing = {"unit": "USD/GiB", "value": "0", "low": "0", "high": "0"}
            source = "Azure Retail Prices: no meter, reading the hot tier is free"
            rows.append(
                free | nothing | {"storage_class": "Hot", "item": "retrieval", "source": source}
            )
    return rows, not_found


def _azure_items(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = document.get("Items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise PriceListError("not a page of Azure retail prices: it has no list of Items")
    return [
        item
        for item in items
        if item.get("type") == "Consumption" and item.get("currencyCode") == "USD"
    ]


def _azure_bands(
    items: Iterable[Mapping[str, Any]], tier: str, names: Iterable[str]
) -> list[Mapping[str, Any]]:
    """Bands of a meter from that of zero, of the first product and name that has it."""
    for product in AZURE_PRODUCTS:
        for name in names:
            found = [
                item
                for item in items
                if item.get("productName") == product
                and item.get("skuName") == f"{tier} LRS"
                and item.get("meterName") == name
            ]
            if found:
                return sorted(found, key=lambda item: float(item.get("tierMinimumUnits") or 0))
    return []


def _azure_row(
    region: str, tier: str, item: str, bands: list[Mapping[str, Any]], retrieved_on: str
) -> dict[str, str]:
    first, last = bands[0], bands[-1]
    unit = AZURE_UNITS.get(str(first.get("unitOfMeasure")))
    if unit is None:
        raise PriceListError(
            f"{first.get('meterName')} in {region}: a price for {first.get('unitOfMeasure')!r}"
        )
    try:
        value, low = (Decimal(str(entry["retailPrice"])) for entry in (first, last))
        valid_from = date.fromisoformat(str(first["effectiveStartDate"])[:10]).isoformat()
    except (KeyError, ValueError, InvalidOperation) as error:
        raise PriceListError(f"{first.get('meterName')} in {region}: {error!r}") from error
    return {
        "provider": "az",
        "region": region,
        "storage_class": tier,
        "item": item,
        "value": as_text(value),
        "low": as_text(min(low, value)),
        "high": as_text(max(low, value)),
        "unit": unit,
        "valid_from": valid_from,
        "source": f"Azure Retail Prices, {first.get('productName')}, {first.get('meterName')}",
        "retrieved_on": retrieved_on,
    }
