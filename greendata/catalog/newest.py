"""Tables that were opened before and that nothing was committed to since."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar


class Versioned(Protocol):
    """A table as it was at one version."""

    def version(self) -> int:
        """Its number; the next commit's is one more."""


Table = TypeVar("Table", bound=Versioned)


class NewestTables(Generic[Table]):
    """Opens tables of a catalog again only after a commit; a scan looks at them fifty times.

    Each version is one file of the table's log, written once, and the next one's name is known.
    """

    def __init__(self, open_table: Callable[[Path], Table]) -> None:
        self._open_table = open_table
        self._held: dict[Path, tuple[tuple[int, int], Table]] = {}

    def open(self, folder: Path) -> Table:
        """The table in ``folder`` as it is now; not to be changed by the caller."""
        held = self._held.get(folder)
        if held is not None:
            identity, table = held
            version = table.version()
            if _identity(folder, version) == identity and not _commit(folder, version + 1).exists():
                return table
        table = self._open_table(folder)
        found = _identity(folder, table.version())
        if found is not None:
            self._held[folder] = found, table
        return table


def _commit(folder: Path, version: int) -> Path:
    return folder / "_delta_log" / f"{version:020}.json"


def _identity(folder: Path, version: int) -> tuple[int, int] | None:
    """Which file a commit is: a catalog that was made anew at the same place has others."""
    try:
        found = _commit(folder, version).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
