"""What every store can do, and how a failing one speaks."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greendata.errors import (
    DeniedError,
    GreendataError,
    LockedError,
    ObjectNotFoundError,
    StoreUnreachableError,
    UnsupportedError,
)
from greendata.model import StoredObject
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

OWN_FOLDERS = frozenset({".greendata", "_greendata"})
"""Folders of this program: no listing of any store shows what is in them."""

Report = Callable[[str, str], None]
"""Called with a URI and a detail."""

_DENIED = frozenset({errno.EACCES, errno.EPERM})
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class Store(ABC):
    """The objects behind one URI scheme and account.

    ``store_id`` names endpoint and account. URIs hold keys raw, as the store has them (local ones
    are percent-encoded ``file://`` URIs). A conditional write that is refused raises
    PreconditionFailedError and has no effect. Every method may raise DeniedError and
    StoreUnreachableError, and may be called from several threads.
    """

    store_id: str
    capabilities: Capabilities = Capabilities()

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

    def details(self, uri: str, *, version_id: str | None = None) -> ObjectDetails:
        """Everything the store says about an object, holds and retention among it.

        Raises:
            ObjectNotFoundError.
        """
        raise self._unsupported("tell an object's details", uri)

    def list_folder(self, uri: str, *, with_versions: bool = False) -> Iterator[StoredObject | str]:
        """What is directly in a folder whose URI ends with a slash, in no order.

        Objects, or all their versions, and as text the URIs of the folders in it.
        """
        raise self._unsupported("list a folder by itself", uri)

    def versions(self, uri: str) -> Iterator[StoredObject]:
        """Current and earlier versions and delete markers at and below ``uri``; newest first a key.

        A store without versions gives its objects.
        """
        return self.list(uri)

    def own_objects(self, uri: str) -> Iterator[StoredObject]:
        """What this program keeps in its own folders at and below ``uri``, in no order."""
        return iter(())

    def sweep(self, uri: str, *, is_deep: bool = False) -> None:  # noqa: B027  (most leave nothing)
        """Clean up what killed processes of this program left in its own folder of ``uri``.

        ``is_deep``: in all of them below it too. Nothing that has a name of its own is touched.
        """

    def uploads(self, uri: str) -> Iterator[PendingUpload]:
        """Incomplete multipart uploads at and below ``uri``."""
        return iter(())

    def read(
        self,
        uri: str,
        *,
        start: int = 0,
        size_bytes: int | None = None,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> bytes:
        """Bytes from ``start``: so many, or up to the end, or fewer where the object ends.

        Raises:
            PreconditionFailedError: its ETag is not ``etag``.
            ObjectArchivedError: it must be restored first.
            ObjectNotFoundError.
        """
        raise self._unsupported("read a range", uri)

    def put(
        self,
        uri: str,
        content: bytes,
        *,
        condition: Condition = ALWAYS,
        properties: Properties = NOTHING_BESIDE,
    ) -> Written:
        """Write a whole object at once; the store checks the content's checksum where it can.

        Raises:
            PreconditionFailedError: what is there is not what ``condition`` says.
            ObjectHeldError: a hold forbids it.
            IntegrityError: the store received other bytes.
        """
        raise self._unsupported("write", uri)

    def start_upload(self, uri: str, properties: Properties = NOTHING_BESIDE) -> Upload:
        """Begin a multipart upload."""
        raise self._unsupported("write in parts", uri)

    def put_part(self, upload: Upload, number: int, content: bytes) -> UploadPart:
        """Send part ``number``, from 1; sending it again replaces it."""
        raise self._unsupported("write in parts", upload.uri)

    def complete_upload(
        self, upload: Upload, parts: Sequence[UploadPart], *, condition: Condition = ALWAYS
    ) -> Written:
        """Make the parts, in order of their numbers, the object.

        Raises:
            PreconditionFailedError: of ``condition``; the upload may have to be started anew.
            ObjectNotFoundError: the upload is not open any more.
        """
        raise self._unsupported("write in parts", upload.uri)

    def abort_upload(self, uri: str, upload_id: str) -> None:
        """Throw an incomplete upload away; one that is gone is no error."""
        raise self._unsupported("write in parts", uri)

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
        """Copy inside the store, without the bytes coming here; waits until it is done.

        ``properties`` replace the source's; without them all are kept, the storage class too.

        Raises:
            PreconditionFailedError: of the source's ETag or of ``condition``.
            ObjectArchivedError, ObjectNotFoundError: of the source.
            UnsupportedError: to another store.
        """
        raise self._unsupported("copy", source)

    def move(self, source: str, target: str, *, etag: str | None = None) -> Written:
        """Rename an object where nothing is; its ETag, times and owner stay.

        Into our own folders it is moved first and looked at then, so that nobody can replace it
        in between; if it is not the one expected it goes back.

        Raises:
            PreconditionFailedError: its ETag is not ``etag``, or something is at ``target``.
            ObjectNotFoundError: of the source.
            UnsupportedError: the store cannot rename, or not from here to there.
        """
        raise self._unsupported("rename", source)

    def link(
        self, source: str, target: str, *, etag: str, condition: Condition = IF_ABSENT
    ) -> Written:
        """Give an object a second name, with the same ETag, times and owner.

        Both names are one object until one of them is replaced.

        Raises:
            PreconditionFailedError: its ETag is not ``etag``, or of ``condition``.
            ObjectNotFoundError: of the source.
            UnsupportedError: the store cannot, or not from here to there.
        """
        raise self._unsupported("give two names to", source)

    def set_tier(
        self,
        uri: str,
        storage_class: str,
        *,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> Written:
        """Move an object to a storage class, by the provider's word.

        Raises:
            PreconditionFailedError: its ETag is not ``etag``.
            ObjectArchivedError: it must be restored first.
            UnsupportedError: the store has no such class.
        """
        raise self._unsupported("change the storage class", uri)

    def restore(
        self, uri: str, *, days: int, speed: str = "standard", version_id: str | None = None
    ) -> None:
        """Ask for an archived object to be readable (S3: for ``days``); asking twice is no error.

        ``speed`` is ``standard``, ``bulk`` or ``expedited`` (Azure: ``high``).
        """
        raise self._unsupported("restore", uri)

    def tags(self, uri: str, *, version_id: str | None = None) -> dict[str, str]:
        """The object's tags."""
        raise self._unsupported("tag", uri)

    def set_tags(self, uri: str, tags: Mapping[str, str], *, version_id: str | None = None) -> None:
        """Replace all of the object's tags."""
        raise self._unsupported("tag", uri)

    def set_hold(self, uri: str, *, is_held: bool, version_id: str | None = None) -> None:
        """Put a legal hold on an object, or take it off."""
        raise self._unsupported("hold", uri)

    def delete(
        self, uri: str, *, etag: str | None = None, version_id: str | None = None
    ) -> Deleted:
        """Delete an object, or exactly one version of it; one that is gone is no error.

        Raises:
            PreconditionFailedError: its ETag is not ``etag``.
            ObjectHeldError: a hold, retention or lease forbids it.
        """
        raise self._unsupported("delete", uri)

    def delete_versions(
        self, versions: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], GreendataError]:
        """Delete exactly these versions of one bucket, by URI and version id; why some stay.

        A version that is named never changes, so that none needs a precondition. One that is gone
        is no error.

        Raises:
            LockedError: the lease is lost; some may be deleted.
            StoreUnreachableError: of all; some may be deleted.
        """
        failed: dict[tuple[str, str], GreendataError] = {}
        for uri, version_id in versions:
            try:
                self.delete(uri, version_id=version_id)
            except LockedError:
                raise
            except GreendataError as error:
                failed[uri, version_id] = error
        return failed

    def rules(self, uri: str) -> ContainerRules:
        """The rules of the bucket or container that holds ``uri``."""
        return ContainerRules()

    def _unsupported(self, what: str, uri: str) -> UnsupportedError:
        return UnsupportedError(f"{uri}: {type(self).__name__} cannot {what}.")

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
