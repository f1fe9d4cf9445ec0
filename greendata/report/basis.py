"""The section on what the figures assume and where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from greendata.report.figures import digits
from greendata.report.page import Cell, Column, Notes, Row, Section, Table

if TYPE_CHECKING:
    from greendata.report.document import BasisSection, Coefficient


def basis_section(found: BasisSection) -> Section:
    """Assumptions, the coefficients with their bounds, and all sources."""
    return Section(
        key="basis",
        title="What the figures rest on",
        lead="Estimates with their assumptions; nothing here was measured at the provider.",
        blocks=(
            Notes(title="Assumptions", lines=found.assumptions),
            *_parameters(found),
            *_coefficients(found.coefficients),
            Notes(title="Sources", lines=found.sources, is_folded=True),
        ),
    )


def _parameters(found: BasisSection) -> Iterator[Notes]:
    if found.parameters:
        told = ", ".join(f"{name} {value}" for name, value in sorted(found.parameters.items()))
        yield Notes(title="Parameters of the last scan", lines=(told,), is_folded=True)


def _coefficients(found: tuple[Coefficient, ...]) -> Iterator[Table]:
    if not found:
        return
    yield Table(
        key="coefficients",
        title="Coefficients of energy and carbon",
        columns=(
            Column(title="Coefficient", definition="coefficient"),
            Column(title="Value", definition="coefficient", is_number=True),
            Column(title="Low", definition="coefficient", is_number=True),
            Column(title="High", definition="coefficient", is_number=True),
            Column(title="High over low", definition="coefficient", is_number=True),
            Column(title="Unit", definition="coefficient"),
            Column(title="Grade", definition="coefficient"),
            Column(title="Source", definition="coefficient"),
        ),
        rows=tuple(
            Row(
                cells=(
                    _text(entry.name),
                    *(
                        Cell(text=digits(float(value)), sort=float(value))
                        for value in (entry.central, entry.low, entry.high)
                    ),
                    _swing(entry),
                    _text(entry.unit),
                    _text(entry.grade),
                    _text(entry.source),
                )
            )
            for entry in found
        ),
        note="What the bounds of the amounts come from, the widest first.",
        is_folded=True,
    )


def _swing(entry: Coefficient) -> Cell:
    return Cell(text=digits(float(entry.swing)), unit="times", sort=float(entry.swing))


def _text(text: str) -> Cell:
    return Cell(text=text, sort=text)
