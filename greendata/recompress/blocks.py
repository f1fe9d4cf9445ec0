"""A text object as blocks of bytes that end at line ends, checked and counted on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from greendata.errors import ObjectChangedError
from greendata.recompress.kernel.intrinsics import BLOCK_BYTES
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.shards.base import ShardError
from greendata.shards.streams import READ_BYTES, ByteStream

if TYPE_CHECKING:
    import numpy.typing as npt

    from greendata.model import StoredObject
    from greendata.recompress.sources import SourceOptions
    from greendata.stores.base import Store

    Octets = npt.NDArray[np.uint8]

_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True, kw_only=True, eq=False)
class Block:
    """``data[start:end]`` are whole lines; zeros follow, which the kernels rely on.

    Who takes it leaves in ``used`` how far he came: the rest comes again with the next block.
    ``place`` is where ``data`` begins in the decoded object; ``is_utf8`` may be False only where
    the reader was told that it need not be.
    """

    data: Octets
    start: int
    end: int
    place: int
    is_final: bool
    used: int
    is_utf8: bool = True


class BlockReader:
    """Reads an object once; afterwards its digests and size are known.

    Attributes:
        sha256: of the stored bytes; content_sha256: of the decoded ones.
        content_bytes: how many decoded bytes.
        has_bom: whether they begin with a UTF-8 byte order mark, which no block holds.
    """

    def __init__(
        self,
        store: Store,
        item: StoredObject,
        codec: str,
        options: SourceOptions,
        *,
        needs_utf8: bool = True,
    ) -> None:
        self._store = store
        self._item = item
        self._codec = codec
        self._options = options
        self._needs_utf8 = needs_utf8
        self._stored = hashlib.sha256()
        self._content = hashlib.sha256()
        self.content_bytes = 0
        self.has_bom = False

    @property
    def sha256(self) -> str:
        return (self._content if self._codec == "none" else self._stored).hexdigest()

    @property
    def content_sha256(self) -> str:
        return self._content.hexdigest()

    def __iter__(self) -> Iterator[Block]:
        """Raises:
        RefusedSourceError: cut short, not UTF-8, or with a record that is too long.
        """
        watch = None if self._codec == "none" else self._stored.update
        with closing(ByteStream(self._store, self._item, self._codec, watch)) as stream:
            yield from self._blocks(stream)

    def _blocks(self, stream: ByteStream) -> Iterator[Block]:
        rest, place, wanted = b"", 0, self._options.batch_bytes
        while True:
            raw, is_final = self._filled(stream, rest, wanted)
            end = len(raw) if is_final else raw.rfind(b"\n") + 1
            start = len(_BOM) if not place and raw.startswith(_BOM) else 0
            self.has_bom |= bool(start)
            block = _padded(raw, start, end, place, is_final)
            if end > start:
                self._check_utf8(block)
                yield block
            if is_final:
                return
            used = block.used if end > start else 0
            rest, place = raw[used:], place + used
            wanted = self._options.batch_bytes
            if not used:
                wanted = 2 * len(raw)
                self._check_length(len(raw))

    def _filled(self, stream: ByteStream, rest: bytes, wanted: int) -> tuple[bytes, bool]:
        """At least ``wanted`` bytes, or all there are."""
        parts, size = [rest], len(rest)
        while size < wanted:
            more = self._read(stream)
            if not more:
                return b"".join(parts), True
            self._content.update(more)
            self.content_bytes += len(more)
            parts.append(more)
            size += len(more)
        return b"".join(parts), False

    def _read(self, stream: ByteStream) -> bytes:
        try:
            return stream.read(READ_BYTES)
        except ShardError as error:
            if error.reason != "truncated":
                raise
            raise RefusedSourceError(
                error.message, reason=RefusalReason.TRUNCATED, hint=error.hint
            ) from error

    def _check_length(self, size: int) -> None:
        if size > self._options.max_record_bytes:
            raise RefusedSourceError(
                f"{self._item.uri}: a record has more than {self._options.max_record_bytes} bytes.",
                reason=RefusalReason.RECORD_TOO_LARGE,
                hint="Allow larger records, if it is honest.",
            )

    def _check_utf8(self, block: Block) -> None:
        offsets = np.array([block.start, block.end], np.int64)
        text = pa.LargeStringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(block.data))
        try:
            text.validate(full=True)
        except pa.ArrowInvalid as error:
            block.is_utf8 = False
            if not self._needs_utf8:
                return
            raw = block.data[block.start : block.end].tobytes()
            where = block.place + block.start + _first_invalid(raw)
            raise RefusedSourceError(
                f"{self._item.uri}: byte {where} of its text is not UTF-8.",
                reason=RefusalReason.INVALID_UTF8,
                hint="Convert it to UTF-8 first; no encoding is guessed.",
            ) from error


def changed(item: StoredObject) -> ObjectChangedError:
    """What is raised when an object gives other bytes than before."""
    return ObjectChangedError(
        f"{item.uri}: changed while it was read.", hint="Try again once it is at rest."
    )


def _padded(raw: bytes, start: int, end: int, place: int, is_final: bool) -> Block:
    data = np.empty(end + BLOCK_BYTES, np.uint8)
    data[:end] = np.frombuffer(raw, np.uint8, end)
    data[end:] = 0
    data.flags.writeable = False
    return Block(data=data, start=start, end=end, place=place, is_final=is_final, used=end)


def _first_invalid(raw: bytes) -> int:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0
