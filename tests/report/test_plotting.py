from __future__ import annotations

from datetime import UTC, datetime, timedelta

from greendata.report.page import Plot
from greendata.report.plotting import Series, plot_of

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def plot(*values: float, days: float = 10.0) -> Plot | None:
    points = [(FIRST + timedelta(days=days * place), value) for place, value in enumerate(values)]
    return plot_of(
        [Series(name="s", place=0, points=points)],
        lambda value: f"{value:g}",
        key="k",
        title="t",
        words="w",
        definition="d",
    )


def test_the_axis_holds_zero_and_the_largest_value_is_at_the_top() -> None:
    found = plot(50.0, 100.0)
    assert found is not None
    assert found.curves[0].points == ((2.0, 50.0), (98.0, 6.0))
    assert [label for _, label in found.y_ticks] == ["0", "50", "100"]
    assert [label for _, label in found.x_ticks] == ["2026-01-01", "2026-01-06", "2026-01-11"]
    assert found.curves[0].path == "M2.00 50.00 L98.00 6.00"


def test_what_is_below_zero_is_below_the_line_of_zero() -> None:
    found = plot(-50.0, 50.0)
    assert found is not None
    assert [label for _, label in found.y_ticks] == ["-50", "0", "50"]
    places = {label: place for place, label in found.y_ticks}
    assert places["50"] < places["0"] < places["-50"]
    assert [y for _, y in found.curves[0].points] == [places["-50"], places["50"]]


def test_without_time_or_values_there_is_no_plot() -> None:
    assert plot() is None
    assert plot(5.0) is None
    assert plot(0.0, 0.0) is None
    assert plot(1.0, 2.0, days=0) is None


def test_hours_are_told_where_days_do_not_tell_moments_apart() -> None:
    found = plot(1.0, 2.0, days=0.5)
    assert found is not None
    assert [label for _, label in found.x_ticks] == ["01-01 00:00", "01-01 06:00", "01-01 12:00"]
