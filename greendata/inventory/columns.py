"""Columns of reports, as text or typed, to columns of the inventory."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from greendata.schemas import TIME


def as_text(column: pa.Array) -> pa.Array:
    """Text; reports write nothing where there is nothing."""
    text = column.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def as_number(column: pa.Array) -> pa.Array:
    """Whole numbers, of text or numbers."""
    return as_text(column).cast(pa.int64()) if pa.types.is_string(column.type) else column


def as_flag(column: pa.Array) -> pa.Array:
    """Truth, of text or booleans; what is empty is not known."""
    if pa.types.is_boolean(column.type):
        return column
    return pc.equal(pc.utf8_lower(as_text(column)), "true")


def as_time(column: pa.Array) -> pa.Array:
    """Times in UTC, of ISO 8601 text, milliseconds or timestamps."""
    if pa.types.is_string(column.type):
        # Azure writes seven digits of a second, which microseconds cannot take
        short = pc.replace_substring_regex(as_text(column), r"(\.\d{6})\d+", r"\1")
        return short.cast(TIME)
    if pa.types.is_integer(column.type):
        column = column.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return pc.assume_timezone(column.cast(pa.timestamp("us")), "UTC")
    return column.cast(TIME)
