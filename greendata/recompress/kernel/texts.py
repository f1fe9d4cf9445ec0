"""Cells to bytes and back: gathered, unescaped, escaped, compared."""

from __future__ import annotations

import numpy as np
from numba import njit, uint8

from greendata.recompress.kernel.scalars import TEXT, unescape

AS_IS, JSON_ESCAPES, DOUBLED_QUOTES = range(3)
"""How bytes stand in their source."""

ASCII, SLASH, HTML = 1, 2, 4
"""What a writer of JSON escapes beside quotes, backslashes and controls: everything that is not
ASCII; the slash; ``<``, ``>``, ``&`` and the two Unicode line ends."""


@njit(f"i8({TEXT}, i8, i8, u1[::1])", nogil=True, cache=True)
def undouble(data, lo, hi, out):
    """Write data[lo:hi] with each pair of quotes as one; how many bytes."""
    n = 0
    j = lo
    while j < hi:
        out[n] = data[j]
        n += 1
        j += 2 if data[j] == 34 else 1
    return n


@njit(f"void({TEXT}, i8[::1], i8[::1], u1[::1], u1[::1], i8[::1])", nogil=True, cache=True)
def gather(data, lo, hi, form, out, offsets):
    """Write data[lo[i]:hi[i]] one after the other; ``out`` has room for all of them as they are."""
    n = np.int64(0)
    offsets[0] = 0
    for i in range(lo.shape[0]):
        size = hi[i] - lo[i]
        if form[i] == AS_IS:
            out[n : n + size] = data[lo[i] : hi[i]]
        elif form[i] == JSON_ESCAPES:
            size = unescape(data, lo[i], hi[i], out[n:])
        else:
            size = undouble(data, lo[i], hi[i], out[n:])
        n += size
        offsets[i + 1] = n


_SHORT = np.zeros(32, np.uint8)
for _octet, _letter in ((8, 98), (9, 116), (10, 110), (12, 102), (13, 114)):
    _SHORT[_octet] = _letter
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


@njit("i8(i8, u1[::1], i8)", nogil=True, cache=True)
def write_unit(unit, out, n):
    r"""Write ``\uXXXX``; the place after it."""
    out[n], out[n + 1] = 92, 117
    for j in range(4):
        out[n + 2 + j] = _HEX[unit >> 4 * (3 - j) & 15]
    return n + 6


@njit(f"UniTuple(i8, 2)({TEXT}, i8)", nogil=True, cache=True)
def code_point(data, place):
    """The code point of valid UTF-8 at a place, and its bytes."""
    c = np.int64(data[place])
    if c < 0xE0:
        return (c & 0x1F) << 6 | np.int64(data[place + 1] & 0x3F), np.int64(2)
    second = np.int64(data[place + 1] & 0x3F)
    third = np.int64(data[place + 2] & 0x3F)
    if c < 0xF0:
        return (c & 0xF) << 12 | second << 6 | third, np.int64(3)
    fourth = np.int64(data[place + 3] & 0x3F)
    return (c & 7) << 18 | second << 12 | third << 6 | fourth, np.int64(4)


@njit(f"UniTuple(i8, 2)({TEXT}, i8, i8, u1[::1], i8)", nogil=True, cache=True)
def write_wide(data, place, style, out, n):
    """Write the character at a place that is not ASCII: the places after it in both."""
    point, size = code_point(data, place)
    is_line_end = style & HTML and (point == 0x2028 or point == 0x2029)
    if style & ASCII or is_line_end:
        if point >= 0x10000:
            n = write_unit(0xD800 + (point - 0x10000 >> 10), out, n)
            point = 0xDC00 + (point - 0x10000 & 0x3FF)
        return place + size, write_unit(point, out, n)
    for j in range(size):
        out[n + j] = data[place + j]
    return place + size, n + size


@njit(f"i8({TEXT}, i8, i8, i8, u1[::1], i8)", nogil=True, cache=True)
def write_escaped(data, lo, hi, style, out, n):
    """Write data[lo:hi], valid UTF-8, as it stands between JSON's quotes; the place after it."""
    j = lo
    while j < hi:
        c = data[j]
        if c >= 0x80:
            j, n = write_wide(data, j, style, out, n)
            continue
        j += 1
        if c == 34 or c == 92 or (c == 47 and style & SLASH):
            out[n], out[n + 1] = 92, c
            n += 2
        elif c < 32 and _SHORT[c] != 0:
            out[n], out[n + 1] = 92, _SHORT[c]
            n += 2
        elif c < 32 or (style & HTML and (c == 60 or c == 62 or c == 38)):
            n = write_unit(np.int64(c), out, n)
        else:
            out[n] = c
            n += 1
    return n


@njit(f"i8({TEXT}, i8, i8, i8)", nogil=True, cache=True)
def escaped_room(data, lo, hi, style):
    """Bytes that are enough to write data[lo:hi] escaped."""
    n = hi - lo
    for j in range(lo, hi):
        c = data[j]
        if c < 32 or (c >= 0x80 and style & (ASCII | HTML)):
            n += 5
        elif c == 34 or c == 92 or c == 47:
            n += 1
        elif c == 60 or c == 62 or c == 38:
            n += 5
    return n


@njit(f"void({TEXT}, i8[::1], b1[::1], i8, u1[::1], i8[::1])", nogil=True, cache=True)
def quote(data, offsets, is_there, style, out, places):
    """Write each of the texts data[offsets[i]:offsets[i + 1]] as a JSON string, if it is there."""
    n = np.int64(0)
    places[0] = 0
    for i in range(offsets.shape[0] - 1):
        if is_there[i]:
            out[n] = uint8(34)
            n = write_escaped(data, offsets[i], offsets[i + 1], style, out, n + 1)
            out[n] = uint8(34)
            n += 1
        places[i + 1] = n


@njit(f"void({TEXT}, i8[::1], {TEXT}, i8[::1], i8[::1], b1[::1])", nogil=True, cache=True)
def compare(first, offsets, second, lo, hi, out):
    """out[i] = whether first[offsets[i]:offsets[i + 1]] is second[lo[i]:hi[i]]."""
    for i in range(lo.shape[0]):
        size = hi[i] - lo[i]
        is_same = offsets[i + 1] - offsets[i] == size
        j = 0
        while is_same and j < size:
            is_same = first[offsets[i] + j] == second[lo[i] + j]
            j += 1
        out[i] = is_same


@njit(f"void({TEXT}, i8[::1], i8, i8[::1])", nogil=True, cache=True)
def line_ends(data, places, end, out):
    """out[i] = after the line end that follows places[i], or ``end``."""
    for i in range(places.shape[0]):
        place = places[i]
        while place < end and data[place] != 10:
            place += 1
        out[i] = min(place + 1, end)
