"""Band keys by ranges of their values: the same key is in the same range, whoever looks for it."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64


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
    "void(Array(u8, 2, 'C', readonly=True), i8[::1], b1[::1], u8, i8[::1], u8[:, ::1])",
    nogil=True,
    cache=True,
)
def scatter_keys(keys, rows, usable, shift, places, entries):
    """Write (key, row) of usable documents to ``entries``, at the next place of the key's range.

    Args:
        keys: uint64 [n, bands].
        rows: int64 [n], what each document is called.
        places: int64, the next free entry of each range; moved on.
        entries: uint64 [*, 2].
    """
    for d in range(keys.shape[0]):
        if usable[d]:
            for band in range(keys.shape[1]):
                key = keys[d, band]
                where = np.int64(key >> shift)
                entry = places[where]
                places[where] = entry + 1
                entries[entry, 0] = key
                entries[entry, 1] = uint64(rows[d])
