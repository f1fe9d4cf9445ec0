"""What S3 says of objects, as records."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from greendata.model import StoredObject
from greendata.stores.records import ObjectDetails, PendingUpload
from greendata.stores.uris import ObjectUri

_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
_DEFAULT_CLASS = "STANDARD"
_CHECKSUMS = {
    "ChecksumSHA256": "sha256",
    "ChecksumSHA1": "sha1",
    "ChecksumCRC32": "crc32",
    "ChecksumCRC32C": "crc32c",
    "ChecksumCRC64NVME": "crc64nvme",
}


def stored_object(target: ObjectUri, entry: Mapping[str, Any], store_id: str) -> StoredObject:
    """An entry of ``list_objects_v2``."""
    return StoredObject(
        uri=f"{target.root}{entry['Key']}",
        store_id=store_id,
        size_bytes=int(entry["Size"]),
        etag=str(entry.get("ETag", "")).strip('"'),
        modified_at=entry["LastModified"].astimezone(UTC),
        storage_class=entry.get("StorageClass") or _DEFAULT_CLASS,
    )


def stored_version(target: ObjectUri, entry: Mapping[str, Any], store_id: str) -> StoredObject:
    """An entry of ``list_object_versions``; a delete marker has no size, ETag or class."""
    is_marker = "Size" not in entry
    version_id = entry.get("VersionId")
    return StoredObject(
        uri=f"{target.root}{entry['Key']}",
        store_id=store_id,
        size_bytes=int(entry.get("Size", 0)),
        etag=str(entry.get("ETag", "")).strip('"'),
        modified_at=entry["LastModified"].astimezone(UTC),
        storage_class=None if is_marker else entry.get("StorageClass") or _DEFAULT_CLASS,
        version_id=None if version_id in (None, "null") else version_id,
        is_latest=bool(entry["IsLatest"]),
        is_delete_marker=is_marker,
    )


def pending_upload(target: ObjectUri, entry: Mapping[str, Any], store_id: str) -> PendingUpload:
    """An entry of ``list_multipart_uploads``."""
    started: datetime | None = entry.get("Initiated")
    return PendingUpload(
        uri=f"{target.root}{entry['Key']}",
        store_id=store_id,
        upload_id=entry["UploadId"],
        started_at=started and started.astimezone(UTC),
    )


def object_details(target: ObjectUri, answer: Mapping[str, Any], store_id: str) -> ObjectDetails:
    """The answer of ``head_object``."""
    storage_class = answer.get("StorageClass") or _DEFAULT_CLASS
    version_id = answer.get("VersionId")
    restore = answer.get("Restore")
    state = None
    if restore is not None:
        state = "pending" if 'ongoing-request="true"' in restore else "restored"
    retain_until: datetime | None = answer.get("ObjectLockRetainUntilDate")
    etag = str(answer["ETag"]).strip('"')
    return ObjectDetails(
        item=StoredObject(
            uri=str(target),
            store_id=store_id,
            size_bytes=int(answer["ContentLength"]),
            etag=etag,
            modified_at=answer["LastModified"].astimezone(UTC),
            storage_class=storage_class,
            version_id=None if version_id in (None, "null") else version_id,
        ),
        content_type=answer.get("ContentType"),
        content_encoding=answer.get("ContentEncoding"),
        metadata=dict(answer.get("Metadata", {})),
        tag_count=answer.get("TagCount"),
        checksums=_checksums(answer),
        is_archived=(storage_class in _ARCHIVES or answer.get("ArchiveStatus") is not None)
        and state != "restored",
        restore_state=state,
        is_held=answer.get("ObjectLockLegalHoldStatus") == "ON",
        retain_until=retain_until and retain_until.astimezone(UTC),
        retention_mode=answer.get("ObjectLockMode"),
        encryption=answer.get("ServerSideEncryption"),
        replication_status=answer.get("ReplicationStatus"),
        parts=answer.get("PartsCount") or _parts_in(etag),
    )


def _parts_in(etag: str) -> int | None:
    count = etag.rpartition("-")[2] if "-" in etag else ""
    return int(count) if count.isdigit() else None


def _checksums(answer: Mapping[str, Any]) -> dict[str, str]:
    """Those of the whole content; a checksum of checksums (``…-3``) says nothing of it."""
    found = {}
    for field, name in _CHECKSUMS.items():
        value = str(answer.get(field, ""))
        if value and "-" not in value and answer.get("ChecksumType") != "COMPOSITE":
            try:
                found[name] = base64.b64decode(value, validate=True).hex()
            except binascii.Error:
                continue
    return found
