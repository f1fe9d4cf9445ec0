"""Where a catalog's bytes are: a folder, or a prefix in an object store with a cache beside it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
_COMMITS_AHEAD = 32
_LOG = "_delta_log"


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
    def sync(self, table: str) -> None:
        """Have all commits of a table's folder on this machine."""

    @abstractmethod
    def commit(self, table: str, version: int, change: Callable[[Path], None]) -> bool:
        """Let ``change`` append the one commit that follows ``version``, in a folder it is handed.

        False where another one was first.
        """

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Delete data files that no table names any more."""

    def identify(self, identity: str) -> None:  # noqa: B027
        """The catalog that is here has this identity: another one of its name is another."""

    @abstractmethod
    def check_writable(self) -> None:
        """Raises DeniedError where nothing can be written, UnsupportedError where not safely."""

    @contextlib.contextmanager
    def creating(self) -> Iterator[None]:
        """Held while the catalog is made."""
        yield


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
        path = self.folder / name
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
        with storage_errors(self.name):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_bytes(content)
                if not path.exists():  # under the lock; renamed, as not every disk has links
                    partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def publish(self, paths: Sequence[Path]) -> None:
        """They are where they belong."""

    def fetch(self, sizes: Mapping[str, int]) -> dict[str, Path]:
        return {name: self.folder / name for name in sizes}

    def sync(self, table: str) -> None:
        """They are there."""

    def commit(self, table: str, version: int, change: Callable[[Path], None]) -> bool:
        change(self.folder / table)  # deltalake itself finds out who was first
        return True

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

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

    deltalake and DuckDB work on the cache, as if the catalog were local, so that joins over an
    index of many gigabytes do not go through HTTP again and again. A commit is made in a scratch
    folder; it counts when its file, ``_delta_log/N.json``, was put where there was none. So
    credentials, retries and conditions are those of the store, and no service is asked for more
    than reading and put-if-absent.
    """

    def __init__(self, store: Store, uri: str) -> None:
        self.store = store
        self.uri = self.name = uri.rstrip("/")
        identity = f"{store.store_id}\n{self.uri}"
        key = hashlib.blake2b(identity.encode(), digest_size=10).hexdigest()
        self._cache = cache_root() / "catalogs" / key
        self.folder = self._cache / "new"

    def identify(self, identity: str) -> None:
        self.folder = self._cache / identity

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
                return path
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        download(self.store, f"{self.uri}/{name}", path, size_bytes=size_bytes)
        return path

    def sync(self, table: str) -> None:
        folder = self.folder / table / _LOG
        with storage_errors(str(self.folder)), ThreadPoolExecutor(_TRANSFERS) as pool:
            folder.mkdir(parents=True, exist_ok=True)
            version = _last_version(folder) + 1
            ahead = 1  # few are new most of the time
            while True:
                names = [f"{table}/{_LOG}/{version + step:020}.json" for step in range(ahead)]
                for name, content in zip(names, pool.map(self._read_commit, names), strict=True):
                    if content is None:
                        return
                    _write_whole(self.folder / name, content)  # in order: a log has no gaps
                version += ahead
                ahead = min(2 * ahead, _COMMITS_AHEAD)

    def _read_commit(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except ObjectNotFoundError:
            return None

    def commit(self, table: str, version: int, change: Callable[[Path], None]) -> bool:
        log = self.folder / table / _LOG
        name = f"{version + 1:020}.json"
        with tempfile.TemporaryDirectory(prefix="commit-", dir=self.folder) as scratch:
            folder = Path(scratch) / _LOG
            folder.mkdir()
            for path in log.iterdir():
                if path.suffix in (".json", ".parquet") and path.name < name:
                    os.link(path, folder / path.name)
            change(Path(scratch))
            content = (folder / name).read_bytes()
        try:
            self.store.put(f"{self.uri}/{table}/{_LOG}/{name}", content, condition=IF_ABSENT)
        except PreconditionFailedError:
            return False
        _write_whole(log / name, content)
        return True

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            self.store.delete(f"{self.uri}/{name}")
            (self.folder / name).unlink(missing_ok=True)

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


def _last_version(log: Path) -> int:
    """The newest commit of a log on this machine; -1 where there is none."""
    return max((int(path.stem) for path in log.glob("*.json") if path.stem.isdigit()), default=-1)


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    partial.write_bytes(content)
    partial.replace(path)


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
