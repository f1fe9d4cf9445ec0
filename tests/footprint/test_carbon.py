"""Sections 1.8 and 3 of the carbon reference."""

from __future__ import annotations

from decimal import Decimal

import pytest

from greendata.errors import MissingFactError, UsageError
from greendata.footprint.carbon import (
    class_carbon,
    compute_embodied_carbon,
    find_region,
    operational_carbon,
    placement_claim,
    regions,
)
from greendata.footprint.costs import monthly_cost
from greendata.footprint.energy import coefficient, compute_energy, transfer_energy
from greendata.footprint.estimate import (
    Footprint,
    Missing,
    Stored,
    footprint_of,
    payback,
    relocation,
    removal,
    sci_gco2e,
    sure_saving,
    tier_move,
    total,
)
from greendata.footprint.prices import price_list
from greendata.footprint.ranges import Range

TB = 10**12


def stored(size_bytes: int, region: str = "us-east-1", name: str = "STANDARD") -> Footprint:
    return footprint_of(
        Stored(objects=1, size_bytes=size_bytes, billed_bytes=size_bytes),
        price_list().find("s3", region, name),
        class_carbon()["s3", region, name],
        what=f"s3 {name} in {region}",
        where=f"s3 objects in {region or 'an unknown region'}",
    )


def a_year(monthly: Range | None) -> tuple[float, float, float]:
    assert monthly is not None
    return (monthly.low * 12, monthly.central * 12, monthly.high * 12)


def test_a_terabyte_year_in_virginia() -> None:
    found = stored(TB)
    assert a_year(found.energy_kwh) == pytest.approx((7.4, 19.7, 54.6), rel=0.01)
    assert a_year(found.operational_kgco2e) == pytest.approx((2.17, 6.43, 19.8), rel=0.01)
    assert a_year(found.embodied_kgco2e) == pytest.approx((0.44, 1.2, 14.7), rel=0.01)


def test_on_a_clean_grid_the_drives_are_the_larger_part() -> None:
    found = stored(TB, "eu-north-1")
    assert found.operational_kgco2e is not None
    assert found.embodied_kgco2e is not None
    assert found.operational_kgco2e.central * 12 == pytest.approx(0.66, abs=0.005)
    assert found.embodied_kgco2e.central * 12 == pytest.approx(1.2)


def test_the_worked_plan() -> None:
    """40 TB of S3 Standard to 21.5 TB: near-duplicates, then zstd."""
    saved = removal(stored(40 * TB), stored(round(40 * TB * 0.69 * 0.78)))
    assert saved.cost_usd is not None
    assert round(saved.cost_usd * 12) == pytest.approx(4748, abs=5)
    assert a_year(saved.energy_kwh) == pytest.approx((136, 363, 1013), rel=0.01)
    assert a_year(saved.operational_kgco2e) == pytest.approx((40, 119, 367), rel=0.01)
    assert a_year(saved.embodied_kgco2e) == pytest.approx((8, 22, 271), rel=0.03)
    assert saved.claim is None


def test_its_own_job_and_payback() -> None:
    virginia = find_region("s3", "us-east-1")
    processors = compute_energy(594, virginia.pue)
    assert processors.central == pytest.approx(2.4, abs=0.05)
    moved = transfer_energy(89 * TB, "intra_region")
    assert moved == Range(low=0, central=0, high=89)
    job = Range(low=2, central=2.4, high=93)
    saved = Range(low=136 / 12, central=363 / 12, high=1013 / 12)
    found = payback(job, saved)
    assert found is not None
    assert [round(months * 365 / 12, 1) for months in found] == [2.4, 249.6]
    assert sure_saving(saved.scaled(12), job) == 43
    assert payback(job, Range(low=0, central=1, high=2)) is None


def test_a_move_between_tiers_claims_money_and_no_carbon() -> None:
    moved = tier_move(stored(TB), stored(TB, name="DEEP_ARCHIVE"))
    assert moved.cost_usd is not None
    assert moved.cost_usd > 0
    assert moved.energy_kwh == moved.operational_kgco2e == moved.embodied_kgco2e == Range.exact(0)
    assert moved.claim is not None


