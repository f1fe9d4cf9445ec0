"""Arrow IPC: files, whose parts are their record batches, and streams, which have one part."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from greendata.model import SkipReason
from greendata.shards.base import (
    MAX_HONEST_RATIO,
    MAX_REPEATED_BYTES,
    PAGE_ALLOWANCE_BYTES,
    Part,
    Shard,
    ShardError,
    ShardLimitError,
    TextBatch,
    check_decoded,
    translated_errors,
)
from greendata.shards.batches import keep_rows, merged, without_too_long
from greendata.shards.columns import (
    as_texts,
    choose_field_path,
    is_string,
    take_column,
    take_texts,
)
from greendata.shards.messages import FILE_START_BYTES, Message, walk_messages
from greendata.shards.rows import row_texts

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.shards.base import ReadOptions, Rows, Texts
    from greendata.stores.base import Store

MAX_BUFFER_BYTES = 2**30
"""Record batches are loaded whole."""

_FILE_MAGIC = b"ARROW1"


class ArrowShard(Shard):
    """An Arrow IPC object."""

    format = "arrow"

    def __init__(self, store: Store, item: StoredObject, options: ReadOptions) -> None:
        super().__init__(store, item, options)
        self.codec = "none"
        self._lock = threading.Lock()
        self._decoded_bytes = 0
        with translated_errors(item.uri), store.open(item) as source:
            self._is_file = source.read_at(len(_FILE_MAGIC), 0) == _FILE_MAGIC
            batches = self._check(source)
            reader = self._reader(source)
            self._schema = reader.schema
            if self._is_file and reader.num_record_batches != len(batches):
                raise ShardError(f"{item.uri}: footer and record batches do not agree.")
            counts = [message.rows for message in batches]
            self._starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
            self._path: tuple[str, ...] = ()
            if not options.whole_rows:
                self._path = choose_field_path(
                    item.uri, self._schema, options.text_column, self._first_bytes(reader)
                )
        self.text_column = ".".join(self._path) or None

    def parts(self) -> tuple[Part, ...]:
        starts, size = self._starts, self.item.size_bytes
        total = int(starts[-1])
        if not total:
            return ()
        if not self._is_file:
            return (Part(index=0, first_row=0, rows=total, row_group=None, size_bytes=size),)
        return tuple(
            Part(
                index=number,
                first_row=int(starts[number]),
                rows=int(starts[number + 1] - starts[number]),
                row_group=number,
                size_bytes=size * int(starts[number + 1]) // total
                - size * int(starts[number]) // total,
            )
            for number in range(len(starts) - 1)
        )

    def read(self, part: Part) -> Iterator[TextBatch]:
        numbers = range(len(self._starts) - 1) if part.row_group is None else [part.row_group]
        done = 0
        for number, batch in self._record_batches(list(numbers)):
            for texts, rows in merged(self._texts(number, batch), self.options.batch_bytes):
                before, done = done, done + len(texts)
                texts, rows, skipped = without_too_long(texts, rows, self.options.max_record_bytes)
                share = part.size_bytes, max(1, part.rows or 0)
                yield TextBatch(
                    texts=texts,
                    rows=rows,
                    row_group=number,
                    source_bytes=share[0] * done // share[1] - share[0] * before // share[1],
                    skipped=skipped,
                )

    def read_rows(self, rows: Rows, row_groups: Rows | None = None) -> Iterator[TextBatch]:
        rows = rows[(rows >= 0) & (rows < self._starts[-1])]
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        wanted = set(groups.tolist())
        for part in self.parts():
            if part.row_group is None and wanted:
                yield from keep_rows(self.read(part), rows)
            elif part.row_group in wanted:
                yield from keep_rows(self.read(part), rows[groups == part.row_group])

    @property
    def schema(self) -> pa.Schema:
        """All columns, with the metadata of the file."""
        return self._schema

    def tables(self, part: Part) -> Iterator[pa.RecordBatch]:
        """All columns of a part, in bounded batches, in row order."""
        numbers = range(len(self._starts) - 1) if part.row_group is None else [part.row_group]
        for _, batch in self._record_batches(list(numbers)):
            step = self._rows_per_slice(batch)
            for start in range(0, batch.num_rows, step):
                self._count(batch.nbytes * min(step, batch.num_rows) // max(1, batch.num_rows))
                yield batch.slice(start, step)

    def _check(self, source: pa.NativeFile) -> list[Message]:
        """The record batches, none of which is cut or expands beyond measure."""
        size = self.item.size_bytes
        if self._is_file and source.read_at(len(_FILE_MAGIC), size - len(_FILE_MAGIC)) != (
            _FILE_MAGIC
        ):
            raise ShardError(
                f"{self.item.uri}: the end of the Arrow file is missing.",
                reason=SkipReason.TRUNCATED,
                hint="Fetch or write it again.",
            )
        start = FILE_START_BYTES if self._is_file else 0
        messages = list(walk_messages(source.read_at, start, size))
        for message in messages:
            self._refuse_bombs(message)
        return [message for message in messages if message.is_record_batch]

    def _refuse_bombs(self, message: Message) -> None:
        allowed = self.options.max_record_bytes + PAGE_ALLOWANCE_BYTES
        for stored, decoded in message.buffers:
            is_bomb = decoded > allowed and decoded > MAX_HONEST_RATIO * max(1, stored)
            if is_bomb or decoded > MAX_BUFFER_BYTES:
                raise ShardLimitError(
                    f"{self.item.uri}: a buffer of {stored} bytes decodes to {decoded}.",
                    hint="If it is honest, write it with smaller record batches.",
                )

    def _reader(self, source: pa.NativeFile, fields: list[int] | None = None) -> pa.ipc.Message:
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields)
        if self._is_file:
            return pa.ipc.open_file(source, options=options)
        source.seek(0)  # after read_at a stream's position is undefined
        return pa.ipc.open_stream(source, options=options)

    def _first_bytes(self, reader: pa.ipc.Message) -> dict[str, int]:
        """Bytes of the string columns in the first record batch."""
        sizes = {field.name: 0 for field in self._schema if is_string(field.type)}
        if len(self._starts) > 1 and self.options.text_column is None:
            first = reader.get_batch(0) if self._is_file else reader.read_next_batch()
            for index, field in enumerate(self._schema):
                if field.name in sizes:
                    sizes[field.name] += first.column(index).nbytes
        return sizes

    def _record_batches(self, numbers: list[int]) -> Iterator[tuple[int, pa.RecordBatch]]:
        fields = [self._schema.names.index(self._path[0])] if self._path else None
        with translated_errors(self.item.uri), self.store.open(self.item) as source:
            reader = self._reader(source, fields)
            for number in numbers:
                batch = reader.get_batch(number) if self._is_file else reader.read_next_batch()
                if batch.num_rows != self._starts[number + 1] - self._starts[number]:
                    raise ShardError(f"{self.item.uri}: record batch {number} is damaged.")
                batch.validate()
                yield number, batch

    def _texts(self, number: int, batch: pa.RecordBatch) -> Iterator[tuple[Texts, Rows]]:
        """Slices of a record batch that stay bounded even when they repeat one long value."""
        first = int(self._starts[number])
        step = self._rows_per_slice(batch)
        for start in range(0, batch.num_rows, step):
            part = batch.slice(start, step)
            with translated_errors(self.item.uri):
                texts = take_texts(part, self._path) if self._path else row_texts(part)
            self._count(texts.nbytes)
            begin = first + start
            yield texts, np.arange(begin, begin + len(texts), dtype=np.int64)

    def _rows_per_slice(self, batch: pa.RecordBatch) -> int:
        average = max(1, batch.nbytes // max(1, batch.num_rows))
        step = max(1, self.options.batch_bytes // average)
        if self._path:
            column = take_column(batch, self._path)
            if isinstance(column, pa.DictionaryArray):
                lengths = pc.binary_length(as_texts(column.dictionary))
                step = min(step, MAX_REPEATED_BYTES // max(1, pc.max(lengths).as_py() or 0))
            elif "view" in str(column.type):
                step = min(step, MAX_REPEATED_BYTES // max(1, column.nbytes))
        return max(1, int(step))

    def _count(self, decoded_bytes: int) -> None:
        with self._lock:
            self._decoded_bytes += decoded_bytes
            total = self._decoded_bytes
        check_decoded(self.item, total)
