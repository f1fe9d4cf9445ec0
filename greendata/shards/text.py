"""Plain text: one document a file, or one a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from greendata.shards.base import Part, Shard, TextBatch
from greendata.shards.batches import batch_of, keep_rows, too_long
from greendata.shards.lines import index_lines
from greendata.shards.streams import ByteStream, LineChunk, line_chunks, read_at_most

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.shards.base import ReadOptions, Rows
    from greendata.stores.base import Store


class TextShard(Shard):
    """A text object; ``format`` is ``text`` (all of it is one document) or ``lines``."""

    def __init__(
        self, store: Store, item: StoredObject, options: ReadOptions, file_format: str, codec: str
    ) -> None:
        super().__init__(store, item, options)
        self.format = file_format
        self.codec = codec

    def parts(self) -> tuple[Part, ...]:
        if not self.item.size_bytes:
            return ()
        rows = 1 if self.format == "text" else None
        size = self.item.size_bytes
        return (Part(index=0, first_row=0, rows=rows, row_group=None, size_bytes=size),)

    def read(self, part: Part) -> Iterator[TextBatch]:
        with closing(ByteStream(self.store, self.item, self.codec)) as stream:
            yield from self._lines(stream) if self.format == "lines" else self._whole(stream)

    def read_rows(self, rows: Rows, row_groups: Rows | None = None) -> Iterator[TextBatch]:
        for part in self.parts() if len(rows) else ():
            yield from keep_rows(self.read(part), rows)

    def _whole(self, stream: ByteStream) -> Iterator[TextBatch]:
        limit = self.options.max_record_bytes
        text = read_at_most(stream, limit)
        size = self.item.size_bytes
        if text is None:
            yield batch_of([], [], source_bytes=size, skipped=[(0, too_long(None, limit))])
        else:
            yield batch_of([text], [0], source_bytes=size)

    def _lines(self, stream: ByteStream) -> Iterator[TextBatch]:
        limit = self.options.max_record_bytes
        row = 0
        for chunk in line_chunks(
            stream, chunk_bytes=self.options.batch_bytes, max_line_bytes=limit
        ):
            texts, offsets, skipped = _split(chunk, limit)
            yield batch_of(
                texts,
                np.array(offsets, np.int64) + row,
                source_bytes=chunk.source_bytes,
                skipped=[(row + offset, why) for offset, why in skipped],
            )
            row += len(texts) + len(skipped)


def _split(chunk: LineChunk, limit: int) -> tuple[list[bytes], list[int], list[tuple[int, str]]]:
    """Lines that are not blank, their numbers among these, and the ones that are too long."""
    if chunk.is_too_long:
        return [], [], [(0, too_long(None, limit))]
    lines = index_lines(chunk.data)
    texts: list[bytes] = []
    offsets: list[int] = []
    skipped: list[tuple[int, str]] = []
    for index, size in enumerate((lines.ends - lines.starts).tolist()):
        if size > limit:
            skipped.append((len(texts) + len(skipped), too_long(size, limit)))
        elif (line := lines.line(index)).strip():
            offsets.append(len(texts) + len(skipped))
            texts.append(line)
    return texts, offsets, skipped
