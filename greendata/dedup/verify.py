"""The exact Jaccard of candidate pairs, from the texts themselves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from greendata.dedup.fingerprint import (
    largest,
    normalised,
    shingle_weights,
    text_buffers,
    text_digests,
)
from greendata.dedup.sets import sorted_set
from greendata.dedup.tokens import load_table

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

Consume = Callable[["NDArray[np.int64]", "pa.Array"], None]
ReadTexts = Callable[["NDArray[np.int64]", Consume], None]
"""``read_texts(ranks, consume)`` reads the texts of these ranks and calls ``consume(ranks, texts)``
a batch, from any thread; ranks whose text cannot be read are left out."""

_COMPARE_BYTES = 64 << 20
"""Bytes of shingle sets that one batch of comparisons may touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparisons:
    """Compared pairs of ranks, ``better`` < ``worse``.

    Attributes:
        shared: int64, shingles in both; -1 where a text could not be read.
        better_shingles, worse_shingles: int64, distinct shingles of each.
    """

    better: NDArray[np.int32]
    worse: NDArray[np.int32]
    shared: NDArray[np.int64]
    better_shingles: NDArray[np.int64]
    worse_shingles: NDArray[np.int64]

    @property
    def is_readable(self) -> NDArray[np.bool_]:
        """Which pairs were compared."""
        return self.shared >= 0

    @property
    def jaccard(self) -> NDArray[np.float64]:
        """|A and B| / |A or B|; NaN where a text could not be read."""
        union = self.better_shingles + self.worse_shingles - self.shared
        found = self.shared / np.maximum(union, 1)
        return np.where(self.is_readable, found, np.nan)

    @staticmethod
    def concatenate(parts: list[Comparisons]) -> Comparisons:
        """All parts as one, in order."""
        return Comparisons(
            better=np.concatenate([p.better for p in parts] or [np.empty(0, np.int32)]),
            worse=np.concatenate([p.worse for p in parts] or [np.empty(0, np.int32)]),
            shared=np.concatenate([p.shared for p in parts] or [np.empty(0, np.int64)]),
            better_shingles=np.concatenate(
                [p.better_shingles for p in parts] or [np.empty(0, np.int64)]
            ),
            worse_shingles=np.concatenate(
                [p.worse_shingles for p in parts] or [np.empty(0, np.int64)]
            ),
        )


