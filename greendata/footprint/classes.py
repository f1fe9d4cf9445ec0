"""Storage classes and tiers of the providers, and what reading objects in them costs."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources

GB = 10**9
"""The unit both providers bill retrieval and transfer in."""

READABLE_TIERS = ("hot", "intelligent", "cool", "cold")
"""From an archive tier nothing is read: it would have to be thawed first."""

UNKNOWN_TIER = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    """A provider's storage class, with list prices in USD."""

    provider: str
    name: str
    tier: str
    is_readable: bool
    storage_usd_per_gib_month: Decimal
    get_usd_per_1000: Decimal
    retrieval_usd_per_gb: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCost:
    """List price of reading some objects once, in USD.

    Egress is a range: free inside the region, the internet price outside.
    """

    objects: int = 0
    size_bytes: int = 0
    requests: int = 0
    request_usd: Decimal = Decimal(0)
    retrieval_usd: Decimal = Decimal(0)
    egress_usd_low: Decimal = Decimal(0)
    egress_usd_high: Decimal = Decimal(0)

    @property
    def usd_high(self) -> Decimal:
        """All of it, with egress at its highest."""
        return self.request_usd + self.retrieval_usd + self.egress_usd_high

    def __add__(self, other: ReadCost) -> ReadCost:
        return ReadCost(
            objects=self.objects + other.objects,
            size_bytes=self.size_bytes + other.size_bytes,
            requests=self.requests + other.requests,
            request_usd=self.request_usd + other.request_usd,
            retrieval_usd=self.retrieval_usd + other.retrieval_usd,
            egress_usd_low=self.egress_usd_low + other.egress_usd_low,
            egress_usd_high=self.egress_usd_high + other.egress_usd_high,
        )


def tier_of(uri: str, storage_class: str | None) -> str:
    """The tier of an object by its URI's scheme and the provider's word; local files are hot.

    A class that the listing did not name is the provider's default, which is hot.
    """
    provider = uri.partition("://")[0]
    if storage_class is None or provider not in {known for known, _ in _classes()}:
        return "hot"
    found = _classes().get((provider, storage_class))
    return found.tier if found else UNKNOWN_TIER


def storage_classes() -> tuple[StorageClass, ...]:
    """All storage classes that are known, with the list prices of one region of each provider."""
    return tuple(_classes().values())


def read_cost(objects: Iterable[tuple[str, str | None, int, int]]) -> ReadCost:
    """Cost of reading objects once: (URI, storage class, bytes, requests) of each."""
    total = ReadCost()
    for uri, storage_class, size_bytes, requests in objects:
        total += _cost_of(uri, storage_class, size_bytes, requests)
    return total


def _cost_of(uri: str, storage_class: str | None, size_bytes: int, requests: int) -> ReadCost:
    provider = uri.partition("://")[0]
    if provider not in _egress():
        return ReadCost(objects=1, size_bytes=size_bytes)
    default = "STANDARD" if provider == "s3" else "Hot"
    found = _classes().get((provider, storage_class or default)) or _classes()[provider, default]
    gigabytes = Decimal(size_bytes) / GB
    low, high = _egress()[provider]
    return ReadCost(
        objects=1,
        size_bytes=size_bytes,
        requests=requests,
        request_usd=found.get_usd_per_1000 * requests / 1000,
        retrieval_usd=found.retrieval_usd_per_gb * gigabytes,
        egress_usd_low=low * gigabytes,
        egress_usd_high=high * gigabytes,
    )


@functools.cache
def _classes() -> dict[tuple[str, str], StorageClass]:
    return {
        (row["provider"], row["storage_class"]): StorageClass(
            provider=row["provider"],
            name=row["storage_class"],
            tier=row["tier"],
            is_readable=row["is_readable"] == "1",
            storage_usd_per_gib_month=Decimal(row["storage_usd_per_gib_month"]),
            get_usd_per_1000=Decimal(row["get_usd_per_1000"]),
            retrieval_usd_per_gb=Decimal(row["retrieval_usd_per_gb"]),
        )
        for row in _rows("storage_classes.csv")
    }


@functools.cache
def _egress() -> dict[str, tuple[Decimal, Decimal]]:
    return {
        row["provider"]: (Decimal(row["usd_per_gb_low"]), Decimal(row["usd_per_gb_high"]))
        for row in _rows("egress.csv")
    }


def _rows(name: str) -> Iterator[dict[str, str]]:
    path = resources.files("greendata.footprint") / "data" / name
    yield from csv.DictReader(path.read_text(encoding="utf-8").splitlines())
