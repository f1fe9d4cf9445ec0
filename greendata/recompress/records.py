"""JSON Lines whatever its lines hold: typed where that keeps them, else line by line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.recompress.blocks import BlockReader, changed
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import Source, SourceOptions, open_source

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.recompress.blocks import Block
    from greendata.stores.base import Store

RECORD_COLUMN = "record"

_OF_THE_LINES = frozenset(
    {
        RefusalReason.TRUNCATED,
        RefusalReason.NOT_JSON_LINES,
        RefusalReason.DUPLICATE_KEYS,
        RefusalReason.INVALID_UTF8,
        RefusalReason.RESERVED_COLUMN,
    }
)


def open_records(
    store: Store, item: StoredObject, codec: str, options: SourceOptions | None = None
) -> Source:
    """A JSON Lines object as a source; if a line of it cannot be typed, of one column ``record``.

    That column holds each line that is not blank as it stands, as a string, or as binary where one
    of them is not UTF-8.

    Raises:
        RefusedSourceError: no records, a record that is too long, or a stream that is cut short.
        GreendataError: as ``open_source``.
    """
    options = options or SourceOptions()
    try:
        return open_source(store, item, "jsonl", codec, options=options)
    except RefusedSourceError as error:
        if error.reason not in _OF_THE_LINES:
            raise
    return LineSource(store, item, codec, options)


class LineSource(Source):
    """Lines as they stand; ``row`` counts those that are not blank, as in every other reader."""

    format = "jsonl"

    def __init__(
        self, store: Store, item: StoredObject, codec: str, options: SourceOptions
    ) -> None:
        self.item = item
        self.codec = codec
        self._store = store
        self._options = options
        is_text = True
        self.rows = 0
        reader = self._reader()
        for block in reader:
            is_text = is_text and block.is_utf8
            self.rows += len(_lines(block))
        self.sha256 = reader.sha256
        self.content_sha256 = reader.content_sha256
        self.content_bytes = reader.content_bytes
        kind = pa.string() if is_text else pa.binary()
        self.schema = pa.schema([pa.field(RECORD_COLUMN, kind)])
        self.notes = ("Its lines are not all JSON that has types: each is kept as it stands.",)

    def batches(self) -> Iterator[pa.RecordBatch]:
        reader = self._reader()
        kind = self.schema.field(RECORD_COLUMN).type
        for block in reader:
            lines = _lines(block)
            if lines:
                column = pa.array(lines, pa.binary()).cast(kind)
                yield pa.RecordBatch.from_arrays([column], schema=self.schema)
        if reader.content_sha256 != self.content_sha256:
            raise changed(self.item)

    def _reader(self) -> BlockReader:
        return BlockReader(self._store, self.item, self.codec, self._options, needs_utf8=False)


def _lines(block: Block) -> list[bytes]:
    """The lines of a block that are not blank, without blanks around them."""
    lines = block.data[block.start : block.end].tobytes().split(b"\n")
    return [stripped for line in lines if (stripped := line.strip(b" \t\r"))]
