"""Rows of many sources in another order, in bounded memory: similar ones next to each other.

DuckDB sorts short keys, spilling where it must; what it gives is the rank of every row. The rows
themselves are dealt out to files by ranges of rank, each small enough to be put in order in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from greendata.errors import LimitExceededError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEY_BYTES = 1_024
"""Of a text; what begins the same for longer is as good as equal."""

MAX_BUCKETS = 480
"""Files that are open at once; systems allow 1 024."""

_RANK = "_gd_rank"
_BATCH_BYTES = 8 << 20
_SORTED_ROWS = 1 << 16


class SortKeys:
    """Sort keys of all rows, by position, in a DuckDB table.

    Rows of a group, by table ``members(position, leader, place)``, stand together behind their
    leader, wherever that one sorts; rows without a key come last.
    """

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection
        self._is_made = False
        for name in ("keys", "members"):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(
            "CREATE TEMP TABLE members(position BIGINT, leader BIGINT, place BIGINT)"
        )

    def add(self, first_position: int, keys: pa.Array, row_bytes: int) -> None:
        """Keys of consecutive rows, which hold about ``row_bytes`` each in memory."""
        count = len(keys)
        rows = pa.table(
            {
                "position": np.arange(first_position, first_position + count, dtype=np.int64),
                "key": keys,
                "size_bytes": np.full(count, max(1, row_bytes), np.int64),
            }
        )
        self._connection.register("arrow_keys", rows)
        verb = "INSERT INTO keys" if self._is_made else "CREATE TEMP TABLE keys AS"
        self._connection.execute(f"{verb} SELECT * FROM arrow_keys")
        self._connection.unregister("arrow_keys")
        self._is_made = True

    def forget(self, first_position: int) -> None:
        """Drop the keys from a position on."""
        if self._is_made:
            self._connection.execute("DELETE FROM keys WHERE position >= ?", [first_position])

    def ranks(self, rows: int, bucket_bytes: int, path: Path) -> Ranks:
        """The rank of every position, kept in a file; ``bucket_bytes`` of rows are a bucket."""
        ranks = np.memmap(path, np.int64, "w+", shape=(max(1, rows),))
        starts, rank, filled = [0], 0, 0
        if not self._is_made:
            return Ranks(of_position=ranks, starts=np.asarray(starts, np.int64))
        query = (
            "SELECT k.position, k.size_bytes FROM keys k"
            " LEFT JOIN members m USING (position)"
            " JOIN keys l ON l.position = coalesce(m.leader, k.position)"
            " ORDER BY l.key NULLS LAST, l.position, coalesce(m.place, -1), k.position"
        )
        for batch in self._connection.sql(query).to_arrow_reader(_SORTED_ROWS):
            positions = batch.column(0).to_numpy()
            ranks[positions] = np.arange(rank, rank + len(positions))
            for place, size in enumerate(batch.column(1).to_numpy().tolist()):
                if filled and filled + size > bucket_bytes:
                    starts.append(rank + place)
                    filled = 0
                filled += size
            rank += len(positions)
        return Ranks(of_position=ranks, starts=np.asarray(starts, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranks:
    """int64 rank of each position, and the first rank of each bucket."""

    of_position: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]


def text_keys(texts: pa.Array) -> pa.Array:
    """The first KEY_BYTES of each text, as binary; null where there is no text."""
    binary = texts.cast(pa.large_binary())
    return pc.binary_slice(binary, 0, KEY_BYTES)


def bucket_bytes_for(total_bytes: int, memory_bytes: int) -> int:
    """How many bytes of rows are put in order at a time.

    Raises:
        LimitExceededError: that many rows need more memory, or more files than can be open.
    """
    wanted = max(memory_bytes // 12, -(-total_bytes // MAX_BUCKETS))
    if wanted > memory_bytes // 4:
        raise LimitExceededError(
            f"{total_bytes} bytes of rows cannot be put in order in {memory_bytes} bytes of"
            " memory.",
            hint="Give more with --memory, or recompress the sources in several runs.",
        )
    return wanted


class Buckets:
    """Files of rows by range of rank; filled in any order, read in that of the ranks.

    ``starts`` are the first ranks of the buckets.
    """

    def __init__(
        self, folder: Path, schema: pa.Schema, starts: npt.NDArray[np.int64], held_bytes: int
    ) -> None:
        self._folder = folder
        self._schema = schema
        self._stored = schema.append(pa.field(_RANK, pa.int64()))
        self._starts = starts
        self._held_bytes = held_bytes
        self._held: dict[int, list[pa.RecordBatch]] = {}
        self._size = 0
        self._writers: dict[int, tuple[pa.NativeFile, pa.ipc.RecordBatchFileWriter]] = {}

    def add(self, batch: pa.RecordBatch, ranks: npt.NDArray[np.int64]) -> None:
        """Rows with their ranks."""
        if not batch.num_rows:
            return
        places = np.searchsorted(self._starts, ranks, side="right") - 1
        order = np.argsort(places, kind="stable")
        bounds = np.flatnonzero(np.diff(places[order])) + 1
        for chosen in np.split(order, bounds):
            rows = batch if len(chosen) == batch.num_rows else batch.take(pa.array(chosen))
            ranked = pa.RecordBatch.from_arrays(
                [*rows.columns, pa.array(ranks[chosen])], schema=self._stored
            )
            self._held.setdefault(int(places[chosen[0]]), []).append(ranked)
            self._size += ranked.nbytes
        if self._size > self._held_bytes:
            self._spill()

    def rows(self) -> Iterator[pa.RecordBatch]:
        """All rows by rank, in batches of about 8 MiB; each file is removed when it was read."""
        self._spill()
        for sink, writer in self._writers.values():
            writer.close()
            sink.close()
        for place in range(len(self._starts)):
            if place in self._writers:
                yield from self._in_order(place)
                self._path(place).unlink()

    def _in_order(self, place: int) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(self._path(place))) as source:
            table = pa.ipc.open_file(source).read_all()
        order = np.argsort(table[_RANK].to_numpy(), kind="stable")
        table = table.drop_columns([_RANK])
        step = max(1, _BATCH_BYTES * table.num_rows // max(1, table.nbytes))
        for start in range(0, table.num_rows, step):
            chosen = table.take(pa.array(order[start : start + step])).combine_chunks()
            for batch in chosen.to_batches():
                yield pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)

    def _spill(self) -> None:
        for place, held in sorted(self._held.items()):
            if place not in self._writers:
                sink = pa.OSFile(str(self._path(place)), "wb")
                options = pa.ipc.IpcWriteOptions(
                    compression="lz4", use_threads=False, unify_dictionaries=True
                )
                self._writers[place] = (
                    sink,
                    pa.ipc.new_file(sink, self._stored, options=options),
                )
            table = pa.Table.from_batches(held, self._stored).combine_chunks()
            self._writers[place][1].write_table(table)
        self._held, self._size = {}, 0

    def _path(self, place: int) -> Path:
        return self._folder / f"bucket-{place:04d}.arrow"
