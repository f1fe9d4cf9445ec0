"""A file that tells which documents have a band key or a digest, without reading all of them.

It stands beside immutable files of fingerprints and can always be made again from them::

    for each block of rows, each array padded to 64 bytes:
        offsets  uint32 [2**bits + 1]   where the postings of each bucket begin
        checks   uint32 [postings]      32 bits of the key below its bucket's
        rows     uint32 [postings]      row in the block
        digests  uint64 [rows, 2]
        facts    int64 [rows, width]    what else is told of each document
    JSON {"version", "width", "blocks": [{"rows", "bits", "postings"}]}, and its length in 8 bytes

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

BLOCK_ROWS = 1 << 21
"""A key is looked up in each block, and a block is in memory (0.5 GB) while it is written."""

_VERSION = 2
_ALIGNMENT = 64
_BUCKET_POSTINGS = 8
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
    width = 0
    try:
        with parts.open("wb") as stream:
            for block in _blocks(batches):
                arrays, header = _postings(block)
                blocks.append(header)
                width = arrays[-1].shape[1]
                for array in arrays:
                    stream.write(array.data)
                    stream.write(b"\0" * _padding(array.nbytes))
            described = json.dumps({"version": _VERSION, "width": width, "blocks": blocks}).encode()
            described += b"\n"
            stream.write(described)
            stream.write(len(described).to_bytes(8, "little"))
        parts.replace(path)
    finally:
        parts.unlink(missing_ok=True)


def _padding(size: int) -> int:
    return -size % _ALIGNMENT


def _blocks(batches: Iterator[BandBatch]) -> Iterator[list[BandBatch]]:
    held: list[BandBatch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += len(batch.usable)
        if count >= BLOCK_ROWS:
            yield held
            held, count = [], 0
    if count:
        yield held


def _postings(block: list[BandBatch]) -> tuple[list[NDArray[Any]], dict[str, int]]:
    from greendata.dedup.kernel.postings import count_postings, fill_postings

    size = sum(int(batch.usable.sum()) * batch.keys.shape[1] for batch in block)
    wanted = math.ceil(math.log2(max(1, size / _BUCKET_POSTINGS)))
    bits = min(_MAX_BITS, max(_MIN_BITS, wanted))
    heads = np.zeros((1 << bits) + 1, np.uint32)
    for batch in block:
        count_postings(batch.keys, batch.usable, bits, heads)
    offsets = np.cumsum(heads, dtype=np.uint32)
    checks, rows = np.empty(size, np.uint32), np.empty(size, np.uint32)
    heads[:], first = offsets, 0
    for batch in block:
        fill_postings(batch.keys, batch.usable, bits, first, heads, checks, rows)
        first += len(batch.usable)
    header = {"rows": first, "bits": bits, "postings": size}
    digests = np.concatenate([batch.digests for batch in block])
    facts = np.concatenate([batch.facts for batch in block])
    return [offsets, checks, rows, digests, facts], header


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
    """Rows of an index file that have one of these digests, and one in 4,000 of the others.

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
        bits, count, rows = (int(block[name]) for name in ("bits", "postings", "rows"))
        shapes = [((1 << bits) + 1,), (count,), (count,), (rows, 2), (rows, int(header["width"]))]
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
