"""AWS offer files. The rules, and why the obvious query gives the wrong number, are those that
objectfs (internal/awsrates/offerfile) found in real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from scripts.price_lists.rows import PriceListError, as_text

STANDARD_STORAGE = "TimedStorage-ByteHrs"
_TRANSITIONS = ("Requests-Tier3", "Requests-Tier4")
_BYTES, _READ, _EACH = "USD/GiB-month", "USD/GiB", "USD/1000"

Queries = dict[tuple[str, str], tuple[tuple[str, ...], str, str]]


def _class_queries(storage_class: str, code: str) -> Queries:
    """Of a class whose usage types are named alike."""
    return {
        (storage_class, "storage"): ((f"TimedStorage-{code}-ByteHrs",), "", _BYTES),
        (storage_class, "put"): ((f"Requests-{code}-Tier1",), "", _EACH),
        (storage_class, "get"): ((f"Requests-{code}-Tier2",), "", _EACH),
        (storage_class, "retrieval"): ((f"Retrieval-{code}",), "", _READ),
        (storage_class, "transition"): (_TRANSITIONS, f"S3-{code}Transition", _EACH),
    }


def _access_tier(item: str, code: str) -> Queries:
    usage = f"TimedStorage-INT-{code}-ByteHrs"
    return {("INTELLIGENT_TIERING", item): ((usage,), "", _BYTES)}


# (class, item): (usage types without the region's prefix, operation, unit in the file)
# An operation that is empty has to be empty in the list, too.
S3_QUERIES: Queries = {
    ("STANDARD", "storage"): ((STANDARD_STORAGE,), "", _BYTES),
    ("STANDARD", "put"): (("Requests-Tier1",), "", _EACH),
    ("STANDARD", "get"): (("Requests-Tier2",), "", _EACH),
    ("REDUCED_REDUNDANCY", "storage"): (("TimedStorage-RRS-ByteHrs",), "", _BYTES),
    ("REDUCED_REDUNDANCY", "put"): (("Requests-Tier1",), "", _EACH),
    ("REDUCED_REDUNDANCY", "get"): (("Requests-Tier2",), "", _EACH),
    **_access_tier("storage", "FA"),
    **_access_tier("storage_infrequent", "IA"),
    **_access_tier("storage_archive_instant", "AIA"),
    **_access_tier("storage_archive", "AA"),
    **_access_tier("storage_deep_archive", "DAA"),
    ("INTELLIGENT_TIERING", "put"): (("Requests-INT-Tier1",), "", _EACH),
    ("INTELLIGENT_TIERING", "get"): (("Requests-INT-Tier2",), "", _EACH),
    ("INTELLIGENT_TIERING", "monitoring"): (
        ("Monitoring-Automation-INT",),
        "",
        "USD/1000-objects-month",
    ),
    ("INTELLIGENT_TIERING", "transition"): (_TRANSITIONS, "S3-INTTransition", _EACH),
    **_class_queries("STANDARD_IA", "SIA"),
    **_class_queries("ONEZONE_IA", "ZIA"),
    **_class_queries("GLACIER_IR", "GIR"),
    ("GLACIER", "storage"): (("TimedStorage-GlacierByteHrs",), "", _BYTES),
    ("GLACIER", "put"): (("Requests-GLACIER-Tier1",), "PutObject", _EACH),
    ("GLACIER", "get"): (("Requests-GLACIER-Tier2",), "", _EACH),
    ("GLACIER", "transition"): (("Requests-Tier3",), "S3-GlacierTransition", _EACH),
    ("GLACIER", "retrieval_standard"): (("Standard-Retrieval-Bytes",), "RestoreObject", _READ),
    ("GLACIER", "restore_standard"): (("Requests-Tier3",), "RestoreObject", _EACH),
    # no list has TimedStorage-GDA-ByteHrs, and GDA-Staging is another thing at 21 times the price
    ("DEEP_ARCHIVE", "storage"): (("TimedStorage-INT-DAA-ByteHrs",), "", _BYTES),
    ("DEEP_ARCHIVE", "put"): (("Requests-Tier3",), "S3-GDATransition", _EACH),
    ("DEEP_ARCHIVE", "get"): (("Requests-GDA-Tier2",), "", _EACH),
    ("DEEP_ARCHIVE", "transition"): (("Requests-Tier3",), "S3-GDATransition", _EACH),
    ("DEEP_ARCHIVE", "retrieval_standard"): (
        ("Standard-Retrieval-Bytes",),
        "DeepArchiveRestoreObject",
        _READ,
    ),
}
READ_FOR_NOTHING = ("STANDARD", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY")
"""Classes whose list has no retrieval fee because there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An AWS offer file: its products, and prices by SKU with the first band before the others."""

    code: str
    published_on: str
    version: str
    products: tuple[tuple[str, str, Mapping[str, str]], ...]
    bands: Mapping[str, tuple[Decimal, ...]]

    @property
    def source(self) -> str:
        """What rows of it are cited as."""
        return f"AWS offer file {self.code}, version {self.version}"


def read_offer(document: Mapping[str, Any]) -> Offer:
    """An offer file, checked.

    Raises:
        PriceListError: it is none.
    """
    try:
        products = tuple(
            (sku, str(entry.get("productFamily", "")), dict(entry["attributes"]))
            for sku, entry in sorted(document["products"].items())
        )
        bands = {
            sku: _bands(term["priceDimensions"])
            for sku, terms in document["terms"]["OnDemand"].items()
            for term in list(terms.values())[:1]
        }
        return Offer(
            code=document["offerCode"],
            published_on=date.fromisoformat(str(document["publicationDate"])[:10]).isoformat(),
            version=str(document.get("version", "")),
            products=products,
            bands=bands,
        )
    except (KeyError, TypeError, AttributeError, ValueError, InvalidOperation) as error:
        raise PriceListError(f"not an AWS offer file: {error!r}") from error


def _bands(dimensions: Mapping[str, Any]) -> tuple[Decimal, ...]:
    """Prices of the bands, that from zero first: the order in the file means nothing."""
    ordered = sorted(dimensions.values(), key=lambda entry: Decimal(entry.get("beginRange") or 0))
    return tuple(Decimal(entry["pricePerUnit"]["USD"]) for entry in ordered)


def s3_rows(offer: Offer, retrieved_on: str) -> tuple[list[dict[str, str]], list[str]]:
    """Rows of ``prices.csv`` from an AmazonS3 file, and the prices that it does not name.

    Raises:
        PriceListError: it names no region, or gives two prices for one thing.
    """
    region, prefix, _ = s3_place(offer)
    rows, not_found = [], []
    for (storage_class, item), (suffixes, operation, unit) in S3_QUERIES.items():
        bands = _one_price(offer, {prefix + suffix for suffix in suffixes}, operation)
        if bands is None:
            not_found.append(f"s3 {region} {storage_class} {item}")
            continue
        factor = 1000 if "1000" in unit else 1
        low = bands[-1]
        if (storage_class, item) == ("INTELLIGENT_TIERING", "storage"):
            instant = _one_price(offer, {f"{prefix}TimedStorage-INT-AIA-ByteHrs"}, "")
            low = min(low, *(instant or ()))
        key = {"provider": "s3", "region": region, "storage_class": storage_class, "item": item}
        rows.append(_row(key, bands[0] * factor, low * factor, unit, offer, retrieved_on))
    for storage_class in READ_FOR_NOTHING:
        key = {"provider": "s3", "region": region, "storage_class": storage_class}
        key["item"] = "retrieval"
        rows.append(_row(key, Decimal(0), Decimal(0), "USD/GiB", offer, retrieved_on))
    return rows, not_found


def s3_place(offer: Offer) -> tuple[str, str, str]:
    """Region, prefix of usage types and location name of a file, from its Standard storage.

    The prefix (``USE2-``, nothing in us-east-1) has no published table, so it is read off.

    Raises:
        PriceListError: the file has no Standard storage, as those of local zones.
    """
    for _, family, attributes in offer.products:
        usage = attributes.get("usagetype", "")
        if (
            family == "Storage"
            and attributes.get("volumeType") == "Standard"
            and attributes.get("storageClass") == "General Purpose"
            and usage.endswith(STANDARD_STORAGE)
            and attributes.get("regionCode")
        ):
            prefix = usage.removesuffix(STANDARD_STORAGE)
            return attributes["regionCode"], prefix, attributes.get("location", "")
    raise PriceListError("the offer file has no S3 Standard storage of a region")


def _one_price(offer: Offer, usages: set[str], operation: str) -> tuple[Decimal, ...] | None:
    """Bands of the one product of these usage types and operation; None where there is none."""
    found = {
        offer.bands[sku]
        for sku, _, attributes in offer.products
        if attributes.get("usagetype") in usages
        and attributes.get("operation", "") == operation
        and _is_plain(attributes)
        and offer.bands.get(sku)
    }
    if len(found) > 1:
        raise PriceListError(f"several prices for {' or '.join(sorted(usages))} {operation}")
    return next(iter(found), None)


def _is_plain(attributes: Mapping[str, str]) -> bool:
    """Not the metadata of Intelligent-Tiering, which shares a usage type in some regions."""
    usage = attributes.get("usagetype", "")
    is_standard = usage.endswith(STANDARD_STORAGE)
    return not is_standard or attributes.get("volumeType") == "Standard"


def transfer_rows(
    offer: Offer, regions: Mapping[str, str], retrieved_on: str
) -> tuple[list[dict[str, str]], list[str]]:
    """Rows of ``transfers.csv`` from an AWSDataTransfer file, and places that nobody knows.

    ``regions`` are region codes by location name, from the S3 files of the same run: older files
    have names only.
    """
    rows, unknown = [], set()
    for sku, _, attributes in offer.products:
        kind, usage = attributes.get("transferType"), attributes.get("usagetype", "")
        bands = offer.bands.get(sku, ())
        if kind == "InterRegion Outbound" and usage.endswith("AWS-Out-Bytes") and bands:
            target = attributes.get("toRegionCode") or regions.get(attributes.get("toLocation", ""))
        elif kind == "AWS Outbound" and attributes.get("toLocation") == "External":
            is_internet = usage.endswith("DataTransfer-Out-Bytes") and "Global-" not in usage
            if not (is_internet and any(bands)):  # the free tier has a product of its own
                continue
            target = "internet"
        else:
            continue
        name = attributes.get("fromLocation", "")
        source = attributes.get("fromRegionCode") or regions.get(name)
        if source is None or target is None:
            unknown.add(f"s3 transfer from {name} to {attributes.get('toLocation')}")
            continue
        key = {"provider": "s3", "source_place": source, "target_place": target}
        rows.append(_row(key, bands[0], bands[-1], "USD/GB", offer, retrieved_on))
    return rows, sorted(unknown)


def _row(
    key: Mapping[str, str], value: Decimal, low: Decimal, unit: str, offer: Offer, retrieved_on: str
) -> dict[str, str]:
    return {
        **key,
        "value": as_text(value),
        "low": as_text(min(low, value)),
        "high": as_text(max(low, value)),
        "unit": unit,
        "valid_from": offer.published_on,
        "source": offer.source,
        "retrieved_on": retrieved_on,
    }
