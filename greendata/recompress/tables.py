"""CSV and TSV as a source: typed by every cell, and only where the type gives each cell back.

The first record names the columns. A column is int64 or double if Python writes each of its numbers
letter by letter as the cell has it (``007`` and ``1.50`` stay text) and none is in quotes; all
others are strings. An empty cell without quotes is null, one with quotes the empty string. Blank
lines are no records.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from greendata.recompress.assembling import gathered
from greendata.recompress.blocks import BlockReader, changed
from greendata.recompress.kernel import delimited as kernel
from greendata.recompress.kernel.texts import AS_IS, DOUBLED_QUOTES
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import DIALECT_KEY, OWN_PREFIX, Source

if TYPE_CHECKING:
    import numpy.typing as npt

    from greendata.model import StoredObject
    from greendata.recompress.blocks import Block
    from greendata.recompress.sources import SourceOptions
    from greendata.stores.base import Store

    Integers = npt.NDArray[np.int64]
    Octets = npt.NDArray[np.uint8]

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_CELLS = 2**18


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Cells of some records, int64 [rows * width, CELL_FIELDS], row by row; places in ``data``."""

    data: Octets
    cells: Integers
    width: int

    def column(self, index: int) -> pa.Array:
        """The strings of a column; null where the cell is empty and has no quotes."""
        lo, hi, form = (
            np.ascontiguousarray(self.cells[index :: self.width, field])
            for field in (kernel.LO, kernel.HI, kernel.FORM)
        )
        is_there = (hi > lo) | (form != kernel.PLAIN)
        forms = np.where(form == kernel.DOUBLED, DOUBLED_QUOTES, AS_IS).astype(np.uint8)
        return gathered(self.data, lo, hi, forms, is_there)


