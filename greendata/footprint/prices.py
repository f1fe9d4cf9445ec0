"""List prices of storage classes, region by region, as rates that costs are linear in.

The prices themselves stand in ``data/prices.csv``, the rules of billing in ``class_limits.csv``.
What a file does not know is None here and NULL in SQL, and whoever needs it says so.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal

from greendata.errors import MissingFactError
from greendata.footprint.tables import GIB, Value, rows_of, values_of

DEFAULT_CLASS = {"s3": "STANDARD", "az": "Hot"}
"""The class of an object whose listing names none, and the one that metadata overhead is in."""

REFERENCE_REGION = {"s3": "us-east-1", "az": "westus"}
"""Whose list stands in for objects of which nobody said in what region they are."""

TIERS = ("hot", "intelligent", "cool", "cold", "archive", "deep_archive")
"""From the warmest; a move to the right pays as a write, one to the left as a read."""

BEYOND_REACH = ("archive", "deep_archive")
"""What is in these tiers is restored before it can be read."""

DAYS_A_MONTH = 30
"""Minimum durations are billed in days, storage in months: thirty days are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPrices:
    """One storage class in one region: limits, and prices in USD. None is not known.

    Attributes:
        region: as asked for; empty for objects of unknown region.
        price_region: whose list it is: ``region``, or the provider's reference region.
        storage_usd_per_gib_month: of the first band; ``_low`` is the cheapest band or access tier.
        overhead_usd_per_object_month: metadata that archive classes bill for.
        monitored_from_bytes: objects of this size and more pay ``monitoring_usd_per_object_month``.
        transition_usd: one object moved into the class by a lifecycle rule or by setting its tier.
        retrieval_usd_per_gib: reading it, or where it has to be restored first, the standard speed.
        restore_usd: the request to restore one object; zero where none is needed.
        restore_hours: at most, until it can be read.
    """

    provider: str
    region: str
    storage_class: str
    tier: str
    is_readable: bool
    price_region: str
    min_duration_days: int
    min_billable_bytes: int
    monitored_from_bytes: int | None
    storage_usd_per_gib_month: Decimal | None
    storage_usd_per_gib_month_low: Decimal | None
    storage_usd_per_gib_month_high: Decimal | None
    overhead_usd_per_object_month: Decimal | None
    monitoring_usd_per_object_month: Decimal | None
    put_usd: Decimal | None
    get_usd: Decimal | None
    transition_usd: Decimal | None
    retrieval_usd_per_gib: Decimal | None
    restore_usd: Decimal | None
    restore_hours: Decimal | None

    def needed(self, name: str) -> Decimal:
        """The price of this name.

        Raises:
            MissingFactError: no list here knows it; the message says of what and where.
        """
        found: Decimal | None = getattr(self, name)
        if found is None:
            raise MissingFactError(
                f"no {name} is known for {self.provider} {self.storage_class} in"
                f" {self.region or 'an unknown region'}",
                hint="scripts/refresh_prices reads the provider's list into the data files.",
            )
        return found

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the prices that are not known."""
        return tuple(
            entry.name
            for entry in fields(self)
            if entry.name != "monitored_from_bytes" and getattr(self, entry.name) is None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionPrices:
    """Moving one object from a class to another, in one region. None is not known.

    Attributes:
        way: ``lifecycle`` (a rule of the bucket), ``copy`` (over itself), ``set_tier``, and for
            what is archived ``restore_and_copy`` or ``rehydrate``.
        min_age_days: of an object before a rule moves it.
        usd_per_object: requests.
        usd_per_gib: retrieval from the class it leaves.
    """

    provider: str
    region: str
    source_class: str
    target_class: str
    way: str
    min_age_days: int
    usd_per_object: Decimal | None
    usd_per_gib: Decimal | None


@dataclass(frozen=True, slots=True)
class PriceList:
    """All prices that are valid on a day.

    Attributes:
        classes: by (provider, region, storage class); the empty region is the unknown one.
        transitions: by (provider, region, source class, target class, way).
        transfers: USD a GiB by (provider, source region, target region or ``internet``).
    """

    classes: Mapping[tuple[str, str, str], ClassPrices]
    transitions: Mapping[tuple[str, str, str, str, str], TransitionPrices]
    transfers: Mapping[tuple[str, str, str], Value]

    def find(self, provider: str, region: str | None, storage_class: str | None) -> ClassPrices:
        """Prices of a class.

        Raises:
            MissingFactError: the provider, the region or the class is not in the data files.
        """
        name = storage_class or DEFAULT_CLASS.get(provider, "")
        found = self.classes.get((provider, region or "", name))
        if found is None:
            raise MissingFactError(
                f"the data files know no class {name!r} of {provider!r}"
                f" in {region or 'an unknown region'}"
            )
        return found

    def transfer_usd_per_gib(self, provider: str, source: str, target: str) -> Value:
        """Price of bytes that leave a region for another, or for ``internet``.

        Raises:
            MissingFactError: no list here knows it.
        """
        found = self.transfers.get((provider, source, target))
        if found is None:
            raise MissingFactError(
                f"no price is known of {provider} bytes from {source} to {target}"
            )
        return found


@functools.lru_cache(maxsize=8)
def price_list(as_of: date | None = None) -> PriceList:
    """The prices valid on a day; None is the newest of all."""
    prices = values_of("prices", as_of)
    limits = values_of("class_limits", as_of)
    classes = {
        (entry.provider, entry.region, entry.storage_class): entry
        for provider, region in places()
        for entry in _classes(provider, region, prices, limits, as_of)
    }
    return PriceList(
        classes=classes,
        transitions=dict(_transitions(classes, as_of)),
        transfers=dict(_transfers(as_of)),
    )


@functools.cache
def places() -> tuple[tuple[str, str], ...]:
    """(provider, region) of all regions, and the empty region of each provider."""
    return (*((provider, "") for provider in DEFAULT_CLASS), *sorted(_areas()))


def _classes(
    provider: str,
    region: str,
    prices: Mapping[tuple[str, ...], Value],
    limits: Mapping[tuple[str, ...], Value],
    as_of: date | None,
) -> Iterator[ClassPrices]:
    price_region = region or REFERENCE_REGION[provider]

    def price(name: str, item: str) -> Decimal | None:
        found = prices.get((provider, price_region, name, item))
        return None if found is None else found.central

    def limit(name: str, item: str) -> Decimal | None:
        found = limits.get((provider, name, item))
        return None if found is None else found.central

    hot = price(DEFAULT_CLASS[provider], "storage")
    for (owner, name), row in rows_of("storage_classes", as_of).items():
        if owner != provider:
            continue
        storage = prices.get((provider, price_region, name, "storage"))
        monitored_from = limit(name, "monitored_from")
        is_archived = row["tier"] in BEYOND_REACH
        yield ClassPrices(
            provider=provider,
            region=region,
            storage_class=name,
            tier=row["tier"],
            is_readable=row["is_readable"] == "1",
            price_region=price_region,
            min_duration_days=int(limit(name, "min_duration") or 0),
            min_billable_bytes=int(limit(name, "min_billable") or 0),
            monitored_from_bytes=None if monitored_from is None else int(monitored_from),
            storage_usd_per_gib_month=None if storage is None else storage.central,
            storage_usd_per_gib_month_low=None if storage is None else storage.low,
            storage_usd_per_gib_month_high=None if storage is None else storage.high,
            overhead_usd_per_object_month=_sum(
                _times(price(name, "storage"), limit(name, "overhead")),
                _times(hot, limit(name, "overhead_hot")),
            ),
            monitoring_usd_per_object_month=(
                Decimal(0) if monitored_from is None else price(name, "monitoring")
            ),
            put_usd=price(name, "put"),
            # what was restored is read at the price of the hot class
            get_usd=price(DEFAULT_CLASS[provider] if is_archived else name, "get"),
            transition_usd=price(name, "transition"),
            retrieval_usd_per_gib=price(name, "retrieval_standard" if is_archived else "retrieval"),
            restore_usd=price(name, "restore_standard") if is_archived else Decimal(0),
            restore_hours=limit(name, "restore_standard") if is_archived else Decimal(0),
        )


def _times(usd_per_gib: Decimal | None, size_bytes: Decimal | None) -> Decimal | None:
    if not size_bytes:
        return Decimal(0)
    return None if usd_per_gib is None else usd_per_gib * size_bytes / GIB


def _sum(*amounts: Decimal | None) -> Decimal | None:
    """None where one of them is not known."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def _transitions(
    classes: Mapping[tuple[str, str, str], ClassPrices], as_of: date | None
) -> Iterator[tuple[tuple[str, str, str, str, str], TransitionPrices]]:
    for (provider, source_name, target_name, way), row in rows_of("transitions", as_of).items():
        for owner, region in places():
            if owner != provider:
                continue
            source = classes.get((provider, region, source_name))
            target = classes.get((provider, region, target_name))
            if source is None or target is None:
                continue
            usd_per_object, usd_per_gib = _fees(source, target, way)
            yield (
                (provider, region, source_name, target_name, way),
                TransitionPrices(
                    provider=provider,
                    region=region,
                    source_class=source_name,
                    target_class=target_name,
                    way=way,
                    min_age_days=int(row["min_age_days"]),
                    usd_per_object=usd_per_object,
                    usd_per_gib=usd_per_gib,
                ),
            )


