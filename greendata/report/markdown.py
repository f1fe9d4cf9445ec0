"""The report as Markdown, for a pull request, a wiki or a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from greendata.plan.render import code, escaped
from greendata.report.page import Cell, HeatMap, Notes, Plot, Row, Table

if TYPE_CHECKING:
    from greendata.report.page import Block, Page


def markdown(page: Page) -> str:
    """The whole page."""
    return "\n".join(_lines(page)) + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield f"# greendata: {page.title.lower()}"
    yield ""
    for name, value in page.facts:
        yield f"- {name}: {code(value)}"
    yield ""
    for warning in page.warnings:
        yield f"> {escaped(warning)}"
        yield ""
    yield "| | | |"
    yield "| --- | ---: | --- |"
    for card in page.cards:
        yield f"| {escaped(card.label)} | **{_cell(card.value)}** | {escaped(card.detail)} |"
    yield ""
    for section in page.sections:
        yield f"## {section.title}"
        yield ""
        yield escaped(section.lead)
        yield ""
        for block in section.blocks:
            yield from _block(block)
    yield "## Definitions"
    yield ""
    for _, term, words in page.definitions:
        yield f"- **{escaped(term)}**: {escaped(words)}"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, HeatMap):
        yield from _map(block)
    elif isinstance(block, Plot):
        yield f"### {block.title}"
        yield ""
        yield escaped(block.words)
        yield ""
    else:
        yield from _notes(block)


def _table(table: Table) -> Iterator[str]:
    yield f"### {table.title}"
    yield ""
    yield _row([escaped(column.title) for column in table.columns])
    yield _row(["---:" if column.is_number else "---" for column in table.columns])
    for row in table.rows:
        yield _row([_cell_of(row, cell) for cell in row.cells])
    yield ""
    if table.note:
        yield escaped(table.note)
        yield ""


def _cell_of(row: Row, cell: Cell) -> str:
    text = _cell(cell)
    return f"**{text}**" if row.is_total and text else text


def _cell(cell: Cell) -> str:
    return code(cell.text) if cell.is_name else escaped(cell.plain)


def _map(block: HeatMap) -> Iterator[str]:
    yield f"### {block.title}"
    yield ""
    yield escaped(block.note)
    yield ""
    yield _row(["", *map(code, block.names)])
    yield _row(["---", *("---:" for _ in block.names)])
    for name, squares in zip(block.names, block.squares, strict=True):
        yield _row([code(name), *(square.text for square in squares)])
    yield ""


def _notes(block: Notes) -> Iterator[str]:
    if block.title:
        yield f"### {block.title}"
        yield ""
    for line in block.lines:
        yield f"- {escaped(line)}"
    yield ""


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
