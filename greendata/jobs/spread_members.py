"""The band join as tasks: keys are sorted into ranges, then each range is looked through by itself.

The first tasks read band keys from the files of ``documents``, a stretch of rows each, and write
(key, row) range after range; a second kind of task reads one range from all that they wrote and
finds the keys that several texts have. The result is what ``greendata.dedup.buckets`` collects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.dedup.buckets import repeated_entries
from greendata.dedup.lsh import BandBatch
from greendata.jobs.bands import BAND_COLUMNS, BAND_ROWS, band_batch
from greendata.runners.exchange import Exchange, FilePiece, TaskFolder

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from greendata.jobs.bands import BandFile
    from greendata.jobs.spread import Spread

_STRETCH_ROWS = 131_072
_ENTRY_BYTES = 16
"""A key and the number of its row."""

_RANGE_BYTES = 64 << 20
"""Entries that one task looks through at a time."""

_MOST_RANGE_BITS = 12
_BITS_PER_KEY = 4
"""Exponent: 16 to 32 bits of a bitmap for each key, of which one in 20 is let through wrongly."""

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_PIECE_ENTRIES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysTask:
    """A stretch of rows whose keys are to be sorted into ranges.

    Attributes:
        path, row_groups: where the rows are.
        rows: the rows themselves, where tasks do not see the file.
        first: number of its first row, over all files.
        unusable: positions in the stretch, ascending.
        shift: a key's range is ``key >> shift``.
    """

    path: Path
    row_groups: tuple[int, ...]
    rows: pa.Table | None
    first: int
    unusable: NDArray[np.int64]
    shift: int
    shared_folder: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedKeys:
    """Entries of a stretch by range: range r begins at entry ``starts[r]`` of the file."""

    path: Path
    starts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Entries of a file; ``content``, uint64 [size, 2], where tasks do not see the file."""

    path: Path
    start: int
    size: int
    content: NDArray[np.uint64] | None = None


def sort_keys(task: KeysTask) -> Iterator[FilePiece | NDArray[np.int64]]:
    """The task: a file of uint64 [n, 2] entries (key, row), and where each range begins."""
    from greendata.dedup.kernel.ranges import count_ranges, scatter_keys

    batches = list(_stretch(task))
    shift = np.uint64(task.shift)
    counts = np.zeros(1 << (64 - task.shift), np.int64)
    for batch in batches:
        count_ranges(batch.keys, batch.usable, shift, counts)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    entries = np.empty((int(starts[-1]), 2), np.uint64)
    places = starts[:-1].copy()
    first = task.first
    for batch in batches:
        rows = np.arange(first, first + len(batch.usable))
        scatter_keys(batch.keys, rows, batch.usable, shift, places, entries)
        first += len(rows)
    with TaskFolder(task.shared_folder) as folder:
        path = folder.path / "keys"
        entries.tofile(path)
        yield from folder.hand_over(path)
    yield starts


def _stretch(task: KeysTask) -> Iterator[BandBatch]:
    import pyarrow.parquet as pq

    if task.rows is not None:
        table = task.rows
    else:
        with pq.ParquetFile(task.path) as file:
            table = file.read_row_groups(task.row_groups, columns=BAND_COLUMNS, use_threads=False)
    start = 0
    for batch in table.to_batches(BAND_ROWS):
        stop = start + batch.num_rows
        lo, hi = np.searchsorted(task.unusable, [start, stop])
        yield band_batch(batch, task.unusable[lo:hi] - start)
        start = stop


