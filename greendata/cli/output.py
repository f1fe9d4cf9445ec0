"""Printing results: one JSON document, or text and tables that fit where they are shown.

Names and texts from data are made visible first: no control character of a document reaches the
terminal.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.table import Table

    from greendata.cli.settings import Settings


class _Answer(Protocol):
    def as_dict(self) -> dict[str, Any]: ...


Answer = TypeVar("Answer", bound=_Answer)

UNLIMITED_WIDTH = 10_000
"""Off the terminal a line is as long as it needs to be."""

# C0 and C1 controls, line separators, zero-width and bidirectional controls, lone surrogates:
# what could move the cursor, set colours, hide or reorder what is shown.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """``text`` with every character that could steer a terminal written as an escape."""
    return _INVISIBLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    code = ord(match[0])
    return named.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def visible_uri(uri: str) -> str:
    """A ``file://`` URI as the path a person would type, any other URI as it is."""
    if not uri.startswith("file://"):
        return visible(uri)
    from pathlib import Path

    from greendata.stores.local import uri_to_path

    path = Path(uri_to_path(uri))
    here = Path.cwd()
    return visible(str(path.relative_to(here) if path.is_relative_to(here) else path))


def print_json(document: dict[str, Any]) -> None:
    """The one JSON document of this run, on stdout."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False, default=str)
    sys.stdout.write("\n")


def print_json_line(document: dict[str, Any]) -> None:
    """The one JSON document of this run, on one line: for logs of schedulers."""
    print(json.dumps(document, allow_nan=False, default=str))


def print_answer(settings: Settings, found: Answer, show: Callable[[Answer], object]) -> None:
    """What a job found: as the one JSON document if that is asked for, else as ``show`` does."""
    if settings.is_json:
        print_json(found.as_dict())
    else:
        show(found)


def print_line(text: str = "") -> None:
    """One line of text on stdout."""
    print(visible(text))


def terminal_width() -> int | None:
    """Columns of the terminal on stdout; None when it is none."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """A table; on a terminal too narrow for it, one line a value.

    Columns named in ``right`` hold numbers and are aligned to the right.
    """
    width = terminal_width()
    shown = [[visible(cell) for cell in row] for row in rows]
    if width is not None and _needed_width(columns, shown) > width:
        _print_records(columns, shown)
    else:
        _print_rich(_table(columns, shown, right), width)


def _needed_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    from rich.cells import cell_len

    widest = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    return sum(widest) + 2 * len(widest)


def _print_records(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    label_width = max(map(len, columns))
    for row in rows:
        for name, value in zip(columns, row, strict=True):
            print(f"{name:>{label_width}}  {value}")
        print()


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in columns:
        justify = "right" if name in right else "left"
        table.add_column(Text(name), justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _print_rich(table: Table, width: int | None) -> None:
    """On a terminal with its colours; else plain, without blanks at the ends of lines."""
    import io

    if width is not None:
        _console(sys.stdout, width).print(table)
        return
    plain = io.StringIO()
    _console(plain, UNLIMITED_WIDTH).print(table)
    for line in plain.getvalue().splitlines():
        print(line.rstrip())


def _console(stream: Any, width: int) -> Console:
    from rich.console import Console

    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
