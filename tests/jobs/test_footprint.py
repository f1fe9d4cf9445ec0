from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.config import DatasetSettings
from greendata.errors import ObjectNotFoundError
from greendata.footprint.ranges import UsdRange
from greendata.jobs.footprint import By, FootprintRequest, FootprintSummary, measure_footprint
from tests.jobs.made_inventory import NOW, row, take, view

TB = 10**12
KIB = 1024

VIRGINIA = DatasetSettings(name="crawl", prefixes=("s3://b/crawl",), region="us-east-1")
STOCKHOLM = DatasetSettings(name="books", prefixes=("s3://b/books",), region="eu-north-1")


def measure(
    path: Path,
    *rows: dict[str, Any],
    by: By = "dataset",
    datasets: tuple[DatasetSettings, ...] = (VIRGINIA, STOCKHOLM),
    **values: Any,
) -> FootprintSummary:
    uris = sorted({entry["uri"].partition("/b/")[0] + "/b/" for entry in rows})
    take(path, rows, *uris, has_versions=True, has_uploads=True)
    return measure_footprint(
        FootprintRequest(catalog=str(path), as_of=NOW, datasets=datasets, by=by, **values)
    )


def named(found: FootprintSummary) -> dict[str | None, Any]:
    return {group.name: group.footprint for group in found.groups}


def test_a_terabyte_of_s3_standard_for_a_month(tmp_path: Path) -> None:
    (group,) = measure(tmp_path, row("b/crawl/a", size_bytes=TB)).groups
    found = group.footprint
    assert found.cost_usd is not None
    assert round(found.cost_usd.central * 12, 2) == Decimal("257.05")
    assert found.cost_usd.low / found.cost_usd.central == Decimal("0.021") / Decimal("0.023")
    assert found.energy_kwh is not None
    assert found.operational_kgco2e is not None
    assert found.embodied_kgco2e is not None
    assert found.energy_kwh.central * 12 == pytest.approx(19.7, abs=0.05)
    assert found.operational_kgco2e.central * 12 == pytest.approx(6.4, abs=0.05)
    assert found.embodied_kgco2e.central * 12 == pytest.approx(1.2, abs=0.05)
    assert found.missing == ()


