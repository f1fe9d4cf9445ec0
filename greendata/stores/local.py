"""The local file system as a store."""

from __future__ import annotations

import contextlib
import fnmatch
import glob as stdlib_glob
import os
import re
import stat
from collections.abc import Hashable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

from greendata.errors import (
    GreendataError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UsageError,
)
from greendata.model import StoredObject
from greendata.stores import files
from greendata.stores.base import OWN_FOLDERS, Report, Store, store_error
from greendata.stores.records import (
    ALWAYS,
    IF_ABSENT,
    NOTHING_BESIDE,
    Capabilities,
    Condition,
    Deleted,
    ObjectDetails,
    PendingUpload,
    Properties,
    Upload,
    UploadPart,
    Written,
)

if TYPE_CHECKING:
    import pyarrow as pa

STORE_ID = "local"
SCHEME = "file://"

_COPY_BYTES = 8 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEME_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_GLOB_CHARACTERS = "*?["
_UNESCAPED_IN_PATH = "/!$&'()+,;=:@~"
_UNESCAPED_IN_GLOB = _UNESCAPED_IN_PATH + "*?[]^"
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def path_to_uri(path: str) -> str:
    """``file://`` URI of an absolute path; every byte of the name survives."""
    return SCHEME + quote_from_bytes(os.fsencode(path), safe=_UNESCAPED_IN_PATH)


def uri_to_path(uri: str) -> str:
    """Path of a ``file://`` URI; bytes that are not UTF-8 become surrogate escapes.

    Raises:
        UsageError: another scheme or host, a relative path, a NUL.
    """
    return os.fsdecode(unquote_to_bytes(_encoded_path(uri)))


def normalise_uri(argument: str) -> str:
    """URI of a command-line argument: a path, a ``file://`` URI, or a glob, whose pattern stays.

    A name that exists is taken as it is, even if it has glob characters.

    Raises:
        UsageError: empty, or of a scheme that is not local.
    """
    if not argument:
        raise UsageError("An empty path names nothing.", hint="Use . for the current folder.")
    if argument.startswith(SCHEME):
        encoded = _encoded_path(argument)
        return SCHEME + encoded if is_glob(argument) else path_to_uri(uri_to_path(argument))
    if _SCHEME_PATTERN.match(argument):
        raise UsageError(f"{argument}: only paths and file://, s3:// and az:// URIs can be read.")
    if "\0" in argument:
        raise UsageError(f"{argument!r}: a path cannot hold a NUL.")
    path = os.path.abspath(argument)
    if stdlib_glob.has_magic(path) and not os.path.lexists(path):
        return SCHEME + quote_from_bytes(os.fsencode(path), safe=_UNESCAPED_IN_GLOB)
    return path_to_uri(path)


def is_glob(uri: str) -> bool:
    """Whether a URI has unescaped glob characters."""
    return any(character in uri for character in _GLOB_CHARACTERS)


