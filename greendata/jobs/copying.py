"""Copying one object without its redundant rows, each of which is looked at once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from greendata.dedup.fingerprint import text_buffers, text_digests
from greendata.errors import ObjectChangedError
from greendata.shards.jsonl import JsonLinesShard
from greendata.shards.parquet import ParquetShard
from greendata.shards.typed import RecordTypes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greendata.shards.base import Shard

_ROW_GROUP_BYTES = 64 << 20
_COMPRESSION_LEVEL = 3


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


def all_rows(shard: Shard) -> Iterator[pa.RecordBatch | list[bytes]]:
    """All rows of an object, with all their columns."""
    if isinstance(shard, ParquetShard):
        for part in shard.parts():
            yield from shard.tables(part)
    elif isinstance(shard, JsonLinesShard):
        yield from shard.records()


def write_copy(
    shard: Shard, path: Path, redundant: NDArray[np.int64], marks: Marks | None
) -> tuple[int, int]:
    """Write an object as zstd Parquet without its redundant rows; rows read and written."""
    import pyarrow.parquet as pq

    types = RecordTypes()
    if isinstance(shard, ParquetShard):
        schema = shard.schema
    else:
        for batch in all_rows(shard):
            types.learn(batch)
        schema = types.schema
    if marks is not None:
        schema = schema.append(pa.field("duplicate_of", pa.string()))
        schema = schema.append(pa.field("copies", pa.int64()))
    rows_in = rows_out = 0
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=_COMPRESSION_LEVEL,
        write_page_checksum=True,
    ) as writer:
        for found in all_rows(shard):
            batch = found if isinstance(found, pa.RecordBatch) else types.batch(found)
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
            rows_out += batch.num_rows
            waiting.append(batch)
            if sum(entry.nbytes for entry in waiting) >= _ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting = []
        writer.write_table(pa.Table.from_batches(waiting, schema))
    return rows_in, rows_out


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
