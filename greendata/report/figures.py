"""Numbers as people read them: three digits that count, one unit a figure, bounds after it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Union

from greendata.report.page import Bar, Cell, Tone
from greendata.units import format_bytes, format_share

if TYPE_CHECKING:
    from greendata.footprint.ranges import Range, UsdRange
    from greendata.plan.document import Bounds

Kind = Literal["usd", "kgco2e", "kwh", "gco2e"]
Amount = Union["Range", "UsdRange", "Bounds"]
Unit = tuple[str, float]
"""Its name, and how much of what is counted it is."""

UNKNOWN = "not known"
MINUS = "\u2212"
_STEPS: dict[Kind, tuple[Unit, ...]] = {
    "usd": (("USD", 1.0),),
    "kgco2e": (("mg", 1e-6), ("g", 1e-3), ("kg", 1.0), ("t", 1e3)),
    "gco2e": (("mg", 1e-3), ("g", 1.0), ("kg", 1e3), ("t", 1e6)),
    "kwh": (("Wh", 1e-3), ("kWh", 1.0), ("MWh", 1e3), ("GWh", 1e6)),
}

NONE_CELL = Cell(text="\u2013", sort=0.0, tone="muted")
UNKNOWN_CELL = Cell(text=UNKNOWN, sort=None, tone="muted")


def name_cell(name: str | None) -> Cell:
    """A name from data; one that nobody knows comes last."""
    if name is None:
        return UNKNOWN_CELL
    return Cell(text=name, sort=name.casefold(), is_name=True)


def words_cell(text: str, *, tone: Tone = "", sort: float | str | None = None) -> Cell:
    """Words of this program."""
    return Cell(text=text, sort=text.casefold() if sort is None else sort, tone=tone)


def count_cell(number: int) -> Cell:
    """A whole number."""
    return Cell(text=_signed(f"{number:,}"), sort=number)


def bytes_cell(size_bytes: int, bar: Bar | None = None) -> Cell:
    """Bytes in powers of 1000."""
    text, _, unit = format_bytes(size_bytes).partition(" ")
    return Cell(text=_signed(text), unit=unit, sort=size_bytes, bar=bar)


def share_cell(part: float, whole: float, bar: Bar | None = None) -> Cell:
    """A share in percent; without a whole there is none."""
    if not whole:
        return Cell(text="\u2013", sort=None, tone="muted")
    return Cell(text=format_share(part / whole), sort=part / whole, bar=bar)


def time_cell(moment: datetime | None) -> Cell:
    """A moment, UTC."""
    if moment is None:
        return Cell(text="\u2013", sort=None, tone="muted")
    shown = moment.astimezone(UTC)
    return Cell(text=f"{shown:%Y-%m-%d}\u00a0{shown:%H:%M}", sort=shown.timestamp())


def amount_cell(
    value: Amount | None,
    kind: Kind,
    *,
    is_part: bool = False,
    bar: Bar | None = None,
    unit: Unit | None = None,
) -> Cell:
    """An amount and what it lies between, in a unit that suits its central value.

    In ``unit``, that of its column, unless it is too small for that.
    """
    if value is None:
        return UNKNOWN_CELL
    low, central, high = float(value.low), float(value.central), float(value.high)
    own = _unit(kind, central or max(abs(low), abs(high)))
    name, size = own if unit is None or abs(central) < unit[1] / 100 else unit
    shown = [digits(x / size) for x in (low, central, high)]
    bounds = ""
    if shown[0] != shown[2]:
        to = " to " if low < 0 else "\u2013"
        bounds = f"({shown[0]}{to}{shown[2]})"
    return Cell(text=shown[1], unit=name, bounds=bounds, sort=central, is_part=is_part, bar=bar)


def column_unit(values: Iterable[Amount | None], kind: Kind) -> Unit:
    """The unit in which the amounts of a column can be compared at a glance."""
    known = [abs(float(value.central)) for value in values if value is not None]
    return _unit(kind, max(known, default=0.0))


def usd_cell(value: Decimal | None, *, is_part: bool = False) -> Cell:
    """An amount of money that is known."""
    if value is None:
        return UNKNOWN_CELL
    shown = digits(float(value), is_money=True)
    return Cell(text=shown, unit="USD", sort=float(value), is_part=is_part)


def digits(value: float, *, is_money: bool = False) -> str:
    """Three digits that count, more of large amounts; cents of money."""
    size = abs(value)
    if size == 0:
        text = "0"
    elif size >= 99.95 and not (is_money and size < 1000):
        text = f"{size:,.0f}"
    elif is_money and size >= 0.095:
        text = f"{size:,.2f}"
    elif size >= 9.995:
        text = f"{size:.1f}"
    elif size >= 0.9995:
        text = f"{size:.2f}"
    elif size >= 0.001:
        text = f"{size:.{2 - math.floor(math.log10(size))}f}"
    else:
        text = f"{size:.1e}"
    return MINUS + text if value < 0 else text


def _unit(kind: Kind, value: float) -> Unit:
    """The largest unit of which there is one at least; else the smallest."""
    steps = _STEPS[kind]
    fitting = [step for step in steps if abs(value) >= step[1] * 0.9995]
    if not value:
        return next(step for step in steps if step[1] == 1.0)
    return fitting[-1] if fitting else steps[0]


def _signed(text: str) -> str:
    return MINUS + text[1:] if text.startswith("-") else text


def bars(values: Sequence[float | None]) -> list[Bar | None]:
    """Bars whose widest is as wide as the cell; None where a value is not known or not above 0."""
    widest = max((value for value in values if value is not None), default=0.0)
    return [
        Bar(end=_percent(value, widest)) if value is not None and value > 0 else None
        for value in values
    ]


def range_bars(values: Sequence[Range | UsdRange | None]) -> list[Bar | None]:
    """The same with what each value lies between."""
    highest = max((float(value.high) for value in values if value is not None), default=0.0)
    return [
        Bar(
            end=_percent(float(value.central), highest),
            low=_percent(float(value.low), highest),
            high=_percent(float(value.high), highest),
        )
        if value is not None and value.low >= 0 and value.high > 0
        else None
        for value in values
    ]


def _percent(value: float, whole: float) -> float:
    return round(100 * value / whole, 2) if whole > 0 else 0.0


def counted(number: int, noun: str) -> str:
    """``1 object``, ``2,000 objects``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def newest_of(shown: int, total: int, words: str) -> str:
    """Says below a table that it does not show all."""
    return f"The newest {shown:,} of {total:,} {words}." if total > shown else ""
