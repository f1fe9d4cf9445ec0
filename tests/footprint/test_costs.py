"""Section 1.3 of the lifecycle reference, and what else it computes from list prices."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import pytest

from greendata.errors import MissingFactError
from greendata.footprint.costs import (
    early_delete_cost,
    full_reads_that_cancel,
    idle_cost,
    least_size_that_repays,
    monthly_cost,
    monthly_cost_range,
    net_saving,
    payback_months,
    read_cost,
    restore_cost,
    transfer_cost,
    transition_cost,
)
from greendata.footprint.prices import ClassPrices, TransitionPrices, price_list
from greendata.footprint.ranges import UsdRange
from greendata.footprint.tables import values_of

KIB = 1024
MIB = 2**20
GIB = 2**30
# the reference's Azure figures know no least billed size yet
PRICES = price_list(date(2026, 3, 1))


def s3(name: str) -> ClassPrices:
    return PRICES.find("s3", "us-east-1", name)


def az(name: str) -> ClassPrices:
    return PRICES.find("az", "westus", name)


def rule(target: str, source: str = "STANDARD") -> TransitionPrices:
    return PRICES.transitions["s3", "us-east-1", source, target, "lifecycle"]


def set_tier(source: str, target: str) -> TransitionPrices:
    return PRICES.transitions["az", "westus", source, target, "set_tier"]


@pytest.mark.parametrize(
    ("target", "kib"),
    [
        ("STANDARD_IA", (999, 333, 167, 108)),
        ("GLACIER_IR", (1104, 368, 184, 99)),
        ("GLACIER", (1637, 556, 286, 151)),
        ("DEEP_ARCHIVE", (2392, 804, 407, 209)),
    ],
)
def test_least_sizes_that_repay_a_transition(target: str, kib: tuple[int, ...]) -> None:
    for months, expected in zip((1, 3, 6, 12), kib, strict=True):
        found = least_size_that_repays(rule(target), s3("STANDARD"), s3(target), months)
        assert found is not None
        assert math.ceil(found / KIB) == expected


def payback(
    transition: TransitionPrices, source: ClassPrices, target: ClassPrices, size: int
) -> Decimal | None:
    saved = monthly_cost(source, size) - monthly_cost(target, size)
    return payback_months(transition_cost(transition, source, size, 0), saved)


@pytest.mark.parametrize(
    ("size", "months"),
    [
        (64 * KIB, (None, "21.8", "33.4", "43.9")),  # the reference rounds up: 21.9, 44.0
        (128 * KIB, ("7.8", "8.6", "14.4", "20.2")),
        (256 * KIB, ("3.9", "4.3", "6.7", "9.7")),
        (MIB, ("1.0", "1.1", "1.6", "2.3")),  # 2.4 there, of 2.349
        (8 * MIB, ("0.12", "0.13", "0.20", "0.29")),
    ],
)
def test_payback_of_transitions(size: int, months: tuple[str | None, ...]) -> None:
    targets = ("STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
    for target, expected in zip(targets, months, strict=True):
        found = payback(rule(target), s3("STANDARD"), s3(target), size)
        digits = Decimal(expected or "0.1")
        assert (found is None) == (expected is None)
        assert found is None or found.quantize(digits) == digits


@pytest.mark.parametrize(
    ("target", "months"),
    [
        ("Cool", ("8.8", "1.1", "0.14")),
        ("Cold", ("9.0", "1.1", "0.14")),  # 9.1 there, of 9.046
        ("Archive", ("4.8", "0.6", "0.07")),
    ],
)
def test_payback_of_azure_tiers(target: str, months: tuple[str, ...]) -> None:
    for size, expected in zip((128 * KIB, MIB, 8 * MIB), months, strict=True):
        found = payback(set_tier("Hot", target), az("Hot"), az(target), size)
        assert found is not None
        assert found.quantize(Decimal(expected)) == Decimal(expected)


@pytest.mark.parametrize(
    ("source", "target", "reads"),
    [
        (s3("STANDARD"), s3("STANDARD_IA"), "1.05"),
        (s3("STANDARD"), s3("GLACIER_IR"), "0.63"),
        (s3("STANDARD_IA"), s3("GLACIER_IR"), "0.425"),
        (az("Hot"), az("Cool"), "0.93"),
        (az("Hot"), az("Cold"), "0.54"),
        (az("Cool"), az("Cold"), "0.35"),
    ],
)
def test_full_reads_a_month_that_cancel_a_saving(
    source: ClassPrices, target: ClassPrices, reads: str
) -> None:
    found = full_reads_that_cancel(source, target)
    assert found is not None
    assert found.quantize(Decimal(reads)) == Decimal(reads)
    assert full_reads_that_cancel(s3("STANDARD_IA"), s3("ONEZONE_IA")) is None


def test_what_touching_a_hundred_million_objects_costs() -> None:
    objects = 10**8
    prices = values_of("prices")

    def each(item: str, provider: str = "s3") -> Decimal:
        return prices[provider, "us-east-1", "", item].central * objects

    fees = [
        rule(name).usd_per_object
        for name in ("STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
    ]
    assert [fee and fee * objects for fee in fees] == [1000, 2000, 3000, 5000]
    assert [each("put_tagging"), each("tag")] == [500, 100]
    assert [each("head"), each("list") / 1000, each("inventory")] == [
        40,
        Decimal("0.5"),
        Decimal("0.25"),
    ]


def test_intelligent_tiering_of_128_kib_costs_more_than_standard_for_a_year() -> None:
    objects = 10**6
    intelligent = idle_cost(s3("INTELLIGENT_TIERING"), 128 * KIB, 12)
    fee = rule("INTELLIGENT_TIERING").usd_per_object
    assert fee is not None
    assert round((intelligent + fee) * objects, 2) == Decimal("50.25")
    assert round(idle_cost(s3("STANDARD"), 128 * KIB, 12) * objects, 2) == Decimal("33.69")


def test_small_objects_of_intelligent_tiering_are_neither_monitored_nor_moved() -> None:
    small = 128 * KIB - 1
    assert (
        idle_cost(s3("INTELLIGENT_TIERING"), small, 12) == monthly_cost(s3("STANDARD"), small) * 12
    )


@pytest.mark.parametrize(
    ("prices", "usd"),
    [
        (s3("STANDARD_IA"), "0.0125"),
        (s3("GLACIER_IR"), "0.012"),
        (s3("GLACIER"), "0.0108"),
        (s3("DEEP_ARCHIVE"), "0.0059"),
        (az("Cool"), "0.0115"),
        (az("Cold"), "0.0135"),
        (az("Archive"), "0.012"),
        (s3("STANDARD"), "0.0000"),
    ],
)
def test_most_that_is_owed_for_leaving_a_class_early(prices: ClassPrices, usd: str) -> None:
    assert early_delete_cost(prices, GIB, 0).quantize(Decimal(usd)) == Decimal(usd)
    assert early_delete_cost(prices, GIB, 180) == 0


def test_a_terabyte_year_of_s3_standard_is_257_usd() -> None:
    assert round(monthly_cost(s3("STANDARD"), 10**12) * 12) == 257


def test_archive_classes_bill_metadata_and_others_a_least_size() -> None:
    metadata = (32 * Decimal("0.0036") + 8 * Decimal("0.023")) * KIB / GIB
    assert monthly_cost(s3("GLACIER"), 0) == metadata
    assert monthly_cost(s3("STANDARD_IA"), 1) == monthly_cost(s3("STANDARD_IA"), 128 * KIB)


@pytest.mark.parametrize(
    ("day", "billed"), [("2026-06-30", 0), ("2026-07-01", 128), ("2027-07-01", 128)]
)
def test_azure_bills_a_least_size_from_the_day_it_says(day: str, billed: int) -> None:
    cool = price_list(date.fromisoformat(day)).find("az", None, "Cool")
    assert cool.min_billable_bytes == billed * KIB


def test_reads_count_against_a_colder_class() -> None:
    def net(reads: str) -> Decimal:
        return net_saving(
            rule("STANDARD_IA"),
            s3("STANDARD"),
            s3("STANDARD_IA"),
            size_bytes=GIB,
            days_in_class=100,
            months=Decimal(12),
            full_reads_a_month=Decimal(reads),
        )

    assert net("0") == Decimal("0.0105") * 12 - Decimal("0.00001")
    assert net("1.04") > 0 > net("1.06")


def test_reads_cost_in_the_class_an_object_is_in_too() -> None:
    """From infrequent access on, 0.425 full reads a month cancel what Glacier Instant saves."""
    copy = PRICES.transitions["s3", "us-east-1", "STANDARD_IA", "GLACIER_IR", "copy"]

    def net(reads: str) -> Decimal:
        return net_saving(
            copy,
            s3("STANDARD_IA"),
            s3("GLACIER_IR"),
            size_bytes=100 * GIB,
            days_in_class=30,
            months=Decimal(1000),
            full_reads_a_month=Decimal(reads),
        )

    assert net("0.42") > 0 > net("0.43")


def test_what_is_still_owed_counts_against_a_move() -> None:
    copy = PRICES.transitions["s3", "us-east-1", "STANDARD_IA", "GLACIER", "copy"]
    late, early = (transition_cost(copy, s3("STANDARD_IA"), GIB, days) for days in (30, 15))
    assert late == Decimal("0.000031") + Decimal("0.01")  # PUT, GET and retrieval
    assert early - late == Decimal("0.0125") / 2


def test_azure_pays_a_write_for_colder_and_a_read_for_warmer() -> None:
    colder, warmer = set_tier("Hot", "Cool"), set_tier("Cool", "Hot")
    assert [colder.usd_per_object, colder.usd_per_gib] == [Decimal("0.00001"), 0]
    assert [warmer.usd_per_object, warmer.usd_per_gib] == [Decimal("0.000001"), Decimal("0.01")]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("GLACIER_IR", "STANDARD_IA"),
        ("ONEZONE_IA", "GLACIER_IR"),
        ("INTELLIGENT_TIERING", "STANDARD_IA"),
        ("STANDARD_IA", "STANDARD"),
        ("DEEP_ARCHIVE", "GLACIER"),
        ("STANDARD", "REDUCED_REDUNDANCY"),
    ],
)
def test_no_rule_moves_objects_up_the_waterfall(source: str, target: str) -> None:
    assert ("s3", "us-east-1", source, target, "lifecycle") not in PRICES.transitions


def test_rules_move_young_objects_not_into_infrequent_access() -> None:
    assert (rule("STANDARD_IA").min_age_days, rule("GLACIER_IR").min_age_days) == (30, 0)


def test_archived_objects_are_restored_before_they_are_moved() -> None:
    ways = {key[4] for key in PRICES.transitions if key[2] in ("GLACIER", "DEEP_ARCHIVE")}
    assert ways == {"restore_and_copy", "lifecycle"}
    back = PRICES.transitions["s3", "us-east-1", "GLACIER", "STANDARD", "restore_and_copy"]
    assert back.usd_per_object == Decimal("0.00005") + Decimal("0.0000004") + Decimal("0.000005")
    assert [s3("GLACIER").restore_hours, az("Archive").restore_hours] == [5, 15]


def test_reading_an_archived_blob_is_one_rehydration_and_one_read_of_the_hot_tier() -> None:
    found = read_cost(az("Archive"), GIB)
    assert found == Decimal("0.00055") + Decimal("0.022") + Decimal("0.00000044")


def test_a_restored_copy_is_paid_like_the_hot_class() -> None:
    found = restore_cost(s3("GLACIER"), s3("STANDARD"), GIB, 30)
    assert found == Decimal("0.00005") + Decimal("0.01") + Decimal("0.023")
    assert read_cost(s3("GLACIER"), GIB) == Decimal("0.0000004") + Decimal("0.00005") + Decimal(
        "0.01"
    )


@pytest.mark.parametrize(
    ("provider", "source", "target", "usd_per_gb"),
    [
        ("s3", "us-east-1", "us-east-2", "0.01"),
        ("s3", "us-east-1", "eu-west-1", "0.02"),
        ("s3", "ap-northeast-1", "us-east-1", "0.09"),
        ("s3", "sa-east-1", "internet", "0.15"),
        ("s3", "us-east-1", "us-east-1", "0"),
        ("az", "eastus", "westus", "0.02"),
        ("az", "eastus", "westeurope", "0.05"),
        ("az", "japaneast", "koreacentral", "0.08"),
        ("az", "brazilsouth", "eastus", "0.16"),
        ("az", "brazilsouth", "internet", "0.181"),
    ],
)
def test_transfer_prices(provider: str, source: str, target: str, usd_per_gb: str) -> None:
    found = PRICES.transfer_usd_per_gib(provider, source, target)
    assert found.central * 10**9 / GIB == Decimal(usd_per_gb)


@pytest.mark.parametrize(
    ("provider", "source", "target"),
    [
        ("s3", "mx-central-1", "us-east-1"),
        ("s3", "us-east-1", "westeurope"),
        ("az", "mexicocentral", "eastus"),
        ("az", "eastus", "mexicocentral"),
        ("gs", "us-east1", "us-west1"),
    ],
)
def test_a_transfer_without_a_price_is_named(provider: str, source: str, target: str) -> None:
    with pytest.raises(MissingFactError, match=f"{source} to {target}"):
        PRICES.transfer_usd_per_gib(provider, source, target)


def test_a_move_to_another_region_is_read_moved_and_written() -> None:
    price = PRICES.transfer_usd_per_gib("s3", "us-east-1", "eu-west-1")
    found = transfer_cost(s3("STANDARD_IA"), s3("STANDARD"), price, 10**9)
    read = Decimal("0.000001") + Decimal("0.01") * 10**9 / GIB
    assert round(found, 15) == round(read + Decimal("0.02") + Decimal("0.000005"), 15)


def test_a_missing_price_is_named_and_never_zero() -> None:
    gone = PRICES.find("az", "swedencentral", "Hot")
    assert gone.storage_usd_per_gib_month is None
    with pytest.raises(MissingFactError, match="Hot in swedencentral"):
        monthly_cost(gone, GIB)
    moved = PRICES.transitions["az", "swedencentral", "Hot", "Cool", "set_tier"]
    with pytest.raises(MissingFactError, match="set_tier from Hot to Cool in swedencentral"):
        transition_cost(moved, gone, GIB, 0)
    assert "put_usd" in PRICES.find("az", None, "Smart").missing


def test_a_fee_of_which_a_part_is_not_known_is_not_known() -> None:
    back = PRICES.transitions["s3", "eu-central-1", "GLACIER", "STANDARD", "restore_and_copy"]
    assert back.usd_per_gib is not None
    assert back.usd_per_object is None
    glacier = PRICES.find("s3", "eu-central-1", "GLACIER")
    with pytest.raises(MissingFactError, match="restore_and_copy from GLACIER to STANDARD"):
        transition_cost(back, glacier, GIB, 0)


def test_every_region_of_s3_has_a_price_of_its_own() -> None:
    """São Paulo is the dearest list that is public; nowhere does the first one stand in."""
    regions = {key[1] for key in PRICES.classes if key[0] == "s3" and key[1]}
    assert len(regions) == 36
    for region in regions:
        found = PRICES.find("s3", region, "STANDARD")
        assert found.price_region == region
        assert Decimal("0.0225") <= found.needed("storage_usd_per_gib_month") <= Decimal("0.0405")
    assert PRICES.find("s3", "eu-central-1", None).storage_usd_per_gib_month == Decimal("0.0245")


def test_an_unknown_class_or_region_is_named() -> None:
    for provider, region, name in (
        ("s3", None, "SNOW"),
        ("s3", "atlantis", "STANDARD"),
        ("gs", None, None),
    ):
        with pytest.raises(MissingFactError, match="data files know no class"):
            PRICES.find(provider, region, name)


def test_an_unknown_region_is_priced_by_a_list_that_is_named() -> None:
    found = PRICES.find("s3", None, None)
    assert (found.price_region, found.region) == ("us-east-1", "")
    assert monthly_cost(found, GIB) == Decimal("0.023")


def test_a_price_lies_between_its_bands() -> None:
    found = monthly_cost_range(s3("STANDARD"), billed=GIB, objects=1, monitored_objects=0)
    assert found == UsdRange(low=Decimal("0.021"), central=Decimal("0.023"), high=Decimal("0.023"))