def test_groups_are_datasets_regions_or_tiers_the_largest_first(tmp_path: Path) -> None:
    rows = (
        row("b/crawl/a", size_bytes=2 * TB, storage_class="GLACIER"),
        row("b/books/a", size_bytes=TB),
        row("b/else", size_bytes=5 * TB),
    )
    names = {}
    for by in ("dataset", "region", "tier"):
        found = measure(tmp_path / by, *rows, by=by)
        names[by] = [(group.name, group.footprint.size_bytes // TB) for group in found.groups]
        assert found.total.footprint.size_bytes == 8 * TB
        assert found.total.footprint.objects == 3
    assert names == {
        "dataset": [(None, 5), ("crawl", 2), ("books", 1)],
        "region": [(None, 5), ("us-east-1", 2), ("eu-north-1", 1)],
        "tier": [("hot", 6), ("archive", 2)],
    }


def test_sums_are_the_same_however_they_are_grouped(tmp_path: Path) -> None:
    rows = [
        row(f"b/{name}/{number}", size_bytes=number * 10**9, storage_class=storage_class)
        for number, (name, storage_class) in enumerate(
            [("crawl", "STANDARD"), ("books", "STANDARD_IA"), ("crawl", "DEEP_ARCHIVE")] * 3
        )
    ]
    totals = [measure(tmp_path / by, *rows, by=by).total.footprint for by in ("dataset", "tier")]
    one, other = totals
    assert one.cost_usd is not None
    assert other.cost_usd is not None
    assert one.cost_usd.central == other.cost_usd.central
    assert one.energy_kwh is not None
    assert other.energy_kwh is not None
    assert one.energy_kwh.high == pytest.approx(other.energy_kwh.high)


def test_small_objects_are_billed_as_the_class_bills_them(tmp_path: Path) -> None:
    rows = [
        row("b/crawl/ia", size_bytes=1, storage_class="STANDARD_IA"),
        row("b/crawl/ga", size_bytes=0, storage_class="GLACIER"),
    ]
    usd = named(measure(tmp_path, *rows))["crawl"].cost_usd.central
    least = 128 * KIB * Decimal("0.0125")
    metadata = 32 * KIB * Decimal("0.0036") + 8 * KIB * Decimal("0.023")
    assert usd == least / 2**30 + metadata / 2**30


def test_the_view_prices_objects_as_the_footprint_does(tmp_path: Path) -> None:
    rows = [
        row("b/crawl/a", size_bytes=TB, storage_class="INTELLIGENT_TIERING"),
        row("b/crawl/b", size_bytes=100, storage_class="STANDARD_IA"),
        row("b/crawl/c", size_bytes=TB, storage_class="DEEP_ARCHIVE"),
    ]
    total = named(measure(tmp_path, *rows))["crawl"].cost_usd
    shown = view(tmp_path, "monthly_cost_usd", datasets=(VIRGINIA,))
    assert sum(entry["monthly_cost_usd"] for entry in shown) == round(total.central, 12)


def test_the_view_prices_objects_by_their_region(tmp_path: Path) -> None:
    take(tmp_path, [row("b/crawl/a", size_bytes=2**30)], "s3://b/")

    def price(region: str | None) -> Decimal | None:
        dataset = DatasetSettings(name="crawl", prefixes=("s3://b/crawl",), region=region)
        (found,) = view(tmp_path, "monthly_cost_usd", datasets=(dataset,))
        cost: Decimal | None = found["monthly_cost_usd"]
        return cost

    assert price("sa-east-1") == Decimal("0.0405")
    assert price(None) == price("us-east-1") == Decimal("0.023")
    assert price("atlantis") is None


def test_earlier_versions_are_stored_too(tmp_path: Path) -> None:
    found = measure(
        tmp_path,
        row("b/crawl/a", size_bytes=TB),
        row("b/crawl/a", size_bytes=TB, is_latest=False, version_id="1"),
    )
    assert found.total.footprint.size_bytes == 2 * TB


def test_uploads_of_unknown_size_are_counted_apart(tmp_path: Path) -> None:
    found = measure(
        tmp_path,
        row("b/crawl/a", size_bytes=TB),
        row("b/crawl/u", size_bytes=None, format="upload", version_id="u"),
    )
    assert (found.total.unsized_objects, found.total.footprint.objects) == (1, 1)
    assert found.total.footprint.missing == ()


def test_what_no_list_knows_is_named_and_left_out(tmp_path: Path) -> None:
    odd = DatasetSettings(name="odd", prefixes=("s3://b/odd",), region="atlantis")
    found = measure(
        tmp_path,
        row("b/crawl/a", size_bytes=TB),
        row("b/crawl/snow", size_bytes=7, storage_class="SNOW"),
        row("b/odd/a", size_bytes=50),
        row("b/else", size_bytes=20),
        row("b/f", uri="file:///b/f", store_id="file:host", storage_class=None, size_bytes=3),
        row("b/z", uri="az://c@acct/b/z", store_id="az:acct", storage_class="Smart", size_bytes=9),
        datasets=(VIRGINIA, odd),
    ).total.footprint
    assert {entry.what: (entry.objects, entry.size_bytes) for entry in found.missing} == {
        "energy and carbon of s3 SNOW in us-east-1": (1, 7),
        "energy and carbon of s3 STANDARD in atlantis": (1, 50),
        "grid of az objects in an unknown region": (1, 9),
        "grid of s3 objects in an unknown region": (1, 20),
        "price of az Smart in an unknown region": (1, 9),
        "price of s3 SNOW in us-east-1": (1, 7),
        "price of s3 STANDARD in atlantis": (1, 50),
        "price, energy and carbon of local files": (1, 3),
    }
    assert found.size_bytes - found.priced_bytes == 7 + 50 + 3 + 9
    assert found.size_bytes - found.energy_bytes == 7 + 50 + 3
    assert found.carbon_bytes == TB


def test_a_region_that_is_misspelt_is_told_of(tmp_path: Path) -> None:
    odd = DatasetSettings(name="odd", prefixes=("s3://b/",), region="us-east1")
    (warning,) = measure(tmp_path, row("b/a"), datasets=(odd,)).warnings
    assert warning.startswith("'us-east1' is no region of s3")
    assert "Did you mean 'us-east-1'?" in warning


def test_an_unknown_region_has_a_list_that_is_said_and_no_grid(tmp_path: Path) -> None:
    found = measure(tmp_path, row("b/else", size_bytes=2**30))
    assert found.total.footprint.cost_usd == UsdRange(
        low=Decimal("0.021"), central=Decimal("0.023"), high=Decimal("0.023")
    )
    assert found.total.footprint.operational_kgco2e is None
    assert any("s3 us-east-1 and no grid" in line for line in found.assumptions)
    known = measure(tmp_path / "known", row("b/crawl/a"))
    assert not any("no grid" in line for line in known.assumptions)


def test_sources_are_those_of_what_is_stored(tmp_path: Path) -> None:
    found = measure(tmp_path, row("b/crawl/a", size_bytes=TB))
    assert any("us-east-1" in source for source in found.sources)
    assert not any("Azure" in source and "price" in source for source in found.sources)
    assert found.model_version.startswith("1-")


def test_software_carbon_intensity_is_of_datasets_whose_carbon_is_known(tmp_path: Path) -> None:
    found = measure(
        tmp_path,
        row("b/crawl/a", size_bytes=TB),
        row("b/books/a", size_bytes=TB),
        row("b/books/snow", size_bytes=1, storage_class="SNOW"),
        row("b/else", size_bytes=TB),
        by="tier",
        with_sci=True,
    )
    known = {(entry.dataset, entry.unit): entry for entry in found.intensities}
    gco2e = known["crawl", "dataset-month"].gco2e
    assert gco2e is not None
    assert gco2e.central == pytest.approx((6.43 + 1.2) * 1000 / 12, rel=0.01)
    assert known["crawl", "million unique documents, month"].detail == "not scanned"
    assert known[None, "dataset-month"].gco2e is None
    assert known["books", "dataset-month"].gco2e is None  # an intensity of a part would be too low
    assert "not known" in str(known[None, "dataset-month"].detail)
    assert measure(tmp_path / "no", row("b/crawl/a")).intensities == ()


def test_an_old_inventory_is_told_of(tmp_path: Path) -> None:
    found = measure(tmp_path, row("b/crawl/a"), max_age_seconds=1.0)
    assert found.warnings == ()
    later = FootprintRequest(
        catalog=str(tmp_path), as_of=NOW.replace(year=2027), max_age_seconds=3600.0
    )
    (warning,) = measure_footprint(later).warnings
    assert warning.startswith("s3://b/: the inventory is 8760 hours old")


def test_nothing_listed_is_said(tmp_path: Path) -> None:
    Catalog.open(LocalPlace(tmp_path), create=True)
    with pytest.raises(ObjectNotFoundError, match="no object was listed"):
        measure_footprint(FootprintRequest(catalog=str(tmp_path), as_of=NOW))


def test_a_place_without_objects_comes_to_nothing(tmp_path: Path) -> None:
    take(tmp_path, [], "s3://b/")
    found = measure_footprint(FootprintRequest(catalog=str(tmp_path), as_of=NOW, with_sci=True))
    assert (found.groups, found.intensities) == ((), ())
    assert (found.total.footprint.objects, found.total.footprint.cost_usd) == (0, None)


def test_more_bytes_than_an_integer_holds_are_summed(tmp_path: Path) -> None:
    rows = [row(f"b/crawl/{number}", size_bytes=2**62) for number in range(4)]
    assert measure(tmp_path, *rows).total.footprint.size_bytes == 2**64
