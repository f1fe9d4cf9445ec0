"""What storing, moving, reading and restoring objects costs, in USD at list prices.

Sizes are bytes, times are days or months of thirty days. A price that is not known raises
``MissingFactError``; it never counts as zero. The same formulae stand as SQL in ``columns.py``.
"""

from __future__ import annotations

from decimal import Decimal

from greendata.errors import MissingFactError
from greendata.footprint.prices import DAYS_A_MONTH, ClassPrices, TransitionPrices
from greendata.footprint.ranges import UsdRange
from greendata.footprint.tables import GIB, Value, values_of

LARGEST_OBJECT_BYTES = 50 * 10**12
"""S3's limit since December 2025; no object is larger."""


def billed_bytes(prices: ClassPrices, size_bytes: int) -> int:
    """The size an object is charged for."""
    return max(size_bytes, prices.min_billable_bytes)


def monthly_cost(prices: ClassPrices, size_bytes: int) -> Decimal:
    """Storing an object for a month: billed size, metadata overhead, monitoring.

    Raises:
        MissingFactError: the list does not know the class.
    """
    stored = prices.needed("storage_usd_per_gib_month") * billed_bytes(prices, size_bytes) / GIB
    return stored + _per_object(prices, size_bytes)


def monthly_cost_range(
    prices: ClassPrices, *, billed: int, objects: int, monitored_objects: int
) -> UsdRange:
    """The same of many objects of a class, between its cheapest and dearest price.

    ``billed`` is the sum of their billed sizes, ``monitored_objects`` those that are monitored.
    """
    fixed = prices.needed("overhead_usd_per_object_month") * objects
    if monitored_objects:
        fixed += prices.needed("monitoring_usd_per_object_month") * monitored_objects
    ends = (
        prices.needed(f"storage_usd_per_gib_month{suffix}") * billed / GIB + fixed
        for suffix in ("_low", "", "_high")
    )
    low, central, high = ends
    return UsdRange(low=low, central=central, high=high)


def is_monitored(prices: ClassPrices, size_bytes: int) -> bool:
    """Whether an object pays for monitoring."""
    return prices.monitored_from_bytes is not None and size_bytes >= prices.monitored_from_bytes


def _per_object(prices: ClassPrices, size_bytes: int) -> Decimal:
    fixed = prices.needed("overhead_usd_per_object_month")
    if is_monitored(prices, size_bytes):
        fixed += prices.needed("monitoring_usd_per_object_month")
    return fixed


def idle_cost(prices: ClassPrices, size_bytes: int, months: int) -> Decimal:
    """Storing an object that nobody reads for some months, with what the class does by itself.

    Intelligent-Tiering moves a monitored object to colder access tiers; its own archive tiers,
    which have to be switched on, are not counted.

    Raises:
        MissingFactError: the list does not know the class.
    """
    if not is_monitored(prices, size_bytes):
        return monthly_cost(prices, size_bytes) * months
    gib = Decimal(size_bytes) / GIB
    total = _per_object(prices, size_bytes) * months
    for month in range(months):
        total += _access_tier_price(prices, month * DAYS_A_MONTH) * gib
    return total


def _access_tier_price(prices: ClassPrices, idle_days: int) -> Decimal:
    found = prices.needed("storage_usd_per_gib_month")
    for after, item in (
        ("infrequent_after", "storage_infrequent"),
        ("archive_instant_after", "storage_archive_instant"),
    ):
        name = prices.storage_class
        limit = values_of("class_limits").get((prices.provider, name, after))
        if limit is not None and idle_days >= limit.central:
            key = (prices.provider, prices.price_region, name, item)
            found = values_of("prices")[key].central
    return found


def early_delete_cost(prices: ClassPrices, size_bytes: int, days_in_class: int) -> Decimal:
    """What is still owed for the minimum duration when an object leaves its class.

    Raises:
        MissingFactError: the list does not know the class.
    """
    owed_days = max(0, prices.min_duration_days - days_in_class)
    if not owed_days:
        return Decimal(0)
    gib_months = Decimal(billed_bytes(prices, size_bytes) * owed_days) / DAYS_A_MONTH / GIB
    return gib_months * prices.needed("storage_usd_per_gib_month")