class DelimitedSource(Source):
    """A CSV or TSV object, read to its end when it is opened.

    Attributes:
        types: of the columns by their own cells; None where all are empty and without quotes.
    """

    def __init__(
        self,
        store: Store,
        item: StoredObject,
        file_format: str,
        codec: str,
        options: SourceOptions,
    ) -> None:
        self.item = item
        self.format = file_format
        self.codec = codec
        self._store = store
        self._options = options
        self._cells = np.empty((0, kernel.CELL_FIELDS), np.int64)
        self._names: list[str] = []
        self._learn()
        self.notes = ()

    def _learn(self) -> None:
        reader = self._reader()
        self.rows = 0
        found = np.zeros(0, np.int64)
        not_floats: set[int] = set()
        for rows in self._tables(reader):
            if not len(found):
                found = np.zeros(rows.width, np.int64)
            kernel.classify(rows.data, rows.cells, rows.width, found)
            for index in np.flatnonzero(found == kernel.HAS_FRACTION).tolist():
                if index not in not_floats and not _are_floats(rows.column(index)):
                    not_floats.add(index)
            self.rows += len(rows.cells) // rows.width
        if not self.rows:
            raise self._refusal("it has no records.", RefusalReason.NO_ROWS)
        types = {0: None, kernel.HAS_WHOLE: pa.int64(), kernel.HAS_FRACTION: pa.float64()}
        self.types = tuple(
            pa.string() if index in not_floats else types.get(what, pa.string())
            for index, what in enumerate(found.tolist())
        )
        self.adopt(self.types)
        self.sha256 = reader.sha256
        self.content_sha256 = reader.content_sha256
        self.content_bytes = reader.content_bytes

    def adopt(self, types: Sequence[pa.DataType | None]) -> None:
        """Take these types for the columns: what it has, string, or anything for empty cells."""
        dialect = {"format": self.format, "version": 1, "delimiter": _DELIMITERS[self.format]}
        fields = [
            pa.field(name, kind or pa.string())
            for name, kind in zip(self._names, types, strict=True)
        ]
        self.schema = pa.schema(fields, {DIALECT_KEY: json.dumps(dialect).encode()})

    def batches(self) -> Iterator[pa.RecordBatch]:
        names = self._names
        reader = self._reader()
        for rows in self._tables(reader):
            if self._names != names:
                raise changed(self.item)
            texts = [rows.column(index) for index in range(rows.width)]
            try:
                columns = [
                    text.cast(field.type) for text, field in zip(texts, self.schema, strict=True)
                ]
            except pa.ArrowInvalid as error:
                raise changed(self.item) from error
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
        if reader.content_sha256 != self.content_sha256:
            raise changed(self.item)

    def _tables(self, reader: BlockReader) -> Iterator[_Rows]:
        """All records after the header."""
        self._names = []
        self._cells = np.empty((_CELLS, kernel.CELL_FIELDS), np.int64)
        before = 0
        for block in reader:
            place = block.start
            while place < block.end:
                place, rows = self._scan(block, place, before)
                if rows is None:
                    break
                if len(rows.cells):
                    before += len(rows.cells) // rows.width
                    yield rows
            block.used = place
        self._cells = self._cells[:0].copy()  # thousands of sources may be open

    def _scan(self, block: Block, place: int, before: int) -> tuple[int, _Rows | None]:
        """Records from a place on, and where they end; None when the next one is not all there."""
        cursor = np.zeros(kernel.CURSOR_FIELDS, np.int64)
        width = len(self._names)
        most = max(1, len(self._cells) // width) if width else 1
        after = int(
            kernel.scan_rows(
                block.data, place, block.end, ord(_DELIMITERS[self.format]), width, most,
                self._cells, cursor,
            )
        )  # fmt: skip
        cells = self._cells[: cursor[kernel.C_CELLS]]
        error = int(cursor[kernel.C_ERROR])
        if error == kernel.CELLS_FULL:
            self._cells = np.empty((2 * len(self._cells), kernel.CELL_FIELDS), np.int64)
        elif error and not (error == kernel.OPEN and (len(cells) or not block.is_final)):
            raise self._bad_row(block, cursor, before + len(cells) // max(1, width))
        if width or not len(cells):
            is_stuck = error == kernel.OPEN and not len(cells)
            return after, None if is_stuck else _Rows(block.data, cells, max(1, width))
        header = _Rows(block.data, cells, len(cells))
        self._names = [header.column(index)[0].as_py() or "" for index in range(len(cells))]
        self._check_names()
        return after, _Rows(block.data, cells[:0], len(cells))

    def _check_names(self) -> None:
        repeated = [name for name, count in Counter(self._names).items() if count > 1]
        if repeated:
            raise self._refusal(
                f"its header names {min(repeated)!r} twice.", RefusalReason.DUPLICATE_COLUMNS
            )
        for name in self._names:
            if name.startswith(OWN_PREFIX):
                raise self._refusal(
                    f"it has a column {name!r}; names with {OWN_PREFIX} are the program's own.",
                    RefusalReason.RESERVED_COLUMN,
                )
            if "\0" in name:
                raise self._refusal(
                    f"the name {name!r} has a zero in it.", RefusalReason.UNSUPPORTED_NAME
                )

    def _bad_row(self, block: Block, cursor: Integers, row: int) -> RefusedSourceError:
        where = f"record {row} (at byte {block.place + int(cursor[kernel.C_PLACE])})"
        match int(cursor[kernel.C_ERROR]):
            case kernel.RAGGED:
                return self._refusal(
                    f"{where} has not as many cells as the header's {len(self._names)}.",
                    RefusalReason.RAGGED_ROWS,
                    row,
                )
            case kernel.OPEN:
                return self._refusal(
                    f"{where} has a quote that nothing closes.", RefusalReason.TRUNCATED, row
                )
            case _:
                return self._refusal(
                    f"{where} goes on after a closing quote, or has a carriage return without one.",
                    RefusalReason.BROKEN_QUOTES,
                    row,
                )

    def _refusal(
        self, message: str, reason: RefusalReason, row: int | None = None
    ) -> RefusedSourceError:
        return RefusedSourceError(f"{self.item.uri}: {message}", reason=reason, row=row)

    def _reader(self) -> BlockReader:
        return BlockReader(self._store, self.item, self.codec, self._options)


def _are_floats(texts: pa.Array) -> bool:
    """Whether Python writes each number as it stands here."""
    return all(repr(float(text)) == text for text in texts.drop_null().to_pylist())
