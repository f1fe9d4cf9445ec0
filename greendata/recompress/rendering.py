"""Rows back to the lines of JSON they came from."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greendata.errors import IntegrityError
from greendata.recompress.dialect import Dialect
from greendata.recompress.kernel.texts import escaped_room, quote
from greendata.recompress.lattice import NULL_IS_BOTH, NULL_IS_NULL
from greendata.recompress.sources import DIALECT_KEY, MISSING_COLUMN, RAW_COLUMN

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_BYTES = pa.large_binary()
_NOTHING = pa.scalar(b"", _BYTES)
_NULL = pa.scalar(b"null", _BYTES)


def restore_lines(
    batches: Iterable[pa.RecordBatch], metadata: Mapping[bytes, bytes]
) -> Iterator[bytes]:
    """The lines of a JSON Lines object from its rows in their first order, some at a time.

    ``metadata`` is that of the source's schema. Of grade ``exact``, all together are the bytes of
    the decoded object; of grade ``logical``, the same values.

    Raises:
        IntegrityError: the metadata does not tell how.
    """
    raw = metadata.get(DIALECT_KEY)
    description = {} if raw is None else json.loads(raw)
    if description.get("format") != "jsonl":
        raise IntegrityError(
            "The rows do not say how they stood in a JSON Lines file.",
            hint="Only what recompress made of JSON Lines goes back to it.",
        )
    renderer = Renderer(description)
    for batch in batches:
        lines = renderer.lines(batch)
        if RAW_COLUMN in batch.schema.names:
            lines = pc.coalesce(batch.column(RAW_COLUMN).cast(_BYTES), lines)
        offsets, data = parts_of(lines)
        yield data[offsets[0] : offsets[-1]].tobytes()
    trailer = description.get("trailer", "").encode("latin-1")
    if trailer:
        yield trailer


class Renderer:
    """Writes rows as lines, by the description that stands in their metadata."""

    def __init__(self, description: dict[str, Any]) -> None:
        self._columns = description["columns"]
        self._is_wrapped = description["is_wrapped"]
        self._told_apart = description["told_apart"]
        self._dialect = Dialect(**description.get("dialect", {}))

    def lines(self, batch: pa.RecordBatch) -> pa.Array:
        """One large binary value a row, line end included."""
        columns = [batch.column(node["name"]) for node in self._columns]
        if self._is_wrapped:
            record = self._values(self._columns[0], columns[0]).fill_null(_NULL)
        else:
            apart = self._missing(batch)
            parts = [
                self._member(node, column, apart.get(node["name"]))
                for node, column in zip(self._columns, columns, strict=True)
            ]
            record = self._joined(parts, batch.num_rows)
        return _join(record, _scalar(self._dialect.line_end))

    def _missing(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """For names with null and missing values: where they are missing."""
        if not self._told_apart:
            return {}
        column = batch.column(MISSING_COLUMN)
        width = column.type.byte_width
        octets = np.frombuffer(column.buffers()[1], np.uint8)
        octets = octets[column.offset * width :][: len(column) * width]
        bits = np.unpackbits(octets.reshape(-1, width), axis=1, bitorder="little")
        return {
            name: pa.array(bits[:, place].astype(np.bool_))
            for place, name in enumerate(self._told_apart)
        }

    def _member(self, node: dict[str, Any], column: pa.Array, missing: pa.Array | None) -> pa.Array:
        """A value with its name before it; null where it is missing."""
        values = self._values(node, column)
        if node["nulls"] == NULL_IS_NULL:
            values = values.fill_null(_NULL)
        elif node["nulls"] == NULL_IS_BOTH:
            is_null = pc.and_(values.is_null(), pc.invert(missing))
            values = pc.if_else(is_null, _NULL, values)
        return _join(_scalar(self._quoted_name(node["name"])), values)

    def _quoted_name(self, name: str) -> str:
        quoted = self._quoted(pa.array([name], pa.large_string()))[0].as_py()
        return f"{quoted.decode()}{self._dialect.name_separator}"

    def _joined(self, parts: list[pa.Array], rows: int) -> pa.Array:
        """Members that are there, with commas between and braces around."""
        separator = _scalar(self._dialect.item_separator)
        if not parts:
            return pa.array([b"{}"] * rows, _BYTES)
        # pyarrow 26 drops rows where all are null, instead of joining nothing
        is_empty = functools.reduce(pc.and_, [part.is_null() for part in parts])
        first = pc.if_else(is_empty, _NOTHING, parts[0])
        members = pc.binary_join_element_wise(first, *parts[1:], separator, null_handling="skip")
        return _join(_scalar("{"), members, _scalar("}"))

    def _values(self, node: dict[str, Any], column: pa.Array) -> pa.Array:
        """Large binary: each value as JSON, null where there is none."""
        if isinstance(column.type, pa.BaseExtensionType):
            column = column.storage
        if isinstance(column.type, pa.DictionaryType):
            column = column.dictionary_decode()
        match node["kind"]:
            case "json":
                return column.cast(_BYTES)
            case "string":
                return self._quoted(column.cast(pa.large_string()))
            case "bool":
                return pc.if_else(column, _scalar("true"), _scalar("false"))
            case "number":
                return self._numbers(column)
            case "struct":
                return self._struct(node, column)
            case _:
                return self._list(node, column)

    def _quoted(self, texts: pa.Array) -> pa.Array:
        offsets, data = parts_of(texts)
        style = self._dialect.style
        room = escaped_room(data, offsets[0], offsets[-1], style) + 2 * len(texts)
        out = np.empty(room, np.uint8)
        places = np.empty(len(texts) + 1, np.int64)
        quote(data, offsets, _validity(texts), style, out, places)
        return _large_binary(places, out, texts)

    def _numbers(self, column: pa.Array) -> pa.Array:
        if not pa.types.is_floating(column.type):
            return column.cast(pa.large_string()).cast(_BYTES)
        texts = [None if value is None else repr(value) for value in column.to_pylist()]
        if self._dialect.has_short_integers:
            texts = [None if text is None else text.removesuffix(".0") for text in texts]
        if not self._dialect.has_long_exponents:
            texts = [None if text is None else _short_exponent(text) for text in texts]
        return pa.array(texts, pa.large_string()).cast(_BYTES)

    def _struct(self, node: dict[str, Any], column: pa.Array) -> pa.Array:
        parts = [
            self._member(child, column.field(place), None)
            for place, child in enumerate(node["children"])
        ]
        return _masked(self._joined(parts, len(column)), column)

    def _list(self, node: dict[str, Any], column: pa.Array) -> pa.Array:
        (child,) = node["children"]
        column = column.cast(pa.large_list(column.type.value_type))
        offsets = column.offsets
        first, end = offsets[0].as_py(), offsets[-1].as_py()
        items = self._values(child, column.values.slice(first, end - first)).fill_null(_NULL)
        lists = pa.LargeListArray.from_arrays(pc.subtract(offsets, first), items)
        inside = pc.binary_join(lists, _scalar(self._dialect.item_separator))
        return _masked(_join(_scalar("["), inside, _scalar("]")), column)


def _short_exponent(number: str) -> str:
    mantissa, mark, exponent = number.partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else number


def _scalar(text: str) -> pa.Scalar:
    return pa.scalar(text.encode(), _BYTES)


def _join(*parts: pa.Array | pa.Scalar) -> pa.Array:
    """One after the other; null where one is."""
    return pc.binary_join_element_wise(*parts, _NOTHING, null_handling="emit_null")


def _validity(array: pa.Array) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    return found


def _masked(values: pa.Array, column: pa.Array) -> pa.Array:
    """``values`` where ``column`` has one."""
    return values if not column.null_count else pc.if_else(column.is_valid(), values, None)


def parts_of(array: pa.Array) -> tuple[Integers, npt.NDArray[np.uint8]]:
    """Offsets int64 [n + 1] and bytes of a large string or binary array."""
    _, offsets, data = array.buffers()
    if offsets is None or not len(array):
        return np.zeros(len(array) + 1, np.int64), np.zeros(0, np.uint8)
    numbers = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
    return numbers, np.frombuffer(data if data is not None else b"", np.uint8)


def _large_binary(places: Integers, out: npt.NDArray[np.uint8], like: pa.Array) -> pa.Array:
    mask = pa.py_buffer(np.packbits(_validity(like), bitorder="little"))
    buffers = [mask, pa.py_buffer(places), pa.py_buffer(out[: places[-1]])]
    return pa.Array.from_buffers(_BYTES, len(like), buffers)
