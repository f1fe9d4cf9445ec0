"""A file that tells which documents have a band key or a digest, without reading all of them.

It stands beside immutable files of fingerprints and can always be made again from them::

    for each block of rows, each array padded to 64 bytes:
        offsets  uint32 [2**bits + 1]   where the postings of each bucket begin
        checks   uint32 [postings]      32 bits of the key below its bucket's
        rows     uint32 [postings]      row in the block
        digests  uint64 [rows, 2]
        facts    int64 [rows, width]    what else is told of each document
    JSON {"version", "blocks": [{"rows", "bits", "postings", "width"}]}, and its length in 8 bytes

A bucket is the upper ``bits`` of a key. A posting may be of a key that differs in the bits that
are not kept (1 in 2**32 of a bucket's); who needs certainty reads the keys of what is found.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.dedup.lsh import BandBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ROWS = 1 << 20
"""A key is looked up in each block, and a block is in memory (0.3 GB) while it is written."""

_VERSION = 2
_ALIGNMENT = 64
_BUCKET_POSTINGS = 16
_MIN_BITS, _MAX_BITS = 4, 24
_FOUND_ROWS = 1 << 18
_BITS_PER_DIGEST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Postings:
    """What keys were found in: places in the keys asked for, and digests uint64 [n, 2]."""

    asked: NDArray[np.int64]
    digests: NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of an index, ascending, with their digests uint64 [n, 2] and facts int64 [n, width]."""

    rows: NDArray[np.int64]
    digests: NDArray[np.uint64]
    facts: NDArray[np.int64]


