"""A store in memory that honours every precondition exactly: what the servers are measured by."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from greendata.errors import (
    ObjectArchivedError,
    ObjectChangedError,
    ObjectHeldError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UnsupportedError,
)
from greendata.model import StoredObject
from greendata.stores.base import Report, Store
from greendata.stores.records import (
    ALWAYS,
    NOTHING_BESIDE,
    Capabilities,
    Condition,
    ContainerRules,
    Deleted,
    ObjectDetails,
    PendingUpload,
    Properties,
    Upload,
    UploadPart,
    Written,
)
from greendata.stores.remote import glob_expression, has_glob, is_below, is_own

if TYPE_CHECKING:
    import pyarrow as pa

SCHEME = "mem://"
CLASSES = ("HOT", "COOL", "ARCHIVE")
_ARCHIVE = "ARCHIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """A content that a key had, or a delete marker."""

    version_id: str
    content: bytes
    etag: str
    modified_at: datetime
    properties: Properties = NOTHING_BESIDE
    storage_class: str = "HOT"
    is_marker: bool = False
    is_held: bool = False
    is_restored: bool = False


@dataclass(slots=True, kw_only=True)
class _Upload:
    uri: str
    properties: Properties
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryStore(Store):
    """Objects of one process. Every write is atomic; with ``keeps_versions`` nothing is lost.

    ETags never come again, not even for the same content.
    """

    store_id = "mem"
    capabilities = Capabilities(
        has_tiers=True,
        has_versions=True,
        has_tags=True,
        has_metadata=True,
        has_holds=True,
        is_multipart=True,
        tiers_conditionally=True,
        deletes_together=True,
        has_folders=True,
    )

    def __init__(self, *, keeps_versions: bool = False) -> None:
        self._keeps_versions = keeps_versions
        self._versions: dict[str, list[_Version]] = {}
        self._uploads: dict[str, _Upload] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def expand(self, uri: str) -> tuple[str, ...]:
        with self._lock:
            if not has_glob(uri) or uri in self._versions:
                return (uri,)
            pattern = glob_expression(uri)
            found = sorted(k for k in self._live() if pattern.fullmatch(k) and not is_own(k))
        if not found:
            raise ObjectNotFoundError(f"{uri}: nothing matches.")
        return tuple(found)

    def list(
        self, uri: str, *, on_denied: Report | None = None, on_ignored: Report | None = None
    ) -> Iterator[StoredObject]:
        targets = self.expand(uri)
        with self._lock:
            found = [
                self._item(key, self._current(key))
                for key in sorted(self._live())
                if not is_own(key) and any(is_below(key, target) for target in targets)
            ]
        if not found and uri.removeprefix(SCHEME).partition("/")[2]:
            raise ObjectNotFoundError(f"{uri}: no object is there.")
        yield from found

    def list_folder(self, uri: str, *, with_versions: bool = False) -> Iterator[StoredObject | str]:
        folders: set[str] = set()
        for item in self.versions(uri) if with_versions else self.list(uri):
            name, slash, _ = item.uri[len(uri) :].partition("/")
            if not slash:
                yield item
            elif uri + name + slash not in folders:
                folders.add(uri + name + slash)
                yield uri + name + slash

    def versions(self, uri: str) -> Iterator[StoredObject]:
        with self._lock:
            found = [
                self._item(key, version, is_latest=version is versions[-1])
                for key, versions in sorted(self._versions.items())
                if is_below(key, uri)
                for version in reversed(versions)
            ]
        yield from found

    def own_objects(self, uri: str) -> Iterator[StoredObject]:
        with self._lock:
            found = [
                self._item(key, self._current(key))
                for key in sorted(self._live())
                if is_own(key) and is_below(key, uri)
            ]
        yield from found

    def uploads(self, uri: str) -> Iterator[PendingUpload]:
        with self._lock:
            found = sorted(self._uploads.items(), key=lambda entry: entry[1].uri)
        for upload_id, upload in found:
            if is_below(upload.uri, uri):
                yield PendingUpload(
                    uri=upload.uri,
                    store_id=self.store_id,
                    upload_id=upload_id,
                    started_at=None,
                    size_bytes=sum(map(len, upload.parts.values())),
                )

    def head(self, uri: str) -> StoredObject:
        return self.details(uri).item

    def details(self, uri: str, *, version_id: str | None = None) -> ObjectDetails:
        with self._lock:
            version = self._find(uri, version_id)
            return ObjectDetails(
                item=self._item(uri, version),
                **version.properties.beside(),
                tag_count=len(version.properties.tags),
                checksums={"sha256": hashlib.sha256(version.content).hexdigest()},
                is_archived=_is_archived(version),
                restore_state="restored" if version.is_restored else None,
                is_held=version.is_held,
            )

    def open(self, item: StoredObject) -> pa.NativeFile:
        import pyarrow as pa

        with self._lock:
            version = self._find(item.uri, None)
        if version.etag != item.etag:
            raise ObjectChangedError(f"{item.uri}: changed since it was listed.")
        return pa.BufferReader(version.content)

    def read(
        self,
        uri: str,
        *,
        start: int = 0,
        size_bytes: int | None = None,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> bytes:
        with self._lock:
            version = self._find(uri, version_id)
            _check_etag(uri, version, etag)
            _check_readable(uri, version)
        stop = None if size_bytes is None else start + size_bytes
        return version.content[start:stop]

    def put(
        self,
        uri: str,
        content: bytes,
        *,
        condition: Condition = ALWAYS,
        properties: Properties = NOTHING_BESIDE,
    ) -> Written:
        with self._lock:
            self._check(uri, condition)
            return self._add(uri, bytes(content), properties)

    def start_upload(self, uri: str, properties: Properties = NOTHING_BESIDE) -> Upload:
        with self._lock:
            upload_id = f"upload-{next(self._numbers)}"
            self._uploads[upload_id] = _Upload(uri=uri, properties=properties)
        return Upload(uri=uri, upload_id=upload_id, properties=properties)

    def put_part(self, upload: Upload, number: int, content: bytes) -> UploadPart:
        with self._lock:
            self._open_upload(upload).parts[number] = bytes(content)
        etag = hashlib.sha256(content).hexdigest()
        return UploadPart(number=number, etag=etag, size_bytes=len(content), checksum=etag)

    def complete_upload(
        self, upload: Upload, parts: Sequence[UploadPart], *, condition: Condition = ALWAYS
    ) -> Written:
        with self._lock:
            held = self._open_upload(upload)
            self._check(upload.uri, condition)
            content = b"".join(held.parts[number] for number in sorted(p.number for p in parts))
            del self._uploads[upload.upload_id]
            return self._add(upload.uri, content, held.properties)

    def abort_upload(self, uri: str, upload_id: str) -> None:
        with self._lock:
            self._uploads.pop(upload_id, None)

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
        with self._lock:
            version = self._find(source, source_version_id)
            _check_etag(source, version, source_etag)
            _check_readable(source, version)
            self._check(target, condition)
            kept = replace(version.properties, storage_class=version.storage_class)
            return self._add(target, version.content, properties or kept)

    def set_tier(
        self,
        uri: str,
        storage_class: str,
        *,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> Written:
        if storage_class not in CLASSES:
            raise UnsupportedError(f"{uri}: there is no storage class {storage_class}.")
        with self._lock:
            version = self._find(uri, version_id)
            _check_etag(uri, version, etag)
            _check_readable(uri, version)
            return self._replace(uri, version, storage_class=storage_class, is_restored=False)

    def restore(
        self, uri: str, *, days: int, speed: str = "standard", version_id: str | None = None
    ) -> None:
        with self._lock:
            self._replace(uri, self._find(uri, version_id), is_restored=True)

    def tags(self, uri: str, *, version_id: str | None = None) -> dict[str, str]:
        with self._lock:
            return dict(self._find(uri, version_id).properties.tags)

    def set_tags(self, uri: str, tags: Mapping[str, str], *, version_id: str | None = None) -> None:
        with self._lock:
            version = self._find(uri, version_id)
            self._replace(uri, version, properties=replace(version.properties, tags=dict(tags)))

    def set_hold(self, uri: str, *, is_held: bool, version_id: str | None = None) -> None:
        with self._lock:
            self._replace(uri, self._find(uri, version_id), is_held=is_held)

    def delete(
        self, uri: str, *, etag: str | None = None, version_id: str | None = None
    ) -> Deleted:
        with self._lock:
            try:
                version = self._find(uri, version_id, with_markers=version_id is not None)
            except ObjectNotFoundError:
                return Deleted(uri=uri)
            _check_etag(uri, version, etag)
            if version_id is None and self._keeps_versions:
                return Deleted(uri=uri, marker_version_id=self._mark(uri))
            if version.is_held:
                raise ObjectHeldError(f"{uri}: a hold forbids to delete it.")
            self._versions[uri].remove(version)
            if not self._versions[uri]:
                del self._versions[uri]
        return Deleted(uri=uri)

    def rules(self, uri: str) -> ContainerRules:
        return ContainerRules(
            versioning="on" if self._keeps_versions else "off",
            lifecycle=(),
            replication=(),
            soft_delete_days=0,
            is_lockable=True,
        )

    def _live(self) -> Sequence[str]:
        return [key for key, versions in self._versions.items() if not versions[-1].is_marker]

    def _current(self, uri: str) -> _Version:
        return self._versions[uri][-1]

    def _find(self, uri: str, version_id: str | None, *, with_markers: bool = False) -> _Version:
        versions = self._versions.get(uri, [])
        wanted = versions[-1:] if version_id is None else versions
        for version in wanted:
            if version_id in (None, version.version_id) and (with_markers or not version.is_marker):
                return version
        raise ObjectNotFoundError(f"{uri}: no such object.")

    def _check(self, uri: str, condition: Condition) -> None:
        """Raises unless the write may happen; without versions a hold forbids to replace."""
        try:
            there: _Version | None = self._find(uri, None)
        except ObjectNotFoundError:
            there = None
        if condition.is_absent and there is not None:
            raise PreconditionFailedError(f"{uri}: there is an object already.")
        if condition.etag is not None and (there is None or there.etag != condition.etag):
            raise PreconditionFailedError(f"{uri}: its ETag is not the one expected.")
        if there is not None and there.is_held and not self._keeps_versions:
            raise ObjectHeldError(f"{uri}: a hold forbids to replace it.")

    def _add(self, uri: str, content: bytes, properties: Properties) -> Written:
        number = next(self._numbers)
        version = _Version(
            version_id=f"v{number}",
            content=content,
            etag=f"{number:032x}",
            modified_at=datetime.now(UTC),
            properties=properties,
            storage_class=properties.storage_class or "HOT",
        )
        held = self._versions.setdefault(uri, [])
        if not self._keeps_versions:
            held.clear()
        held.append(version)
        return self._written(uri, version)

    def _mark(self, uri: str) -> str:
        marker = _Version(
            version_id=f"v{next(self._numbers)}",
            content=b"",
            etag="",
            modified_at=datetime.now(UTC),
            is_marker=True,
        )
        self._versions[uri].append(marker)
        return marker.version_id

    def _replace(self, uri: str, version: _Version, **changes: object) -> Written:
        """Change what is beside the content; the ETag stays."""
        changed = replace(version, **changes)  # type: ignore[arg-type]
        place = self._versions[uri].index(version)
        self._versions[uri][place] = changed
        return self._written(uri, changed)

    def _written(self, uri: str, version: _Version) -> Written:
        return Written(
            uri=uri,
            etag=version.etag,
            size_bytes=len(version.content),
            version_id=version.version_id if self._keeps_versions else None,
        )

    def _open_upload(self, upload: Upload) -> _Upload:
        found = self._uploads.get(upload.upload_id)
        if found is None:
            raise ObjectNotFoundError(f"{upload.uri}: its upload is not open any more.")
        return found

    def _item(self, uri: str, version: _Version, *, is_latest: bool = True) -> StoredObject:
        return StoredObject(
            uri=uri,
            store_id=self.store_id,
            size_bytes=len(version.content),
            etag=version.etag,
            modified_at=version.modified_at,
            storage_class=None if version.is_marker else version.storage_class,
            version_id=version.version_id if self._keeps_versions else None,
            is_latest=is_latest,
            is_delete_marker=version.is_marker,
        )


def _is_archived(version: _Version) -> bool:
    return version.storage_class == _ARCHIVE and not version.is_restored


def _check_etag(uri: str, version: _Version, etag: str | None) -> None:
    if etag is not None and version.etag != etag:
        raise PreconditionFailedError(f"{uri}: its ETag is not the one expected.")


def _check_readable(uri: str, version: _Version) -> None:
    if _is_archived(version):
        raise ObjectArchivedError(f"{uri}: is archived.", hint="Restore it first.")
