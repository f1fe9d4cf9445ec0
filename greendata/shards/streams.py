"""Bytes of one object: decompressed, bounded, cut at line ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greendata.shards.base import check_decoded, translated_errors

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.model import StoredObject
    from greendata.stores.base import Store

READ_BYTES = 2 * 2**20
"""Decompressing and parsing 1 to 2 MiB at a time measured fastest: it stays in the cache."""

_BOM = b"\xef\xbb\xbf"


class ByteStream:
    """Reads an object through its codec (``none``, ``gzip``, ``zstd``) and counts what it took.

    pyarrow's streams read every gzip member and zstd frame, refuse a cut or trailing garbage,
    and refuse zstd windows above 128 MiB; python-zstandard's reader takes a cut frame silently.
    """

    def __init__(
        self,
        store: Store,
        item: StoredObject,
        codec: str,
        watch: Callable[[bytes], None] | None = None,
    ) -> None:
        """``watch`` is given the stored bytes as they are read."""
        import pyarrow as pa

        self._item = item
        self._decoded = 0
        with translated_errors(item.uri):
            self._raw = store.open(item)
            self._stream = source = (
                self._raw if watch is None else pa.PythonFile(_Watched(self._raw, watch), mode="r")
            )
            if codec != "none":
                self._stream = pa.CompressedInputStream(source, codec)

    def read(self, size: int) -> bytes:
        """Up to ``size`` decoded bytes; empty at the end."""
        with translated_errors(self._item.uri):
            data: bytes = self._stream.read(size)
        self._decoded += len(data)
        check_decoded(self._item, self._decoded)
        return data

    @property
    def consumed_bytes(self) -> int:
        """Stored bytes read so far."""
        return min(int(self._raw.tell()), self._item.size_bytes)

    def close(self) -> None:
        self._stream.close()
        self._raw.close()


class _Watched:
    """A file whose bytes somebody else sees too."""

    def __init__(self, raw: pa.NativeFile, watch: Callable[[bytes], None]) -> None:
        self._raw = raw
        self._watch = watch
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._raw.read(size)
        self._watch(data)
        return data

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChunk:
    """Whole lines, or (``is_too_long``) the place of one line that was longer than allowed."""

    data: bytes | bytearray | memoryview
    source_bytes: int
    is_too_long: bool = False


def line_chunks(
    stream: ByteStream, *, chunk_bytes: int, max_line_bytes: int
) -> Iterator[LineChunk]:
    """Cut a stream at line ends; a line far above ``max_line_bytes`` is passed over, not held.

    A leading byte order mark is dropped. Lines a little too long may still be inside a chunk:
    the parser measures them. Memory stays below ``max_line_bytes`` plus three reads.
    """
    tail = bytearray()
    is_passing_over = False
    taken = 0
    size = max(1, min(chunk_bytes, READ_BYTES))
    block: bytes | memoryview = _without_bom(stream, size)
    while block:
        if is_passing_over:
            block, is_passing_over = _after_line_end(block)
        cut = _last_line_end(block)
        if cut:
            taken, source = stream.consumed_bytes, stream.consumed_bytes - taken
            yield LineChunk(data=_joined(tail, memoryview(block)[:cut]), source_bytes=source)
            tail = bytearray()
        if not is_passing_over:
            tail += memoryview(block)[cut:]
        if len(tail) > max_line_bytes + 1:  # one for a carriage return
            yield LineChunk(data=b"", source_bytes=0, is_too_long=True)
            tail, is_passing_over = bytearray(), True
        block = stream.read(size)
    source = stream.consumed_bytes - taken
    if tail or source:
        yield LineChunk(data=tail, source_bytes=source)


def _without_bom(stream: ByteStream, size: int) -> bytes:
    first = stream.read(max(size, len(_BOM)))
    while 0 < len(first) < len(_BOM):
        more = stream.read(size)
        if not more:
            break
        first += more
    return first.removeprefix(_BOM) or stream.read(size)


def _after_line_end(block: bytes | memoryview) -> tuple[bytes | memoryview, bool]:
    """What follows the first line end, and whether there is none."""
    end = bytes(block).find(b"\n")
    return (b"", True) if end < 0 else (memoryview(block)[end + 1 :], False)


def _last_line_end(block: bytes | memoryview) -> int:
    return bytes(block).rfind(b"\n") + 1


def _joined(tail: bytearray, rest: memoryview) -> bytearray | memoryview:
    if not tail:
        return rest
    tail += rest
    return tail


def read_at_most(stream: ByteStream, limit_bytes: int) -> bytes | None:
    """All of a stream without its byte order mark, or None when it is longer than the limit."""
    data = bytearray()
    while block := stream.read(READ_BYTES):
        data += block
        if len(data) > limit_bytes + len(_BOM):
            return None
    text = bytes(data).removeprefix(_BOM)
    return text if len(text) <= limit_bytes else None
