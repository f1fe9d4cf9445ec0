"""CSV and TSV with a header row, by Python's csv module.

Bytes pass through it as Latin-1, so that no encoding is guessed and none is lost.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from greendata.shards.base import Part, Shard, TextBatch
from greendata.shards.batches import batch_of, keep_rows, too_long
from greendata.shards.columns import no_text_column, pick_text_column
from greendata.shards.lines import index_lines
from greendata.shards.rows import canonical_json
from greendata.shards.streams import ByteStream, line_chunks

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.shards.base import ReadOptions, Rows
    from greendata.stores.base import Store

SAMPLE_RECORDS = 1000
SAMPLE_BYTES = 4 * 2**20

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_NO_LIMIT = 2**31 - 1  # records are bounded here; the module's own limit is one for the process


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """Fields as Latin-1 text, or why there are none; ``size_bytes`` of its lines."""

    fields: list[str]
    size_bytes: int
    error: str | None = None


class DelimitedShard(Shard):
    """A CSV or TSV object; ``row`` numbers the records after the header."""

    def __init__(
        self, store: Store, item: StoredObject, options: ReadOptions, file_format: str, codec: str
    ) -> None:
        super().__init__(store, item, options)
        self.format = file_format
        self.codec = codec
        self._header: list[str] = []
        self._column = 0
        csv.field_size_limit(_NO_LIMIT)
        if item.size_bytes:
            self._look_at_head()

    def parts(self) -> tuple[Part, ...]:
        if not self._header:
            return ()
        size = self.item.size_bytes
        return (Part(index=0, first_row=0, rows=None, row_group=None, size_bytes=size),)

    def read(self, part: Part) -> Iterator[TextBatch]:
        with closing(ByteStream(self.store, self.item, self.codec)) as stream:
            yield from self._batches(stream)

    def read_rows(self, rows: Rows, row_groups: Rows | None = None) -> Iterator[TextBatch]:
        for part in self.parts() if len(rows) else ():
            yield from keep_rows(self.read(part), rows)

    def _look_at_head(self) -> None:
        sizes: list[int] = []
        with closing(ByteStream(self.store, self.item, self.codec)) as stream:
            records = self._records(stream)
            header = next(records, None)
            if header is None:
                return
            self._header = [_decoded(name) for name in header.fields]
            sizes = _column_sizes(records, len(self._header))
        if self.options.whole_rows:
            return
        self._column = self._choose_column(sizes)
        self.text_column = self._header[self._column]

    def _choose_column(self, sizes: list[int]) -> int:
        wanted = self.options.text_column
        if wanted is None:
            named = dict(zip(reversed(self._header), reversed(sizes), strict=True))
            wanted = pick_text_column(named) or ""
        if wanted not in self._header:
            columns = [f"{name}: string" for name in self._header]
            raise no_text_column(self.item.uri, columns, wanted)
        return self._header.index(wanted)

    def _batches(self, stream: ByteStream) -> Iterator[TextBatch]:
        texts: list[bytes | None] = []
        rows: list[int] = []
        skipped: list[tuple[int, str]] = []
        size = taken = 0
        records = self._records(stream)
        next(records, None)
        for row, record in enumerate(records):
            error = record.error or self._misfit(record)
            if error is not None:
                skipped.append((row, error))
            else:
                texts.append(self._text(record))
                rows.append(row)
            size += record.size_bytes
            if size >= self.options.batch_bytes:
                before, taken = taken, stream.consumed_bytes
                yield batch_of(texts, rows, source_bytes=taken - before, skipped=skipped)
                texts, rows, skipped, size = [], [], [], 0
        yield batch_of(texts, rows, source_bytes=self.item.size_bytes - taken, skipped=skipped)

    def _misfit(self, record: _Record) -> str | None:
        if len(record.fields) == len(self._header):
            return None
        return f"{len(record.fields)} fields, the header has {len(self._header)}"

    def _text(self, record: _Record) -> bytes:
        if not self.options.whole_rows:
            return record.fields[self._column].encode("latin-1")
        values = [_decoded(field) for field in record.fields]
        return canonical_json(dict(zip(self._header, values, strict=True))).encode()

    def _records(self, stream: ByteStream) -> Iterator[_Record]:
        """Records of a stream, the header first; blank lines are none."""
        limit = self.options.max_record_bytes
        feed = _Feed(_lines(stream, limit), limit)
        reader = csv.reader(feed, delimiter=_DELIMITERS[self.format])
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except _TooLongError:
                yield _Record(fields=[], size_bytes=feed.take(), error=too_long(None, limit))
                reader = csv.reader(feed, delimiter=_DELIMITERS[self.format])
            except csv.Error as error:
                yield _Record(fields=[], size_bytes=feed.take(), error=f"broken: {error}")
                reader = csv.reader(feed, delimiter=_DELIMITERS[self.format])
            else:
                size = feed.take()
                if fields:
                    yield _Record(fields=fields, size_bytes=size)


class _TooLongError(Exception):
    """A record grew above the limit, perhaps for want of a closing quote."""


class _Feed:
    """Hands lines to the csv reader and counts the bytes of the record at hand."""

    def __init__(self, lines: Iterator[bytes | None], limit_bytes: int) -> None:
        self._lines = lines
        self._limit_bytes = limit_bytes
        self._size = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if line is None:
            raise _TooLongError
        self._size += len(line)
        if self._size > self._limit_bytes:
            raise _TooLongError
        return line.decode("latin-1")

    def take(self) -> int:
        """Bytes since the last call."""
        size, self._size = self._size, 0
        return size


def _lines(stream: ByteStream, limit: int) -> Iterator[bytes | None]:
    """Lines with their ends; None for one that is too long to hold."""
    for chunk in line_chunks(stream, chunk_bytes=2**20, max_line_bytes=limit):
        if chunk.is_too_long:
            yield None
            continue
        lines = index_lines(chunk.data)
        view = memoryview(chunk.data)
        nexts = chain(lines.starts[1:].tolist(), [len(view)])
        for start, end in zip(lines.starts.tolist(), nexts, strict=True):
            yield bytes(view[start:end])


def _column_sizes(records: Iterator[_Record], width: int) -> list[int]:
    sizes = [0] * width
    seen = 0
    for number, record in enumerate(records, start=1):
        if len(record.fields) == width:
            sizes = [size + len(field) for size, field in zip(sizes, record.fields, strict=True)]
        seen += record.size_bytes
        if number == SAMPLE_RECORDS or seen >= SAMPLE_BYTES:
            break
    return sizes


def _decoded(field: str) -> str:
    return field.encode("latin-1").decode(errors="backslashreplace")
