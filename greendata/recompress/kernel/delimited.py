"""CSV and TSV (RFC 4180, strictly) to a table of cells.

A cell in quotes ends at its closing quote; anything but a delimiter or a line end after it is an
error, as is a carriage return outside quotes that no line feed follows. Lines without a byte are
no records.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from greendata.recompress.kernel.intrinsics import byte_stops, cell_stops, count_trailing_zeros
from greendata.recompress.kernel.scalars import EDGE, FLOAT, INT, TEXT, number_end

LO, HI, FORM = range(3)
PLAIN, QUOTED, DOUBLED = range(3)
"""Forms of cells: without quotes, in quotes, in quotes and with doubled ones inside."""
CELL_FIELDS = 3

C_CELLS, C_BLANKS, C_ERROR, C_PLACE = range(4)
CURSOR_FIELDS = 4
RAGGED, BAD_QUOTE, CELLS_FULL, OPEN = range(1, 5)
"""Errors; OPEN: the data ends within quotes."""


@njit(f"UniTuple(i8, 2)({TEXT}, i8, i8)", nogil=True, cache=True)
def quoted_end(data, place, end):
    """From after the opening quote to after the closing one, -1 when there is none; the form."""
    base = uint64(data.ctypes.data)
    form = np.int64(QUOTED)
    while True:
        stops = byte_stops(base + uint64(place), np.uint8(34))
        if stops == uint64(0):
            place += 64
            continue
        place += count_trailing_zeros(stops)
        if place >= end:
            return np.int64(-1), form
        if data[place] == 0:
            place += 1
        elif data[place + 1] == 34 and place + 1 < end:
            form = np.int64(DOUBLED)
            place += 2
        else:
            return place + 1, form


@njit(f"i8({TEXT}, i8, i8, u1)", nogil=True, cache=True)
def plain_end(data, place, end, delimiter):
    """After a cell without quotes."""
    base = uint64(data.ctypes.data)
    while place < end:
        stops = cell_stops(base + uint64(place), delimiter)
        if stops == uint64(0):
            place += 64
            continue
        place += count_trailing_zeros(stops)
        c = data[place]
        if place >= end or (c != 0 and c != 34):
            break
        place += 1
    return min(place, end)


@njit(f"i8({TEXT}, i8, i8, u1, i8, i8[:, ::1], i8[::1])", nogil=True, cache=True)
def take_row(data, place, end, delimiter, width, cells, cursor):
    """Read a record; the place after its line end. A width of 0 takes as many cells as come."""
    first = cursor[C_CELLS]
    while True:
        entry = cursor[C_CELLS]
        if width and entry - first == width:
            cursor[C_ERROR], cursor[C_PLACE] = RAGGED, place
            return place
        if entry == cells.shape[0]:
            cursor[C_ERROR] = CELLS_FULL
            return place
        if place < end and data[place] == 34:
            after, form = quoted_end(data, place + 1, end)
            if after < 0:
                cursor[C_ERROR], cursor[C_PLACE] = OPEN, place
                return place
            cells[entry, LO], cells[entry, HI] = place + 1, after - 1
        else:
            after, form = plain_end(data, place, end, delimiter), np.int64(PLAIN)
            cells[entry, LO], cells[entry, HI] = place, after
        cells[entry, FORM] = form
        cursor[C_CELLS] = entry + 1
        place = after
        if place < end and data[place] == delimiter:
            place += 1
            continue
        is_return = place + 1 < end and data[place] == 13 and data[place + 1] == 10
        place += is_return
        if place < end and data[place] != 10:
            cursor[C_ERROR], cursor[C_PLACE] = BAD_QUOTE, place
        elif width and cursor[C_CELLS] - first != width:
            cursor[C_ERROR], cursor[C_PLACE] = RAGGED, place
        return min(place + 1, end)


@njit(f"i8({TEXT}, i8, i8, u1, i8, i8, i8[:, ::1], i8[::1])", nogil=True, cache=True)
def scan_rows(data, place, end, delimiter, width, most, cells, cursor):
    """Put up to ``most`` records of data[place:end] into the table; the place reached.

    A record that is not whole stays unread: cursor[C_ERROR] says OPEN.
    """
    rows = 0
    while rows < most:
        while place < end and (data[place] == 10 or (data[place] == 13 and data[place + 1] == 10)):
            place += 2 if data[place] == 13 else 1
            cursor[C_BLANKS] += 1
        if place >= end:
            return place
        mark = cursor[C_CELLS]
        after = take_row(data, place, end, delimiter, width, cells, cursor)
        if cursor[C_ERROR]:
            cursor[C_CELLS] = mark
            return place
        place = after
        rows += 1
    return place


HAS_WHOLE, HAS_FRACTION, HAS_TEXT = 1, 2, 4
"""What a column has: integers of int64 as Python writes them, other numbers, anything else."""


@njit(f"void({TEXT}, i8[:, ::1], i8, i8[::1])", nogil=True, cache=True)
def classify(data, cells, width, found):
    """Add to found[column] what its cells are; an empty cell without quotes is nothing."""
    for i in range(cells.shape[0]):
        lo, hi = cells[i, LO], cells[i, HI]
        if cells[i, FORM] != PLAIN:
            found[i % width] |= HAS_TEXT
        elif hi > lo and not found[i % width] & HAS_TEXT:
            end, kind, _ = number_end(data, lo)
            if end == hi and kind == INT:
                found[i % width] |= HAS_WHOLE
            elif end == hi and kind in (FLOAT, EDGE):
                found[i % width] |= HAS_FRACTION
            else:
                found[i % width] |= HAS_TEXT
