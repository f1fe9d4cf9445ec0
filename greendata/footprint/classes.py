"""Storage classes and tiers of the providers, and what reading objects in them costs."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from greendata.footprint.prices import DEFAULT_CLASS, REFERENCE_REGION, price_list
from greendata.footprint.tables import GIB, rows_of

READABLE_TIERS = ("hot", "intelligent", "cool", "cold")
"""From an archive tier nothing is read: it would have to be thawed first."""

UNKNOWN_TIER = "unknown"


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
    if storage_class is None or provider not in DEFAULT_CLASS:
        return "hot"
    found = _tiers().get((provider, storage_class))
    return found or UNKNOWN_TIER


def read_cost(objects: Iterable[tuple[str, str | None, int, int]]) -> ReadCost:
    """Cost of reading objects once: (URI, storage class, bytes, requests) of each.

    At the newest list of the provider's reference region; a class without a price there counts as
    the default one.
    """
    total = ReadCost()
    for uri, storage_class, size_bytes, requests in objects:
        total += _cost_of(uri, storage_class, size_bytes, requests)
    return total


def _cost_of(uri: str, storage_class: str | None, size_bytes: int, requests: int) -> ReadCost:
    provider = uri.partition("://")[0]
    if provider not in DEFAULT_CLASS:
        return ReadCost(objects=1, size_bytes=size_bytes)
    get_usd, retrieval_usd_per_gib, egress_usd_per_gib = _read_prices(provider, storage_class)
    gib = Decimal(size_bytes) / GIB
    return ReadCost(
        objects=1,
        size_bytes=size_bytes,
        requests=requests,
        request_usd=get_usd * requests,
        retrieval_usd=retrieval_usd_per_gib * gib,
        egress_usd_high=egress_usd_per_gib * gib,
    )


@functools.cache
def _read_prices(provider: str, storage_class: str | None) -> tuple[Decimal, Decimal, Decimal]:
    """USD a request, USD a GiB for retrieval, and USD a GiB to the internet."""
    prices = price_list()
    default = prices.find(provider, None, None)
    found = prices.classes.get((provider, "", storage_class or "")) or default
    if found.get_usd is None or found.retrieval_usd_per_gib is None:
        found = default
    internet = prices.transfer_usd_per_gib(provider, REFERENCE_REGION[provider], "internet")
    get_usd, retrieval = found.needed("get_usd"), found.needed("retrieval_usd_per_gib")
    return get_usd, retrieval, internet.high


@functools.cache
def _tiers() -> dict[tuple[str, ...], str]:
    return {key: row["tier"] for key, row in rows_of("storage_classes").items()}
