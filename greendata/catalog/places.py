"""Where a catalog's bytes are: a folder, or a prefix in an object store with a cache beside it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.catalog.failures import storage_errors
from greendata.errors import (
    ObjectNotFoundError,
    PreconditionFailedError,
    UnsupportedError,
)
from greendata.stores.local import path_to_uri
from greendata.stores.records import IF_ABSENT
from greendata.stores.transfer import download, upload

if TYPE_CHECKING:
    from greendata.stores.base import Store

_TRANSFERS = 8
_UNUSED_SECONDS = 7 * 86_400
"""A cached file that no table names and nobody read for so long is removed."""


class Place(ABC):
    """Where tables, the marker and data files are kept.

    Attributes:
        uri: of the catalog, for tables and messages.
        name: what people call it: a path or a URI.
        folder: on this machine: data files are written and read here, unfinished scans lie here.
    """

    uri: str
    name: str
    folder: Path

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A small file. Raises ObjectNotFoundError."""

    @abstractmethod
    def create(self, name: str, content: bytes) -> None:
        """Write a small file at once, unless it is there already."""

    @abstractmethod
    def publish(self, paths: Sequence[Path]) -> None:
        """Make files of ``folder`` part of the catalog; they are in no table yet."""

    @abstractmethod
    def fetch(self, sizes: Mapping[str, int]) -> dict[str, Path]:
        """Local paths of data files, by name and size in bytes."""

    @abstractmethod
    def table_options(self) -> dict[str, str]:
        """Endpoint and credentials for deltalake; secret."""

    @abstractmethod
    def table_uri(self, name: str) -> str:
        """A folder of the catalog as deltalake spells it."""

    @abstractmethod
    def check_writable(self) -> None:
        """Raises DeniedError where nothing can be written, UnsupportedError where not safely."""

    @contextlib.contextmanager
    def creating(self) -> Iterator[None]:
        """Held while the catalog is made."""
        yield

    def sweep(self, folder: str, names: Sequence[str]) -> None:  # noqa: B027
        """Remove what is cached of a table and not among ``names`` any more."""


class LocalPlace(Place):
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.folder = path.absolute()
        self.name = str(self.folder)
        self.uri = path_to_uri(self.name)

    def read(self, name: str) -> bytes:
        with storage_errors(self.name):
            try:
                return (self.folder / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError) as error:
                raise ObjectNotFoundError(f"{self.folder / name}: not found.") from error

    def create(self, name: str, content: bytes) -> None:
        partial = self.folder / f"{name}.{uuid.uuid4().hex}.partial"
        with storage_errors(self.name):
            partial.write_bytes(content)
            partial.replace(self.folder / name)

    def publish(self, paths: Sequence[Path]) -> None:
        """They are where they belong."""

    def fetch(self, sizes: Mapping[str, int]) -> dict[str, Path]:
        return {name: self.folder / name for name in sizes}

    def table_options(self) -> dict[str, str]:
        return {}

    def table_uri(self, name: str) -> str:
        # As a URI: of a path deltalake takes back the escaped name of its files.
        return path_to_uri(str(self.folder / name))

    def check_writable(self) -> None:
        _check_folder(self.folder / "scans", self.name)

    @contextlib.contextmanager
    def creating(self) -> Iterator[None]:
        with storage_errors(self.name):
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "create.lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield


class RemotePlace(Place):
    """A prefix in an object store; its files, which never change, are cached on this machine.

    DuckDB reads the cached files as if the catalog were local, so that joins over an index of
    many gigabytes do not go through HTTP again and again.
    """

    def __init__(self, store: Store, uri: str) -> None:
        self.store = store
        self.uri = self.name = uri.rstrip("/")
        identity = f"{store.store_id}\n{self.uri}"
        key = hashlib.blake2b(identity.encode(), digest_size=10).hexdigest()
        self.folder = cache_root() / "catalogs" / key

    def read(self, name: str) -> bytes:
        return self.store.read(f"{self.uri}/{name}")

    def create(self, name: str, content: bytes) -> None:
        with contextlib.suppress(PreconditionFailedError):
            self.store.put(f"{self.uri}/{name}", content, condition=IF_ABSENT)

    def publish(self, paths: Sequence[Path]) -> None:
        with ThreadPoolExecutor(_TRANSFERS) as pool:
            list(pool.map(self._upload, paths))

    def _upload(self, path: Path) -> None:
        upload(self.store, path, f"{self.uri}/{path.relative_to(self.folder).as_posix()}")

    def fetch(self, sizes: Mapping[str, int]) -> dict[str, Path]:
        with storage_errors(str(self.folder)), ThreadPoolExecutor(_TRANSFERS) as pool:
            found = list(pool.map(self._fetch, sizes, sizes.values()))
        return dict(zip(sizes, found, strict=True))

    def _fetch(self, name: str, size_bytes: int) -> Path:
        path = self.folder / name
        try:
            if path.stat().st_size == size_bytes:
                os.utime(path)  # read now: not to be swept
                return path
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        download(self.store, f"{self.uri}/{name}", path, size_bytes=size_bytes)
        return path

    def table_options(self) -> dict[str, str]:
        return dict(self.store.table_access(self.uri).options)

    def table_uri(self, name: str) -> str:
        return f"{self.store.table_access(self.uri).uri}/{name}"

    def check_writable(self) -> None:
        """Two commits of one version must never both be done: that is what put-if-absent is for."""
        _check_folder(self.folder / "scans", str(self.folder))
        probe = f"{self.uri}/scans/probe-{uuid.uuid4().hex}"
        self.store.put(probe, b"greendata: may be deleted\n", condition=IF_ABSENT)
        try:
            self.store.put(probe, b"greendata: this must be refused\n", condition=IF_ABSENT)
        except PreconditionFailedError:
            return
        finally:
            self.store.delete(probe)
        raise UnsupportedError(
            f"catalog {self.name}: the store overwrites what put-if-absent must not, so two scans"
            " at once could lose one another's results.",
            hint="Keep the catalog in a folder or in another store (--catalog).",
        )

    def sweep(self, folder: str, names: Sequence[str]) -> None:
        held = set(names)
        oldest = time.time() - _UNUSED_SECONDS
        root = self.folder / folder
        for path in root.rglob("*.parquet"):
            with contextlib.suppress(OSError):
                is_named = path.relative_to(self.folder).as_posix() in held
                if not is_named and path.stat().st_mtime < oldest:
                    path.unlink()


def cache_root() -> Path:
    """Folder of this user's cached files."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "greendata"


def _check_folder(folder: Path, name: str) -> None:
    with storage_errors(name):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"probe-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
