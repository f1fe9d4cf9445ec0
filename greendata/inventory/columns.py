"""Columns of reports, as text or typed, to columns of the inventory."""

from __future__ import annotations

import json

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


NAMED_TEXTS = pa.map_(pa.string(), pa.string())


def as_named_texts(column: pa.Array) -> pa.Array:
    """Tags by name, of maps or of JSON: an object, or a list of objects with key and value.

    What is empty, or written in another way, is not known.
    """
    if pa.types.is_map(column.type):
        return column.cast(NAMED_TEXTS)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return pa.nulls(len(column), NAMED_TEXTS)
    encoded = column.dictionary_encode()
    found = pa.array([_named(text) for text in encoded.dictionary.to_pylist()], NAMED_TEXTS)
    return found.take(encoded.indices)


def _named(text: str) -> list[tuple[str, str]] | None:
    try:
        document = json.loads(text)
        if isinstance(document, list):
            named = [{name.lower(): value for name, value in entry.items()} for entry in document]
            document = {entry["key"]: entry["value"] for entry in named}
        pairs = sorted(document.items())
        parts = [part for pair in pairs for part in pair]
        # what is not printable, lone surrogates among it, is no tag of either provider
        is_text = all(isinstance(part, str) and part.isprintable() for part in parts)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return pairs if is_text else None
