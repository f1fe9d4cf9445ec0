"""What stands between the brackets of JSON: strings, numbers and words, strictly."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from greendata.recompress.kernel.intrinsics import count_trailing_zeros, string_stops

NULL, FALSE, TRUE, INT, FLOAT, STRING, ESCAPED, LONE = range(8)
BIG, HUGE, NONSTANDARD, OBJECT, ARRAY, EDGE = range(8, 14)
"""Kinds of values. ESCAPED: a string with escapes; LONE: with half a surrogate pair; BIG: an
integer above int64 that fits uint64; HUGE: any other; EDGE: a number that may not fit a double."""
BAD = -1

INEXACT, NEGATIVE = 16, 17
"""Further bits beside kinds: an integer that no double is; one below zero."""

TEXT = "Array(u1, 1, 'C', readonly=True)"
_LONGEST_SAFE = 50
_LARGEST_SAFE = 250


@njit("i8(u1)", nogil=True, cache=True, inline="always")
def hex_digit(c):
    """The value of a hexadecimal digit, or -1."""
    if 48 <= c <= 57:
        return np.int64(c) - 48
    if 97 <= c <= 102:
        return np.int64(c) - 87
    if 65 <= c <= 70:
        return np.int64(c) - 55
    return np.int64(-1)


@njit(f"i8({TEXT}, i8)", nogil=True, cache=True)
def code_unit(data, place):
    """The four hexadecimal digits at a place, or -1."""
    unit = np.int64(0)
    for j in range(4):
        digit = hex_digit(data[place + j])
        if digit < 0:
            return np.int64(-1)
        unit = unit * 16 + digit
    return unit


@njit(f"UniTuple(i8, 2)({TEXT}, i8)", nogil=True, cache=True)
def string_end(data, place):
    """From the opening quote to after the closing one; its kind, or BAD and where."""
    base = uint64(data.ctypes.data)
    kind = np.int64(STRING)
    place += 1
    while True:
        stops = string_stops(base + uint64(place))
        if stops == uint64(0):
            place += 64
            continue
        place += count_trailing_zeros(stops)
        c = data[place]
        if c == 34:
            return place + 1, kind
        if c != 92:
            return place, np.int64(BAD)
        kind = max(kind, np.int64(ESCAPED))
        e = data[place + 1]
        if e in (34, 92, 47, 98, 102, 110, 114, 116):
            place += 2
            continue
        unit = code_unit(data, place + 2) if e == 117 else np.int64(-1)
        if unit < 0:
            return place, np.int64(BAD)
        place += 6
        if 0xD800 <= unit < 0xE000:
            low = np.int64(-1)
            if unit < 0xDC00 and data[place] == 92 and data[place + 1] == 117:
                low = code_unit(data, place + 2)
            if 0xDC00 <= low < 0xE000:
                place += 6
            else:
                kind = np.int64(LONE)


@njit(f"i8({TEXT}, i8)", nogil=True, cache=True, inline="always")
def digits_end(data, place):
    """After the digits at a place."""
    while 48 <= data[place] <= 57:
        place += 1
    return place


_WORDS = np.zeros((6, 9), np.uint8)
for _row, _word in enumerate((b"null", b"false", b"true", b"", b"NaN", b"Infinity")):
    _WORDS[_row, : len(_word)] = np.frombuffer(_word, np.uint8)


@njit(f"i8({TEXT}, i8, i8)", nogil=True, cache=True)
def word_end(data, place, word):
    """After the word at a place, or the place itself when it is not there."""
    j = 0
    while _WORDS[word, j] != 0:
        if data[place + j] != _WORDS[word, j]:
            return place
        j += 1
    return place + j


@njit(f"UniTuple(i8, 3)({TEXT}, i8, i8, b1)", nogil=True, cache=True)
def whole_number(data, first, place, is_negative):
    """Kind and bits of the digits first:place. -0 is a float: no integer keeps its sign."""
    if is_negative and data[first] == 48:
        return place, np.int64(FLOAT), np.int64(0)
    bits = np.int64(1 << NEGATIVE) if is_negative else np.int64(0)
    if place - first > 20:
        return place, np.int64(HUGE), bits
    value = uint64(0)
    for j in range(first, place):
        digit = uint64(data[j] - 48)
        if value > uint64(1844674407370955161) or (
            value == uint64(1844674407370955161) and digit > uint64(5)
        ):
            return place, np.int64(HUGE), bits
        value = value * uint64(10) + digit
    odd = value
    while odd > uint64(0) and odd & uint64(1) == uint64(0):
        odd >>= uint64(1)
    if odd > uint64(1 << 53):
        bits |= np.int64(1 << INEXACT)
    limit = uint64(1 << 63) if is_negative else uint64((1 << 63) - 1)
    if value <= limit:
        return place, np.int64(INT), bits
    return place, np.int64(HUGE if is_negative else BIG), bits


@njit(f"UniTuple(i8, 3)({TEXT}, i8)", nogil=True, cache=True)
def number_end(data, start):
    """After the number at a place; its kind and further bits, or BAD and where."""
    place = start
    is_negative = data[place] == 45
    place += is_negative
    first = place
    if data[place] == 73 and is_negative:
        end = word_end(data, place, 5)
        return end, np.int64(NONSTANDARD if end > place else BAD), np.int64(0)
    place = place + 1 if data[place] == 48 else digits_end(data, place)
    if place == first:
        return place, np.int64(BAD), np.int64(0)
    whole = place
    if data[place] == 46:
        place = digits_end(data, place + 1)
        if place == whole + 1:
            return place, np.int64(BAD), np.int64(0)
    power = np.int64(0)
    if data[place] == 101 or data[place] == 69:
        mark = place + 1
        mark += data[mark] == 43 or data[mark] == 45
        place = digits_end(data, mark)
        if place == mark:
            return place, np.int64(BAD), np.int64(0)
        for j in range(mark, place):
            power = min(power * 10 + np.int64(data[j]) - 48, np.int64(_LARGEST_SAFE))
    if place > whole:
        is_safe = place - start < _LONGEST_SAFE and power < _LARGEST_SAFE
        return place, np.int64(FLOAT if is_safe else EDGE), np.int64(0)
    return whole_number(data, first, place, is_negative)


@njit(f"UniTuple(i8, 3)({TEXT}, i8)", nogil=True, cache=True)
def scalar_end(data, place):
    """After the string, number or word at a place; its kind and bits, or BAD and where."""
    c = data[place]
    if c == 34:
        end, kind = string_end(data, place)
        return end, kind, np.int64(0)
    if c == 45 or 48 <= c <= 57:
        return number_end(data, place)
    word, kind = -1, NULL
    if c == 110:
        word, kind = 0, NULL
    elif c == 102:
        word, kind = 1, FALSE
    elif c == 116:
        word, kind = 2, TRUE
    elif c == 78:
        word, kind = 4, NONSTANDARD
    elif c == 73:
        word, kind = 5, NONSTANDARD
    if word >= 0:
        end = word_end(data, place, word)
        if end > place:
            return end, np.int64(kind), np.int64(0)
    return place, np.int64(BAD), np.int64(0)


@njit(f"i8({TEXT}, i8)", nogil=True, cache=True, inline="always")
def skip_spaces(data, place):
    """After blanks within a line."""
    while data[place] == 32 or data[place] == 9 or data[place] == 13:
        place += 1
    return place


_PLAIN = np.arange(256, dtype=np.uint8)
for _mark, _octet in ((98, 8), (102, 12), (110, 10), (114, 13), (116, 9)):
    _PLAIN[_mark] = _octet


@njit("i8(i8, u1[::1], i8)", nogil=True, cache=True)
def write_code_point(unit, out, n):
    """Write a code point as UTF-8; the place after it."""
    if unit < 0x80:
        out[n] = unit
        return n + 1
    if unit < 0x800:
        out[n], out[n + 1] = 0xC0 | unit >> 6, 0x80 | unit & 0x3F
        return n + 2
    if unit < 0x10000:
        out[n], out[n + 1] = 0xE0 | unit >> 12, 0x80 | unit >> 6 & 0x3F
        out[n + 2] = 0x80 | unit & 0x3F
        return n + 3
    out[n], out[n + 1] = 0xF0 | unit >> 18, 0x80 | unit >> 12 & 0x3F
    out[n + 2], out[n + 3] = 0x80 | unit >> 6 & 0x3F, 0x80 | unit & 0x3F
    return n + 4


@njit(f"i8({TEXT}, i8, i8, u1[::1])", nogil=True, cache=True)
def unescape(data, lo, hi, out):
    """Write the bytes between two quotes (lo:hi, valid) with escapes resolved; how many."""
    n = 0
    j = lo
    while j < hi:
        c = data[j]
        if c != 92:
            out[n] = c
            n, j = n + 1, j + 1
            continue
        e = data[j + 1]
        j += 2
        if e != 117:
            out[n] = _PLAIN[e]
            n += 1
            continue
        unit = code_unit(data, j)
        j += 4
        if 0xD800 <= unit < 0xDC00:
            unit = 0x10000 + ((unit - 0xD800) << 10) + code_unit(data, j + 2) - 0xDC00
            j += 6
        n = write_code_point(unit, out, n)
    return n
