"""The S3 back end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    DeniedError,
    GreendataError,
    ObjectHeldError,
    ObjectNotFoundError,
    UsageError,
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
from greendata.stores.remote import (
    glob_expression,
    has_glob,
    is_below,
    is_own,
    literal_prefix,
    open_ranged,
)
from greendata.stores.s3.arguments import (
    condition_arguments,
    part_argument,
    properties_arguments,
    quoted,
    sha256_checksum,
    unquoted,
    version_argument,
    whole_body,
    written_record,
)
from greendata.stores.s3.client import Client, S3Settings, head_object, translated
from greendata.stores.s3.copies import InsideCopy, copy_inside
from greendata.stores.s3.deletes import MOST_KEYS, Named, can_be_listed, delete_together
from greendata.stores.s3.listing import pending_upload, stored_object, stored_version
from greendata.stores.s3.pages import whole_listing
from greendata.stores.s3.rules import read_rules
from greendata.stores.uris import S3, ObjectUri, parse_uri

if TYPE_CHECKING:
    import pyarrow as pa


class S3Store(Store):
    """Objects of S3; a range is read only while the object still has the ETag that was listed.

    Ranges are fetched with the SDK, not with pyarrow's own S3 file system: that one cannot send
    If-Match, so an object that is replaced while it is read would give a mixture of both.
    """

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

    def __init__(self, settings: S3Settings | None = None) -> None:
        self._client = Client(settings or S3Settings())

    @property
    def store_id(self) -> str:  # type: ignore[override]
        """Endpoint, without any secret; bucket names are unique behind it."""
        return f"{S3}:{self._client.host}"

    def expand(self, uri: str) -> tuple[str, ...]:
        target = _parse(uri)
        if not has_glob(target.key) or self._exists(target):
            return (uri,)
        pattern = glob_expression(target.key)
        keys = (
            item.key
            for item in map(parse_uri, self._uris(target.with_key(literal_prefix(target.key))))
        )
        found = {key for key in keys if pattern.fullmatch(key)}
        if not found:
            raise ObjectNotFoundError(f"{uri}: nothing matches.", hint="Quote or check the glob.")
        return tuple(str(target.with_key(key)) for key in sorted(found))

    def list(
        self, uri: str, *, on_denied: Report | None = None, on_ignored: Report | None = None
    ) -> Iterator[StoredObject]:
        is_empty = True
        for target in map(_parse, self.expand(uri)):
            for item in self._pages(target, "list_objects_v2", "Contents"):
                if not is_below(item["Key"], target.key) or is_own(item["Key"]):
                    continue
                is_empty = False
                found = stored_object(target, item, self.store_id)
                if item["Key"].endswith("/") and not found.size_bytes:
                    if on_ignored is not None:
                        on_ignored(found.uri, "folder marker of no bytes")
                    continue
                yield found
        target = _parse(uri)
        if is_empty and target.key:
            raise ObjectNotFoundError(f"{uri}: no object is there.", hint="Check the prefix.")

    def list_folder(self, uri: str, *, with_versions: bool = False) -> Iterator[StoredObject | str]:
        target = _parse(uri)
        call = "list_object_versions" if with_versions else "list_objects_v2"
        for page in self._listed(target, call, Delimiter="/"):
            for folder in page.get("CommonPrefixes", []):
                if not is_own(folder["Prefix"]):
                    yield str(target.with_key(folder["Prefix"]))
            if with_versions:
                yield from self._versions_in(page, target)
                continue
            for entry in page.get("Contents", []):
                if entry["Size"] or not entry["Key"].endswith("/"):
                    yield stored_object(target, entry, self.store_id)

    def versions(self, uri: str) -> Iterator[StoredObject]:
        target = _parse(uri)
        for page in self._listed(target, "list_object_versions"):
            yield from self._versions_in(page, target)

    def _versions_in(self, page: dict[str, Any], target: ObjectUri) -> Iterator[StoredObject]:
        entries = page.get("Versions", []) + page.get("DeleteMarkers", [])
        entries.sort(key=lambda entry: (entry["Key"], not entry["IsLatest"]))
        for entry in entries:
            if is_below(entry["Key"], target.key) and not is_own(entry["Key"]):
                yield stored_version(target, entry, self.store_id)

    def own_objects(self, uri: str) -> Iterator[StoredObject]:
        target = _parse(uri)
        for item in self._pages(target, "list_objects_v2", "Contents"):
            if is_below(item["Key"], target.key) and is_own(item["Key"]):
                yield stored_object(target, item, self.store_id)

    def uploads(self, uri: str) -> Iterator[PendingUpload]:
        target = _parse(uri)
        for entry in self._pages(target, "list_multipart_uploads", "Uploads"):
            if is_below(entry["Key"], target.key):
                yield pending_upload(target, entry, self.store_id)

    def head(self, uri: str) -> StoredObject:
        return self.details(uri).item

    def details(self, uri: str, *, version_id: str | None = None) -> ObjectDetails:
        from greendata.stores.s3.listing import object_details

        target = _parse(uri)
        place = {**self._key(target), **version_argument(version_id)}
        with translated(uri):
            answer = head_object(self._client.sdk, {**place, "ChecksumMode": "ENABLED"})
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
        from botocore.exceptions import ClientError

        if size_bytes == 0:
            return b""
        target = _parse(uri)
        last = "" if size_bytes is None else str(start + size_bytes - 1)
        ranged = {"Range": f"bytes={start}-{last}"} if start or last else {}
        matching = {"IfMatch": quoted(etag)} if etag is not None else {}
        with translated(uri):
            try:
                answer = self._client.sdk.get_object(
                    **self._key(target), **version_argument(version_id), **ranged, **matching
                )
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 416:
                    return b""  # the object ends before the range
                raise
            return whole_body(answer)

    def put(
        self,
        uri: str,
        content: bytes,
        *,
        condition: Condition = ALWAYS,
        properties: Properties = NOTHING_BESIDE,
    ) -> Written:
        target = _parse(uri)
        with translated(uri):
            answer = self._client.sdk.put_object(
                **self._key(target),
                Body=content,
                ChecksumSHA256=sha256_checksum(content),
                **condition_arguments(condition),
                **properties_arguments(properties),
            )
        return written_record(uri, answer, len(content))

    def start_upload(self, uri: str, properties: Properties = NOTHING_BESIDE) -> Upload:
        target = _parse(uri)
        with translated(uri):
            answer = self._client.sdk.create_multipart_upload(
                **self._key(target), ChecksumAlgorithm="SHA256", **properties_arguments(properties)
            )
        return Upload(uri=uri, upload_id=answer["UploadId"], properties=properties)

    def put_part(self, upload: Upload, number: int, content: bytes) -> UploadPart:
        target, checksum = _parse(upload.uri), sha256_checksum(content)
        with translated(upload.uri):
            answer = self._client.sdk.upload_part(
                **self._key(target),
                UploadId=upload.upload_id,
                PartNumber=number,
                Body=content,
                ChecksumSHA256=checksum,
            )
        return UploadPart(
            number=number,
            etag=unquoted(answer["ETag"]),
            size_bytes=len(content),
            checksum=checksum,
        )

    def complete_upload(
        self, upload: Upload, parts: Sequence[UploadPart], *, condition: Condition = ALWAYS
    ) -> Written:
        target = _parse(upload.uri)
        listed = [part_argument(part) for part in sorted(parts, key=lambda part: part.number)]
        with translated(upload.uri):
            answer = self._client.sdk.complete_multipart_upload(
                **self._key(target),
                UploadId=upload.upload_id,
                MultipartUpload={"Parts": listed},
                **condition_arguments(condition),
            )
        return written_record(upload.uri, answer, sum(part.size_bytes for part in parts))

    def abort_upload(self, uri: str, upload_id: str) -> None:
        try:
            with translated(uri):
                self._client.sdk.abort_multipart_upload(
                    **self._key(_parse(uri)), UploadId=upload_id
                )
        except ObjectNotFoundError:
            return

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
        before = self.details(source, version_id=source_version_id)
        return self._copied(
            InsideCopy(
                source=before,
                version_id=source_version_id,
                etag=source_etag or before.item.etag,
                target=target,
                place=self._key(_parse(target)),
                properties=properties,
                condition=condition,
            )
        )

    def set_tier(
        self,
        uri: str,
        storage_class: str,
        *,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> Written:
        """A copy in place, which keeps what belongs to the object and gives a new version.

        Its ACL is the bucket's default then, as of any new object.
        """
        before = self.details(uri, version_id=version_id)
        return self._copied(
            InsideCopy(
                source=before,
                version_id=version_id,
                etag=etag or before.item.etag,
                target=uri,
                place=self._key(_parse(uri)),
                storage_class=storage_class,
                is_in_place=True,
            )
        )

    def _copied(self, copy: InsideCopy) -> Written:
        uri = copy.source.item.uri
        return copy_inside(
            self._client.sdk, copy, lambda: self.tags(uri, version_id=copy.version_id)
        )

    def restore(
        self, uri: str, *, days: int, speed: str = "standard", version_id: str | None = None
    ) -> None:
        from botocore.exceptions import ClientError

        request = {"Days": days, "GlacierJobParameters": {"Tier": speed.capitalize()}}
        with translated(uri):
            try:
                self._client.sdk.restore_object(
                    **self._key(_parse(uri)), **version_argument(version_id), RestoreRequest=request
                )
            except ClientError as error:
                if error.response["Error"].get("Code") != "RestoreAlreadyInProgress":
                    raise

    def tags(self, uri: str, *, version_id: str | None = None) -> dict[str, str]:
        with translated(uri):
            answer = self._client.sdk.get_object_tagging(
                **self._key(_parse(uri)), **version_argument(version_id)
            )
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def set_tags(self, uri: str, tags: Mapping[str, str], *, version_id: str | None = None) -> None:
        listed = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        with translated(uri):
            if not listed:  # servers differ on whether a set of tags may be empty
                self._client.sdk.delete_object_tagging(
                    **self._key(_parse(uri)), **version_argument(version_id)
                )
                return
            self._client.sdk.put_object_tagging(
                **self._key(_parse(uri)), **version_argument(version_id), Tagging={"TagSet": listed}
            )

    def set_hold(self, uri: str, *, is_held: bool, version_id: str | None = None) -> None:
        with translated(uri):
            self._client.sdk.put_object_legal_hold(
                **self._key(_parse(uri)),
                **version_argument(version_id),
                LegalHold={"Status": "ON" if is_held else "OFF"},
            )

    def delete(
        self, uri: str, *, etag: str | None = None, version_id: str | None = None
    ) -> Deleted:
        matching = {"IfMatch": quoted(etag)} if etag is not None else {}
        try:
            with translated(uri):
                answer = self._client.sdk.delete_object(
                    **self._key(_parse(uri)), **version_argument(version_id), **matching
                )
        except ObjectNotFoundError:
            return Deleted(uri=uri)
        except DeniedError as error:
            raise self._held(uri, version_id) or error from error.__cause__
        is_marker = bool(answer.get("DeleteMarker")) and version_id is None
        return Deleted(uri=uri, marker_version_id=answer.get("VersionId") if is_marker else None)

    def delete_versions(self, versions: Sequence[Named]) -> dict[Named, GreendataError]:
        failed: dict[Named, GreendataError] = {}
        listed = [named for named in versions if can_be_listed(named[0])]
        for start in range(0, len(listed), MOST_KEYS):
            some = listed[start : start + MOST_KEYS]
            place = {"Bucket": _parse(some[0][0]).container} | self._client.owner()
            for named, error in delete_together(self._client.sdk, place, some):
                is_denied = isinstance(error, DeniedError)
                failed[named] = (is_denied and self._held(*named)) or error
        alone = [named for named in versions if not can_be_listed(named[0])]
        return failed | super().delete_versions(alone)

    def rules(self, uri: str) -> ContainerRules:
        target = _parse(uri)
        with translated(uri):
            return read_rules(self._client.sdk, {"Bucket": target.container} | self._client.owner())

    def _held(self, uri: str, version_id: str | None) -> ObjectHeldError | None:
        """Whether it is a hold that forbids a change: the answer itself does not always say so."""
        try:
            found = self.details(uri, version_id=version_id)
        except GreendataError:
            return None
        if not found.is_held and found.retain_until is None:
            return None
        return ObjectHeldError(f"{uri}: a hold or its retention forbids the change.")

    def _exists(self, target: ObjectUri) -> bool:
        try:
            self.head(str(target))
        except ObjectNotFoundError:
            return False
        return True

    def _uris(self, target: ObjectUri) -> Iterator[str]:
        for entry in self._pages(target, "list_objects_v2", "Contents"):
            if not is_own(entry["Key"]):
                yield str(target.with_key(entry["Key"]))

    def _pages(self, target: ObjectUri, call: str, entries: str) -> Iterator[dict[str, Any]]:
        for page in self._listed(target, call):
            yield from page.get(entries, [])

    def _listed(self, target: ObjectUri, call: str, **options: str) -> Iterator[dict[str, Any]]:
        """Pages of a listing; a page that fails is asked for again, not the whole listing."""
        paginator = self._client.listing_sdk.get_paginator(call)
        with translated(str(target)):
            pages = paginator.paginate(**self._place(target), **options)
            yield from whole_listing(pages, str(target))

    def _key(self, target: ObjectUri) -> dict[str, Any]:
        if not target.key:
            raise UsageError(f"{target}: names a bucket, not an object.")
        return {"Bucket": target.container, "Key": target.key} | self._client.owner()

    def _place(self, target: ObjectUri) -> dict[str, Any]:
        return {"Bucket": target.container, "Prefix": target.key} | self._client.owner()


def _parse(uri: str) -> ObjectUri:
    target = parse_uri(uri)
    if target.scheme != S3:
        raise UsageError(f"{uri}: not an s3:// URI.")
    return target
