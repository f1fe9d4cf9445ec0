"""Text to tokens, shingles, MinHash signature and band keys.

Known answers in ``tests/dedup/kernel/test_fingerprint.py`` must never change: indexes on disk hold
these values.

How the hot loops got their shape (280 to 300 MB of text a CPU-second on an EPYC with AVX-512):

* runs of 32 ASCII bytes are normalised by one branch-free loop that LLVM vectorises; other code
  points go through a two-stage table one by one;
* words are hashed by unaligned 8-byte loads, their end found by the zero-byte trick;
* shingles are weighted sums of word hashes, made for a chunk that stays in the first-level cache;
* eight shingles stay in registers while one row of permutations streams by.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint8, uint32, uint64

from greendata.dedup.kernel.intrinsics import (
    BLOCK_BYTES,
    count_trailing_zeros,
    load64,
    lower_words,
    nonzero_bytes,
)

INVALID_UTF8 = -1
"""Token count of a text that is not UTF-8."""

NOT_NORMALISED = -2
"""Token count of a text that may not be in normal form C: normalise it and come back."""

CHUNK_TOKENS = 1024
"""Tokens hashed before their shingles are formed; 8 KiB, well inside the first-level cache."""

MAX_SHINGLE_SIZE = 32

PADDING_BYTES = 128
"""What a text scratch buffer needs beyond twice the largest document."""


@njit(nogil=True, cache=True, inline="always")
def _lower_ascii(c):
    low = uint8(c + uint8(32)) if uint8(c - uint8(65)) < uint8(26) else c
    keep = (uint8(low - uint8(97)) < uint8(26)) | (uint8(low - uint8(48)) < uint8(10))
    return low if keep else uint8(0)


@njit(nogil=True, cache=True)
def _decode(data, i, hi):
    """(code point, length) of the UTF-8 sequence at i; length 0 if it is not valid (RFC 3629)."""
    first = np.int64(data[i])
    if first < 0x80:
        return first, 1
    if first < 0xC2 or first > 0xF4:
        return 0, 0
    length = 2 if first < 0xE0 else (3 if first < 0xF0 else 4)
    if i + length > hi:
        return 0, 0
    point = first & (0x7F >> length)
    for j in range(1, length):
        c = np.int64(data[i + j])
        if c & 0xC0 != 0x80:
            return 0, 0
        point = point << 6 | c & 0x3F
    if length == 3 and (point < 0x800 or 0xD800 <= point <= 0xDFFF):
        return 0, 0
    if length == 4 and (point < 0x10000 or point > 0x10FFFF):
        return 0, 0
    return point, length


@njit(nogil=True, cache=True)
def _encode(point, out, o):
    """Write a code point as UTF-8 at out[o:]; returns the next o."""
    if point < 0x80:
        out[o] = uint8(point)
        return o + 1
    if point < 0x800:
        out[o] = uint8(0xC0 | point >> 6)
        out[o + 1] = uint8(0x80 | point & 0x3F)
        return o + 2
    if point < 0x10000:
        out[o] = uint8(0xE0 | point >> 12)
        out[o + 1] = uint8(0x80 | point >> 6 & 0x3F)
        out[o + 2] = uint8(0x80 | point & 0x3F)
        return o + 3
    out[o] = uint8(0xF0 | point >> 18)
    out[o + 1] = uint8(0x80 | point >> 12 & 0x3F)
    out[o + 2] = uint8(0x80 | point >> 6 & 0x3F)
    out[o + 3] = uint8(0x80 | point & 0x3F)
    return o + 4


@njit(nogil=True, cache=True)
def _normalise(data, lo, hi, index, entries, is_nfc, out):
    """Lower-cased words into ``out``, one or more zero bytes between them; returns the length.

    A negative result is INVALID_UTF8 or NOT_NORMALISED. ``out`` has 2 x (hi - lo) + PADDING_BYTES.
    """
    base, target = uint64(data.ctypes.data), uint64(out.ctypes.data)
    i, o, inside, combining = lo, np.int64(0), np.int64(0), np.int64(0)
    while i < hi:
        if i + BLOCK_BYTES <= hi:
            cut = np.int64(inside == 3)
            if lower_words(base + uint64(i), target + uint64(o + cut)):
                if cut:
                    out[o] = 0
                i += BLOCK_BYTES
                o += BLOCK_BYTES + cut
                inside = np.int64(out[o - 1] != 0)
                combining = 0
                continue
        # at most one stretch of the same length, code point by code point, before looking again
        stop = min(i + BLOCK_BYTES, hi)
        while i < stop:
            if data[i] < 0x80:
                c = _lower_ascii(data[i])
                if inside == 3:
                    out[o] = 0
                    o += 1
                out[o] = c
                o += 1
                i += 1
                inside = np.int64(c != 0)
                combining = 0
                continue
            point, length = _decode(data, i, hi)
            if length == 0:
                return np.int64(INVALID_UTF8)
            i += length
            entry = entries[(np.int64(index[point >> 8]) << 8) | (point & 255)]
            kind = np.int64(entry & 3)
            order = np.int64(entry >> 4) & 255
            if not is_nfc and (entry & 4 != 0 or (order != 0 and order < combining)):
                return np.int64(NOT_NORMALISED)
            combining = order
            if kind == 0:
                out[o] = 0
                o += 1
                inside = 0
            elif kind == 2:
                if inside != 0:
                    o = _encode(point, out, o)
            else:
                if (kind == 3 and inside != 0) or (kind == 1 and inside == 3):
                    out[o] = 0
                    o += 1
                delta = np.int64(np.int32(entry) >> 12)
                o = _encode(point + delta, out, o)
                inside = kind
    for j in range(64):
        out[o + j] = 0
    return o


@njit(nogil=True, cache=True)
def _words(text, start, n, hashes, m, limit):
    """64-bit hashes of the words of text[start:n] into hashes[m:limit]; gives next start and m."""
    base = uint64(text.ctypes.data)
    block = start
    bits = nonzero_bytes(base + uint64(block))
    while True:
        while bits == 0 and block < n:
            block += 64
            bits = nonzero_bytes(base + uint64(block)) if block < n else uint64(0)
        first = count_trailing_zeros(bits)
        if bits == 0 or m >= limit:
            return min(block + first, n), m
        # the word's last bit is below the lowest zero above its first
        i, end = block + first, first + count_trailing_zeros(~(bits >> uint64(first)))
        while end == 64:
            block += 64
            bits = nonzero_bytes(base + uint64(block))
            end = count_trailing_zeros(~bits)
        bits &= ~uint64(0) << uint64(end)
        end += block
        h = uint64(0x9E3779B97F4A7C15)
        while end - i >= 8:
            h = (h ^ load64(base, i)) * uint64(0xFF51AFD7ED558CCD)
            h ^= h >> uint64(32)
            i += 8
        rest = load64(base, i) & ((uint64(1) << uint64(8 * (end - i))) - uint64(1))
        h = (h ^ rest) * uint64(0xFF51AFD7ED558CCD)
        hashes[m] = h ^ (h >> uint64(31))
        m += 1


@njit(nogil=True, cache=True)
def _count_words(text, n):
    """Words of text[:n], in one vectorised pass."""
    count = np.int64(n > 0 and text[0] != 0)
    for i in range(1, n):
        count += np.int64((text[i] != 0) & (text[i - 1] == 0))
    return count


@njit(nogil=True, cache=True)
def _weigh(hashes, n, size, weights, out):
    """out[j] = mixed sum of weights[i] * hashes[j + i], i < size, for j < n (64-bit wraparound)."""
    first = weights[0]
    for j in range(n):
        out[j] = hashes[j] * first
    for i in range(1, size):
        weight = weights[i]
        for j in range(n):
            out[j] += hashes[j + i] * weight
    for j in range(n):
        x = out[j]
        x ^= x >> uint64(32)
        x *= uint64(0xD6E8FEB86659FD93)
        out[j] = x ^ (x >> uint64(32))


@njit(nogil=True, cache=True)
def _premix(shingles, n, out):
    """Low 32 bits of each shingle through MurmurHash3's finaliser, as datasketch (affine32)."""
    for j in range(n):
        # numba widens uint32 arithmetic to 64 bits: every step is cut back
        h = uint32(shingles[j])
        h = uint32(h ^ (h >> uint32(16)))
        h = uint32(h * uint32(0x85EBCA6B))
        h = uint32(h ^ (h >> uint32(13)))
        h = uint32(h * uint32(0xC2B2AE35))
        out[j] = uint32(h ^ (h >> uint32(16)))


