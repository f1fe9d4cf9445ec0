"""Holdings of a catalog, budgets against them, and what an hour of redundancy costs."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from greendata.config import DatasetSettings
from greendata.errors import ObjectNotFoundError
from greendata.footprint.energy import HOURS_A_MONTH
from greendata.jobs.budgets import BudgetReview, check_budgets
from greendata.jobs.holdings import Holdings, cost_of_redundancy, measure_holdings
from greendata.operating.records import BudgetSettings
from tests.jobs.made_inventory import NOW, row, take

TB = 10**12
DATASETS = (
    DatasetSettings(name="crawl", prefixes=("s3://b/crawl",), region="us-east-1"),
    DatasetSettings(name="books", prefixes=("s3://b/books",), region="eu-north-1"),
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    path = tmp_path_factory.mktemp("holdings") / "catalog"
    rows = [
        row("b/crawl/a", size_bytes=3 * TB),
        row("b/crawl/b", size_bytes=TB, storage_class="GLACIER"),
        row("b/books/a", size_bytes=TB),
        row("b/else", size_bytes=5),
    ]
    take(path, rows, "s3://b/")
    return measure_holdings(str(path), as_of=NOW, datasets=DATASETS)


@pytest.fixture
def holdings(plain: Holdings) -> Holdings:
    """The same with half of the hot crawl redundant, as a scan would tell."""
    rows = (
        replace(entry, redundant_bytes=TB * 3 // 2)
        if (entry.dataset, entry.tier) == ("crawl", "hot")
        else entry
        for entry in plain.rows
    )
    return replace(plain, rows=tuple(rows))


def review(holdings: Holdings, **limits: Any) -> BudgetReview:
    return check_budgets([BudgetSettings(**limits)], holdings)


def test_holdings_are_by_dataset_tier_and_region(plain: Holdings) -> None:
    found = {
        (entry.dataset, entry.tier, entry.region): entry.footprint.size_bytes
        for entry in plain.rows
    }
    assert found == {
        ("crawl", "hot", "us-east-1"): 3 * TB,
        ("crawl", "archive", "us-east-1"): TB,
        ("books", "hot", "eu-north-1"): TB,
        (None, "hot", None): 5,
    }
    assert plain.as_of == NOW
    assert sum(entry.redundant_bytes for entry in plain.rows) == 0


def test_a_catalog_with_nothing_in_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError):
        measure_holdings(str(tmp_path / "none"), as_of=NOW)


def test_what_is_within_its_budget_is_not_told(holdings: Holdings) -> None:
    found = review(holdings, usd_per_month=Decimal(1000))
    assert found.breaches == ()
    assert found.uses[0].state == "within"
    assert found.uses[0].used == pytest.approx(89.2, abs=0.3)  # 4 TB at 0.023, 1 TB at 0.0036
    assert found.uses[0].ratio == pytest.approx(0.0892, abs=0.001)


@pytest.mark.parametrize(
    ("limits", "level", "detail"),
    [
        ({"usd_per_month": Decimal(100)}, "warn", "usd_per_month of everything: 89.0"),
        ({"usd_per_month": Decimal(80), "level": "enforce"}, "enforce", "USD a month; the limit"),
        ({"usd_per_month": Decimal(100), "level": "enforce"}, "warn", "89 % of it"),
        ({"kgco2e_per_month": 2.0}, "warn", "kgco2e_per_month of everything: at least"),
        ({"redundant_bytes": TB, "level": "enforce"}, "enforce", "1.5e+12 redundant bytes"),
        ({"dataset": "crawl", "hot_percent": 50.0}, "warn", "75 % on the hot tier"),
        ({"dataset": "books", "hot_percent": 0.0}, "warn", "100 % on the hot tier"),
    ],
)
def test_a_budget_that_is_over_or_nearly_is_told(
    holdings: Holdings, limits: dict[str, Any], level: str, detail: str
) -> None:
    found = review(holdings, **limits)
    (breach,) = found.breaches
    assert breach.level == level
    assert detail in breach.detail
    json.dumps(found.as_dict(), default=str, allow_nan=False)
    assert bool(found.enforced) == (level == "enforce")


def test_a_figure_that_is_not_known_is_not_taken_for_zero(holdings: Holdings) -> None:
    nowhere = replace(holdings, rows=tuple(row for row in holdings.rows if row.dataset is None))
    found = review(nowhere, kgco2e_per_month=5.0, level="enforce")
    (breach,) = found.breaches
    assert (breach.level, breach.use.state) == ("warn", "unknown")
    assert "not known" in breach.detail


def test_a_dataset_that_holds_nothing_is_told_with_its_neighbour(holdings: Holdings) -> None:
    found = review(holdings, dataset="crawls", usd_per_month=Decimal(1))
    assert found.breaches == ()
    assert "Did you mean 'crawl'?" in found.warnings[0]


def test_an_hour_of_redundancy_costs_its_share_of_a_month(holdings: Holdings) -> None:
    found = cost_of_redundancy(holdings)
    assert float(found.usd_per_hour) * HOURS_A_MONTH == pytest.approx(1.5 * 21.42, rel=0.01)
    assert found.energy_kwh_per_hour * HOURS_A_MONTH == pytest.approx(1.5 * 19.7 / 12, rel=0.01)
    monthly = 1.5 * (6.4 + 1.2) * 1000 / 12
    assert found.carbon_gco2e_per_hour * HOURS_A_MONTH == pytest.approx(monthly, rel=0.02)