def test_archive_classes_count_as_drives_like_all_others() -> None:
    names = ("STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
    assert len({class_carbon()["s3", "us-east-1", name].energy_kwh for name in names}) == 1


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("eu-central-1", "eu-north-1", None),
        ("us-east-2", "us-east-1", "on the same grid"),
        ("us-east-1", "us-west-1", "overlap"),
        ("eu-north-1", "eu-central-1", "surely the dirtier one"),
        ("us-east-1", "", "not known"),
    ],
)
def test_carbon_of_a_place_is_claimed_only_where_it_is_sure(
    source: str, target: str, why: str | None
) -> None:
    before, after = stored(TB, source), stored(TB, target)
    places = find_region("s3", source), find_region("s3", target)
    claim = placement_claim(*places)
    moved = relocation(before, after, *places)
    assert moved.operational_kgco2e is not None
    if why is None:
        assert claim is None
        assert moved.claim is None
        assert a_year(moved.operational_kgco2e)[1] == pytest.approx(7.61 - 0.66, rel=0.01)
        assert moved.operational_kgco2e.low > 0
    else:
        assert claim is not None
        assert why in claim
        assert moved.operational_kgco2e == Range.exact(0)


def test_moving_a_terabyte_between_regions_takes_half_a_kilogram() -> None:
    frankfurt = find_region("s3", "eu-central-1").intensity_gco2e_per_kwh
    assert frankfurt is not None
    energy = transfer_energy(TB, "inter_region")
    assert energy.central == pytest.approx(1.5)
    assert operational_carbon(energy, frankfurt).central == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("intensity", [-1.0, 0.0, 1500.0, 327_200.0])
def test_intensities_that_no_grid_has_are_refused(intensity: float) -> None:
    with pytest.raises(UsageError, match="no intensity"):
        operational_carbon(Range.exact(1), Range.exact(intensity))


def test_every_region_of_the_file_has_a_grid_that_can_be() -> None:
    known = [entry for entry in regions().values() if entry.region]
    assert len(known) == 85
    for entry in known:
        assert entry.intensity_gco2e_per_kwh is not None
        operational_carbon(Range.exact(1), entry.intensity_gco2e_per_kwh)
        assert 1 < entry.pue.low <= entry.pue.high < 2
        assert entry.grid_zone


def test_carbon_will_never_be_the_larger_number() -> None:
    """At 100 USD a tonne a terabyte-year is under a dollar, against 257 of storage."""
    found = stored(TB)
    assert found.carbon_kgco2e is not None
    assert found.carbon_kgco2e.central * 12 / 1000 * 100 < 1
    assert monthly_cost(price_list().find("s3", "us-east-1", None), TB) * 12 > 250


def test_unknown_regions_have_energy_and_drives_but_no_grid() -> None:
    found = stored(TB, "")
    assert found.energy_kwh is not None
    assert found.embodied_kgco2e is not None
    assert found.operational_kgco2e is None
    assert found.carbon_kgco2e is None
    assert found.missing == (
        Missing(what="grid of s3 objects in an unknown region", objects=1, size_bytes=TB),
    )
    with pytest.raises(MissingFactError, match="atlantis"):
        find_region("s3", "atlantis")
    with pytest.raises(MissingFactError, match="tape"):
        coefficient("tape_power")


def test_a_total_says_what_it_leaves_out() -> None:
    nowhere = footprint_of(
        Stored(objects=3, size_bytes=30, billed_bytes=30), None, None, what="local files", where=""
    )
    assert nowhere.cost_usd is None
    found = total([stored(TB), nowhere, nowhere])
    assert found.cost_usd == stored(TB).cost_usd
    assert (found.objects, found.size_bytes) == (7, TB + 60)
    assert found.priced_bytes == found.carbon_bytes == TB
    assert {entry.what: entry.objects for entry in found.missing} == {
        "price of local files": 6,
        "energy and carbon of local files": 6,
    }


def test_software_carbon_intensity_is_energy_and_hardware_per_unit() -> None:
    found = stored(TB)
    assert found.operational_kgco2e is not None
    assert found.embodied_kgco2e is not None
    a_month = sci_gco2e(found.operational_kgco2e, found.embodied_kgco2e, 1)
    assert a_month.central == pytest.approx((6.43 + 1.2) / 12 * 1000, rel=0.01)
    with pytest.raises(UsageError):
        sci_gco2e(found.operational_kgco2e, found.embodied_kgco2e, 0)


def test_reserved_but_idle_processors_count_too() -> None:
    pue = Range.exact(1)
    busy, idle = (compute_energy(1000, pue, utilisation=share) for share in (1.0, 0.0))
    assert (busy.central, idle.central) == pytest.approx((3.5, 0.74))
    memory = compute_energy(0, pue, extra_memory_gb_hours=1000)
    assert memory.central == pytest.approx(0.392)
    assert compute_embodied_carbon(1000).central == pytest.approx(0.5)
    assert Decimal(str(busy.high)) == Decimal("4.5")