@njit(nogil=True, cache=True, error_model="numpy")
def _minima(mixed, n, a, b, row):
    """row[k] = min(row[k], a[k] * x + b[k] mod 2**32) over the n mixed shingle hashes."""
    k_total = a.shape[0]
    j = 0
    while j + 8 <= n:
        x0, x1, x2, x3 = mixed[j], mixed[j + 1], mixed[j + 2], mixed[j + 3]
        x4, x5, x6, x7 = mixed[j + 4], mixed[j + 5], mixed[j + 6], mixed[j + 7]
        for k in range(k_total):
            c, d, r = a[k], b[k], row[k]
            r = min(r, uint32(c * x0 + d))
            r = min(r, uint32(c * x1 + d))
            r = min(r, uint32(c * x2 + d))
            r = min(r, uint32(c * x3 + d))
            r = min(r, uint32(c * x4 + d))
            r = min(r, uint32(c * x5 + d))
            r = min(r, uint32(c * x6 + d))
            r = min(r, uint32(c * x7 + d))
            row[k] = r
        j += 8
    while j < n:
        for k in range(k_total):
            row[k] = min(row[k], uint32(a[k] * mixed[j] + b[k]))
        j += 1


@njit(nogil=True, cache=True)
def _band_keys(row, bands, rows_per_band, keys):
    """One 64-bit key a band; the band's number is mixed in, so one column holds all bands' keys."""
    for band in range(bands):
        h = uint64(0x9E3779B97F4A7C15) * uint64(band + 1)
        for r in range(rows_per_band):
            h = (h ^ uint64(row[band * rows_per_band + r])) * uint64(0xFF51AFD7ED558CCD)
            h ^= h >> uint64(32)
        h *= uint64(0xC4CEB9FE1A85EC53)
        keys[band] = h ^ (h >> uint64(33))


