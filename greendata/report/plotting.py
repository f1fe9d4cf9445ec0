"""Curves over time, placed in percent of the plot: the page scales them without a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from greendata.report.page import Curve, Plot

_LEFT, _RIGHT = 2.0, 98.0
_TOP, _BOTTOM = 6.0, 94.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values over time under one name; ``place`` is the number of its colour."""

    name: str
    place: int
    points: Sequence[tuple[datetime, float]]
    is_dashed: bool = False


def plot_of(
    series: Sequence[Series],
    label: Callable[[float], str],
    *,
    key: str,
    title: str,
    words: str,
    definition: str,
) -> Plot | None:
    """A plot whose axis holds zero; None where there is no time or nothing but zero to show."""
    moments = [moment for one in series for moment, _ in one.points]
    values = [value for one in series for _, value in one.points]
    if not moments or min(moments) == max(moments) or not any(values):
        return None
    first, last = min(moments), max(moments)
    low, high = min(0.0, *values), max(0.0, *values)
    ticks = sorted(
        {low, 0.0, (low + high) / 2, high} if low == 0 or high == 0 else {low, 0.0, high}
    )
    return Plot(
        key=key,
        title=title,
        curves=tuple(
            Curve(
                name=one.name,
                place=one.place,
                points=tuple(
                    (_across(moment, first, last), _down(value, low, high))
                    for moment, value in one.points
                ),
                is_dashed=one.is_dashed,
            )
            for one in series
        ),
        x_ticks=tuple(_time_ticks(first, last)),
        y_ticks=tuple((_down(value, low, high), label(value)) for value in ticks),
        words=words,
        definition=definition,
    )


def _across(moment: datetime, first: datetime, last: datetime) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * ((moment - first) / (last - first)), 2)


def _down(value: float, low: float, high: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * (value - low) / (high - low), 2)


def _time_ticks(first: datetime, last: datetime) -> Iterator[tuple[float, str]]:
    form = "%Y-%m-%d" if (last - first).days >= 3 else "%m-%d %H:%M"
    for moment in (first, first + (last - first) / 2, last):
        yield _across(moment, first, last), moment.strftime(form)
