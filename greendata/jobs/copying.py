"""Copying one object without its redundant rows, each of which is looked at once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from greendata.dedup.fingerprint import text_buffers, text_digests
from greendata.errors import ObjectChangedError
from greendata.recompress.columnar import stored_schema, to_stored
from greendata.recompress.digests import row_digests
from greendata.recompress.positions import without_field, without_position
from greendata.recompress.records import open_records
from greendata.recompress.rolling import LocalFile, RollingWriter, disk_errors
from greendata.shards.base import translated_errors
from greendata.shards.parquet import ParquetShard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greendata.shards.base import Shard
    from greendata.shards.writer import WriterProfile

_ONE_FILE = 1 << 62
"""Every object has one copy, however large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Values of the columns that ``--mark`` adds, for rows that are not alone."""

    redundant: NDArray[np.int64]
    duplicate_of: list[str]
    kept: NDArray[np.int64]
    copies: NDArray[np.int64]

    def columns(self, first: int, count: int) -> tuple[pa.Array, pa.Array]:
        """``duplicate_of`` and ``copies`` of so many rows; copies of a redundant one are 0."""
        names: list[str | None] = [None] * count
        copies = np.ones(count, np.int64)
        low, high = np.searchsorted(self.redundant, [first, first + count])
        for place in range(low, high):
            names[self.redundant[place] - first] = self.duplicate_of[place]
        copies[self.redundant[low:high] - first] = 0
        low, high = np.searchsorted(self.kept, [first, first + count])
        copies[self.kept[low:high] - first] += self.copies[low:high]
        return pa.array(names, pa.string()), pa.array(copies)


def rows_of(shard: Shard) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """All rows of an object, with all their columns."""
    if isinstance(shard, ParquetShard):
        batches = (batch for part in shard.parts() for batch in shard.tables(part))
        return shard.schema, batches
    source = open_records(shard.store, shard.item, shard.codec)
    return source.schema, source.batches()


def write_copy(
    shard: Shard,
    folder: Path,
    profile: WriterProfile,
    redundant: NDArray[np.int64],
    marks: Marks | None,
) -> tuple[int, LocalFile]:
    """Write an object as zstd Parquet without its redundant rows; rows read, and the file.

    The file's digest is that of the rows that were read and kept.
    """
    schema, batches = rows_of(shard)
    if marks is not None:
        schema = schema.append(pa.field("duplicate_of", pa.string()))
        schema = schema.append(pa.field("copies", pa.int64()))
    stored = stored_schema(schema)
    rows_in = 0
    with (
        translated_errors(shard.item.uri),
        disk_errors(folder),
        RollingWriter(folder, "copy", stored, replace(profile, file_bytes=_ONE_FILE)) as writer,
    ):
        for batch in batches:
            count = batch.num_rows
            if marks is not None:
                columns = [*batch.columns, *marks.columns(rows_in, count)]
                batch = pa.RecordBatch.from_arrays(columns, schema=schema)
            else:
                low, high = np.searchsorted(redundant, [rows_in, rows_in + count])
                is_kept = np.ones(count, np.bool_)
                is_kept[redundant[low:high] - rows_in] = False
                batch = batch if is_kept.all() else batch.filter(pa.array(is_kept))
            rows_in += count
            digests = row_digests(without_position(batch), without_field(stored))
            writer.write(to_stored(batch, stored), digests)
    return rows_in, writer.files[0]


def check_digests(shard: Shard, rows: NDArray[np.int64], digests: Sequence[str]) -> None:
    """Rows that are left out, or that others are left out for, hold the text that was compared.

    Raises:
        ObjectChangedError: one does not.
    """
    seen = 0
    for batch in shard.read_rows(rows) if len(rows) else ():
        data, offsets = text_buffers(batch.texts)
        found = text_digests(data, offsets)
        places = np.searchsorted(rows, batch.rows)
        for place, (high, low) in zip(places, found.tolist(), strict=True):
            if f"{high:016x}{low:016x}" != digests[place]:
                raise ObjectChangedError(
                    f"{shard.item.uri}: row {rows[place]} is not the text that was scanned.",
                    hint="Scan it again.",
                )
        seen += len(places)
    if seen != len(rows):
        raise ObjectChangedError(
            f"{shard.item.uri}: {len(rows) - seen} of the rows that were compared cannot be read.",
            hint="Scan it again.",
        )