class LocalStore(Store):
    """Files of this machine. The ETag is made of size, mtime and inode."""

    store_id = STORE_ID
    capabilities = Capabilities(is_multipart=True, has_moves=True)

    def expand(self, uri: str) -> tuple[str, ...]:
        if not is_glob(uri):
            return (uri,)
        segments = [part for part in _glob_pattern(uri).split(os.sep) if part]
        found = {path for path in _match(os.sep, segments) if not _is_own(path)}
        uris = {path_to_uri(p) for p in found if os.path.isfile(p) or os.path.isdir(p)}
        if not uris:
            raise ObjectNotFoundError(f"{uri}: nothing matches.", hint="Quote or check the glob.")
        return tuple(sorted(uris))

    def list(
        self, uri: str, *, on_denied: Report | None = None, on_ignored: Report | None = None
    ) -> Iterator[StoredObject]:
        found: dict[str, os.stat_result] = {}
        for target in self.expand(uri):
            path = uri_to_path(target)
            status = _stat(target, path)
            if stat.S_ISDIR(status.st_mode):
                _walk(path, found, on_denied, on_ignored)
            else:
                found[target] = _regular(target, status)
        seen: set[tuple[int, int]] = set()
        for found_uri in sorted(found):
            status = found[found_uri]
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                yield _stored_object(found_uri, status)

    def head(self, uri: str) -> StoredObject:
        return _stored_object(uri, _regular(uri, _stat(uri, uri_to_path(uri), with_own=True)))

    def details(self, uri: str, *, version_id: str | None = None) -> ObjectDetails:
        return ObjectDetails(item=self.head(uri))

    def read(
        self,
        uri: str,
        *,
        start: int = 0,
        size_bytes: int | None = None,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> bytes:
        with _translated(uri), open(uri_to_path(uri), "rb") as stream:
            status = os.fstat(stream.fileno())
            if etag is not None and _stored_object(uri, status).etag != etag:
                raise PreconditionFailedError(f"{uri}: its ETag is not the one expected.")
            stream.seek(start)
            return stream.read(-1 if size_bytes is None else size_bytes)

    def put(
        self,
        uri: str,
        content: bytes,
        *,
        condition: Condition = ALWAYS,
        properties: Properties = NOTHING_BESIDE,
    ) -> Written:
        with _translated(uri):
            files.publish(Path(uri_to_path(uri)), [content], condition, _etag_of)
        return self._written(uri)

    def start_upload(self, uri: str, properties: Properties = NOTHING_BESIDE) -> Upload:
        with _translated(uri):
            upload_id = files.start_upload(Path(uri_to_path(uri)))
        return Upload(uri=uri, upload_id=upload_id, properties=properties)

    def put_part(self, upload: Upload, number: int, content: bytes) -> UploadPart:
        path = Path(uri_to_path(upload.uri))
        with _translated(upload.uri):
            files.put_part(path, upload.upload_id, number, content)
        return UploadPart(number=number, etag=str(number), size_bytes=len(content))

    def complete_upload(
        self, upload: Upload, parts: Sequence[UploadPart], *, condition: Condition = ALWAYS
    ) -> Written:
        path = Path(uri_to_path(upload.uri))
        pieces = files.parts_of(path, upload.upload_id, (part.number for part in parts))
        with _translated(upload.uri):
            files.publish(path, pieces, condition, _etag_of)
            files.drop_upload(path, upload.upload_id)
        return self._written(upload.uri)

    def abort_upload(self, uri: str, upload_id: str) -> None:
        files.drop_upload(Path(uri_to_path(uri)), upload_id)

    def own_objects(self, uri: str) -> Iterator[StoredObject]:
        for folder, _, names in os.walk(uri_to_path(uri)):
            for name in names if _is_own(folder) else ():
                if name == files.LOCK:
                    continue
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    yield _stored_object(path_to_uri(path), os.lstat(path))

    def sweep(self, uri: str, *, is_deep: bool = False) -> None:
        with _translated(uri):
            files.sweep(Path(uri_to_path(uri)), is_deep=is_deep)

    def uploads(self, uri: str) -> Iterator[PendingUpload]:
        for target, upload_id, size_bytes in files.open_uploads(Path(uri_to_path(uri))):
            yield PendingUpload(
                uri=path_to_uri(str(target)),
                store_id=STORE_ID,
                upload_id=upload_id,
                started_at=None,
                size_bytes=size_bytes,
            )

    def copy(
        self,
        source: str,
        target: str,
        *,
        source_etag: str | None = None,
        source_version_id: str | None = None,
        condition: Condition = ALWAYS,
        properties: Properties | None = None,
    ) -> Written:
        """A copy of the bytes of the one file that was opened."""
        with _translated(source), open(uri_to_path(source), "rb") as stream:
            status = os.fstat(stream.fileno())
            if source_etag not in (None, _stored_object(source, status).etag):
                raise PreconditionFailedError(f"{source}: its ETag is not the one expected.")
            pieces = iter(lambda: stream.read(_COPY_BYTES), b"")
            with _translated(target):
                files.publish(Path(uri_to_path(target)), pieces, condition, _etag_of)
        return self._written(target)

    def move(self, source: str, target: str, *, etag: str | None = None) -> Written:
        origin, goal = uri_to_path(source), Path(uri_to_path(target))
        change = files.give_back if _is_own(origin) else files.take_aside
        with _translated(source):
            change(Path(origin), goal, etag, _etag_of)
        return self._written(target)

    def link(
        self, source: str, target: str, *, etag: str, condition: Condition = IF_ABSENT
    ) -> Written:
        origin, goal = Path(uri_to_path(source)), Path(uri_to_path(target))
        with _translated(source):
            files.link(origin, goal, etag, condition, _etag_of)
        return self._written(target)

    def delete(
        self, uri: str, *, etag: str | None = None, version_id: str | None = None
    ) -> Deleted:
        with _translated(uri):
            files.remove(Path(uri_to_path(uri)), etag, _etag_of)
        return Deleted(uri=uri)

    def _written(self, uri: str) -> Written:
        item = self.head(uri)
        return Written(uri=uri, etag=item.etag, size_bytes=item.size_bytes)

    def open(self, item: StoredObject) -> pa.NativeFile:
        import pyarrow as pa

        now = self.head(item.uri)
        if now.etag != item.etag:
            raise ObjectChangedError(
                f"{item.uri}: changed since it was listed.", hint="Scan again once it is at rest."
            )
        try:
            return pa.OSFile(os.fsencode(uri_to_path(item.uri)))
        except OSError as error:
            raise store_error(item.uri, error) from error

    def identity(self, item: StoredObject) -> Hashable:
        try:
            status = _stat(item.uri, uri_to_path(item.uri))
        except ObjectNotFoundError:  # removed since it was listed: whoever opens it will see
            return item.uri
        return (status.st_dev, status.st_ino)


@contextlib.contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, GreendataError):  # some are of the standard library's classes too
            raise
        raise store_error(uri, error) from error