def transition_cost(
    transition: TransitionPrices, source: ClassPrices, size_bytes: int, days_in_class: int
) -> Decimal:
    """Moving an object to another class once: requests, retrieval, minimum duration still owed.

    Raises:
        MissingFactError: a price is not known.
    """
    return (
        _known(transition.usd_per_object, transition)
        + _known(transition.usd_per_gib, transition) * size_bytes / GIB
        + early_delete_cost(source, size_bytes, days_in_class)
    )


def _known(price: Decimal | None, transition: TransitionPrices) -> Decimal:
    if price is None:
        raise MissingFactError(
            f"no price is known of a {transition.way} from {transition.source_class} to"
            f" {transition.target_class} in {transition.region or 'an unknown region'}",
            hint="scripts/refresh_prices reads the provider's list into the data files.",
        )
    return price


def read_cost(prices: ClassPrices, size_bytes: int, requests: int = 1) -> Decimal:
    """Reading an object once, in its region; where it has to be restored first, that too.

    Raises:
        MissingFactError: a price is not known.
    """
    return (
        prices.needed("get_usd") * requests
        + prices.needed("restore_usd")
        + prices.needed("retrieval_usd_per_gib") * size_bytes / GIB
    )


def restore_cost(prices: ClassPrices, hot: ClassPrices, size_bytes: int, days: int) -> Decimal:
    """Having an archived object readable for some days, at the standard speed.

    The readable copy of S3 is billed like the hot class meanwhile.

    Raises:
        MissingFactError: a price is not known.
    """
    copied = hot.needed("storage_usd_per_gib_month") * size_bytes * days / DAYS_A_MONTH / GIB
    retrieval = prices.needed("retrieval_usd_per_gib") * size_bytes / GIB
    return prices.needed("restore_usd") + retrieval + copied


def transfer_cost(
    source: ClassPrices, target: ClassPrices, usd_per_gib: Value, size_bytes: int
) -> Decimal:
    """Copying an object to another region once: reading it, moving it, writing it there.

    Raises:
        MissingFactError: a price is not known.
    """
    moved = usd_per_gib.central * size_bytes / GIB
    return read_cost(source, size_bytes) + moved + target.needed("put_usd")


def payback_months(one_off: Decimal, monthly_saving: Decimal) -> Decimal | None:
    """Months until a saving has repaid what it cost; None if never."""
    if monthly_saving <= 0:
        return None
    return one_off / monthly_saving


def net_saving(
    transition: TransitionPrices,
    source: ClassPrices,
    target: ClassPrices,
    *,
    size_bytes: int,
    days_in_class: int,
    months: Decimal,
    full_reads_a_month: Decimal,
) -> Decimal:
    """What a move to another class saves within some months; negative where it loses money.

    Reads cost what they cost in the class the object is in (lifecycle reference, 1.3).

    Raises:
        MissingFactError: a price is not known.
    """
    before = monthly_cost(source, size_bytes)
    after = monthly_cost(target, size_bytes)
    if full_reads_a_month:
        before += read_cost(source, size_bytes) * full_reads_a_month
        after += read_cost(target, size_bytes) * full_reads_a_month
    once = transition_cost(transition, source, size_bytes, days_in_class)
    return (before - after) * months - once


def least_size_that_repays(
    transition: TransitionPrices, source: ClassPrices, target: ClassPrices, months: int
) -> int | None:
    """Bytes from which a move repays itself within some months if nobody reads; None if never.

    Raises:
        MissingFactError: a price is not known.
    """

    def repays(size_bytes: int) -> bool:
        saved = net_saving(
            transition,
            source,
            target,
            size_bytes=size_bytes,
            days_in_class=source.min_duration_days,
            months=Decimal(months),
            full_reads_a_month=Decimal(0),
        )
        return saved >= 0

    if not repays(LARGEST_OBJECT_BYTES):
        return None
    low, high = -1, LARGEST_OBJECT_BYTES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if repays(middle) else (middle, high)
    return high


def full_reads_that_cancel(source: ClassPrices, target: ClassPrices) -> Decimal | None:
    """Full reads a month above which the colder class costs more, requests aside; None if never.

    Raises:
        MissingFactError: a price is not known.
    """
    dearer = target.needed("retrieval_usd_per_gib") - source.needed("retrieval_usd_per_gib")
    if dearer <= 0:
        return None
    storage = "storage_usd_per_gib_month"
    return (source.needed(storage) - target.needed(storage)) / dearer