@njit(nogil=True, cache=True)
def _sketch_text(text, n, size, weights, a, b, hashes, shingles, mixed, row):
    """Signature of normalised text[:n] into row; returns the number of tokens."""
    for k in range(row.shape[0]):
        row[k] = uint32(0xFFFFFFFF)
    position, m, tokens = np.int64(0), np.int64(0), np.int64(0)
    while True:
        before = m
        position, m = _words(text, position, n, hashes, m, CHUNK_TOKENS)
        tokens += m - before
        if m >= size:
            count = m - size + 1
            _weigh(hashes, count, size, weights, shingles)
            _premix(shingles, count, mixed)
            _minima(mixed, count, a, b, row)
            for j in range(size - 1):
                hashes[j] = hashes[count + j]
            m = size - 1
        if position >= n:
            break
    if 0 < tokens < size:
        _weigh(hashes, 1, tokens, weights, shingles)
        _premix(shingles, 1, mixed)
        _minima(mixed, 1, a, b, row)
    return tokens


@njit(
    "void(Array(u1, 1, 'C', readonly=True), i8[::1], u2[::1], u4[::1], b1, i8, u8[::1], u4[::1],"
    " u4[::1], i8, i8, u1[::1], i8[::1], u4[:, ::1], u8[:, ::1])",
    nogil=True,
    cache=True,
)
def fingerprint(
    data, offsets, index, entries, is_nfc, size, weights, a, b, bands, rows_per_band, text,
    tokens, signatures, keys,
):  # fmt: skip
    """Fingerprint the documents data[offsets[d]:offsets[d + 1]].

    Args:
        data: UTF-8 bytes of all documents, uint8.
        offsets: int64, one more than there are documents.
        index, entries: the code-point table (``tokens.CodePointTable``), uint16 and uint32.
        is_nfc: the texts are in normal form C already, so it is not checked.
        size: tokens a shingle; ``weights`` holds that many odd uint64.
        a, b: the affine32 permutations, uint32.
        bands, rows_per_band: banding; their product is at most the number of permutations.
        text: scratch of 2 x the largest document + PADDING_BYTES.
        tokens: result, int64: tokens of each document, INVALID_UTF8 or NOT_NORMALISED.
        signatures: result, uint32 [documents or 1, permutations]; of one row, it is scratch.
        keys: result, uint64 [documents, bands]; zero where a document has no token.
    """
    hashes = np.empty(CHUNK_TOKENS + MAX_SHINGLE_SIZE, np.uint64)
    shingles = np.empty(CHUNK_TOKENS + MAX_SHINGLE_SIZE, np.uint64)
    mixed = np.empty(CHUNK_TOKENS + MAX_SHINGLE_SIZE, np.uint32)
    last = signatures.shape[0] - 1
    for d in range(offsets.shape[0] - 1):
        n = _normalise(data, offsets[d], offsets[d + 1], index, entries, is_nfc, text)
        tokens[d] = n
        for band in range(bands):
            keys[d, band] = 0
        if n >= 0:
            row = signatures[min(d, last)]
            tokens[d] = _sketch_text(text, n, size, weights, a, b, hashes, shingles, mixed, row)
            if tokens[d] > 0:
                _band_keys(row, bands, rows_per_band, keys[d])