def _etag_of(path: Path) -> str | None:
    try:
        return _stored_object("", path.stat()).etag
    except FileNotFoundError:
        return None


def _encoded_path(uri: str) -> str:
    if not uri.startswith(SCHEME):
        raise UsageError(f"{uri}: not a file:// URI.")
    host, slash, path = uri[len(SCHEME) :].partition("/")
    if not slash or host not in ("", "localhost"):
        raise UsageError(f"{uri}: a file URI has three slashes: file:///absolute/path.")
    if "%00" in path or "\0" in path:
        raise UsageError(f"{uri}: a path cannot hold a NUL.")
    return "/" + path


def _glob_pattern(uri: str) -> str:
    def unescape(match: re.Match[bytes]) -> bytes:
        byte = bytes([int(match[1], 16)])
        return b"[" + byte + b"]" if byte in (b"*", b"?", b"[") else byte

    return os.fsdecode(_ESCAPE.sub(unescape, os.fsencode(_encoded_path(uri))))


def _match(folder: str, segments: Sequence[str], *, is_deep: bool = False) -> Iterator[str]:
    """Paths that match; unlike the standard library's, ``**`` never leads into a linked folder."""
    if not segments:
        yield folder
        return
    head, rest = segments[0], segments[1:]
    if head == "**":
        yield from _match(folder, rest or ("*",), is_deep=True)
        for entry in _visible(folder):
            if entry.is_dir(follow_symlinks=False):
                yield from _match(entry.path, segments, is_deep=True)
    elif not stdlib_glob.has_magic(head):
        if os.path.lexists(path := os.path.join(folder, head)):
            yield from _match(path, rest, is_deep=is_deep)
    else:
        for entry in _visible(folder, hidden=head.startswith(".")):
            is_link_to_folder = entry.is_symlink() and entry.is_dir()
            if fnmatch.fnmatchcase(entry.name, head) and not (is_deep and is_link_to_folder):
                yield from _match(entry.path, rest, is_deep=is_deep)


def _visible(folder: str, *, hidden: bool = False) -> tuple[os.DirEntry[str], ...]:
    try:
        entries = _entries(folder)
    except OSError:  # as a shell does: what cannot be listed has no match
        return ()
    return tuple(entry for entry in entries if hidden or not entry.name.startswith("."))


def _is_own(path: str) -> bool:
    return not OWN_FOLDERS.isdisjoint(path.split(os.sep))


def _stat(uri: str, path: str, *, with_own: bool = False) -> os.stat_result:
    if not with_own and _is_own(path):
        raise ObjectNotFoundError(f"{uri}: is in a folder of greendata itself, never scanned.")
    try:
        return os.stat(path)
    except OSError as error:
        raise store_error(uri, error) from error


def _regular(uri: str, status: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(status.st_mode):
        raise ObjectNotFoundError(f"{uri}: not a regular file.", hint="Name a file or a folder.")
    return status


def _stored_object(uri: str, status: os.stat_result) -> StoredObject:
    return StoredObject(
        uri=uri,
        store_id=STORE_ID,
        size_bytes=status.st_size,
        etag=f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}",
        modified_at=_modified_at(status),
    )


def _modified_at(status: os.stat_result) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    except OverflowError:  # file systems hold years that datetime does not
        return _EPOCH


def _walk(
    root: str,
    found: dict[str, os.stat_result],
    on_denied: Report | None,
    on_ignored: Report | None,
) -> None:
    """Put every regular file below ``root`` into ``found``, without recursion."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = _entries(folder)
        except OSError as error:
            if folder == root or not isinstance(error, FileNotFoundError):
                _report(folder, error, None if folder == root else on_denied)
            continue  # a folder removed since its parent was read has nothing
        for entry in entries:
            status = _entry_status(entry, on_denied)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                if entry.name not in OWN_FOLDERS:
                    folders.append(entry.path)
            elif stat.S_ISREG(status.st_mode):
                found[path_to_uri(entry.path)] = status
            elif on_ignored is not None:
                on_ignored(path_to_uri(entry.path), _why_ignored(status))


def _entries(folder: str) -> tuple[os.DirEntry[str], ...]:
    with os.scandir(folder) as scan:
        return tuple(scan)


def _entry_status(entry: os.DirEntry[str], on_denied: Report | None) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # removed since the folder was read
        return None
    except OSError as error:
        _report(entry.path, error, on_denied)
        return None


def _report(path: str, error: OSError, on_denied: Report | None) -> None:
    if on_denied is None:
        raise store_error(path_to_uri(path), error) from error
    on_denied(path_to_uri(path), error.strerror or str(error))


def _why_ignored(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "symbolic link, not followed (name it to read it)"
    return "special file, never opened"
