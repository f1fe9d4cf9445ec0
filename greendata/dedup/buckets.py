"""From band keys to the buckets of texts that share them, by sorting a range of keys at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from greendata.dedup.sets import sorted_set
from greendata.dedup.verify import open_spill

if TYPE_CHECKING:
    from typing import IO

    from numpy.typing import NDArray

    from greendata.dedup.lsh import ReadBands

MOST_ROWS = 1 << 32
"""Rows of band keys that can be told apart."""

_RANGE_KEYS = 2 << 20
"""Keys there are, at most, for each range: 32 MB of entries if every one were shared."""

_MOST_RANGE_BITS = 12
_MIN_FILTER_BITS, _BITS_PER_KEY = 1 << 16, 16
_WAITING_PAIRS = 4 << 20
_LOW = np.uint64(MOST_ROWS - 1)
_HIGH = np.uint64(32)
_WORD, _BIT = np.uint64(6), np.uint64(63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """Documents that share band keys, by rank: 0 is the text that is kept before all others.

    Attributes:
        starts: int64 [buckets + 1], into ``members``.
        members: int32, ranks, ascending inside a bucket.
        count: number of ranks.
    """

    starts: NDArray[np.int64]
    members: NDArray[np.int32]
    count: int

    def by_rank(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The inverse: starts [count + 1] and the buckets of each rank."""
        from greendata.dedup.kernel.nominate import invert_buckets

        starts = np.empty(self.count + 1, np.int64)
        buckets = np.empty(len(self.members), np.int32)
        invert_buckets(self.starts, self.members, starts, buckets)
        return starts, buckets


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKeys:
    """Texts that share band keys, each by its place in ``rows``.

    Buckets of the same two members are one: two near-duplicates share most of their keys, so that
    most buckets are such (measured: 8 of 9 at 20 % near-duplicates), and nothing that is decided
    depends on how many there are.

    Attributes:
        rows: uint64, ascending: the numbers of these texts' rows of band keys.
        pairs: uint64 [pairs], buckets of two: one place above 32 bits, the other in them.
        starts, members: int64 [buckets + 1], uint32: places of larger buckets, by key.
    """

    rows: NDArray[np.uint64]
    pairs: NDArray[np.uint64]
    starts: NDArray[np.int64]
    members: NDArray[np.uint32]

    def ranked(self, ranks: NDArray[np.int32]) -> Buckets:
        """The buckets, with the rank of each place."""
        sizes = np.diff(self.starts)
        numbers = np.repeat(np.arange(len(sizes), dtype=np.uint64) << _HIGH, sizes)
        others = np.sort(numbers | ranks[self.members].astype(np.uint64)) & _LOW
        left, right = ranks[self.pairs >> _HIGH], ranks[self.pairs & _LOW]
        pairs = np.sort(_packed(np.minimum(left, right), np.maximum(left, right)))
        in_pairs = np.stack([pairs >> _HIGH, pairs & _LOW], axis=1)
        ends = np.concatenate([sizes, np.full(len(pairs), 2)])
        starts = np.zeros(len(ends) + 1, np.int64)
        np.cumsum(ends, out=starts[1:])
        members = np.concatenate([others, in_pairs.ravel()]).astype(np.int32)
        return Buckets(starts=starts, members=members, count=len(ranks))


def collect_buckets(ranges: Iterable[NDArray[np.uint64]]) -> SharedKeys:
    """The buckets of all ranges of keys.

    Args:
        ranges: entries uint64 [n, 2], (key, row), sorted by key; each key twice at least, and all
            of it in one range.
    """
    pairs, count = np.empty(0, np.uint64), 0
    waiting: list[NDArray[np.uint64]] = []
    others, sizes = [np.empty(0, np.uint32)], [np.empty(0, np.int64)]
    for entries in ranges:
        if len(entries) == 0:
            continue
        keys, rows = entries[:, 0], entries[:, 1]
        edges = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1, [len(keys)]])
        found = np.diff(edges)
        is_pair = found == 2
        firsts = edges[:-1][is_pair]
        left, right = rows[firsts], rows[firsts + 1]
        waiting.append(_packed(np.minimum(left, right), np.maximum(left, right)))
        count += len(firsts)
        others.append(rows[np.repeat(~is_pair, found)].astype(np.uint32))
        sizes.append(found[~is_pair])
        if count > max(_WAITING_PAIRS, len(pairs)):
            pairs, waiting, count = sorted_set(np.concatenate([pairs, *waiting])), [], 0
    pairs = sorted_set(np.concatenate([pairs, *waiting]))
    members = np.concatenate(others)
    return _numbered(pairs, np.concatenate(sizes), members)


def _packed(left: NDArray[np.integer], right: NDArray[np.integer]) -> NDArray[np.uint64]:
    return (left.astype(np.uint64) << _HIGH) | right.astype(np.uint64)


def _numbered(
    pairs: NDArray[np.uint64], sizes: NDArray[np.int64], members: NDArray[np.uint32]
) -> SharedKeys:
    rows = sorted_set(np.concatenate([pairs >> _HIGH, pairs & _LOW, members.astype(np.uint64)]))
    starts = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=starts[1:])
    places = _Places(rows)
    return SharedKeys(
        rows=rows,
        pairs=_packed(places.of(pairs >> _HIGH), places.of(pairs & _LOW)),
        starts=starts,
        members=places.of(members.astype(np.uint64)),
    )


