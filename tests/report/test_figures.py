from __future__ import annotations

from decimal import Decimal

import pytest

from greendata.footprint.ranges import Range, UsdRange
from greendata.report.figures import (
    amount_cell,
    bars,
    bytes_cell,
    column_unit,
    count_cell,
    digits,
    range_bars,
    share_cell,
    usd_cell,
)


def between(low: float, central: float, high: float) -> Range:
    return Range(low=low, central=central, high=high)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (12.34, "12.3"), (99.96, "100"), (1234.5, "1,234"), (9.996, "10.0"),
        (0.9996, "1.00"), (0.0123, "0.0123"), (0.00001234, "1.2e-05"), (-3.21, "\u22123.21"),
    ],
)  # fmt: skip
def test_three_digits_count(value: float, shown: str) -> None:
    assert digits(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5, "1,234"),
        (999.5, "999.50"),
        (12.345, "12.35"),
        (0.005, "0.00500"),
        (-5, "\u22125.00"),
    ],
)
def test_money_that_is_known_has_cents(value: float, shown: str) -> None:
    assert usd_cell(Decimal(str(value))).plain == f"{shown} USD"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (between(4.1, 12.3, 30.2), "12.3 kg (4.10\u201330.2)"),
        (between(0.0041, 0.0123, 0.0302), "12.3 g (4.10\u201330.2)"),
        (between(4100, 12300, 30200), "12.3 t (4.10\u201330.2)"),
        (between(-2, 1, 3), "1.00 kg (\u22122.00 to 3.00)"),
        (between(-3, -2, -1), "\u22122.00 kg (\u22123.00 to \u22121.00)"),
        (between(5, 5, 5), "5.00 kg"),
        (between(0, 0, 0), "0 kg"),
        (None, "not known"),
    ],
)
def test_an_amount_stands_before_what_it_lies_between(value: Range | None, shown: str) -> None:
    assert amount_cell(value, "kgco2e").plain == shown


def test_what_leaves_something_out_ends_in_plus() -> None:
    value = UsdRange(low=Decimal(1), central=Decimal(2), high=Decimal(2))
    assert amount_cell(value, "usd", is_part=True).plain == "2.00 USD (1.00\u20132.00) +"


def test_amounts_of_a_column_have_one_unit_unless_they_are_too_small_for_it() -> None:
    values = [between(1, 2, 3), between(0.1, 0.2, 0.3), between(1e-4, 2e-4, 3e-4), None]
    unit = column_unit(values, "kgco2e")
    shown = [amount_cell(value, "kgco2e", unit=unit).plain for value in values]
    assert shown[0].startswith("2.00 kg")
    assert shown[1].startswith("0.200 kg")
    assert shown[2].startswith("200 mg")
    assert shown[3] == "not known"


def test_what_is_not_known_has_no_value_to_sort_by() -> None:
    assert amount_cell(None, "usd").sort is None
    assert share_cell(1, 0).sort is None
    assert bytes_cell(1500).sort == 1500
    assert count_cell(-5).plain == "\u22125"


def test_bars_end_where_the_widest_does() -> None:
    found = bars([50.0, 100.0, 0.0, None, -3.0])
    assert [bar and bar.end for bar in found] == [50.0, 100.0, None, None, None]
    ranged = range_bars([between(1, 2, 4), between(0, 1, 8), between(-1, 0, 1), None])
    assert [bar and (bar.low, bar.end, bar.high) for bar in ranged] == [
        (12.5, 25.0, 50.0), (0.0, 12.5, 100.0), None, None,
    ]  # fmt: skip
    assert bars([]) == range_bars([]) == []
