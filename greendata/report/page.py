"""What a page is made of, whatever it is written as: sections, tables, maps and curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FILTERED_FROM = 8
MOST_DOTS = 32

Tone = Literal["", "good", "warn", "bad", "muted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar behind a number: its end, and what it may lie between, in percent of the widest."""

    end: float
    low: float | None = None
    high: float | None = None
    parts: tuple[tuple[str, float, float], ...] = ()
    """Of a bar in parts: the name, the start and the width of each, in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value: a name, words, or a number with its unit and what it lies between.

    Attributes:
        sort: what sorting goes by; None for what is not known, which comes last.
        is_name: text from data, shown letter by letter.
        is_part: it leaves out what is not known.
    """

    text: str
    unit: str = ""
    bounds: str = ""
    sort: float | str | None = None
    is_name: bool = False
    is_part: bool = False
    tone: Tone = ""
    bar: Bar | None = None

    @property
    def plain(self) -> str:
        """The same in one line."""
        words = [self.text, self.unit, self.bounds]
        return " ".join(filter(None, words)) + (" +" if self.is_part else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column; ``definition`` is the key of what its figures mean."""

    title: str
    definition: str = ""
    is_number: bool = False
    is_wide: bool = False
    is_time: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Cells under the columns. A fixed row stays at the end and is never filtered out."""

    cells: tuple[Cell, ...]
    is_fixed: bool = False
    is_total: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; ``legend`` names the parts of its bars."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    legend: tuple[str, ...] = ()
    is_folded: bool = False

    @property
    def is_sortable(self) -> bool:
        """Whether there is more than one row to sort."""
        return self._length > 1

    @property
    def is_filterable(self) -> bool:
        """Whether there are more rows than one sees at a glance."""
        return self._length >= FILTERED_FROM

    @property
    def _length(self) -> int:
        return sum(not row.is_fixed for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """A share of a row's dataset in a column's; level 0..10 of the colour, None on the diagonal."""

    text: str
    level: int | None
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Rows and columns have the same names."""

    key: str
    title: str
    names: tuple[str, ...]
    squares: tuple[tuple[Square, ...], ...]
    note: str
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points of one series, x and y in percent of the plot, y from its top."""

    name: str
    place: int
    points: tuple[tuple[float, float], ...]
    is_dashed: bool = False

    @property
    def has_dots(self) -> bool:
        """Whether there are few enough points to mark each."""
        return len(self.points) <= MOST_DOTS

    @property
    def path(self) -> str:
        """The line through the points."""
        return "M" + " L".join(f"{x:.2f} {y:.2f}" for x, y in self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Curves over time; ticks are (place in percent, label). The table after it has the numbers."""

    key: str
    title: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    words: str
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Sentences; ``definition`` is the key of what their figures mean."""

    lines: tuple[str, ...]
    title: str = ""
    definition: str = ""
    tone: Tone = ""
    is_folded: bool = False


Block = Table | HeatMap | Plot | Notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A headline figure."""

    label: str
    definition: str
    value: Cell
    detail: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page with its place in the navigation."""

    key: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All of it; ``facts`` stand under the title."""

    title: str
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    cards: tuple[Card, ...]
    sections: tuple[Section, ...]
    definitions: tuple[tuple[str, str, str], ...]