@njit(nogil=True, cache=True)
def _insert_unique(values, n, table, mask, out, o):
    """Append to out[o:] the values not yet in the open-addressing table; returns the next o."""
    for j in range(n):
        value = values[j] if values[j] != 0 else uint64(1)  # zero marks a free slot
        slot = np.int64((value * uint64(0x9E3779B97F4A7C15)) >> uint64(20)) & mask
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + 1) & mask
        if table[slot] == 0:
            table[slot] = value
            out[o] = value
            o += 1
    return o


@njit(nogil=True, cache=True)
def _text_shingle_set(text, n, size, weights, hashes, shingles, table, mask, out, o):
    """The distinct 64-bit shingles of normalised text[:n], appended to out[o:]."""
    position, m, tokens = np.int64(0), np.int64(0), np.int64(0)
    while True:
        before = m
        position, m = _words(text, position, n, hashes, m, CHUNK_TOKENS)
        tokens += m - before
        if m >= size:
            count = m - size + 1
            _weigh(hashes, count, size, weights, shingles)
            o = _insert_unique(shingles, count, table, mask, out, o)
            for j in range(size - 1):
                hashes[j] = hashes[count + j]
            m = size - 1
        if position >= n:
            break
    if 0 < tokens < size:
        _weigh(hashes, 1, tokens, weights, shingles)
        o = _insert_unique(shingles, 1, table, mask, out, o)
    return o


@njit(
    "void(Array(u1, 1, 'C', readonly=True), i8[::1], u2[::1], u4[::1], b1, i8, u8[::1], u1[::1],"
    " u8[::1], u8[::1], i8[::1])",
    nogil=True,
    cache=True,
)
def shingle_sets(data, offsets, index, entries, is_nfc, size, weights, text, table, out, ends):
    """The distinct shingles of each document, one document after the other.

    Args:
        data, offsets, index, entries, is_nfc, size, weights, text: as for ``fingerprint``.
        table: scratch uint64, zeros, a power of two >= 2 x the shingles of the largest document.
        out: result, uint64: room for one shingle a two bytes of ``data`` and one a document.
        ends: result, int64: where each document's shingles end in ``out``; INVALID_UTF8 or
            NOT_NORMALISED where it has none for that reason.
    """
    hashes = np.empty(CHUNK_TOKENS + MAX_SHINGLE_SIZE, np.uint64)
    shingles = np.empty(CHUNK_TOKENS + MAX_SHINGLE_SIZE, np.uint64)
    o = np.int64(0)
    for d in range(offsets.shape[0] - 1):
        n = _normalise(data, offsets[d], offsets[d + 1], index, entries, is_nfc, text)
        if n < 0:
            ends[d] = n
            continue
        slots, words = np.int64(64), _count_words(text, n)
        while slots < 2 * words:
            slots *= 2
        table[:slots] = 0
        o = _text_shingle_set(text, n, size, weights, hashes, shingles, table, slots - 1, out, o)
        ends[d] = o


@njit(
    "void(Array(u8, 1, 'C', readonly=True), i8[::1], i8[::1], i8[::1], i8[::1], u8[::1], i8[::1])",
    nogil=True,
    cache=True,
)
def shared_shingles(sets, starts, sizes, left, right, table, shared):
    """shared[p] = size of the intersection of two sets of distinct shingles.

    Args:
        sets: uint64, all sets; set s is sets[starts[s]:starts[s] + sizes[s]].
        starts, sizes: int64.
        left, right: int64, the two sets of each pair; pairs of one left set stand together.
        table: scratch uint64, a power of two >= 2 x the largest set.
    """
    built, mask = np.int64(-1), np.int64(0)
    for p in range(left.shape[0]):
        if left[p] != built:
            built = left[p]
            lo, hi = starts[built], starts[built] + sizes[built]
            slots = np.int64(64)
            while slots < 2 * (hi - lo):
                slots *= 2
            mask = slots - 1
            table[:slots] = 0
            for j in range(lo, hi):
                slot = np.int64((sets[j] * uint64(0x9E3779B97F4A7C15)) >> uint64(20)) & mask
                while table[slot] != 0:
                    slot = (slot + 1) & mask
                table[slot] = sets[j]
        count = 0
        lo = starts[right[p]]
        for j in range(lo, lo + sizes[right[p]]):
            slot = np.int64((sets[j] * uint64(0x9E3779B97F4A7C15)) >> uint64(20)) & mask
            while table[slot] != 0 and table[slot] != sets[j]:
                slot = (slot + 1) & mask
            if table[slot] == sets[j]:
                count += 1
        shared[p] = count