def write_index(path: Path, batches: Iterator[BandBatch]) -> None:
    """Index these fingerprints; the file appears whole or not at all.

    Args:
        batches: all rows in order; those that are not usable have no postings.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    parts, blocks = path.with_name(f"{path.name}.{uuid.uuid4().hex}"), []
    try:
        with parts.open("wb") as stream:
            for arrays, header in _blocks(batches):
                blocks.append(header)
                for array in arrays:
                    stream.write(array.data)
                    stream.write(b"\0" * _padding(array.nbytes))
            described = json.dumps({"version": _VERSION, "blocks": blocks}).encode() + b"\n"
            stream.write(described)
            stream.write(len(described).to_bytes(8, "little"))
        parts.replace(path)
    finally:
        parts.unlink(missing_ok=True)


def _padding(size: int) -> int:
    return -size % _ALIGNMENT


class _Block:
    """Rows of a block in memory that is taken once: touching new memory took a third of the time.

    A batch that does not fit any more comes back; a first one always fits.
    """

    def __init__(self) -> None:
        self.count = 0
        self._columns: list[NDArray[Any]] = []
        self._checks, self._rows = (np.empty(0, np.uint32) for _ in range(2))

    def add(self, batch: BandBatch) -> bool:
        """Take a batch, or leave it for the next block."""
        columns = [batch.keys, batch.usable, batch.digests, batch.facts]
        stop = self.count + len(batch.usable)
        if self.count == 0 and (not self._columns or stop > len(self._columns[0])):
            room = max(stop, BLOCK_ROWS)
            self._columns = [np.empty((room, *c.shape[1:]), c.dtype) for c in columns]
        if stop > len(self._columns[0]):
            return False
        for held, column in zip(self._columns, columns, strict=True):
            held[self.count : stop] = column
        self.count = stop
        return True

    def arrays(self) -> tuple[list[NDArray[Any]], dict[str, int]]:
        """What is written of it, good until the next ``add``, and its header."""
        from greendata.dedup.kernel.postings import count_postings, fill_postings

        keys, usable, digests, facts = (column[: self.count] for column in self._columns)
        size = int(usable.sum()) * keys.shape[1]
        wanted = math.ceil(math.log2(max(1, size / _BUCKET_POSTINGS)))
        bits = min(_MAX_BITS, max(_MIN_BITS, wanted))
        heads = np.zeros((1 << bits) + 1, np.uint32)
        count_postings(keys, usable, bits, heads)
        offsets = np.cumsum(heads, dtype=np.uint32)
        if len(self._checks) < size:
            self._checks, self._rows = (np.empty(size, np.uint32) for _ in range(2))
        checks, rows = self._checks[:size], self._rows[:size]
        heads[:] = offsets
        fill_postings(keys, usable, bits, 0, heads, checks, rows)
        header = {"rows": self.count, "bits": bits, "postings": size, "width": facts.shape[1]}
        self.count = 0
        return [offsets, checks, rows, digests, facts], header


def _blocks(batches: Iterator[BandBatch]) -> Iterator[tuple[list[NDArray[Any]], dict[str, int]]]:
    block = _Block()
    for batch in batches:
        if not block.add(batch):
            yield block.arrays()
            block.add(batch)
    if block.count:
        yield block.arrays()


def find_keys(path: Path, keys: NDArray[np.uint64]) -> Iterator[Postings]:
    """Documents of an index file that have one of these keys, in bounded pieces.

    Args:
        keys: sorted, so that the file is gone through in order.

    Raises:
        ValueError: the file is no index, or cut short.
    """
    for bits, arrays in _arrays(path):
        yield from _find(keys, bits, *arrays[:4])


def find_digests(path: Path, digests: NDArray[np.uint64]) -> Iterator[Rows]:
    """Rows of an index file that have one of these digests, and about one in 1,000 of the others.

    Args:
        digests: uint64 [n, 2].

    Raises:
        ValueError: the file is no index, or cut short.
    """
    from greendata.dedup.kernel.postings import find_marked, mark_digests

    exponent = max(6, (len(digests) * _BITS_PER_DIGEST).bit_length())
    shift, marks = 64 - exponent, np.zeros(1 << (exponent - 6), np.uint64)
    mark_digests(digests, shift, marks)
    first = 0
    for _, (_, _, _, known, facts) in _arrays(path):
        rows = np.empty(len(known), np.int64)
        rows = rows[: find_marked(known, shift, marks, rows)]
        yield Rows(rows=rows + first, digests=known[rows], facts=facts[rows])
        first += len(known)


def _arrays(path: Path) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Bits and arrays of each block, mapped."""
    offset = 0
    size = path.stat().st_size
    header = _header(path, size)
    for block in header["blocks"]:
        names = ("bits", "postings", "rows", "width")
        bits, count, rows, width = (int(block[name]) for name in names)
        shapes = [((1 << bits) + 1,), (count,), (count,), (rows, 2), (rows, width)]
        arrays: list[NDArray[Any]] = []
        for shape, kind in zip(shapes, ("u4", "u4", "u4", "u8", "i8"), strict=True):
            length = math.prod(shape) * np.dtype(kind).itemsize
            if offset + length > size:
                raise ValueError(f"{path}: is cut short")
            arrays.append(_mapped(path, offset, shape, kind))
            offset += length + _padding(length)
        yield bits, arrays


def _mapped(path: Path, offset: int, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    if math.prod(shape) == 0:  # which cannot be mapped
        return np.empty(shape, kind)
    return np.memmap(path, kind, "r", offset, shape).view(np.ndarray)


def _header(path: Path, size: int) -> dict[str, Any]:
    with path.open("rb") as stream:
        stream.seek(max(0, size - 8))
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= size - 8:
            raise ValueError(f"{path}: is no index of keys")
        stream.seek(size - 8 - length)
        header: dict[str, Any] = json.loads(stream.read(length))
    if header.get("version") != _VERSION:
        raise ValueError(f"{path}: is an index of another version")
    return header


def _find(
    keys: NDArray[np.uint64],
    bits: int,
    offsets: NDArray[np.uint32],
    checks: NDArray[np.uint32],
    rows: NDArray[np.uint32],
    digests: NDArray[np.uint64],
) -> Iterator[Postings]:
    from greendata.dedup.kernel.postings import find_postings

    room, first = _FOUND_ROWS, 0
    while first < len(keys):
        asked, found = np.empty(room, np.int64), np.empty(room, np.int64)
        count, after = find_postings(keys, first, bits, offsets, checks, rows, asked, found)
        if count < 0:
            room *= 2
            continue
        if count:
            yield Postings(asked=asked[:count], digests=digests[found[:count]])
        first = after
