"""What the back ends of object stores share: names of keys, globs, and ranged reading."""

from __future__ import annotations

import io
import ipaddress
import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from greendata.errors import (
    ConfigError,
    GreendataError,
    ObjectChangedError,
    PreconditionFailedError,
)
from greendata.stores.base import OWN_FOLDERS

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.model import StoredObject
    from greendata.stores.base import Store

BLOCK_BYTES = 1 << 20
"""What a jump fetches."""

_RUN_BLOCKS = 8
"""Blocks in one request of sequential reading."""

_CACHED_BLOCKS = 48
_GLOB_CHARACTERS = "*?["

ReadRange = Callable[[int, int], bytes]
"""``read(start, size)``: exactly these bytes of the one version that was opened."""


def is_own(key: str) -> bool:
    """Whether a key is in a folder of this program."""
    return not OWN_FOLDERS.isdisjoint(key.split("/"))


def is_below(key: str, prefix: str) -> bool:
    """Whether a key is the one named, or in the folder of that name."""
    return not prefix or key == prefix or key.startswith(prefix.rstrip("/") + "/")


def has_glob(key: str) -> bool:
    """Whether a key could be a pattern."""
    return any(character in key for character in _GLOB_CHARACTERS)


def literal_prefix(pattern: str) -> str:
    """What every key that matches begins with."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def glob_expression(pattern: str) -> re.Pattern[str]:
    """A glob over keys: ``*`` and ``?`` stay inside a name, ``**`` does not."""
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern)
    return re.compile(
        "".join(
            part.replace("[!", "[^", 1)
            if part.startswith("[") and part.endswith("]")
            else known.get(part, re.escape(part))
            for part in parts
        ),
        re.DOTALL,
    )


def check_endpoint(url: str | None, *, allow_http: bool) -> None:
    """Raises ConfigError for plain HTTP to another machine that nobody allowed."""
    if url is None or allow_http:
        return
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"{parts.scheme}://{parts.hostname}: plain HTTP would show credentials and data.",
            hint="Use https, or set allow_http: true for this store in greendata.yaml.",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class RangedFile(io.RawIOBase):
    """A remote object as a seekable file of cached blocks; sequential reading is fetched ahead.

    Jumps fetch single blocks, so that of a Parquet object only the columns asked for are moved;
    reading on from block to block fetches runs of them, the next one while the last is used.
    """

    def __init__(self, size_bytes: int, read_range: ReadRange) -> None:
        self._size = size_bytes
        self._read_range = read_range
        self._position = 0
        self._blocks: OrderedDict[int, tuple[Future[bytes], int]] = OrderedDict()
        self._last = -1
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        """Bytes of the object."""
        return self._size

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        with self._lock:
            left = max(0, self._size - self._position)
            wanted = left if size is None or size < 0 else min(size, left)
            start, end = self._position, self._position + wanted
            pieces = []
            while start < end:
                block = start // BLOCK_BYTES
                inside = start % BLOCK_BYTES
                piece = self._block(block, (end - 1) // BLOCK_BYTES)[inside : inside + end - start]
                pieces.append(piece)
                start += len(piece)
            self._position = end
            return b"".join(pieces)

    def readall(self) -> bytes:
        return self.read()

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        self._blocks.clear()
        super().close()

    def _block(self, block: int, last_wanted: int) -> memoryview:
        """One block; those up to ``last_wanted`` come with it when it has to be fetched."""
        is_next = block == self._last + 1
        if block not in self._blocks:
            ahead = _RUN_BLOCKS if is_next else 1
            self._fetch(block, max(ahead, last_wanted - block + 1), in_background=False)
        self._blocks.move_to_end(block)
        future, first = self._blocks[block]
        if is_next and block > 0:
            following = next(b for b in itertools.count(block) if b not in self._blocks)
            if following - block <= _RUN_BLOCKS // 2:
                self._fetch(following, _RUN_BLOCKS, in_background=True)
        self._last = block
        start = (block - first) * BLOCK_BYTES
        try:
            return memoryview(future.result())[start : start + BLOCK_BYTES]
        except GreendataError:
            self._blocks.clear()
            raise

    def _fetch(self, block: int, count: int, *, in_background: bool) -> None:
        """One request for a run of blocks, up to the first that is there already."""
        stop = min(block + count, -(-self._size // BLOCK_BYTES))
        stop = next((b for b in range(block, stop) if b in self._blocks), stop)
        if stop <= block:
            return
        start = block * BLOCK_BYTES
        size = min(stop * BLOCK_BYTES, self._size) - start
        if in_background:
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
            future = self._pool.submit(self._read_range, start, size)
        else:
            future = Future()
            future.set_result(self._read_range(start, size))
        for number in range(block, stop):
            self._blocks[number] = (future, block)
        while len(self._blocks) > max(_CACHED_BLOCKS, count + _RUN_BLOCKS):
            self._blocks.popitem(last=False)


def open_ranged(store: Store, item: StoredObject) -> pa.NativeFile:
    """An object as a seekable file; every range is read only while it has the ETag of ``item``.

    Raises:
        ObjectChangedError: it has another one, now or at any later read.
        ObjectNotFoundError, DeniedError, StoreUnreachableError.
    """
    import pyarrow as pa

    def changed() -> ObjectChangedError:
        return ObjectChangedError(f"{item.uri}: changed since it was listed.", hint="Scan again.")

    def read_range(start: int, size: int) -> bytes:
        try:
            return store.read(item.uri, start=start, size_bytes=size, etag=item.etag)
        except PreconditionFailedError as error:
            raise changed() from error

    if store.head(item.uri).etag != item.etag:
        raise changed()
    return pa.PythonFile(RangedFile(item.size_bytes, read_range), mode="r")