class _Places:
    """Places of numbers in a sorted set of them, by a bitmap and how many stand before each word.

    Searching took four times as long for ten million rows, where the set leaves the cache.
    """

    def __init__(self, numbers: NDArray[np.uint64]) -> None:
        words = numbers >> _WORD
        is_first = np.ones(len(words), np.bool_)
        np.not_equal(words[1:], words[:-1], out=is_first[1:])
        firsts = np.flatnonzero(is_first)
        size = int(words[-1]) + 1 if len(words) else 0
        self._bits = np.zeros(size, np.uint64)
        self._before = np.zeros(size, np.uint32)
        if len(firsts):
            flags = np.uint64(1) << (numbers & _BIT)
            self._bits[words[firsts]] = np.bitwise_or.reduceat(flags, firsts)
            self._before[words[firsts]] = firsts

    def of(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """The place of each of these, which are all in the set."""
        words = numbers >> _WORD
        below = (np.uint64(1) << (numbers & _BIT)) - np.uint64(1)
        places: NDArray[np.uint32] = self._before[words]
        places += np.bitwise_count(self._bits[words] & below)
        return places


def repeated_entries(entries: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Of entries uint64 [n, 2], (key, row), those whose key another has, too; sorted by key."""
    keys = np.ascontiguousarray(entries[:, 0])
    order = _ascending(keys)
    keys = keys[order]
    is_same = keys[1:] == keys[:-1]
    is_repeated = np.zeros(len(keys), np.bool_)
    is_repeated[1:] |= is_same
    is_repeated[:-1] |= is_same
    return entries[order[is_repeated]]


def _ascending(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The order of keys of a range, by sorting their next bits with each one's place below.

    Numbers are sorted ten times as fast as places by them (numpy 2.4).
    """
    if len(keys) == 0:
        return np.empty(0, np.intp)
    known = 64 - int(np.max(keys) ^ np.min(keys)).bit_length()
    below = np.uint64((1 << len(keys).bit_length()) - 1)
    places = (keys << np.uint64(min(known, 63))) & ~below
    places |= np.arange(len(keys), dtype=np.uint64)
    places.sort()
    order = (places & below).astype(np.intp)
    ordered = keys[order]
    if (ordered[1:] < ordered[:-1]).any():  # two keys that agree in all bits that were left
        return np.argsort(keys)
    return order


def shared_entries(
    read_bands: ReadBands, key_count: int, filter_bytes: int, folder: Path
) -> Iterator[NDArray[np.uint64]]:
    """All keys that two texts share, a range of keys at a time, as ``collect_buckets`` takes them.

    Two passes over the keys: the first finds, in two bitmaps, which bits occur twice; the second
    writes only those keys to a file, sorted into ranges.

    Args:
        key_count: keys there are, at most; sizes the bitmaps and ranges.
        filter_bytes: bound on both bitmaps together.
        folder: for the file; it disappears with the process.
    """
    from greendata.dedup.kernel.nominate import mark_keys, repeated_keys

    bits = min(max(_MIN_FILTER_BITS, key_count * _BITS_PER_KEY), max(filter_bytes, 1 << 14) * 4)
    exponent = int(math.log2(bits))
    shift = np.uint64(64 - exponent)
    once, twice = (np.zeros(1 << (exponent - 6), np.uint64) for _ in range(2))
    for batch in read_bands():
        mark_keys(batch.keys[batch.usable].ravel(), once, twice, shift)
    del once
    wanted = max(2, key_count // _RANGE_KEYS)
    with open_spill(str(folder / "keys.bin")) as file:
        ranges = _Ranges(min(math.ceil(math.log2(wanted)), _MOST_RANGE_BITS), file)
        first = 0
        for batch in read_bands():
            documents = np.empty(batch.keys.size, np.int64)
            keys = np.empty(batch.keys.size, np.uint64)
            found = repeated_keys(batch.keys, batch.usable, twice, shift, documents, keys)
            ranges.add(keys[:found], documents[:found] + first)
            first += len(batch.usable)
        del twice
        yield from map(repeated_entries, ranges.read())


class _Ranges:
    """Entries (key, row) by ranges of keys, in a file."""

    def __init__(self, bits: int, file: IO[bytes]) -> None:
        self._shift = np.uint64(64 - bits)
        self._file = file
        self._starts: list[NDArray[np.int64]] = []
        self._count, self._end = 1 << bits, 0

    def add(self, keys: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        from greendata.dedup.kernel.ranges import count_ranges, scatter_keys

        usable = np.ones(len(keys), np.bool_)
        counts = np.zeros(self._count, np.int64)
        count_ranges(keys[:, None], usable, self._shift, counts)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        entries = np.empty((len(keys), 2), np.uint64)
        scatter_keys(keys[:, None], rows, usable, self._shift, starts[:-1].copy(), entries)
        self._file.write(entries.data)
        self._starts.append(starts + self._end)
        self._end += len(keys)

    def read(self) -> Iterator[NDArray[np.uint64]]:
        """The entries of each range."""
        stretches = np.array(self._starts, np.int64).reshape(-1, self._count + 1)
        for number in range(self._count):
            begins, ends = stretches[:, number], stretches[:, number + 1]
            entries = np.empty((int((ends - begins).sum()), 2), np.uint64)
            view, done = entries.view(np.uint8).ravel().data, 0
            for begin, end in zip((begins * 16).tolist(), (ends * 16).tolist(), strict=True):
                self._file.seek(begin)
                if self._file.readinto(view[done : done + end - begin]) != end - begin:  # type: ignore[attr-defined]
                    raise OSError(f"band keys end before {end}")
                done += end - begin
            yield entries
