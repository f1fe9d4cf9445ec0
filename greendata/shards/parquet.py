"""Parquet: only the text column, a row group at a time.

OSFile, small batches and no read-ahead measured as fast as memory maps and pre-buffering (1 GB/s of
zstd text a CPU-second), and a file cut while it is read gives an error rather than a signal.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
from greendata.shards.batches import merged, without_too_long
from greendata.shards.columns import choose_field_path, is_string, take_texts
from greendata.shards.pages import DICTIONARY_PAGE, Page, walk_pages
from greendata.shards.rows import row_texts

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.shards.base import ReadOptions, Rows, Texts
    from greendata.stores.base import Store

MAX_BATCH_ROWS = 131_072
MAX_PAGE_BYTES = 2**30
_DENSE_PAGE_FACTOR = 4  # pages denser than the average may fill a batch this many times over
_BUFFER_BYTES = 2**20
_SMALLEST_BYTES = 12  # both magic words and the footer's length
_MAGIC, _ENCRYPTED_MAGIC = b"PAR1", b"PARE"
_END_BYTES = 8  # the footer's length and the magic word
_SIGNATURE_BYTES = 28  # of a plain footer: encrypted columns below; pyarrow 26 aborts on them


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """One column chunk by its footer entry and page headers."""

    pages: tuple[Page, ...]
    encodings: tuple[str, ...]

    @property
    def dictionary(self) -> Page | None:
        return next((page for page in self.pages if page.kind == DICTIONARY_PAGE), None)


class EncryptedShardError(ShardError):
    """A Parquet object, or some of its columns, cannot be read without a key."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"{uri}: is encrypted Parquet, and there is no key for it.",
            hint="Decrypt it with the tool that encrypted it.",
        )


