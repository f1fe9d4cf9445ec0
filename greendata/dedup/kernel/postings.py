"""Postings by band key: sorted into buckets by counting, and looked up again."""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64


@njit("void(Array(u8, 2, 'C', readonly=True), b1[::1], i8, u4[::1])", nogil=True, cache=True)
def count_postings(keys, usable, bits, counts):
    """Add the keys of each bucket (their upper ``bits``) to the place after it in ``counts``.

    Args:
        keys: uint64 [rows, bands].
        counts: result, uint32 [2**bits + 1].
    """
    shift = uint64(64 - bits)
    for row in range(keys.shape[0]):
        if usable[row]:
            for band in range(keys.shape[1]):
                counts[np.int64(keys[row, band] >> shift) + 1] += uint32(1)


@njit(
    "void(Array(u8, 2, 'C', readonly=True), b1[::1], i8, i8, u4[::1], u4[::1], u4[::1])",
    nogil=True,
    cache=True,
)
def fill_postings(keys, usable, bits, first, heads, checks, rows):
    """Write each key to its bucket: the 32 bits below the bucket's, and the row it is of.

    Args:
        first: number of the first row.
        heads: where each bucket is filled up to; moved on.
        checks, rows: results, uint32 [postings].
    """
    shift = uint64(64 - bits)
    for row in range(keys.shape[0]):
        if usable[row]:
            for band in range(keys.shape[1]):
                key = keys[row, band]
                bucket = np.int64(key >> shift)
                place = heads[bucket]
                checks[place] = uint32((key >> (shift - uint64(32))) & uint64(0xFFFFFFFF))
                rows[place] = uint32(first + row)
                heads[bucket] = place + uint32(1)


@njit(
    "UniTuple(i8, 2)(u8[::1], i8, i8, Array(u4, 1, 'C', readonly=True),"
    " Array(u4, 1, 'C', readonly=True), Array(u4, 1, 'C', readonly=True), i8[::1], i8[::1])",
    nogil=True,
    cache=True,
)
def find_postings(asked, first, bits, offsets, checks, rows, found_asked, found_rows):
    """Postings of the keys ``asked`` from place ``first`` on, until the results are full.

    Returns:
        (postings found, place of the first key that was not looked up whole).
    """
    shift = uint64(64 - bits)
    n = np.int64(0)
    for i in range(first, asked.shape[0]):
        key = asked[i]
        bucket = np.int64(key >> shift)
        lo, hi = np.int64(offsets[bucket]), np.int64(offsets[bucket + 1])
        if n + (hi - lo) > found_rows.shape[0] and n > 0:
            return n, i
        check = uint32((key >> (shift - uint64(32))) & uint64(0xFFFFFFFF))
        for place in range(lo, hi):
            if checks[place] == check:
                if n == found_rows.shape[0]:  # one bucket larger than the result
                    return -1, i
                found_asked[n] = i
                found_rows[n] = np.int64(rows[place])
                n += 1
    return n, asked.shape[0]


@njit(nogil=True, cache=True)
def _is_marked(marks, bit):
    return marks[bit >> uint64(6)] & (uint64(1) << (bit & uint64(63))) != 0


@njit("void(Array(u8, 2, 'C', readonly=True), i8, u8[::1])", nogil=True, cache=True)
def mark_digests(digests, shift, marks):
    """Set the bit of each half of each digest, its upper bits (``half >> shift``), in a bitmap."""
    for d in range(digests.shape[0]):
        for half in range(2):
            bit = digests[d, half] >> uint64(shift)
            marks[bit >> uint64(6)] |= uint64(1) << (bit & uint64(63))


@njit("i8(Array(u8, 2, 'C', readonly=True), i8, u8[::1], i8[::1])", nogil=True, cache=True)
def find_marked(digests, shift, marks, rows):
    """Write the numbers of digests both of whose bits are set; returns how many there are."""
    n = np.int64(0)
    for d in range(digests.shape[0]):
        if _is_marked(marks, digests[d, 0] >> uint64(shift)) and _is_marked(
            marks, digests[d, 1] >> uint64(shift)
        ):
            rows[n] = d
            n += 1
    return n


@njit("void(i8[::1], i4[::1], i4[::1])", nogil=True, cache=True)
def label_groups(starts, members, labels):
    """Label each rank with the lowest one that buckets connect it with.

    Args:
        starts, members: int64 [buckets + 1], int32, ranks of each bucket.
        labels: result, int32 [ranks].
    """
    for rank in range(labels.shape[0]):
        labels[rank] = rank
    for bucket in range(starts.shape[0] - 1):
        lo = starts[bucket]
        for place in range(lo + 1, starts[bucket + 1]):
            a, b = members[lo], members[place]
            while labels[a] != a:
                labels[a] = labels[labels[a]]
                a = labels[a]
            while labels[b] != b:
                labels[b] = labels[labels[b]]
                b = labels[b]
            if a < b:
                labels[b] = a
            else:
                labels[a] = b
    for rank in range(labels.shape[0]):
        labels[rank] = labels[labels[rank]]