def find_members(slices: tuple[Slice, ...]) -> Iterator[NDArray[np.uint64]]:
    """The task: those entries of one range whose key another entry has, too; uint64 [m, 2]."""
    from greendata.dedup.kernel.nominate import mark_keys, repeated_keys

    entries = np.concatenate([_entries(part) for part in slices])
    keys = np.ascontiguousarray(entries[:, 0])
    bits = max(6, int(math.log2(max(len(keys), 1))) + _BITS_PER_KEY)
    mixed = keys * _SPREAD  # the keys of a range agree in their upper bits
    once, twice = (np.zeros(1 << (bits - 6), np.uint64) for _ in range(2))
    shift = np.uint64(64 - bits)
    mark_keys(mixed, once, twice, shift)
    chosen, selected = np.empty(len(keys), np.int64), np.empty(len(keys), np.uint64)
    usable = np.ones(len(keys), np.bool_)
    found = repeated_keys(mixed[:, None], usable, twice, shift, chosen, selected)
    repeated = repeated_entries(entries[chosen[:found]])
    for start in range(0, len(repeated), _PIECE_ENTRIES):
        yield repeated[start : start + _PIECE_ENTRIES]


def _entries(part: Slice) -> NDArray[np.uint64]:
    if part.content is not None:
        return part.content
    found = np.fromfile(part.path, np.uint64, part.size * 2, offset=part.start * _ENTRY_BYTES)
    if len(found) != part.size * 2:
        raise OSError(f"{part.path} ends before {part.start + part.size}")
    return found.reshape(-1, 2)


def spread_entries(
    spread: Spread, files: list[BandFile], key_count: int
) -> Iterator[NDArray[np.uint64]]:
    """All keys that two texts share, a range at a time, as ``collect_buckets`` takes them.

    Args:
        key_count: keys there are, at most.
    """
    runner, exchange = spread.runner, spread.start()
    wanted = max(runner.workers, key_count * _ENTRY_BYTES // _RANGE_BYTES, 2)
    shift = 64 - min(math.ceil(math.log2(wanted)), _MOST_RANGE_BITS)

    def receive(pieces: Iterator[Any]) -> SortedKeys:
        receiving = exchange.receiving()
        for piece in pieces:
            if isinstance(piece, FilePiece):
                receiving.take(piece)
            else:
                starts = piece
        return SortedKeys(path=receiving.paths[0], starts=starts)

    tasks = _keys_tasks(exchange, files, shift)
    parts = [outcome.get() for outcome in runner.run(sort_keys, tasks, receive)]
    ranges = (_slices(exchange, parts, number) for number in range(1 << (64 - shift)))
    for outcome in runner.run(find_members, (r for r in ranges if r), list):
        yield np.concatenate([np.empty((0, 2), np.uint64), *outcome.get()])
    for part in parts:
        part.path.unlink()


def _keys_tasks(exchange: Exchange, files: list[BandFile], shift: int) -> Iterator[KeysTask]:
    import pyarrow.parquet as pq

    for band_file in files:
        unusable = band_file.unusable
        with pq.ParquetFile(band_file.path) as file:
            for row_groups, start, stop in _stretches(file.metadata):
                lo, hi = np.searchsorted(unusable, [start, stop])
                yield KeysTask(
                    path=Path(band_file.path),
                    row_groups=row_groups,
                    rows=None
                    if exchange.is_shared
                    else file.read_row_groups(row_groups, columns=BAND_COLUMNS),
                    first=band_file.first + start,
                    unusable=unusable[lo:hi] - start,
                    shift=shift,
                    shared_folder=exchange.shared_folder,
                )


def _stretches(metadata: Any) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Row groups that one task reads, with their first row and the one after the last."""
    groups: list[int] = []
    start = stop = 0
    for number in range(metadata.num_row_groups):
        groups.append(number)
        stop += metadata.row_group(number).num_rows
        if stop - start >= _STRETCH_ROWS or number == metadata.num_row_groups - 1:
            yield tuple(groups), start, stop
            groups, start = [], stop


def _slices(exchange: Exchange, parts: list[SortedKeys], number: int) -> tuple[Slice, ...]:
    found = []
    for part in parts:
        start, stop = int(part.starts[number]), int(part.starts[number + 1])
        if start < stop:
            place = Slice(path=part.path, start=start, size=stop - start)
            if not exchange.is_shared:
                place = replace(place, content=_entries(place))
            found.append(place)
    return tuple(found)
