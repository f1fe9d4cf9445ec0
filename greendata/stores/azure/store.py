"""The Azure Blob back end."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    GreendataError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnreachableError,
    UnsupportedError,
    UsageError,
)
from greendata.model import StoredObject
from greendata.stores.azure.arguments import (
    beside_arguments,
    condition_arguments,
    content_settings,
    scope_argument,
    source_arguments,
    tier_argument,
    unquoted,
    version_argument,
    written_record,
)
from greendata.stores.azure.client import AzureSettings, Client, translated
from greendata.stores.azure.listing import object_details, stored_object
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
from greendata.stores.remote import (
    glob_expression,
    has_glob,
    is_below,
    is_own,
    literal_prefix,
    open_ranged,
)
from greendata.stores.uris import AZURE, ObjectUri, parse_uri

if TYPE_CHECKING:
    import pyarrow as pa
    from azure.storage.blob import BlobClient, ContainerClient

ARCHIVE = "Archive"
LEASE_SECONDS = 15
"""The shortest lease that Azure gives; it ends by itself."""

_COPY_POLL_SECONDS = 0.2


class AzureStore(Store):
    """Block blobs of one account; a range is read only while the blob has the listed ETag."""

    capabilities = Capabilities(
        has_tiers=True,
        has_tags=True,
        has_metadata=True,
        is_multipart=True,
        has_versions=True,
        has_folders=True,
    )

    def __init__(self, settings: AzureSettings) -> None:
        self._client = Client(settings)
        self._account = settings.account
        self._listing_retries = settings.listing_attempts - 1

    @property
    def store_id(self) -> str:  # type: ignore[override]
        """Account and endpoint, without any secret."""
        return self._client.store_id

    def expand(self, uri: str) -> tuple[str, ...]:
        target = self._parse(uri)
        if not has_glob(target.key) or self._exists(target):
            return (str(target),)
        pattern = glob_expression(target.key)
        listed = self._blobs(target, literal_prefix(target.key))
        found = sorted(b.name for b in listed if pattern.fullmatch(b.name) and not is_own(b.name))
        if not found:
            raise ObjectNotFoundError(f"{uri}: nothing matches.", hint="Quote or check the glob.")
        return tuple(str(target.with_key(key)) for key in found)

    def list(
        self, uri: str, *, on_denied: Report | None = None, on_ignored: Report | None = None
    ) -> Iterator[StoredObject]:
        is_empty = True
        for target in map(self._parse, self.expand(uri)):
            for blob in self._blobs(target, target.key):
                if not is_below(blob.name, target.key) or is_own(blob.name):
                    continue
                is_empty = False
                found = stored_object(target, blob, self.store_id)
                if _is_folder(blob):
                    if on_ignored is not None:
                        on_ignored(found.uri, "folder marker of no bytes")
                    continue
                yield found
        if is_empty and self._parse(uri).key:
            raise ObjectNotFoundError(f"{uri}: no object is there.", hint="Check the prefix.")

    def list_folder(self, uri: str, *, with_versions: bool = False) -> Iterator[StoredObject | str]:
        target = self._parse(uri)
        include = ["metadata", "versions"] if with_versions else ["metadata"]
        with translated(uri):
            found: Iterator[Any] = self._container(target).walk_blobs(
                name_starts_with=target.key or None,
                include=include,
                delimiter="/",
                retry_total=self._listing_retries,
            )
            for blob in found:
                if is_own(blob.name):
                    continue
                if "blob_type" not in blob:
                    yield str(target.with_key(blob.name))
                elif not _is_folder(blob):
                    yield stored_object(target, blob, self.store_id)

    def versions(self, uri: str) -> Iterator[StoredObject]:
        target = self._parse(uri)
        for blob in self._blobs(target, target.key, include=["versions", "metadata"]):
            if is_below(blob.name, target.key) and not is_own(blob.name):
                yield stored_object(target, blob, self.store_id)

    def own_objects(self, uri: str) -> Iterator[StoredObject]:
        target = self._parse(uri)
        for blob in self._blobs(target, target.key):
            if is_below(blob.name, target.key) and is_own(blob.name):
                yield stored_object(target, blob, self.store_id)

    def uploads(self, uri: str) -> Iterator[PendingUpload]:
        target = self._parse(uri)
        for blob in self._blobs(target, target.key, include=["uncommittedblobs"]):
            place = target.with_key(blob.name)
            # listed beside committed blobs, as one of no bytes that is not there when asked for
            if is_below(blob.name, target.key) and not blob.size and not self._exists(place):
                yield PendingUpload(
                    uri=str(place),
                    store_id=self.store_id,
                    upload_id="uncommitted",
                    started_at=blob.creation_time,
                )

    def head(self, uri: str) -> StoredObject:
        return self.details(uri).item

    def details(self, uri: str, *, version_id: str | None = None) -> ObjectDetails:
        target = self._parse(uri)
        with translated(uri):
            answer = self._blob(target).get_blob_properties(**version_argument(version_id))
        return object_details(target, answer, self.store_id)

    def open(self, item: StoredObject) -> pa.NativeFile:
        return open_ranged(self, item)

    def read(
        self,
        uri: str,
        *,
        start: int = 0,
        size_bytes: int | None = None,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> bytes:
        from azure.core.exceptions import HttpResponseError

        if size_bytes == 0:
            return b""
        blob = self._blob(self._parse(uri))
        with translated(uri):
            try:
                answer = blob.download_blob(
                    offset=None if start == 0 and size_bytes is None else start,
                    length=size_bytes,
                    decompress=False,
                    **version_argument(version_id),
                    **condition_arguments(Condition(etag=etag)),
                )
                content: bytes = answer.readall()
            except HttpResponseError as error:
                if error.status_code == 416:
                    return b""  # the blob ends before the range
                raise
        return content

    def put(
        self,
        uri: str,
        content: bytes,
        *,
        condition: Condition = ALWAYS,
        properties: Properties = NOTHING_BESIDE,
    ) -> Written:
        target = self._parse(uri)
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        with translated(uri):
            answer = self._blob(target).upload_blob(
                content,
                overwrite=not condition.is_absent,
                content_settings=content_settings(properties, md5),
                validate_content=True,
                **beside_arguments(properties),
                **scope_argument(properties),
                **condition_arguments(condition),
            )
        return written_record(str(target), answer, len(content))

    def start_upload(self, uri: str, properties: Properties = NOTHING_BESIDE) -> Upload:
        # blocks are staged under ids of their own, so that two uploads cannot mix
        return Upload(uri=uri, upload_id=f"{time.time_ns():020d}", properties=properties)

    def put_part(self, upload: Upload, number: int, content: bytes) -> UploadPart:
        block_id = f"{upload.upload_id}-{number:05d}"
        with translated(upload.uri):
            self._blob(self._parse(upload.uri)).stage_block(
                block_id,
                content,
                length=len(content),
                validate_content=True,
                **scope_argument(upload.properties),
            )
        return UploadPart(number=number, etag=block_id, size_bytes=len(content))

    def complete_upload(
        self, upload: Upload, parts: Sequence[UploadPart], *, condition: Condition = ALWAYS
    ) -> Written:
        from azure.storage.blob import BlobBlock

        properties = upload.properties
        blocks = [BlobBlock(part.etag) for part in sorted(parts, key=lambda part: part.number)]
        md5 = bytes.fromhex(properties.content_md5) if properties.content_md5 else None
        target = self._parse(upload.uri)
        with translated(upload.uri):
            answer = self._blob(target).commit_block_list(
                blocks,
                content_settings=content_settings(properties, md5),
                **beside_arguments(properties),
                **scope_argument(properties),
                **condition_arguments(condition),
            )
        return written_record(str(target), answer, sum(part.size_bytes for part in parts))

    def abort_upload(self, uri: str, upload_id: str) -> None:
        """Nothing to do: blocks that are not committed are invisible and dropped after a week."""

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
        """Azure carries the headers of the source, also where ``properties`` are given.

        It cannot put a copy into an encryption scope, so what is in one goes another way.
        """
        origin, goal = self._parse(source), self._parse(target)
        before = self.details(source, version_id=source_version_id)
        if before.encryption is not None:
            raise UnsupportedError(f"{source}: is in an encryption scope, which no copy keeps.")
        blob = self._blob(goal)
        url = self._blob(origin).url
        if source_version_id is not None:
            url += f"?versionid={source_version_id}"
        arguments = condition_arguments(condition)
        arguments |= source_arguments(source_etag or before.item.etag)
        if properties is not None:
            arguments |= beside_arguments(properties)
        else:
            tags = self.tags(source, version_id=source_version_id) if before.tag_count else {}
            arguments |= {"tags": tags} if tags else {}
            if not before.is_archived:
                arguments |= tier_argument(before.item.storage_class)
        with translated(source):
            blob.start_copy_from_url(url, **arguments)
            state = blob.get_blob_properties()
            while state.copy.status == "pending":
                time.sleep(_COPY_POLL_SECONDS)
                state = blob.get_blob_properties()
        if state.copy.status != "success":
            raise StoreUnreachableError(
                f"{source}: the copy to {target} ended as {state.copy.status}.", is_retryable=True
            )
        return Written(
            uri=str(goal),
            etag=unquoted(state.etag),
            size_bytes=state.size,
            version_id=state.version_id,
        )

    def set_tier(
        self,
        uri: str,
        storage_class: str,
        *,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> Written:
        """Set Blob Tier takes no ETag: it is compared before and after, and the tier set back.

        Where the account keeps versions exactly the one that was compared is named, so that what
        replaces it meanwhile is never touched. Azure takes up to 256 tier changes as one batch; it
        would spare one of these three requests, compare nothing and know no lease.
        """
        target = self._parse(uri)
        blob = self._blob(target)
        before = self.details(uri, version_id=version_id).item
        if etag is not None and before.etag != etag:
            raise PreconditionFailedError(f"{uri}: its ETag is not the one expected.")
        named = version_argument(version_id or before.version_id)
        is_leased = storage_class == ARCHIVE and not named
        with self._leased(blob, uri, before.etag if is_leased else None) as lease:
            blob.set_standard_blob_tier(storage_class, **lease, **named)
        after = self.details(uri, version_id=version_id).item
        if etag is not None and after.etag != etag:
            if before.storage_class is not None:
                with translated(uri):
                    blob.set_standard_blob_tier(before.storage_class, **named)
            raise PreconditionFailedError(f"{uri}: it was replaced while its tier was set.")
        return Written(
            uri=str(target), etag=after.etag, size_bytes=after.size_bytes, version_id=version_id
        )

    @contextlib.contextmanager
    def _leased(self, blob: BlobClient, uri: str, etag: str | None) -> Iterator[dict[str, Any]]:
        """Nobody replaces a blob on its way to the archive, from where no tier is set back soon.

        The lease is taken under the ETag and ends by itself if this process does not end it.
        """
        with translated(uri):
            if etag is None:
                yield {}
                return
            lease = blob.acquire_lease(LEASE_SECONDS, **condition_arguments(Condition(etag=etag)))
            try:
                yield {"lease": lease}
            finally:
                with contextlib.suppress(GreendataError), translated(uri):
                    lease.release()

    def restore(
        self, uri: str, *, days: int, speed: str = "standard", version_id: str | None = None
    ) -> None:
        """Rehydrates in place to Hot; Azure has no temporary copies, so ``days`` has no effect."""
        from azure.storage.blob import RehydratePriority

        priority = RehydratePriority("High" if speed == "expedited" else "Standard")
        with translated(uri):
            self._blob(self._parse(uri)).set_standard_blob_tier(
                "Hot", rehydrate_priority=priority, **version_argument(version_id)
            )

    def tags(self, uri: str, *, version_id: str | None = None) -> dict[str, str]:
        with translated(uri):
            found = self._blob(self._parse(uri)).get_blob_tags(**version_argument(version_id))
        return dict(found)

    def set_tags(self, uri: str, tags: Mapping[str, str], *, version_id: str | None = None) -> None:
        with translated(uri):
            self._blob(self._parse(uri)).set_blob_tags(dict(tags), **version_argument(version_id))

    def delete(
        self, uri: str, *, etag: str | None = None, version_id: str | None = None
    ) -> Deleted:
        try:
            with translated(uri):
                self._blob(self._parse(uri)).delete_blob(
                    **version_argument(version_id), **condition_arguments(Condition(etag=etag))
                )
        except ObjectNotFoundError:
            return Deleted(uri=uri)
        return Deleted(uri=uri)

    def rules(self, uri: str) -> ContainerRules:
        """What the data plane tells; versioning and lifecycle rules stand in the management one."""
        with translated(uri):
            self._container(self._parse(uri)).get_container_properties()
            service = self._client.sdk.get_service_properties()
        soft_delete = service.get("delete_retention_policy")
        days = soft_delete.days if soft_delete and soft_delete.enabled else 0
        return ContainerRules(soft_delete_days=days, unreadable=("versioning", "lifecycle"))

    def _parse(self, uri: str) -> ObjectUri:
        target = parse_uri(uri)
        if target.scheme != AZURE:
            raise UsageError(f"{uri}: not an az:// URI.")
        if target.account not in (None, self._account):
            raise UnsupportedError(f"{uri}: is in another account than {self._account}.")
        return ObjectUri(
            scheme=AZURE, container=target.container, key=target.key, account=self._account
        )

    def _exists(self, target: ObjectUri) -> bool:
        try:
            self.head(str(target))
        except ObjectNotFoundError:
            return False
        return True

    def _container(self, target: ObjectUri) -> ContainerClient:
        return self._client.sdk.get_container_client(target.container)

    def _blob(self, target: ObjectUri) -> BlobClient:
        if not target.key:
            raise UsageError(f"{target}: names a container, not an object.")
        return self._client.sdk.get_blob_client(target.container, target.key)

    def _blobs(
        self, target: ObjectUri, prefix: str, include: Sequence[str] = ("metadata",)
    ) -> Iterator[Any]:
        with translated(str(target)):
            found = self._container(target).list_blobs(
                name_starts_with=prefix or None,
                include=[*include],
                retry_total=self._listing_retries,
            )
            try:
                yield from found
            except (AttributeError, ValueError) as error:  # what the SDK makes of such an answer
                raise StoreUnreachableError(
                    f"{target}: what Azure answered to a listing is none.",
                    hint="Check the endpoint, and what is between.",
                    is_retryable=True,
                ) from error


def _is_folder(blob: Any) -> bool:
    """A marker of a folder: of the hierarchical namespace, or an empty blob named like one."""
    is_marked = (blob.metadata or {}).get("hdi_isfolder") == "true"
    return is_marked or (blob.name.endswith("/") and not blob.size)
