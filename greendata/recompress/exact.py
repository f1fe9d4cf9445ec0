"""Grade exact: what of each line its values and the dialect do not give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.recompress.assembling import gathered
from greendata.recompress.dialect import Dialect, find_dialect
from greendata.recompress.kernel import json as kernel
from greendata.recompress.kernel.intrinsics import BLOCK_BYTES
from greendata.recompress.kernel.texts import AS_IS, compare, line_ends
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.rendering import Renderer, parts_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from greendata.recompress.blocks import Block
    from greendata.recompress.tapes import Tape

    Integers = npt.NDArray[np.int64]

MAX_TRAILER_BYTES = 2**20
"""Of blank lines after the last record, which stand in the metadata."""


class Spans:
    """Deals the bytes of a file out to its records: each with its line end and what is before it.

    Attributes:
        trailer: the blank bytes after the last record, once all blocks were seen.
    """

    def __init__(self) -> None:
        self.trailer = b""
        self._place = 0

    def open(self, block: Block) -> None:
        """A block begins."""
        self._place = 0

    def take(self, tape: Tape) -> tuple[Integers, Integers]:
        """From where to where the bytes of each record of a tape go."""
        is_record = tape.entries[:, kernel.T_PATH] == 0
        ends = np.ascontiguousarray(tape.entries[is_record, kernel.T_HI])
        hi = np.empty(len(ends), np.int64)
        line_ends(tape.data, ends, len(tape.data) - BLOCK_BYTES, hi)
        lo = np.concatenate(([self._place], hi[:-1])).astype(np.int64)[: len(hi)]
        self._place = int(hi[-1]) if len(hi) else self._place
        return lo, hi

    def close(self, block: Block) -> None:
        """A block ends: blank lines after its last record go to the next one."""
        if block.is_final:
            self.trailer = block.data[self._place : block.end].tobytes()
        block.used = self._place


class ExactLines:
    """Finds the dialect, then what it does not give."""

    def __init__(self) -> None:
        self._dialect: Dialect | None = None
        self._renderer: Renderer | None = None

    def look_at(self, tape: Tape) -> None:
        """Learn from the first tape of a file."""
        if self._dialect is None and len(tape.entries):
            self._dialect = find_dialect(tape)

    def describe(self, description: dict[str, Any], trailer: bytes) -> dict[str, Any]:
        """Add what restoring needs.

        Raises:
            RefusedSourceError: too many blank lines at the end.
        """
        if len(trailer) > MAX_TRAILER_BYTES:
            raise RefusedSourceError(
                f"it ends in {len(trailer)} bytes of blank lines.",
                reason=RefusalReason.NOT_RESTORABLE,
                hint="Use --grade logical.",
            )
        dialect = (self._dialect or Dialect()).as_dict()
        found = description | {"dialect": dialect, "trailer": trailer.decode()}
        self._renderer = Renderer(found)
        return found

    def raw(self, batch: pa.RecordBatch, tape: Tape, lo: Integers, hi: Integers) -> pa.Array:
        """The bytes of the records that rendering ``batch`` does not give; null for the others."""
        if self._renderer is None:
            raise ValueError("describe comes before raw")
        offsets, data = parts_of(self._renderer.lines(batch))
        is_same = np.empty(len(lo), np.bool_)
        compare(data, offsets, tape.data, lo, hi, is_same)
        lo, hi = np.where(is_same, 0, lo), np.where(is_same, 0, hi)
        return gathered(tape.data, lo, hi, np.full(len(lo), AS_IS, np.uint8), ~is_same)
