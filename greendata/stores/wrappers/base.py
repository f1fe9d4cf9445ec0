"""Delegation: every call goes through one method that a wrapper overrides."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greendata.stores.base import Report, Store
from greendata.stores.records import (
    ALWAYS,
    IF_ABSENT,
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

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.errors import GreendataError
    from greendata.model import StoredObject

MUTATIONS = frozenset(
    {
        "put",
        "start_upload",
        "put_part",
        "complete_upload",
        "abort_upload",
        "sweep",
        "copy",
        "move",
        "link",
        "set_tier",
        "restore",
        "set_tags",
        "set_hold",
        "delete",
        "delete_versions",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a store's method, and how to make it."""

    name: str
    uri: str
    make: Callable[[], Any]
    content: bytes | None = None

    @property
    def is_mutation(self) -> bool:
        """Whether it changes the store."""
        return self.name in MUTATIONS


class StoreWrapper(Store):
    """A store that does what another one does; ``_around`` is where a wrapper differs."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def _around(self, call: Call) -> Any:
        return call.make()

    @property
    def store_id(self) -> str:  # type: ignore[override]
        """That of the store inside."""
        return self.inner.store_id

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """Those of the store inside."""
        return self.inner.capabilities

    def _simple(self, name: str, uri: str, *arguments: Any, **named: Any) -> Any:
        method = getattr(self.inner, name)
        return self._around(Call(name=name, uri=uri, make=lambda: method(*arguments, **named)))

    def expand(self, uri: str) -> tuple[str, ...]:
        found: tuple[str, ...] = self._simple("expand", uri, uri)
        return found

    def list(
        self, uri: str, *, on_denied: Report | None = None, on_ignored: Report | None = None
    ) -> Iterator[StoredObject]:
        yield from self._simple("list", uri, uri, on_denied=on_denied, on_ignored=on_ignored)

    def list_folder(self, uri: str, *, with_versions: bool = False) -> Iterator[StoredObject | str]:
        yield from self._simple("list_folder", uri, uri, with_versions=with_versions)

    def head(self, uri: str) -> StoredObject:
        found: StoredObject = self._simple("head", uri, uri)
        return found

    def open(self, item: StoredObject) -> pa.NativeFile:
        return self._simple("open", item.uri, item)

    def identity(self, item: StoredObject) -> Hashable:
        return self.inner.identity(item)

    def details(self, uri: str, *, version_id: str | None = None) -> ObjectDetails:
        found: ObjectDetails = self._simple("details", uri, uri, version_id=version_id)
        return found

    def versions(self, uri: str) -> Iterator[StoredObject]:
        yield from self._simple("versions", uri, uri)

    def own_objects(self, uri: str) -> Iterator[StoredObject]:
        yield from self._simple("own_objects", uri, uri)

    def sweep(self, uri: str, *, is_deep: bool = False) -> None:
        self._simple("sweep", uri, uri, is_deep=is_deep)

    def uploads(self, uri: str) -> Iterator[PendingUpload]:
        yield from self._simple("uploads", uri, uri)

    def read(
        self,
        uri: str,
        *,
        start: int = 0,
        size_bytes: int | None = None,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> bytes:
        found: bytes = self._simple(
            "read",
            uri,
            uri,
            start=start,
            size_bytes=size_bytes,
            etag=etag,
            version_id=version_id,
        )
        return found

    def put(
        self,
        uri: str,
        content: bytes,
        *,
        condition: Condition = ALWAYS,
        properties: Properties = NOTHING_BESIDE,
    ) -> Written:
        written: Written = self._around(
            Call(
                name="put",
                uri=uri,
                make=lambda: self.inner.put(
                    uri, content, condition=condition, properties=properties
                ),
                content=content,
            )
        )
        return written

    def start_upload(self, uri: str, properties: Properties = NOTHING_BESIDE) -> Upload:
        upload: Upload = self._simple("start_upload", uri, uri, properties)
        return upload

    def put_part(self, upload: Upload, number: int, content: bytes) -> UploadPart:
        part: UploadPart = self._around(
            Call(
                name="put_part",
                uri=upload.uri,
                make=lambda: self.inner.put_part(upload, number, content),
                content=content,
            )
        )
        return part

    def complete_upload(
        self, upload: Upload, parts: Sequence[UploadPart], *, condition: Condition = ALWAYS
    ) -> Written:
        written: Written = self._simple(
            "complete_upload", upload.uri, upload, parts, condition=condition
        )
        return written

    def abort_upload(self, uri: str, upload_id: str) -> None:
        self._simple("abort_upload", uri, uri, upload_id)

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
        written: Written = self._simple(
            "copy",
            target,
            source,
            target,
            source_etag=source_etag,
            source_version_id=source_version_id,
            condition=condition,
            properties=properties,
        )
        return written

    def move(self, source: str, target: str, *, etag: str | None = None) -> Written:
        written: Written = self._simple("move", source, source, target, etag=etag)
        return written

    def link(
        self, source: str, target: str, *, etag: str, condition: Condition = IF_ABSENT
    ) -> Written:
        written: Written = self._simple(
            "link", target, source, target, etag=etag, condition=condition
        )
        return written

    def set_tier(
        self,
        uri: str,
        storage_class: str,
        *,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> Written:
        written: Written = self._simple(
            "set_tier", uri, uri, storage_class, etag=etag, version_id=version_id
        )
        return written

    def restore(
        self, uri: str, *, days: int, speed: str = "standard", version_id: str | None = None
    ) -> None:
        self._simple("restore", uri, uri, days=days, speed=speed, version_id=version_id)

    def tags(self, uri: str, *, version_id: str | None = None) -> dict[str, str]:
        found: dict[str, str] = self._simple("tags", uri, uri, version_id=version_id)
        return found

    def set_tags(self, uri: str, tags: Mapping[str, str], *, version_id: str | None = None) -> None:
        self._simple("set_tags", uri, uri, tags, version_id=version_id)

    def set_hold(self, uri: str, *, is_held: bool, version_id: str | None = None) -> None:
        self._simple("set_hold", uri, uri, is_held=is_held, version_id=version_id)

    def delete(
        self, uri: str, *, etag: str | None = None, version_id: str | None = None
    ) -> Deleted:
        deleted: Deleted = self._simple("delete", uri, uri, etag=etag, version_id=version_id)
        return deleted

    def delete_versions(
        self, versions: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], GreendataError]:
        if not versions or not self.capabilities.deletes_together:
            return super().delete_versions(versions)  # each is a call of its own
        failed: dict[tuple[str, str], GreendataError] = self._simple(
            "delete_versions", versions[0][0], versions
        )
        return failed

    def rules(self, uri: str) -> ContainerRules:
        found: ContainerRules = self._simple("rules", uri, uri)
        return found
