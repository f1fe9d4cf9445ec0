"""JSON Lines as tapes: the tables of the compiled scanner, kept from block to block."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from greendata.recompress.kernel import json as kernel
from greendata.recompress.kernel import scalars
from greendata.recompress.refusals import RefusalReason, RefusedSourceError

if TYPE_CHECKING:
    import numpy.typing as npt

    from greendata.recompress.blocks import Block

    Integers = npt.NDArray[np.int64]
    Octets = npt.NDArray[np.uint8]

MAX_VALUES = 2**23
"""In one record: each takes 40 bytes, and as many again when it is put into its column."""

_TAPE_ENTRIES = 2**18
_PATHS = 2**10
_ARENA_BYTES = 2**16
_LONGEST_NAME_BYTES = 2**16
_NEIGHBOURS = 2**14
_FULL = -2

_MESSAGES = {
    kernel.SYNTAX: "is not JSON",
    kernel.SEVERAL: "goes on after its JSON value",
    kernel.TOO_DEEP: f"is nested deeper than {kernel.MAX_DEPTH}",
    kernel.BAD_STRING: "has a string with a control character or an unknown escape, or without end",
    kernel.BAD_NAME: "has half a surrogate pair in a name",
}


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """Values of some records, int64 [n, TAPE_FIELDS]; places are in ``data``."""

    data: Octets
    entries: Integers
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """All values of a file, by path: int64 [paths, PATH_FIELDS], as the kernel counts them.

    ``names`` holds what the paths are called; ``pairs`` are paths of which the second followed the
    first in some object; ``repeated_row`` is the first record that has a name twice itself, or -1.
    """

    paths: Integers
    names: Octets
    pairs: tuple[tuple[int, int], ...]
    repeated_row: int

    @property
    def records(self) -> int:
        return int(self.paths[0, kernel.COUNT])

    def name(self, path: int) -> str:
        """The name a path stands for."""
        return self.raw_name(path).tobytes().decode()

    def raw_name(self, path: int) -> Octets:
        lo, hi = self.paths[path, [kernel.KEY_LO, kernel.KEY_HI]]
        return self.names[lo:hi]

    def is_item(self, path: int) -> bool:
        """Whether a path is that of the elements of arrays."""
        return path > 0 and bool(self.paths[self.paths[path, kernel.PARENT], kernel.ITEM] == path)


class Scanner:
    """Turns blocks into tapes and learns paths; a tape is good until the next one is asked for.

    With the ``known`` paths of an object it can read that again; what stands in ``closed`` ones is
    checked, but not put on tapes.
    """

    def __init__(
        self, uri: str, known: Knowledge | None = None, closed: Sequence[int] = ()
    ) -> None:
        self._uri = uri
        self._cursor = np.zeros(kernel.CURSOR_FIELDS, np.int64)
        self._paths = np.zeros((_PATHS, kernel.PATH_FIELDS), np.int64)
        self._arena = np.zeros(_ARENA_BYTES, np.uint8)
        self._table = np.full(4 * _PATHS, -1, np.int64)
        self._neighbours = np.full(_NEIGHBOURS, -1, np.int64)
        self._scratch = np.zeros(_LONGEST_NAME_BYTES, np.uint8)
        self._tape = np.empty((_TAPE_ENTRIES, kernel.TAPE_FIELDS), np.int64)
        self._stack = np.zeros((kernel.MAX_DEPTH, kernel.STACK_FIELDS), np.int64)
        if known is None:
            kernel.new_path(self._paths, -1, 0, 0, self._cursor)
        else:
            self._remember(known, closed)

    def _remember(self, known: Knowledge, closed: Sequence[int]) -> None:
        paths = known.paths.copy()
        paths[:, [kernel.COUNT, kernel.NULLS, kernel.KINDS]] = 0
        paths[:, kernel.STAMP] = -1
        paths[list(closed), kernel.CLOSED] = 1
        self._paths = np.vstack([paths, self._paths])
        self._arena = np.concatenate([known.names, self._arena])
        self._cursor[kernel.C_PATHS] = len(paths)
        self._cursor[kernel.C_ARENA] = len(known.names)
        while len(self._table) < 2 * len(self._paths):
            self._table = np.full(2 * len(self._table), -1, np.int64)
        kernel.fill_table(self.paths, self._table, self._arena)

    @property
    def paths(self) -> Integers:
        """int64 [paths, PATH_FIELDS]."""
        return self._paths[: self._cursor[kernel.C_PATHS]]

    @property
    def records(self) -> int:
        """How many were read so far."""
        return int(self._paths[0, kernel.COUNT])

    def knowledge(self) -> Knowledge:
        """What was learned so far."""
        pairs = np.sort(self._neighbours[self._neighbours >= 0]).tolist()
        return Knowledge(
            self.paths.copy(),
            self._arena[: self._cursor[kernel.C_ARENA]].copy(),
            tuple(divmod(pair, kernel.MAX_PATHS) for pair in pairs),
            int(self._cursor[kernel.C_REPEATED]) - 1,
        )

    def absorb(self, other: Knowledge) -> None:
        """Learn what is known of another object, as if its records had been read here."""
        here = np.zeros(len(other.paths), np.int64)
        for path, row in enumerate(other.paths.tolist()):
            if path:
                here[path] = self._place(int(here[row[kernel.PARENT]]), other, path)
            if here[path] >= 0:
                mine = self._paths[here[path]]
                mine[kernel.KINDS] |= row[kernel.KINDS]
                mine[kernel.CLOSED] |= row[kernel.CLOSED]
                mine[[kernel.COUNT, kernel.NULLS]] += [row[kernel.COUNT], row[kernel.NULLS]]
        for first, second in other.pairs:
            if min(here[first], here[second]) >= 0:
                kernel.note_neighbours(here[first], here[second], self._neighbours, self._cursor)

    def _place(self, parent: int, other: Knowledge, path: int) -> int:
        """The path here of one that is known elsewhere; -1 if it is below a closed one."""
        if parent < 0:
            return -1
        if len(self.paths) == len(self._paths):
            self._widen()
        if other.is_item(path):
            if self._paths[parent, kernel.ITEM] < 0 and len(self.paths) >= kernel.MOST_PATHS:
                self._paths[parent, kernel.CLOSED] = 1
                return -1
            if self._paths[parent, kernel.ITEM] < 0:
                self._paths[parent, kernel.ITEM] = kernel.new_path(
                    self._paths, parent, 0, 0, self._cursor
                )
            return int(self._paths[parent, kernel.ITEM])
        name = other.raw_name(path).copy()
        while True:
            found = kernel.name_path(
                self._paths, self._table, self._arena, parent, name, len(name), self._cursor
            )
            if found != _FULL:
                return int(found)
            self._widen()

    def tapes(self, block: Block) -> Iterator[Tape]:
        """All records of a block; usually one tape.

        Raises:
            RefusedSourceError: one of them is not what JSON Lines may hold.
        """
        place = block.start
        while place < block.end:
            tape = self._scan(block, place)
            place = tape.end
            yield tape

    def _scan(self, block: Block, place: int) -> Tape:
        """The records from a place on, as many as fit."""
        cursor = self._cursor
        before = self.records
        cursor[kernel.C_TAPE] = 0
        while True:
            cursor[kernel.C_ERROR] = 0
            after = int(
                kernel.scan(
                    block.data, place, block.end, self._paths, self._arena, self._table,
                    self._neighbours, self._scratch, self._tape, self._stack, cursor,
                )
            )  # fmt: skip
            error = int(cursor[kernel.C_ERROR])
            entries = self._tape[: cursor[kernel.C_TAPE]]
            is_full = error in (kernel.PATHS_FULL, kernel.TAPE_FULL)
            if error and not is_full:
                row = before + int(
                    (entries[entries[:, kernel.T_PATH] == 0, kernel.T_LO] < after).sum()
                )
                raise self._refusal(block, error, row)
            if not error or len(entries):
                self._settle_edges(block.data, entries)
                return Tape(block.data, entries, place, after)
            if error == kernel.PATHS_FULL:
                self._widen()
            elif len(self._tape) >= MAX_VALUES:
                raise RefusedSourceError(
                    f"{self._uri}: record {before} has more than {MAX_VALUES} values.",
                    reason=RefusalReason.RECORD_TOO_LARGE,
                    row=before,
                )
            else:
                self._tape = np.empty((2 * len(self._tape), kernel.TAPE_FIELDS), np.int64)

    def _settle_edges(self, data: Octets, entries: Integers) -> None:
        """Numbers near the limits of doubles: HUGE when they become infinite or zero."""
        kinds = self._paths[:, kernel.KINDS]
        for entry in np.flatnonzero(entries[:, kernel.T_KIND] == scalars.EDGE).tolist():
            path, _, lo, hi, _ = entries[entry].tolist()
            digits = data[lo:hi].tobytes()
            mantissa = digits.lower().partition(b"e")[0]
            value = float(digits)
            is_lost = math.isinf(value) or (not value and mantissa.strip(b"-0."))
            kinds[path] |= 1 << (scalars.HUGE if is_lost else scalars.FLOAT)
        kinds &= ~(1 << scalars.EDGE)

    def _refusal(self, block: Block, error: int, row: int) -> RefusedSourceError:
        place = int(self._cursor[kernel.C_PLACE])
        is_last = block.is_final and not block.data[place : block.end].tobytes().strip()
        where = f"{self._uri}: record {row} (at byte {block.place + place})"
        if is_last and error in (kernel.SYNTAX, kernel.BAD_STRING):
            return RefusedSourceError(
                f"{where} is cut short.",
                reason=RefusalReason.TRUNCATED,
                row=row,
                hint="Fetch or write it again.",
            )
        return RefusedSourceError(
            f"{where} {_MESSAGES[error]}.",
            reason=RefusalReason.NOT_JSON_LINES,
            row=row,
            hint="Each line must be one JSON value.",
        )

    def _widen(self) -> None:
        """Double the tables of names; the hash table is filled anew."""
        self._paths = np.vstack([self._paths, np.zeros_like(self._paths)])
        self._arena = np.concatenate(
            [self._arena, np.zeros(len(self._arena) + _LONGEST_NAME_BYTES, np.uint8)]
        )
        self._table = np.full(2 * len(self._table), -1, np.int64)
        kernel.fill_table(self.paths, self._table, self._arena)
