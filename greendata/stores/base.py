"""What every store can do, and how a failing one speaks."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greendata.errors import (
    DeniedError,
    GreendataError,
    ObjectNotFoundError,
    StoreUnreachableError,
)
from greendata.model import StoredObject

if TYPE_CHECKING:
    import pyarrow as pa

OWN_FOLDERS = frozenset({".greendata", "_greendata"})
"""Folders of this program: no listing of any store shows what is in them."""

Report = Callable[[str, str], None]
"""Called with a URI and a detail."""

_DENIED = frozenset({errno.EACCES, errno.EPERM})
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class Store(ABC):
    """Read access to the objects behind one URI scheme."""

    store_id: str

    @abstractmethod
    def expand(self, uri: str) -> tuple[str, ...]:
        """URIs that a glob matches, sorted; any other URI gives itself.

        Raises:
            ObjectNotFoundError: nothing matches the glob.
        """

    @abstractmethod
    def list(
        self, uri: str, *, on_denied: Report | None = None, on_ignored: Report | None = None
    ) -> Iterator[StoredObject]:
        """Objects at and below a folder, a file or a glob, sorted by URI, each stored file once.

        ``on_denied`` hears of sub-folders that cannot be listed (without it they raise),
        ``on_ignored`` of links and special files that are not followed.

        Raises:
            ObjectNotFoundError, DeniedError, StoreUnreachableError: of ``uri`` itself.
        """

    @abstractmethod
    def head(self, uri: str) -> StoredObject:
        """The object as it is now.

        Raises:
            ObjectNotFoundError, DeniedError, StoreUnreachableError.
        """

    @abstractmethod
    def open(self, item: StoredObject) -> pa.NativeFile:
        """The object's bytes, seekable; ``read_at`` may be called from several threads.

        Raises:
            ObjectChangedError: its ETag is not that of ``item``.
            ObjectNotFoundError, DeniedError, StoreUnreachableError.
        """

    def identity(self, item: StoredObject) -> Hashable:
        """The same for two names of one stored file."""
        return item.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The objects of several arguments, each once, sorted by URI.

    ``named`` holds the URIs that an argument or a glob names themselves, not by their folder.
    """

    objects: tuple[StoredObject, ...]
    named: frozenset[str]


def list_all(
    store: Store,
    uris: Sequence[str],
    *,
    on_denied: Report | None = None,
    on_ignored: Report | None = None,
) -> Listing:
    """List several arguments as one set: overlapping arguments and hard links count once."""
    found: dict[str, StoredObject] = {}
    named: set[str] = set()
    for target in [target for uri in uris for target in store.expand(uri)]:
        for item in store.list(target, on_denied=on_denied, on_ignored=on_ignored):
            found[item.uri] = item
            if item.uri == target:
                named.add(item.uri)
    return Listing(objects=_drop_second_names(store, found, named), named=frozenset(named))


def _drop_second_names(
    store: Store, found: dict[str, StoredObject], named: set[str]
) -> tuple[StoredObject, ...]:
    first: dict[Hashable, StoredObject] = {}
    for uri in sorted(found):
        kept = first.setdefault(store.identity(found[uri]), found[uri])
        if uri in named:
            named.add(kept.uri)
    return tuple(first.values())


def store_error(uri: str, error: OSError) -> GreendataError:
    """This program's error for a failed system call on ``uri``."""
    detail = error.strerror or str(error)
    if error.errno in _DENIED:
        return DeniedError(f"{uri}: not readable: {detail}", hint="Check its permissions.")
    if error.errno in _MISSING:
        return ObjectNotFoundError(f"{uri}: not found: {detail}", hint="Check the path.")
    return StoreUnreachableError(
        f"{uri}: the device or file system failed: {detail}",
        hint="Check the disk or mount, then run again.",
    )
