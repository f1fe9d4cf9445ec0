"""Arrow IPC message headers, read before pyarrow loads the bodies.

A message is a flatbuffer (Message.fbs of the Arrow format) and a body. Record counts are needed to
number rows before anything is decoded, and compressed buffers declare any size they like.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from greendata.shards.pages import ReadAt

FILE_START_BYTES = 8

_CONTINUATION = 0xFFFFFFFF
_MAX_HEADER_BYTES = 64 * 2**20
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
_MESSAGE_KIND, _MESSAGE_HEADER, _MESSAGE_BODY_BYTES = 1, 2, 3
_DICTIONARY_DATA = 1
_BATCH_LENGTH, _BATCH_BUFFERS, _BATCH_COMPRESSION = 0, 2, 3


class MessageError(ValueError):
    """Bytes at a message's place are no message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A record batch (or a dictionary batch): its rows, and its buffers in the file.

    ``buffers`` are pairs of stored and declared decoded bytes.
    """

    is_record_batch: bool
    rows: int
    buffers: tuple[tuple[int, int], ...]
    end: int


def walk_messages(read_at: ReadAt, start: int, size: int) -> Iterator[Message]:
    """Record and dictionary batches from ``start`` up to the end mark.

    Raises:
        MessageError: damaged, or there is no end mark: the object was cut.
    """
    position = start
    while True:
        prefix = read_at(8, position)
        if len(prefix) < 4:
            raise MessageError("truncated: the end mark of the stream is missing")
        mark, length = struct.unpack("<Ii", prefix.ljust(8, b"\0"))
        header_start = position + 8
        if mark == _CONTINUATION and len(prefix) < 8:
            raise MessageError("truncated: the end mark of the stream is cut")
        if mark != _CONTINUATION:  # written before Arrow 0.15
            length, header_start = mark, position + 4
        if length == 0:
            return
        if not 0 < length <= min(_MAX_HEADER_BYTES, size - header_start):
            raise MessageError("truncated or damaged: a message reaches beyond the object")
        body_start = header_start + length
        try:
            message, position = _message(read_at, read_at(length, header_start), body_start)
        except (struct.error, IndexError) as error:
            raise MessageError("a message header is damaged") from error
        if position > size:
            raise MessageError("truncated: a message body reaches beyond the object")
        if message is not None:
            yield message


def _message(read_at: ReadAt, data: bytes, body_start: int) -> tuple[Message | None, int]:
    root = _Table(data, _unsigned(data, 0))
    end = body_start + root.number(_MESSAGE_BODY_BYTES, "<q")
    if end < body_start:
        raise MessageError("a message declares a negative size")
    kind = root.number(_MESSAGE_KIND, "<B")
    if kind not in (_RECORD_BATCH, _DICTIONARY_BATCH):
        return None, end
    batch = root.table(_MESSAGE_HEADER)
    if kind == _DICTIONARY_BATCH and batch is not None:
        batch = batch.table(_DICTIONARY_DATA)
    if batch is None:
        raise MessageError("a message has no header")
    stored = list(batch.pairs(_BATCH_BUFFERS))
    is_compressed = batch.table(_BATCH_COMPRESSION) is not None
    buffers = tuple(
        (size, _decoded_bytes(read_at, body_start + offset, size) if is_compressed else size)
        for offset, size in stored
    )
    rows = batch.number(_BATCH_LENGTH, "<q")
    if rows < 0:
        raise MessageError("a message declares a negative number of rows")
    return Message(is_record_batch=kind == _RECORD_BATCH, rows=rows, buffers=buffers, end=end), end


def _decoded_bytes(read_at: ReadAt, offset: int, size: int) -> int:
    """A compressed buffer begins with its decoded size; -1 says that it is stored as it is."""
    if size < 8:
        return size
    declared = int(struct.unpack("<q", read_at(8, offset))[0])
    return size if declared < 0 else declared


def _unsigned(data: bytes, position: int) -> int:
    return int(struct.unpack_from("<I", data, position)[0])


class _Table:
    """A flatbuffer table: its fields are found through its vtable."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position
        self._vtable = position - int(struct.unpack_from("<i", data, position)[0])
        if self._vtable < 0:
            raise MessageError("a message header is damaged")
        self._vtable_bytes = int(struct.unpack_from("<H", data, self._vtable)[0])

    def _field(self, number: int) -> int | None:
        entry = 4 + 2 * number
        if entry >= self._vtable_bytes:
            return None
        offset = int(struct.unpack_from("<H", self._data, self._vtable + entry)[0])
        return self._position + offset if offset else None

    def number(self, field: int, form: str) -> int:
        """A scalar field; zero when it is not there."""
        position = self._field(field)
        return 0 if position is None else int(struct.unpack_from(form, self._data, position)[0])

    def table(self, field: int) -> _Table | None:
        """A table field."""
        position = self._field(field)
        if position is None:
            return None
        return _Table(self._data, position + _unsigned(self._data, position))

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """A vector of structs of two 64-bit numbers."""
        position = self._field(field)
        if position is None:
            return
        vector = position + _unsigned(self._data, position)
        for index in range(_unsigned(self._data, vector)):
            offset, size = struct.unpack_from("<qq", self._data, vector + 4 + 16 * index)
            yield offset, size
