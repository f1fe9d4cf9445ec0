"""Parquet page headers, read before pyarrow decodes the pages.

The footer's sizes are only claims, and pyarrow allocates what a page header declares. Headers are
Thrift compact structs, laid out in parquet-format's parquet.thrift (PageHeader).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

ReadAt = Callable[[int, int], bytes]
"""Called with a number of bytes and an offset."""

DICTIONARY_PAGE = 2

_SECOND_VERSION = 3
_DATA_PAGES = {0, _SECOND_VERSION}
_FIRST_READ_BYTES = 256
_MAX_HEADER_BYTES = 16 * 2**20  # pyarrow's own limit
_MAX_DEPTH = 16

_TYPE, _UNCOMPRESSED, _COMPRESSED = 1, 2, 3
_HEADER_FIELDS = {0: 5, 2: 7, 3: 8}  # page type -> field of its own header
_NUM_VALUES = 1
_LEVELS = (5, 6)  # bytes of definition and repetition levels, which version 2 does not compress

_Fields = dict[int, object]


class PageHeaderError(ValueError):
    """Bytes at a page's place are no page header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page header declares; ``levels_bytes`` stand uncompressed before the values."""

    kind: int
    values: int
    body_offset: int
    compressed_bytes: int
    uncompressed_bytes: int
    levels_bytes: int = 0

    @property
    def is_data(self) -> bool:
        return self.kind in _DATA_PAGES


def walk_pages(read_at: ReadAt, start: int, size: int, values: int) -> Iterator[Page]:
    """Pages of a column chunk, up to its end or until ``values`` values are declared.

    Raises:
        PageHeaderError: a header is damaged or points outside the chunk.
    """
    position, end, seen = start, start + size, 0
    while position < end and seen < values:
        page = _read_page(read_at, position, end)
        position = page.body_offset + page.compressed_bytes
        if position > end:
            raise PageHeaderError("a page reaches beyond its column chunk")
        seen += page.values if page.is_data else 0
        yield page


def _read_page(read_at: ReadAt, position: int, end: int) -> Page:
    size = _FIRST_READ_BYTES
    while True:
        data = read_at(min(size, end - position), position)
        try:
            fields, length = _read_struct(data, 0, 0)
            return _page(fields, position + length)
        except IndexError as error:
            if len(data) < size or size >= _MAX_HEADER_BYTES:
                raise PageHeaderError("a page header is cut short") from error
            size *= 8


def _page(fields: _Fields, body_offset: int) -> Page:
    kind = _number(fields, _TYPE)
    own = fields.get(_HEADER_FIELDS.get(kind, 0), {})
    page = Page(
        kind=kind,
        values=_number(own, _NUM_VALUES) if isinstance(own, dict) and own else 0,
        body_offset=body_offset,
        compressed_bytes=_number(fields, _COMPRESSED),
        uncompressed_bytes=_number(fields, _UNCOMPRESSED),
        levels_bytes=_levels(own) if kind == _SECOND_VERSION and isinstance(own, dict) else 0,
    )
    sizes = (page.values, page.compressed_bytes, page.uncompressed_bytes, page.levels_bytes)
    if min(sizes) < 0:
        raise PageHeaderError("a page header declares a negative size")
    return page


def _levels(own: _Fields) -> int:
    return sum(_number(own, field) for field in _LEVELS)


def _number(fields: _Fields, field: int) -> int:
    value = fields.get(field)
    if not isinstance(value, int):
        raise PageHeaderError("a page header lacks a field")
    return value


def _read_struct(data: bytes, position: int, depth: int) -> tuple[_Fields, int]:
    if depth > _MAX_DEPTH:
        raise PageHeaderError("a page header is nested too deeply")
    fields: _Fields = {}
    field = 0
    while True:
        byte = data[position]
        position += 1
        if byte == 0:
            return fields, position
        if byte >> 4:
            field += byte >> 4
        else:
            number, position = _read_varint(data, position)
            field = _zigzag(number)
        fields[field], position = _read_value(data, position, byte & 15, depth)


def _read_value(data: bytes, position: int, kind: int, depth: int) -> tuple[object, int]:
    match kind:
        case 1 | 2:  # true and false are in the type
            return kind == 1, position
        case 3:
            return data[position], position + 1
        case 4 | 5 | 6:
            number, position = _read_varint(data, position)
            return _zigzag(number), position
        case 7:
            return None, _within(data, position + 8)
        case 8:
            length, position = _read_varint(data, position)
            return None, _within(data, position + length)
        case 9 | 10:
            return None, _skip_list(data, position, depth)
        case 12:
            return _read_struct(data, position, depth + 1)
    raise PageHeaderError("bytes at a page's place are no page header")


def _skip_list(data: bytes, position: int, depth: int) -> int:
    byte = data[position]
    position += 1
    count, kind = byte >> 4, byte & 15
    if count == 15:
        count, position = _read_varint(data, position)
    for _ in range(count):
        if kind in (1, 2):
            position = _within(data, position + 1)
        else:
            _, position = _read_value(data, position, kind, depth + 1)
    return position


def _within(data: bytes, position: int) -> int:
    if position > len(data):
        raise IndexError
    return position


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 63:
            raise PageHeaderError("a number in a page header is too long")


def _zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)
