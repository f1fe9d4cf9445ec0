from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greendata.errors import UsageError
from greendata.footprint.ranges import Range, product

POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    low, central, high = sorted(draw(st.tuples(POSITIVE, POSITIVE, POSITIVE)))
    return Range(low=low, central=central, high=high)


def test_independent_factors_combine_in_log_space() -> None:
    """1.8 of the carbon reference: 7.4, 19.7 and 55 kWh, not 5 to 123."""
    power = Range(low=0.325, central=0.65, high=1.3)
    redundancy = Range(low=1.5, central=3, high=6)
    unfilled = Range(low=1, central=1, high=1 / 0.75)
    found = product(power, redundancy, unfilled).scaled(1.15 * 8.766)
    assert [round(value, 1) for value in (found.low, found.central, found.high)] == [
        7.4,
        19.7,
        54.6,
    ]


@given(st.lists(ranges(), min_size=2, max_size=5))
def test_the_order_of_factors_makes_no_difference(factors: list[Range]) -> None:
    forward = product(*factors)
    backward = product(*reversed(factors))
    for name in ("low", "central", "high"):
        assert math.isclose(getattr(forward, name), getattr(backward, name), rel_tol=1e-9)


@given(ranges(), ranges())
def test_a_product_is_narrower_than_corner_to_corner(one: Range, other: Range) -> None:
    found = one.times(other)
    assert one.low * other.low * (1 - 1e-9) <= found.low <= found.central <= found.high
    assert found.high <= one.high * other.high * (1 + 1e-9)


@given(ranges())
def test_an_exact_factor_widens_nothing(value: Range) -> None:
    doubled = value.times(Range.exact(2))
    assert math.isclose(doubled.high / doubled.low, value.high / value.low, rel_tol=1e-9)


@given(ranges())
def test_inverse_turns_the_bounds_round(value: Range) -> None:
    found = value.inverse()
    assert (found.low, found.high) == (1 / value.high, 1 / value.low)


def test_zero_bounds_stay_zero_and_do_not_hide_the_upper_one() -> None:
    network = Range(low=0, central=0, high=0.001)
    found = network.times(Range(low=204.5, central=327.2, high=523.5))
    assert found == Range(low=0, central=0, high=0.001 * 523.5)


def test_shared_factors_are_subtracted_bound_by_bound() -> None:
    before = Range(low=5, central=10, high=30)
    assert before.minus_shared(before.scaled(0.6)) == Range(low=2, central=4, high=12)


def test_a_saving_net_of_a_job_is_least_minus_most() -> None:
    """The net row of the plan in section 7 of the carbon reference."""
    saved = Range(low=136, central=363, high=1013)
    job = Range(low=2, central=2.4, high=93)
    assert saved.minus_independent(job) == Range(low=43, central=360.6, high=1011)


@pytest.mark.parametrize(
    ("low", "central", "high"), [(2, 1, 3), (1, 3, 2), (0, math.nan, 1), (0, 1, math.inf)]
)
def test_what_is_no_range_is_refused(low: float, central: float, high: float) -> None:
    with pytest.raises(UsageError):
        Range(low=low, central=central, high=high)


def test_what_cannot_be_combined_in_log_space_is_refused() -> None:
    with pytest.raises(UsageError, match="not negative"):
        Range(low=-1, central=0, high=1).times(Range.exact(1))
    with pytest.raises(UsageError, match="divided"):
        Range(low=0, central=1, high=2).inverse()


def test_negative_scales_turn_the_bounds_round() -> None:
    assert Range(low=1, central=2, high=4).scaled(-1) == Range(low=-4, central=-2, high=-1)
