"""The data files themselves: whole, cited, in order, and of licences that allow it."""

from __future__ import annotations

import csv
from datetime import date
from decimal import Decimal
from importlib import resources

import pytest

from greendata.errors import IntegrityError
from greendata.footprint import tables
from greendata.footprint.prices import price_list
from greendata.footprint.tables import (
    KEYS,
    WITH_VALUES,
    model_version,
    rows_of,
    sources,
    value_of,
    values_of,
)

DATA = resources.files("greendata.footprint") / "data"


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((DATA / f"{name}.csv").read_text(encoding="utf-8").splitlines()))


def test_every_file_of_the_folder_is_known() -> None:
    found = {entry.name for entry in DATA.iterdir()}
    assert found == {f"{name}.csv" for name in KEYS} | {"ATTRIBUTION.md"}


@pytest.mark.parametrize("name", sorted(KEYS))
def test_every_row_has_its_source_and_days(name: str) -> None:
    found = rows(name)
    assert found
    columns = {"valid_from", "source", "retrieved_on"} | set(KEYS[name])
    if name in WITH_VALUES:
        columns |= {"value", "low", "high", "unit"}
    for row in found:
        assert columns <= set(row)
        assert None not in row.values()
        assert row["source"].strip()
        assert date.fromisoformat(row["valid_from"]) <= date.fromisoformat("2027-07-01")
        assert date.fromisoformat(row["retrieved_on"]) >= date(2026, 11, 1)


@pytest.mark.parametrize("name", sorted(KEYS))
def test_no_row_says_the_same_day_twice(name: str) -> None:
    keys = [(*(row[column] for column in KEYS[name]), row["valid_from"]) for row in rows(name)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", WITH_VALUES)
def test_every_value_lies_between_its_bounds_in_a_known_unit(name: str) -> None:
    units = {value.unit for value in values_of(name).values()}
    assert units <= {
        "USD/GiB-month",
        "USD/GiB",
        "USD",
        "USD/object-month",
        "USD/tag-month",
        "bytes",
        "days",
        "hours",
        "ratio",
        "gCO2e/kWh",
        "W",
        "W/TB",
        "W/GB",
        "kWh/GB",
        "kgCO2e/TB",
        "gCO2e/vCPU-hour",
        "years",
    }


def test_no_source_forbids_its_numbers() -> None:
    """Section 0 of the carbon reference: no grant, share-alike, and AGPL tables stay out."""
    for name in KEYS:
        for row in rows(name):
            for word in (
                "real-time-cloud",
                "Green Software Foundation",
                "cloud_regions.json",
                "WattTime MOER",
            ):
                assert word not in row["source"]


def test_classes_limits_and_prices_speak_of_the_same_classes() -> None:
    known = set(rows_of("storage_classes"))
    assert {key[:2] for key in rows_of("class_limits")} == known
    assert {(key[0], key[2]) for key in rows_of("prices") if key[2]} <= known
    for provider, source, target, _ in rows_of("transitions"):
        assert {(provider, source), (provider, target)} <= known
    assert {key[:2] for key in rows_of("prices")} <= set(rows_of("regions"))


@pytest.mark.parametrize("item", ["min_duration", "min_billable", "overhead", "overhead_hot"])
def test_every_class_says_its_limits(item: str) -> None:
    """What is not there would count as none."""
    for key in rows_of("storage_classes"):
        assert (*key, item) in rows_of("class_limits")


def test_of_several_days_the_newest_that_is_valid_counts() -> None:
    key = ("az", "Cool", "min_billable")
    found = [
        values_of("class_limits", date.fromisoformat(day))[key].central
        for day in ("2026-06-30", "2026-07-01", "2030-01-01")
    ]
    assert found == [0, 131_072, 131_072]
    assert key not in values_of("class_limits", date(2023, 12, 31))


def test_before_a_list_is_valid_nothing_has_a_price() -> None:
    early = price_list(date(2025, 12, 31))
    assert early.find("s3", "us-east-1", "STANDARD").storage_usd_per_gib_month is None
    assert early.find("az", "westus", "Hot").storage_usd_per_gib_month == Decimal("0.0208")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": "three"}, "not a row of numbers"),
        ({"valid_from": "yesterday"}, "not a row of numbers"),
        ({"low": "5"}, "not in order"),
        ({"value": "-1", "low": "-1"}, "not in order"),
        ({"high": "Infinity"}, "not in order"),
        ({"high": "NaN"}, "not"),
    ],
)
def test_rows_that_are_no_numbers_are_refused(changes: dict[str, str], message: str) -> None:
    row = {"value": "1", "low": "1", "high": "2", "unit": "USD/GB", "valid_from": "2026-01-01"}
    with pytest.raises(IntegrityError, match=message):
        value_of("prices", row | {"source": "a test"} | changes)


def test_prices_are_in_the_units_of_the_program() -> None:
    row = {"value": "1", "low": "1", "high": "1", "valid_from": "2026-01-01", "source": "a test"}
    found = {
        unit: value_of("prices", row | {"unit": unit}).central
        for unit in ("USD/GB", "USD/GiB", "USD/1000", "USD/10000")
    }
    assert found["USD/GB"] == Decimal(2**30) / 10**9
    assert found["USD/GiB"] == 1
    assert found["USD/1000"] == 10 * found["USD/10000"] == Decimal("0.001")


def test_the_model_version_is_that_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    version = model_version()
    assert version == model_version()
    text = tables._text
    model_version.cache_clear()
    monkeypatch.setattr(tables, "_text", lambda name: text(name) + " ")
    try:
        assert model_version() != version
    finally:
        model_version.cache_clear()


def test_sources_are_those_of_some_places() -> None:
    azure = sources({("az", "westus")})
    assert any("Azure" in source for source in azure)
    assert not any("S3 price list" in source for source in azure)
    assert len(sources({("az", "westus"), ("s3", "us-east-1")})) > len(azure)
