"""The zstd Parquet writer: every Parquet file of documents that this program makes comes from here.

Levels are always explicit (pyarrow's default is 1), page checksums are always written (without them
two thirds of random bit flips in zstd pages read back as silently wrong rows), and row groups are
bounded by bytes. The same rows in the same batches give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from greendata.shards.encodings import ColumnEncodings, choose_encodings

MAX_GROUP_ROWS = 1 << 20
MAX_PAGE_ROWS = 1 << 24
"""pyarrow's own limit of 20 000 rows cuts pages of short rows long before their bytes do."""

DATA_PAGE_VERSION = "1.0"
FORMAT_VERSION = "2.6"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterProfile:
    """How files are written.

    Attributes:
        level: of zstd.
        page_bytes: of one column, before compression.
        row_group_bytes: of all columns, in memory; only a single row may be larger.
        file_bytes: stored bytes from which rows go to a next file.
        is_similar: rows that are alike are put next to each other.
    """

    name: str
    level: int
    page_bytes: int
    row_group_bytes: int
    file_bytes: int
    is_similar: bool = False


# Level 3 with pages of 1 MiB is 1 to 8 % larger than what DuckDB writes as zstd by default, whose
# pages are as large as its row groups; level 6 is 3 to 9 % smaller, for 2.5 times the CPU of
# writing, which happens once. Reading is as fast at every level.
PROFILES = {
    profile.name: profile
    for profile in (
        WriterProfile(
            name="stream",
            level=6,
            page_bytes=1 << 20,
            row_group_bytes=64 << 20,
            file_bytes=512 << 20,
        ),
        WriterProfile(
            name="archive",
            level=9,
            page_bytes=8 << 20,
            row_group_bytes=128 << 20,
            file_bytes=1 << 30,
            is_similar=True,
        ),
    )
}


class ShardWriter:
    """Writes batches of one schema to a local file; use it as a context.

    Encodings that are not given are chosen from the rows of the first row group. ``metadata`` is
    written beside the schema's own keys.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        profile: WriterProfile,
        *,
        encodings: ColumnEncodings | None = None,
        metadata: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self._path = path
        merged = {**(schema.metadata or {}), **(metadata or {})}
        self._schema = schema.with_metadata(merged or None)
        self._profile = profile
        self._encodings = encodings
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._waiting_rows = 0
        self._writer: pq.ParquetWriter | None = None
        self._sink: pa.NativeFile | None = None
        self.rows = 0

    @property
    def size_bytes(self) -> int:
        """Stored bytes of the row groups that are finished."""
        return int(self._sink.tell()) if self._sink is not None else 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; OSError when the disk is full."""
        for piece in _pieces(batch, self._profile.row_group_bytes):
            size = piece.nbytes
            is_full = self._waiting_bytes + size > self._profile.row_group_bytes
            if self._waiting and (is_full or self._waiting_rows + piece.num_rows > MAX_GROUP_ROWS):
                self._flush()
            self._waiting.append(piece)
            self._waiting_bytes += size
            self._waiting_rows += piece.num_rows
            self.rows += piece.num_rows

    def close(self) -> None:
        """Write what is waiting and the footer."""
        if self._waiting or self._writer is None:
            self._flush()
        self._finish()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def _flush(self) -> None:
        batches = [batch.replace_schema_metadata(None) for batch in self._waiting]
        bare = self._schema.with_metadata(None)
        table = pa.Table.from_batches(batches, bare).replace_schema_metadata(self._schema.metadata)
        if self._writer is None:
            self._open(table)
        if self._writer is not None and table.num_rows:
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._waiting_bytes, self._waiting_rows = [], 0, 0

    def _open(self, first: pa.Table) -> None:
        encodings = self._encodings or choose_encodings(first, self._profile.page_bytes)
        self._sink = pa.OSFile(str(self._path), "wb")
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            version=FORMAT_VERSION,
            data_page_version=DATA_PAGE_VERSION,
            compression="zstd",
            compression_level=self._profile.level,
            use_dictionary=list(encodings.dictionary) or False,
            column_encoding=dict(encodings.others) or None,
            write_statistics=list(encodings.statistics) or False,
            data_page_size=self._profile.page_bytes,
            max_rows_per_page=MAX_PAGE_ROWS,
            write_batch_size=encodings.values_a_check,
            write_page_index=True,
            write_page_checksum=True,
            store_schema=True,
        )

    def _discard(self) -> None:
        """What is there must not be taken for a file: pyarrow's writer gives it a footer."""
        if self._writer is not None:
            self._writer.is_open = False
        if self._sink is not None:
            with suppress(OSError):  # of a full disk: what was to be written is not wanted any more
                self._sink.close()
        self._path.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._sink is not None:
            self._sink.close()


def write_shard(
    path: Path,
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    profile: WriterProfile,
    **options: ColumnEncodings | Mapping[bytes, bytes] | None,
) -> int:
    """Write all batches to one file; its rows. ``options`` are those of ``ShardWriter``."""
    with ShardWriter(path, schema, profile, **options) as writer:  # type: ignore[arg-type]
        for batch in batches:
            writer.write(batch)
    return writer.rows


def changed_profile(
    profile: WriterProfile,
    *,
    level: int | None = None,
    row_group_bytes: int | None = None,
    file_bytes: int | None = None,
    is_similar: bool | None = None,
) -> WriterProfile:
    """The profile with the values that are given."""
    return replace(
        profile,
        level=profile.level if level is None else level,
        row_group_bytes=row_group_bytes or profile.row_group_bytes,
        file_bytes=file_bytes or profile.file_bytes,
        is_similar=profile.is_similar if is_similar is None else is_similar,
    )


def _pieces(batch: pa.RecordBatch, limit_bytes: int) -> Iterator[pa.RecordBatch]:
    """The batch, halved until a piece is within the limit or a single row."""
    if batch.num_rows <= 1 or (batch.nbytes <= limit_bytes and batch.num_rows <= MAX_GROUP_ROWS):
        if batch.num_rows:
            yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half), limit_bytes)
    yield from _pieces(batch.slice(half), limit_bytes)