def _fees(
    source: ClassPrices, target: ClassPrices, way: str
) -> tuple[Decimal | None, Decimal | None]:
    """USD an object and USD a GiB of a move (lifecycle reference, 1.1 and 1.2)."""
    free = Decimal(0)
    if way == "lifecycle":
        return target.transition_usd, free
    if way == "set_tier" and TIERS.index(target.tier) > TIERS.index(source.tier):
        return target.transition_usd, free
    if way in ("set_tier", "rehydrate"):
        request = source.restore_usd if way == "rehydrate" else source.get_usd
        return request, source.retrieval_usd_per_gib
    return (
        _sum(source.get_usd, source.restore_usd, target.put_usd),
        source.retrieval_usd_per_gib,
    )


@functools.cache
def _areas() -> Mapping[tuple[str, str], str]:
    """Continents of regions, by (provider, region); empty where no list says how it counts."""
    return {
        (provider, region): row["area"] for (provider, region), row in rows_of("regions").items()
    }


def _transfers(as_of: date | None) -> Iterator[tuple[tuple[str, str, str], Value]]:
    """Every pair of regions that a row of the file covers; the most particular row counts."""
    known = values_of("transfers", as_of)
    for (provider, source), area in _areas().items():
        targets = [region for owner, region in _areas() if owner == provider]
        for target in (*targets, "internet"):
            for key in _rows_that_cover(provider, source, area, target):
                if key in known:
                    yield (provider, source, target), known[key]
                    break


def _rows_that_cover(
    provider: str, source: str, area: str, target: str
) -> Iterator[tuple[str, str, str]]:
    if source == target:
        yield provider, "*", "same-region"
        return
    yield provider, source, target
    if target == "internet":
        yield provider, area, target
        return
    yield provider, source, "*"
    if area and (target_area := _areas()[provider, target]):
        yield provider, area, target_area
        yield provider, area, "*"
