"""Which pairs to compare, and which documents to keep: loops over band keys and buckets."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

UNKNOWN, FAILED, PASSED, PENDING, UNREADABLE = -1, 0, 1, 2, 3
"""A pair: never compared, below the threshold, at or above it, nominated now, without text."""


@njit("void(u8[::1], u8[::1], u8[::1], u8)", nogil=True, cache=True)
def mark_keys(keys, once, twice, shift):
    """Set the bit of each key in ``once``, and in ``twice`` where it was set before.

    The bit is the key's upper bits (``key >> shift``); both bitmaps hold 2**(64 - shift) bits.
    """
    for i in range(keys.shape[0]):
        bit = keys[i] >> shift
        word, flag = bit >> uint64(6), uint64(1) << (bit & uint64(63))
        if once[word] & flag:
            twice[word] |= flag
        else:
            once[word] |= flag


@njit(
    "i8(Array(u8, 2, 'C', readonly=True), b1[::1], u8[::1], u8, i8[::1], u8[::1])",
    nogil=True,
    cache=True,
)
def repeated_keys(keys, usable, twice, shift, documents, selected):
    """Write (document, key) of all keys whose bit is set in ``twice``; returns how many.

    No key that occurs twice is missed; a few that do not are let through.
    """
    n = 0
    for d in range(keys.shape[0]):
        if not usable[d]:
            continue
        for band in range(keys.shape[1]):
            bit = keys[d, band] >> shift
            if twice[bit >> uint64(6)] & (uint64(1) << (bit & uint64(63))):
                documents[n] = d
                selected[n] = keys[d, band]
                n += 1
    return n


@njit(nogil=True, cache=True)
def _slot_of(table, mask, key):
    """Slot of a pair in the open-addressing table, or the free slot where it belongs."""
    slot = np.int64((key * uint64(0x9E3779B97F4A7C15)) >> uint64(20)) & mask
    while table[slot] != 0 and table[slot] != key:
        slot = (slot + 1) & mask
    return slot


@njit(nogil=True, cache=True)
def _pair_key(better, worse):
    return (uint64(better) << uint64(32)) | uint64(worse)


@njit("void(i4[::1], i4[::1], i1[::1], u8[::1], i1[::1])", nogil=True, cache=True)
def fill_pairs(better, worse, state, table, states):
    """Enter pairs of ranks with their state; ``table`` is zeros, a power of two in size."""
    mask = np.int64(table.shape[0] - 1)
    for i in range(better.shape[0]):
        key = _pair_key(better[i], worse[i])
        slot = _slot_of(table, mask, key)
        table[slot] = key
        states[slot] = state[i]


@njit("void(i8[::1], i4[::1], i8[::1], i4[::1])", nogil=True, cache=True)
def invert_buckets(starts, members, rank_starts, rank_buckets):
    """The buckets of each rank, ascending, by counting: as much memory as the result.

    Args:
        starts, members: int64 [buckets + 1], int32: ranks of each bucket.
        rank_starts: result, int64 [ranks + 1].
        rank_buckets: result, int32 [members].
    """
    rank_starts[:] = 0
    for i in range(members.shape[0]):
        rank_starts[members[i] + 1] += 1
    for rank in range(1, rank_starts.shape[0]):
        rank_starts[rank] += rank_starts[rank - 1]
    for bucket in range(starts.shape[0] - 1):
        for i in range(starts[bucket], starts[bucket + 1]):
            rank_buckets[rank_starts[members[i]]] = bucket
            rank_starts[members[i]] += 1
    for rank in range(rank_starts.shape[0] - 1, 0, -1):
        rank_starts[rank] = rank_starts[rank - 1]
    rank_starts[0] = 0


@njit(
    "UniTuple(i8, 2)(i8[::1], i8[::1], i4[::1], u8[::1], i1[::1], i8, i8, i4[::1], i4[::1],"
    " i4[::1], i4[::1], i4[::1], b1[::1])",
    nogil=True,
    cache=True,
)
def decide(
    bucket_starts, rank_starts, rank_buckets, table, states, quota, cap, kept, kept_counts,
    kept_for, better, worse, waiting,
):  # fmt: skip
    """One pass down the rank order: keep or not, and what must be compared to be sure.

    A document is redundant when it passed against a kept one of a bucket it is in. Otherwise it is
    kept for now, and nominated in each bucket against the first ``quota`` kept members it was never
    compared with, among the first ``cap``. When nothing is nominated, the decision is the greedy
    one over all candidates, whatever the order in which pairs were compared.

    Args:
        bucket_starts: int64 [buckets + 1], room of each bucket in ``kept``.
        rank_starts, rank_buckets: int64, int32, the buckets of each rank.
        table, states: known pairs (``fill_pairs``) with room for those nominated.
        kept, kept_counts: scratch int32 [members] and [buckets]; counts are zeros.
        kept_for: result, int32: rank of the kept partner, or -1 for a kept document.
        better, worse: result, int32: nominated pairs; nomination stops when they are full.
        waiting: result, bool [ranks], false before: those of pairs that were not nominated then.

    Returns:
        (pairs nominated, comparisons left out by ``cap``).
    """
    mask = np.int64(table.shape[0] - 1)
    n, left_out = np.int64(0), np.int64(0)
    for rank in range(kept_for.shape[0]):
        best = np.int32(-1)
        for position in range(rank_starts[rank], rank_starts[rank + 1]):
            bucket = rank_buckets[position]
            for i in range(min(np.int64(kept_counts[bucket]), cap)):
                leader = kept[bucket_starts[bucket] + i]
                if best >= 0 and leader >= best:
                    break
                slot = _slot_of(table, mask, _pair_key(leader, rank))
                if table[slot] != 0 and states[slot] == PASSED:
                    best = leader
                    break
        kept_for[rank] = best
        if best >= 0:
            continue
        for position in range(rank_starts[rank], rank_starts[rank + 1]):
            bucket = rank_buckets[position]
            count, asked = np.int64(kept_counts[bucket]), np.int64(0)
            for i in range(min(count, cap)):
                key = _pair_key(kept[bucket_starts[bucket] + i], rank)
                slot = _slot_of(table, mask, key)
                if table[slot] == 0:
                    if n == better.shape[0]:
                        waiting[rank] = True
                        waiting[kept[bucket_starts[bucket] + i]] = True
                        break
                    table[slot] = key
                    states[slot] = PENDING
                    better[n] = kept[bucket_starts[bucket] + i]
                    worse[n] = rank
                    n += 1
                    asked += 1
                elif states[slot] == PENDING:
                    asked += 1
                if asked >= quota:
                    break
            left_out += max(np.int64(0), count - cap)
            kept[bucket_starts[bucket] + count] = rank
            kept_counts[bucket] += 1
    return n, left_out


@njit(nogil=True, cache=True)
def _is_in(rank, dataset, dataset_starts, datasets):
    for i in range(dataset_starts[rank], dataset_starts[rank + 1]):
        if datasets[i] == dataset:
            return True
    return False


@njit(nogil=True, cache=True)
def _collect_leaders(
    members, lo, hi, dataset_starts, datasets, width, depth, names, counts, leaders
):
    """The first ``depth`` members of each of the first ``width`` datasets of a bucket."""
    found = np.int64(0)
    for position in range(lo, hi):
        rank = members[position]
        for i in range(dataset_starts[rank], dataset_starts[rank + 1]):
            at = np.int64(0)
            while at < found and names[at] != datasets[i]:
                at += 1
            if at == found:
                if found == width:
                    continue
                names[at] = datasets[i]
                counts[at] = 0
                found += 1
            if counts[at] < depth:
                leaders[at, counts[at]] = rank
                counts[at] += 1
    return found


@njit(
    "i8(i8[::1], i4[::1], i8[::1], i4[::1], u8[::1], i1[::1], i8, i8, i4[::1], i4[::1])",
    nogil=True,
    cache=True,
)
def nominate_across(
    bucket_starts, members, dataset_starts, datasets, table, states, width, depth, better, worse
):
    """Nominate members against the best-ranked members of every other dataset in their bucket.

    A member that passed against one of the first ``depth`` of a dataset is done with it; one that
    failed goes on to the next. ``width`` datasets a bucket are looked at.

    Returns:
        Pairs nominated into ``better`` and ``worse``.
    """
    mask = np.int64(table.shape[0] - 1)
    names = np.empty(width, np.int32)
    counts = np.empty(width, np.int64)
    leaders = np.empty((width, depth), np.int32)
    n = np.int64(0)
    for bucket in range(bucket_starts.shape[0] - 1):
        lo, hi = bucket_starts[bucket], bucket_starts[bucket + 1]
        found = _collect_leaders(
            members, lo, hi, dataset_starts, datasets, width, depth, names, counts, leaders
        )
        if found < 2:
            continue
        for position in range(lo, hi):
            rank = members[position]
            for at in range(found):
                if _is_in(rank, names[at], dataset_starts, datasets):
                    continue
                for i in range(counts[at]):
                    leader = leaders[at, i]
                    key = _pair_key(min(leader, rank), max(leader, rank))
                    slot = _slot_of(table, mask, key)
                    if table[slot] == 0:
                        if n == better.shape[0]:
                            return n
                        table[slot] = key
                        states[slot] = PENDING
                        better[n] = min(leader, rank)
                        worse[n] = max(leader, rank)
                        n += 1
                        break
                    if states[slot] == PASSED or states[slot] == PENDING:
                        break
    return n
