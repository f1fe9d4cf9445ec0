"""JSON Lines (RFC 8259, strictly) to a tape: one row a value, with its path, kind and place.

A path is where a value stands: the record itself, a name in the objects of a path, or the elements
of the arrays of a path. What stands in a *closed* path is checked, but not put on the tape.
``NaN`` and ``Infinity``, which Python writes, are taken as values of a kind of their own.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from greendata.recompress.kernel.scalars import (
    ARRAY,
    BAD,
    LONE,
    NONSTANDARD,
    NULL,
    OBJECT,
    STRING,
    TEXT,
    scalar_end,
    skip_spaces,
    string_end,
    unescape,
)

REPEATED, NONSTANDARD_INSIDE = 18, 19
"""Further bits of a path's kinds: an object with a name twice; below a closed path a NONSTANDARD
value or half a surrogate pair, which some readers of JSON refuse."""

PARENT, KEY_LO, KEY_HI, KINDS, COUNT, NULLS, CHILDREN, CLOSED, STAMP, NEXT, FIRST, ITEM, DEPTH = (
    range(13)
)
PATH_FIELDS = 13
"""Columns of the path table: keys stand in the arena; NEXT, FIRST: the path that followed last
time; ITEM: of the elements, or -1; STAMP: the last object that had the name."""

T_PATH, T_KIND, T_LO, T_HI, T_UP = range(5)
TAPE_FIELDS = 5
"""Columns of the tape; T_UP is the tape index of the enclosing object or array, or -1."""

S_TAPE, S_PATH, S_OPEN, S_LAST, S_SERIAL = range(5)
STACK_FIELDS = 5
MAX_DEPTH = 1000

C_PATHS, C_ARENA, C_SERIAL, C_TAPE, C_ERROR, C_PLACE, C_QUIET, C_DEPTH, C_EDGES, C_REPEATED = range(
    10
)
CURSOR_FIELDS = 10
"""C_REPEATED counts the records up to the first that has a name twice itself, or is zero."""

SYNTAX, SEVERAL, TOO_DEEP, BAD_STRING, BAD_NAME, TAPE_FULL, PATHS_FULL = range(1, 8)
"""Errors; after the last two, the tables are to be made larger and the record read again."""

MAX_NAMES = 1000
MAX_NAMES_INSIDE = 100
MAX_TYPED_DEPTH = 8
"""A record or object with more names, and values nested deeper, are not typed further."""
MAX_PATHS = 20_000
MOST_PATHS = 60_000
"""Paths of names, and with those of elements: below 2**16, so that sorting by path is fast."""

_TABLES = "i8[:, ::1], u1[::1], i8[::1], i8[::1], u1[::1]"
"""Path table, arena, hash table of names, set of neighbours, scratch for one name."""
_STATE = "i8[:, ::1], i8[:, ::1], i8[::1]"
"""Tape, stack, cursor."""
VALUE, NAME, AFTER = range(3)


@njit("b1(i8[:, ::1], u1[::1], i8, i8, u1[::1], i8)", nogil=True, cache=True, inline="always")
def has_name(paths, arena, path, parent, name, size):
    """Whether a path is that of ``name[:size]`` in the objects of ``parent``."""
    row = paths[path]
    if row[PARENT] != parent or row[KEY_HI] - row[KEY_LO] != size:
        return False
    for j in range(size):
        if arena[row[KEY_LO] + j] != name[j]:
            return False
    return True


@njit("i8(i8[:, ::1], i8, i8, i8, i8[::1])", nogil=True, cache=True)
def new_path(paths, parent, lo, hi, cursor):
    """Add a row to the path table, which has room."""
    path = cursor[C_PATHS]
    cursor[C_PATHS] += 1
    paths[path] = 0
    paths[path, PARENT] = parent
    paths[path, KEY_LO] = lo
    paths[path, KEY_HI] = hi
    paths[path, STAMP] = -1
    paths[path, NEXT] = -1
    paths[path, FIRST] = -1
    paths[path, ITEM] = -1
    if parent >= 0:
        paths[parent, CHILDREN] += 1
        paths[path, DEPTH] = paths[parent, DEPTH] + 1
    return path


@njit("u8(i8, u1[::1], i8)", nogil=True, cache=True)
def name_hash(parent, name, size):
    """Spreads the names below a path over the hash table."""
    mixed = uint64(parent + 1) * uint64(0x9E3779B97F4A7C15)
    for j in range(size):
        mixed = (mixed ^ uint64(name[j])) * uint64(0x100000001B3)
    return mixed ^ (mixed >> uint64(29))


@njit("i8(i8[:, ::1], i8[::1], u1[::1], i8, u1[::1], i8, i8[::1])", nogil=True, cache=True)
def name_path(paths, table, arena, parent, name, size, cursor):
    """The path of a name, new if need be; -1 when ``parent`` is closed for it, -2 when full."""
    mask = uint64(table.shape[0] - 1)
    slot = name_hash(parent, name, size) & mask
    while table[slot] >= 0:
        if has_name(paths, arena, table[slot], parent, name, size):
            return table[slot]
        slot = (slot + uint64(1)) & mask
    is_record = parent == 0
    limit = MAX_NAMES if is_record else MAX_NAMES_INSIDE
    if paths[parent, CHILDREN] >= limit or cursor[C_PATHS] >= MAX_PATHS:
        paths[parent, CLOSED] = 1
        return np.int64(-1)
    lo = cursor[C_ARENA]
    if lo + size > arena.shape[0] or cursor[C_PATHS] >= min(paths.shape[0], table.shape[0] // 2):
        return np.int64(-2)
    arena[lo : lo + size] = name[:size]
    cursor[C_ARENA] = lo + size
    path = new_path(paths, parent, lo, lo + size, cursor)
    table[slot] = path
    return path


@njit("void(i8[:, ::1], i8[::1], u1[::1])", nogil=True, cache=True)
def fill_table(paths, table, arena):
    """Enter all names into an empty hash table."""
    mask = uint64(table.shape[0] - 1)
    for path in range(1, paths.shape[0]):
        parent, lo, hi = paths[path, PARENT], paths[path, KEY_LO], paths[path, KEY_HI]
        if paths[parent, ITEM] == path:
            continue
        slot = name_hash(parent, arena[lo:hi], hi - lo) & mask
        while table[slot] >= 0:
            slot = (slot + uint64(1)) & mask
        table[slot] = path


@njit("i8(i8, i8, i8, i8, i8[:, ::1], i8[:, ::1], i8[:, ::1], i8[::1])", nogil=True, cache=True)
def emit(path, kind, lo, hi, paths, tape, stack, cursor):
    """Put a value on the tape; its index, or -1 when the tape is full."""
    entry = cursor[C_TAPE]
    if entry == tape.shape[0]:
        cursor[C_ERROR] = TAPE_FULL
        return np.int64(-1)
    cursor[C_TAPE] = entry + 1
    depth = cursor[C_DEPTH]
    tape[entry, T_PATH] = path
    tape[entry, T_KIND] = kind
    tape[entry, T_LO] = lo
    tape[entry, T_HI] = hi
    tape[entry, T_UP] = stack[depth - 1, S_TAPE] if depth else -1
    paths[path, KINDS] |= np.int64(1) << kind
    paths[path, COUNT] += 1
    paths[path, NULLS] += kind == NULL
    return entry


@njit("i8(i8, i8[:, ::1], i8[:, ::1], i8[::1])", nogil=True, cache=True)
def close(place, tape, stack, cursor):
    """End the innermost object or array at its closing bracket; the place after it."""
    depth = cursor[C_DEPTH] - 1
    cursor[C_DEPTH] = depth
    if stack[depth, S_TAPE] >= 0:
        tape[stack[depth, S_TAPE], T_HI] = place + 1
    if cursor[C_QUIET] == depth:
        cursor[C_QUIET] = -1
    return place + 1


@njit("i8(i8[:, ::1], i8[:, ::1], i8[::1])", nogil=True, cache=True)
def item_path(paths, stack, cursor):
    """The path of the elements of the innermost array."""
    if cursor[C_QUIET] >= 0:
        return np.int64(-1)
    parent = stack[cursor[C_DEPTH] - 1, S_PATH]
    if paths[parent, ITEM] < 0:
        if cursor[C_PATHS] >= MOST_PATHS:
            paths[parent, CLOSED] = 1
            cursor[C_QUIET] = cursor[C_DEPTH] - 1
            return np.int64(-1)
        if cursor[C_PATHS] == paths.shape[0]:
            cursor[C_ERROR] = PATHS_FULL
            return np.int64(-1)
        paths[parent, ITEM] = new_path(paths, parent, 0, 0, cursor)
    return paths[parent, ITEM]


@njit(f"UniTuple(i8, 3)({TEXT}, i8, i8, i8[:, ::1], {_STATE})", nogil=True, cache=True)
def take_value(data, place, path, paths, tape, stack, cursor):
    """Read the value at a place, or the bracket that opens it: where, what and which path next."""
    c = data[place]
    is_loud = cursor[C_QUIET] < 0
    if c != 123 and c != 91:
        end, kind, bits = scalar_end(data, place)
        if kind == BAD:
            cursor[C_ERROR] = BAD_STRING if c == 34 else SYNTAX
        elif is_loud:
            paths[path, KINDS] |= bits
            emit(path, kind, place, end, paths, tape, stack, cursor)
        elif kind in (NONSTANDARD, LONE):
            paths[stack[cursor[C_QUIET], S_PATH], KINDS] |= np.int64(1 << NONSTANDARD_INSIDE)
        return end, np.int64(AFTER), path
    depth = cursor[C_DEPTH]
    entry = np.int64(-1)
    if depth == MAX_DEPTH:
        cursor[C_ERROR] = TOO_DEEP
    elif is_loud:
        kind = np.int64(OBJECT if c == 123 else ARRAY)
        entry = emit(path, kind, place, place, paths, tape, stack, cursor)
    if cursor[C_ERROR]:
        return place, np.int64(AFTER), path
    stack[depth, S_TAPE] = entry
    stack[depth, S_PATH] = path if is_loud else -1
    stack[depth, S_OPEN] = c
    stack[depth, S_LAST] = -1
    stack[depth, S_SERIAL] = cursor[C_SERIAL]
    cursor[C_SERIAL] += 1
    cursor[C_DEPTH] = depth + 1
    if is_loud:
        if paths[path, DEPTH] >= MAX_TYPED_DEPTH:
            paths[path, CLOSED] = 1
        if paths[path, CLOSED]:
            cursor[C_QUIET] = depth
    place = skip_spaces(data, place + 1)
    if data[place] == c + 2:
        return close(place, tape, stack, cursor), np.int64(AFTER), path
    if c == 123:
        return place, np.int64(NAME), path
    return place, np.int64(VALUE), item_path(paths, stack, cursor)


@njit(f"b1({TEXT}, i8, i8, i8[:, ::1], u1[::1], i8)", nogil=True, cache=True, inline="always")
def stands_at(data, lo, hi, paths, arena, path):
    """Whether data[lo:hi] is the name of a path."""
    start = paths[path, KEY_LO]
    if paths[path, KEY_HI] - start != hi - lo:
        return False
    for j in range(hi - lo):
        if arena[start + j] != data[lo + j]:
            return False
    return True


@njit("void(i8, i8, i8[::1], i8[::1])", nogil=True, cache=True)
def note_neighbours(last, path, neighbours, cursor):
    """Remember that one name followed another, while there is room: it only guides the order."""
    if cursor[C_EDGES] * 2 >= neighbours.shape[0]:
        return
    pair = last * MAX_PATHS + path
    mask = uint64(neighbours.shape[0] - 1)
    slot = (uint64(pair) * uint64(0x9E3779B97F4A7C15) >> uint64(32)) & mask
    while neighbours[slot] >= 0:
        if neighbours[slot] == pair:
            return
        slot = (slot + uint64(1)) & mask
    neighbours[slot] = pair
    cursor[C_EDGES] += 1


@njit(f"UniTuple(i8, 2)({TEXT}, i8, {_TABLES}, i8[:, ::1], i8[::1])", nogil=True, cache=True)
def take_name(data, place, paths, arena, table, neighbours, scratch, stack, cursor):
    """Read a name and its colon: the place after it, and the path of its value (-1: not typed)."""
    end, kind = string_end(data, place) if data[place] == 34 else (place, np.int64(BAD))
    colon = place
    if kind != BAD:
        colon = skip_spaces(data, end)
    if kind == BAD or data[colon] != 58:
        cursor[C_ERROR] = SYNTAX
        return colon if kind != BAD else end, np.int64(-1)
    if cursor[C_QUIET] >= 0:
        if kind == LONE:
            paths[stack[cursor[C_QUIET], S_PATH], KINDS] |= np.int64(1 << NONSTANDARD_INSIDE)
        return colon + 1, np.int64(-1)
    row = stack[cursor[C_DEPTH] - 1]
    parent, last = row[S_PATH], row[S_LAST]
    if kind == LONE:
        cursor[C_ERROR] = BAD_NAME if parent == 0 else 0
        paths[parent, KINDS] |= np.int64(1 << NONSTANDARD_INSIDE)
    guess = paths[parent, FIRST] if last < 0 else paths[last, NEXT]
    lo, hi = place + 1, end - 1
    if guess < 0 or kind != STRING or not stands_at(data, lo, hi, paths, arena, guess):
        path = np.int64(-1)
        if hi - lo <= scratch.shape[0] and kind != LONE:
            size = unescape(data, lo, hi, scratch)
            path = name_path(paths, table, arena, parent, scratch, size, cursor)
        if path == -2:
            cursor[C_ERROR] = PATHS_FULL
            return place, path
        if path == -1:
            paths[parent, CLOSED] = 1
            cursor[C_QUIET] = cursor[C_DEPTH] - 1
            return colon + 1, path
        if last < 0:
            paths[parent, FIRST] = path
        else:
            paths[last, NEXT] = path
            note_neighbours(last, path, neighbours, cursor)
        guess = path
    if paths[guess, STAMP] == row[S_SERIAL]:
        paths[parent, KINDS] |= np.int64(1 << REPEATED)
        if parent == 0 and cursor[C_REPEATED] == 0:
            cursor[C_REPEATED] = paths[0, COUNT]
    paths[guess, STAMP] = row[S_SERIAL]
    row[S_LAST] = guess
    return colon + 1, guess


@njit(f"i8({TEXT}, i8, {_TABLES}, {_STATE})", nogil=True, cache=True)
def take_record(data, place, paths, arena, table, neighbours, scratch, tape, stack, cursor):
    """Read the record at a place; the place after it, or of the error."""
    state, path = np.int64(VALUE), np.int64(0)
    cursor[C_QUIET], cursor[C_DEPTH] = -1, 0
    while cursor[C_ERROR] == 0:
        place = skip_spaces(data, place)
        if state == VALUE:
            place, state, path = take_value(data, place, path, paths, tape, stack, cursor)
        elif state == NAME:
            place, path = take_name(
                data, place, paths, arena, table, neighbours, scratch, stack, cursor
            )
            state = np.int64(VALUE)
        elif cursor[C_DEPTH] == 0:
            return place
        else:
            opened = stack[cursor[C_DEPTH] - 1, S_OPEN]
            if data[place] == 44:
                place += 1
                state = np.int64(NAME if opened == 123 else VALUE)
                if opened == 91:
                    path = item_path(paths, stack, cursor)
            elif data[place] == opened + 2:
                place = close(place, tape, stack, cursor)
            else:
                cursor[C_ERROR] = SYNTAX
    return place


@njit(f"i8({TEXT}, i8, i8, {_TABLES}, {_STATE})", nogil=True, cache=True)
def scan(data, place, end, paths, arena, table, neighbours, scratch, tape, stack, cursor):
    """Put the records of data[place:end], whole lines, on the tape; the place reached.

    ``data`` ends in BLOCK_BYTES zeros. cursor[C_ERROR] says why not all was read; cursor[C_PLACE]
    is where. A full table leaves the place at the start of a record.
    """
    while True:
        while place < end and (data[place] == 10 or skip_spaces(data, place) > place):
            place += 1
        if place >= end:
            return place
        mark = cursor[C_TAPE]
        after = take_record(
            data, place, paths, arena, table, neighbours, scratch, tape, stack, cursor
        )
        if cursor[C_ERROR] == 0:
            after = skip_spaces(data, after)
            if after < end and data[after] != 10:
                cursor[C_ERROR] = SEVERAL
        cursor[C_PLACE] = after
        if cursor[C_ERROR] == TAPE_FULL or cursor[C_ERROR] == PATHS_FULL:
            for entry in range(mark, cursor[C_TAPE]):
                paths[tape[entry, T_PATH], COUNT] -= 1
                paths[tape[entry, T_PATH], NULLS] -= tape[entry, T_KIND] == NULL
            cursor[C_TAPE] = mark
        if cursor[C_ERROR]:
            return place
        place = after