class ShingleStore:
    """Shingle sets by rank, in a file, so that memory does not grow with the candidates."""

    def __init__(self, count: int, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._end = 0
        self.starts = np.full(count, -1, np.int64)
        self.sizes = np.zeros(count, np.int64)

    def has(self, ranks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these ranks have a set."""
        return self.starts[ranks] >= 0

    def append(
        self, ranks: NDArray[np.int64], sizes: NDArray[np.int64], sets: NDArray[np.uint64]
    ) -> None:
        """Add the sets of some ranks, one after the other in ``sets``."""
        with self._lock:
            self._file.write(sets.data)
            self.starts[ranks] = self._end + np.cumsum(sizes) - sizes
            self.sizes[ranks] = sizes
            self._end += int(sizes.sum())

    def compare(
        self, better: NDArray[np.int32], worse: NDArray[np.int32], workers: int
    ) -> NDArray[np.int64]:
        """Shared shingles of each pair; -1 where a set is missing."""
        shared = np.full(len(better), -1, np.int64)
        readable = np.flatnonzero((self.starts[better] >= 0) & (self.starts[worse] >= 0))
        with self._lock:
            self._file.flush()
        if self._end == 0:
            shared[readable] = 0
            return shared
        batches = comparison_batches(better, worse, self.sizes, readable)
        with ThreadPoolExecutor(workers) as pool:
            compared = pool.map(lambda part: self._shared(better, worse, part), batches)
            for part, found in zip(batches, compared, strict=True):
                shared[part] = found
        return shared

    def _shared(
        self,
        better: NDArray[np.int32],
        worse: NDArray[np.int32],
        chosen: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        both = np.concatenate([better[chosen], worse[chosen]])
        ranks, places = np.unique(both, return_inverse=True)
        sets, starts = read_sets(self._file, self.starts[ranks], self.sizes[ranks])
        left, right = places[: len(chosen)], places[len(chosen) :]
        return intersections(sets, starts, self.sizes[ranks], left, right)


def read_sets(
    file: IO[bytes], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Sets of a file, each by its first shingle and its size, and where each begins in the result.

    Read, not mapped: a mapping brings 64 KB of neighbours along with each set.
    """
    order = np.argsort(starts, kind="stable")
    ends = np.cumsum(sizes[order])
    local = np.empty(len(starts), np.int64)
    local[order] = ends - sizes[order]
    sets = np.empty(int(ends[-1]) if len(ends) else 0, np.uint64)
    in_order = starts[order]
    breaks = np.flatnonzero(in_order[1:] != in_order[:-1] + sizes[order][:-1]) + 1
    firsts = np.concatenate([np.zeros(1, np.int64), breaks])
    lasts = np.concatenate([breaks, np.array([len(order)])]) - 1
    view = sets.view(np.uint8).data
    handle = file.fileno()
    begins = (ends - sizes[order])[firsts] * 8
    for offset, begin, end in zip(
        (in_order[firsts] * 8).tolist(),
        begins.tolist(),
        (ends[lasts] * 8).tolist(),
        strict=True,
    ):
        while begin < end:
            got = os.preadv(handle, [view[begin:end]], offset)
            if got == 0:
                raise OSError(f"shingle sets end at {offset}")
            begin, offset = begin + got, offset + got
    return sets, local


def intersections(
    sets: NDArray[np.uint64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Shingles that each pair of sets, by their numbers, has in common."""
    from greendata.dedup.kernel.fingerprint import shared_shingles

    found = np.empty(len(left), np.int64)
    table = np.empty(table_size(int(np.max(sizes[left], initial=0))), np.uint64)
    shared_shingles(sets, starts, sizes, left, right, table, found)
    return found


def comparison_batches(
    better: NDArray[np.int32],
    worse: NDArray[np.int32],
    sizes: NDArray[np.int64],
    readable: NDArray[np.int64],
) -> list[NDArray[np.int64]]:
    """Pairs in groups of bounded memory, those of the same text together."""
    order = readable[np.lexsort((worse[readable], better[readable]))]
    touched = np.cumsum(sizes[better[order]] + sizes[worse[order]]) * 8
    marks = np.arange(_COMPARE_BYTES, touched[-1] if len(order) else 0, _COMPARE_BYTES)
    parts = np.split(order, np.searchsorted(touched, marks))
    return [part for part in parts if len(part)]


def table_size(shingles: int) -> int:
    """Slots of an open-addressing table for so many shingles: a power of two, at most half full."""
    return max(64, 1 << (2 * shingles).bit_length())


class Verifier:
    """Compares pairs of ranks by the shingle sets of their texts.

    Args:
        digests: uint64 [count, 2], the digest each text must have; others count as unreadable.
        read_texts: how to get the texts.
        file: where shingle sets are kept while the scan lasts.
    """

    def __init__(
        self,
        *,
        shingle_size: int,
        digests: NDArray[np.uint64],
        read_texts: ReadTexts,
        file: IO[bytes],
        workers: int,
    ) -> None:
        self.shingle_size = shingle_size
        self.digests = digests
        self._read_texts = read_texts
        self._workers = workers
        self._store = ShingleStore(len(digests), file)
        self._asked = np.zeros(len(digests), np.bool_)

    def compare(
        self, better: NDArray[np.int32], worse: NDArray[np.int32], later: NDArray[np.int64]
    ) -> Comparisons:
        """The exact comparison of each pair; each text is read once, whatever the rounds.

        Texts of ``later`` are read, too.
        """
        self.read(sorted_set(np.concatenate([better, worse, later])))
        shared = self._store.compare(better, worse, self._workers)
        return Comparisons(
            better=better,
            worse=worse,
            shared=shared,
            better_shingles=self._store.sizes[better],
            worse_shingles=self._store.sizes[worse],
        )

    def read(self, ranks: NDArray[np.int64]) -> ShingleStore:
        """Have the shingle sets of these ranks; a text that was asked for is not read again."""
        missing = ranks[~self._asked[ranks]]
        self._asked[missing] = True
        if len(missing):
            self._read_texts(missing, self._consume)
        return self._store

    def _consume(self, ranks: NDArray[np.int64], texts: pa.Array) -> None:
        data, offsets = text_buffers(texts)
        found = text_digests(data, offsets) == self.digests[ranks]
        same = np.flatnonzero(found.all(axis=1))
        if len(same) < len(ranks):
            data, offsets = _take(data, offsets, same)
        sizes, sets = shingle_sets(data, offsets, self.shingle_size)
        valid = sizes >= 0
        self._store.append(ranks[same][valid], sizes[valid], sets)


def shingle_sets(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Distinct shingles of each document: their number (-1: not UTF-8) and all of them in order."""
    from greendata.dedup.kernel.fingerprint import NOT_NORMALISED

    sizes, sets = _kernel_sets(data, offsets, size, is_nfc=False)
    unstable = np.flatnonzero(sizes == NOT_NORMALISED)
    if len(unstable) == 0:
        return sizes, sets
    redone_sizes, redone = _kernel_sets(*normalised(data, offsets, unstable), size, is_nfc=True)
    pieces = _split(sets, sizes)
    for d, piece in zip(unstable, _split(redone, redone_sizes), strict=True):
        pieces[d] = piece
    sizes[unstable] = redone_sizes
    return sizes, np.concatenate(pieces)


def _split(sets: NDArray[np.uint64], sizes: NDArray[np.int64]) -> list[NDArray[np.uint64]]:
    return np.split(sets, np.cumsum(np.maximum(sizes, 0))[:-1])


def _kernel_sets(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], size: int, *, is_nfc: bool
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    from greendata.dedup.kernel import fingerprint as kernel

    count, biggest, table = len(offsets) - 1, largest(offsets), load_table()
    total = int(offsets[-1] - offsets[0])
    ends = np.empty(count, np.int64)
    out = np.empty(total // 2 + count + 1, np.uint64)
    kernel.shingle_sets(
        data,
        offsets,
        table.index,
        table.entries,
        is_nfc,
        size,
        shingle_weights(),
        np.empty(2 * biggest + kernel.PADDING_BYTES, np.uint8),
        np.empty(table_size(biggest // 2 + 1), np.uint64),
        out,
        ends,
    )
    reached = np.maximum.accumulate(np.maximum(ends, 0))
    sizes = np.where(ends >= 0, np.diff(reached, prepend=0), ends)
    return sizes, out[: reached[-1] if count else 0]


def _take(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], which: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    pieces = [data[offsets[d] : offsets[d + 1]] for d in which]
    starts = np.zeros(len(which) + 1, np.int64)
    np.cumsum([len(piece) for piece in pieces], out=starts[1:])
    return np.concatenate([*pieces, np.zeros(1, np.uint8)]), starts


def open_spill(path: str) -> IO[bytes]:
    """A file for shingle sets that disappears with the process, even when it is killed."""
    file = open(path, "w+b")  # noqa: SIM115 - lives as long as the verifier
    os.unlink(path)
    return file
