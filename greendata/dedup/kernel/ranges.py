"""Band keys by ranges of their values: the same key is in the same range, whoever looks for it."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(
    "void(Array(u8, 2, 'C', readonly=True), b1[::1], u8, i8[::1])",
    nogil=True,
    cache=True,
)
def count_ranges(keys, usable, shift, counts):
    """Add to ``counts`` how many keys of usable documents are in each range, ``key >> shift``."""
    for d in range(keys.shape[0]):
        if usable[d]:
            for band in range(keys.shape[1]):
                counts[np.int64(keys[d, band] >> shift)] += 1


@njit(
    "void(Array(u8, 2, 'C', readonly=True), Array(u8, 2, 'C', readonly=True), b1[::1], u8,"
    " i8[::1], u8[:, ::1])",
    nogil=True,
    cache=True,
)
def scatter_keys(keys, digests, usable, shift, places, rows):
    """Write (key, digest) of usable documents to ``rows``, at the next place of the key's range.

    Args:
        keys, digests: uint64 [n, bands] and [n, 2].
        places: int64, the next free row of each range; moved on.
        rows: uint64 [*, 3].
    """
    for d in range(keys.shape[0]):
        if usable[d]:
            for band in range(keys.shape[1]):
                key = keys[d, band]
                where = np.int64(key >> shift)
                row = places[where]
                places[where] = row + 1
                rows[row, 0] = key
                rows[row, 1] = digests[d, 0]
                rows[row, 2] = digests[d, 1]