class ParquetShard(Shard):
    """A Parquet object; its parts are its row groups."""

    format = "parquet"

    def __init__(self, store: Store, item: StoredObject, options: ReadOptions) -> None:
        super().__init__(store, item, options)
        self._lock = threading.Lock()
        self._decoded_bytes = 0
        with translated_errors(item.uri), store.open(item) as source:
            footer_bytes = self._check_end(source)
            file = pq.ParquetFile(source)
            self._metadata = file.metadata
            if footer_bytes - self._metadata.serialized_size == _SIGNATURE_BYTES:
                raise EncryptedShardError(item.uri)
            self._schema = file.schema_arrow
            self._leaves = [file.schema.column(index).path for index in range(len(file.schema))]
        self._starts = self._row_starts()
        self._path: tuple[str, ...] = ()
        if not options.whole_rows:
            self._path = choose_field_path(
                item.uri, self._schema, options.text_column, self._string_bytes()
            )
        self.text_column = ".".join(self._path) or None
        self.codec = self._column_codec()

    def parts(self) -> tuple[Part, ...]:
        starts = self._starts
        total = int(starts[-1]) or 1
        size = self.item.size_bytes
        return tuple(
            Part(
                index=group,
                first_row=int(starts[group]),
                rows=int(starts[group + 1] - starts[group]),
                row_group=group,
                size_bytes=size * int(starts[group + 1]) // total
                - size * int(starts[group]) // total,
            )
            for group in range(self._metadata.num_row_groups)
        )

    def read(self, part: Part) -> Iterator[TextBatch]:
        group, first, rows = part.row_group or 0, part.first_row or 0, part.rows or 0
        done = 0
        for texts, numbers in merged(self._texts_of(group, first), self.options.batch_bytes):
            before, done = done, done + len(texts)
            yield self._bounded(
                texts,
                numbers,
                group,
                part.size_bytes * done // max(1, rows) - part.size_bytes * before // max(1, rows),
            )
        if done != rows:
            raise ShardError(
                f"{self.item.uri}: row group {group} has {done} rows, its footer says {rows}."
            )

    def read_rows(self, rows: Rows, row_groups: Rows | None = None) -> Iterator[TextBatch]:
        rows = rows[(rows >= 0) & (rows < self._starts[-1])]
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        for group in np.unique(groups).tolist():
            chosen = self._chosen_texts(group, rows[groups == group])
            for texts, numbers in merged(chosen, self.options.batch_bytes):
                yield self._bounded(texts, numbers, group, 0)

    @property
    def schema(self) -> pa.Schema:
        """All columns, with the metadata of the file."""
        return self._schema

    @property
    def metadata(self) -> pq.FileMetaData:
        """The footer."""
        return self._metadata

    @property
    def decoded_bytes(self) -> int:
        """Bytes of all pages before compression, as the footer says."""
        groups = range(self._metadata.num_row_groups)
        return sum(self._metadata.row_group(group).total_byte_size for group in groups)

    def tables(self, part: Part) -> Iterator[pa.RecordBatch]:
        """All columns of a part, in bounded batches, in row order."""
        columns = range(len(self._leaves))
        yield from self._batches(part.row_group or 0, columns)

    def _texts_of(self, group: int, first: int) -> Iterator[tuple[Texts, Rows]]:
        for batch in self._batches(group):
            texts = self._texts(batch)
            self._count(texts.nbytes)
            yield texts, np.arange(first, first + len(texts), dtype=np.int64)
            first += len(texts)

    def _chosen_texts(self, group: int, rows: Rows) -> Iterator[tuple[Texts, Rows]]:
        first = int(self._starts[group])
        for batch in self._batches(group):
            low, high = np.searchsorted(rows, [first, first + batch.num_rows])
            if high > low:
                wanted = rows[low:high]
                yield self._texts(batch.take(pa.array(wanted - first))), wanted
            first += batch.num_rows
            if high == len(rows):
                return

    def _check_end(self, source: pa.NativeFile) -> int:
        """The bytes of the footer."""
        size = self.item.size_bytes
        end = source.read_at(_END_BYTES, size - _END_BYTES) if size >= _SMALLEST_BYTES else b""
        if end[4:] == _ENCRYPTED_MAGIC:
            raise EncryptedShardError(self.item.uri)
        if end[4:] != _MAGIC:
            raise ShardError(
                f"{self.item.uri}: the end of the Parquet file is missing.",
                reason=SkipReason.TRUNCATED,
                hint="Fetch or write it again.",
            )
        return int.from_bytes(end[:4], "little")

    def _row_starts(self) -> Rows:
        groups = range(self._metadata.num_row_groups)
        counts = [self._metadata.row_group(group).num_rows for group in groups]
        if min(counts, default=0) < 0:
            raise ShardError(f"{self.item.uri}: a row group declares {min(counts)} rows.")
        return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)

    def _string_bytes(self) -> dict[str, int]:
        names = {field.name for field in self._schema if is_string(field.type)}
        sizes = dict.fromkeys(sorted(names), 0)
        for column, leaf in enumerate(self._leaves):
            if leaf in names:
                sizes[leaf] += sum(
                    self._metadata.row_group(group).column(column).total_uncompressed_size
                    for group in range(self._metadata.num_row_groups)
                )
        return sizes

    def _columns(self) -> list[int]:
        """Leaf columns that are read."""
        if not self._path:
            return list(range(len(self._leaves)))
        leaf = ".".join(self._path)
        return [column for column, path in enumerate(self._leaves) if path == leaf]

    def _column_codec(self) -> str:
        columns = self._columns()
        if not self._metadata.num_row_groups or not columns:
            return "none"
        codec = str(self._metadata.row_group(0).column(columns[0]).compression).lower()
        return "none" if codec == "uncompressed" else codec

    def _texts(self, batch: pa.RecordBatch) -> Texts:
        with translated_errors(self.item.uri):
            return take_texts(batch, self._path) if self._path else row_texts(batch)

    def _count(self, decoded_bytes: int) -> None:
        with self._lock:
            self._decoded_bytes += decoded_bytes
            total = self._decoded_bytes
        check_decoded(self.item, total)

    def _bounded(self, texts: Texts, rows: Rows, group: int, source_bytes: int) -> TextBatch:
        texts, rows, skipped = without_too_long(texts, rows, self.options.max_record_bytes)
        return TextBatch(
            texts=texts, rows=rows, row_group=group, source_bytes=source_bytes, skipped=skipped
        )

    def _batches(self, group: int, leaves: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        with translated_errors(self.item.uri), self.store.open(self.item) as source:
            rows = self._batch_rows(source, group, leaves or self._columns())
            file = pq.ParquetFile(
                source,
                metadata=self._metadata,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
            )
            columns = [".".join(self._path)] if self._path and leaves is None else None
            yield from file.iter_batches(
                rows, row_groups=[group], columns=columns, use_threads=False
            )

    def _batch_rows(self, source: pa.NativeFile, group: int, leaves: Sequence[int]) -> int:
        """Rows a batch may have so that it stays near ``batch_bytes`` whatever the pages hold."""
        chunks = [self._chunk(source, group, column) for column in leaves]
        for chunk in chunks:
            self._refuse_bombs(chunk)
        limit = max(1, self.options.batch_bytes // max(1, len(chunks)))
        bounds = [_rows_by_pages(chunk.pages, limit) for chunk in chunks]
        bounds += [self._rows_by_dictionary(chunk, min(bounds)) for chunk in chunks]
        return max(1, min(bounds, default=MAX_BATCH_ROWS))

    def _chunk(self, source: pa.NativeFile, group: int, column: int) -> _Chunk:
        entry = self._metadata.row_group(group).column(column)
        offsets = (entry.data_page_offset, entry.dictionary_page_offset)
        start = min(offset for offset in offsets if offset)
        size = min(entry.total_compressed_size, self.item.size_bytes - start)
        pages = walk_pages(source.read_at, start, size, entry.num_values)
        return _Chunk(pages=tuple(pages), encodings=tuple(entry.encodings))

    def _refuse_bombs(self, chunk: _Chunk) -> None:
        allowed = self.options.max_record_bytes + PAGE_ALLOWANCE_BYTES
        for page in chunk.pages:
            size = page.uncompressed_bytes
            is_bomb = size > allowed and size > MAX_HONEST_RATIO * max(1, page.compressed_bytes)
            if is_bomb or size > MAX_PAGE_BYTES:
                raise ShardLimitError(
                    f"{self.item.uri}: a page of {page.compressed_bytes} bytes expands to {size}.",
                    hint="If it is honest, write it with smaller pages.",
                )

    def _rows_by_dictionary(self, chunk: _Chunk, rows: int) -> int:
        """Few enough rows that the longest repeated value cannot fill the memory."""
        dictionary = chunk.dictionary
        if dictionary is not None and dictionary.values:
            average = max(1, dictionary.uncompressed_bytes // dictionary.values)
            rows = min(rows, max(1, self.options.batch_bytes // average))
            rows = min(rows, MAX_REPEATED_BYTES // max(1, dictionary.uncompressed_bytes))
        if "DELTA_BYTE_ARRAY" in chunk.encodings:  # a value may repeat all of the one before it
            largest = max((page.uncompressed_bytes for page in chunk.pages), default=0)
            rows = min(rows, MAX_REPEATED_BYTES // max(1, largest))
        return rows


def _rows_by_pages(pages: Sequence[Page], limit_bytes: int) -> int:
    """Rows for about ``limit_bytes`` on average, and not far more in the densest page."""
    data = [page for page in pages if page.is_data and page.values]
    if not data:
        return MAX_BATCH_ROWS
    size = sum(page.uncompressed_bytes for page in data)
    values = sum(page.values for page in data)
    average = limit_bytes * values // max(1, size)
    dense = min(
        _DENSE_PAGE_FACTOR * limit_bytes * page.values // max(1, page.uncompressed_bytes)
        for page in data
    )
    return max(1, min(average, dense, MAX_BATCH_ROWS))
