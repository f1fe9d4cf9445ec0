"""The section on what was done."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from greendata.report.figures import (
    NONE_CELL,
    Unit,
    amount_cell,
    bytes_cell,
    column_unit,
    count_cell,
    digits,
    name_cell,
    newest_of,
    time_cell,
    usd_cell,
    words_cell,
)
from greendata.report.page import Cell, Column, Notes, Plot, Row, Section, Table, Tone
from greendata.report.plotting import Series, plot_of

if TYPE_CHECKING:
    from greendata.footprint.ranges import Range
    from greendata.report.document import DoneSection, RunRow, Savings

MOST_REASONS = 4

_TONES: dict[str, Tone] = {
    "finished": "good", "purged": "good", "partial": "warn", "stopped": "bad", "running": "warn",
    "undone": "muted",
}  # fmt: skip


def done_section(found: DoneSection) -> Section:
    """Runs, and what they have saved, from the day it took effect."""
    if not found.total_runs:
        return Section(
            key="done",
            title="What was done",
            lead="Nothing was applied with this catalog in this time.",
            blocks=(),
        )
    return Section(
        key="done",
        title="What was done",
        lead=_lead(found),
        blocks=(*_own(found), *_plot(found), _kinds_table(found), _runs_table(found)),
    )


def net_usd(found: DoneSection) -> Decimal:
    """What was saved up to now, less what the actions and the runs themselves cost once."""
    return found.total.saved_usd - found.total.fees_usd - (found.own_usd or Decimal(0))


def net_kgco2e(found: DoneSection) -> Range | None:
    """The same of carbon: at least what was surely saved less what was used at most."""
    saved = found.total.saved_kgco2e
    if saved is None or found.own_kgco2e is None:
        return saved
    return saved.minus_independent(found.own_kgco2e)


def _lead(found: DoneSection) -> str:
    net = usd_cell(net_usd(found)).plain
    carbon = net_kgco2e(found)
    also = "" if carbon is None else f", and {amount_cell(carbon, 'kgco2e').plain} CO₂e"
    return (
        f"Saved up to now: {usd_cell(found.total.saved_usd).plain}. What actions cost once"
        f" ({usd_cell(found.total.fees_usd).plain}) and what the runs used taken off: {net}{also}."
        " Savings count from the moment at which bytes were gone, not from when a plan was applied."
    )


def _own(found: DoneSection) -> Iterator[Notes]:
    told = []
    if found.own_kwh is not None:
        told.append(amount_cell(found.own_kwh, "kwh").plain)
    if found.own_kgco2e is not None:
        told.append(f"{amount_cell(found.own_kgco2e, 'kgco2e').plain} CO₂e")
    if found.own_usd is not None:
        told.append(usd_cell(found.own_usd).plain)
    if told:
        yield Notes(lines=(f"The runs themselves used {', '.join(told)}, as they metered it.",))
    else:
        yield Notes(lines=("What the runs themselves used was not metered.",), tone="muted")


def _plot(found: DoneSection) -> Iterator[Plot]:
    saved = [(point.moment, point.saved_usd) for point in found.curve]
    planned = [(point.moment, point.planned_usd) for point in found.curve]
    if not saved:
        return
    words = (
        f"Up to now {_usd(saved[-1][1])} were saved; had all plans held from their runs on, it"
        f" would be {_usd(planned[-1][1])}."
    )
    plot = plot_of(
        [
            Series(name="saved", place=0, points=saved),
            Series(name="planned", place=1, points=planned, is_dashed=True),
        ],
        _usd,
        key="saved-curve",
        title="Saved up to now, beside what was planned",
        words=words,
        definition="saved",
    )
    if plot is not None:
        yield plot


def _usd(value: float) -> str:
    return f"{digits(value)} USD"


def _kinds_table(found: DoneSection) -> Table:
    unit = column_unit([entry.savings.realised_kgco2e for entry in found.kinds], "kgco2e")
    rows = [
        Row(cells=(words_cell(entry.kind.replace("_", " ")), *_cells(entry.savings, unit)))
        for entry in found.kinds
    ]
    cells = (words_cell("Total"), *_cells(found.total, unit))
    total = Row(cells=cells, is_fixed=True, is_total=True)
    return Table(
        key="done-kinds",
        title="By kind of action",
        columns=(
            Column(title="Action", definition="realised"),
            Column(title="Actions", definition="realised", is_number=True),
            Column(title="Took effect", definition="realised", is_number=True),
            Column(title="Bytes", definition="realised", is_number=True),
            Column(title="Saves a month", definition="realised", is_number=True),
            Column(title="CO₂e a month", definition="realised", is_number=True),
            Column(title="Saved up to now", definition="saved", is_number=True),
            Column(title="Waiting", definition="waiting", is_number=True),
            Column(title="will save a month", definition="waiting", is_number=True),
            Column(title="USD once", definition="fees", is_number=True),
        ),
        rows=(*rows, total),
    )


def _cells(savings: Savings, unit: Unit) -> tuple[Cell, ...]:
    unknown = savings.unknown_savings > 0
    return (
        count_cell(savings.actions),
        count_cell(savings.realised_actions),
        bytes_cell(savings.realised_bytes),
        usd_cell(savings.realised_usd, is_part=unknown),
        amount_cell(savings.realised_kgco2e, "kgco2e", unit=unit)
        if savings.realised_actions
        else NONE_CELL,
        usd_cell(savings.saved_usd, is_part=unknown),
        count_cell(savings.waiting_actions),
        usd_cell(savings.waiting_usd, is_part=unknown),
        usd_cell(savings.fees_usd),
    )


def _runs_table(found: DoneSection) -> Table:
    return Table(
        key="runs",
        title="Runs",
        columns=(
            Column(title="Began (UTC)", definition="run", is_time=True),
            Column(title="Run", definition="run"),
            Column(title="State", definition="run"),
            Column(title="Done", definition="run", is_number=True),
            Column(title="Failed", definition="run", is_number=True),
            Column(title="Planned a month", definition="planned", is_number=True),
            Column(title="Realised a month", definition="realised", is_number=True),
            Column(title="Saved up to now", definition="saved", is_number=True),
            Column(title="USD once", definition="fees", is_number=True),
            Column(title="Why not all", definition="run"),
        ),
        rows=tuple(Row(cells=_run_cells(run)) for run in found.runs),
        note=newest_of(len(found.runs), found.total_runs, "runs"),
    )


def _run_cells(run: RunRow) -> tuple[Cell, ...]:
    told = _why_not_all(run)
    return (
        time_cell(run.started_at),
        name_cell(run.run_id),
        words_cell(run.state, tone=_TONES.get(run.state, "")),
        Cell(text=f"{run.done:,} of {run.actions:,}", sort=run.done),
        Cell(text=f"{run.failed:,}", sort=run.failed, tone="bad" if run.failed else ""),
        usd_cell(run.savings.planned_usd, is_part=run.savings.unknown_savings > 0),
        usd_cell(run.savings.realised_usd, is_part=run.savings.unknown_savings > 0),
        usd_cell(run.savings.saved_usd, is_part=run.savings.unknown_savings > 0),
        usd_cell(run.savings.fees_usd),
        Cell(text=told or "\u2013", sort=told, is_name=bool(told)),
    )


def _why_not_all(run: RunRow) -> str:
    reasons = sorted(run.reasons.items(), key=lambda entry: (-entry[1], entry[0]))
    counts = [
        f"{words} {number:,}"
        for words, number in (("pending", run.pending), ("skipped", run.skipped))
        if number
    ]
    named = ", ".join(f"{name} {number:,}" for name, number in reasons[:MOST_REASONS])
    return ", ".join(counts) + (f" ({named})" if named else "")
