"""What S3 says of objects, as records."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from greendata.model import StoredObject
from greendata.stores.records import Encryption, ObjectDetails, PendingUpload
from greendata.stores.uris import ObjectUri

_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
_DEFAULT_CLASS = "STANDARD"
_CHECKSUM = "Checksum"


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
        **_beside(answer),
        untold=_untold(answer),
        tag_count=answer.get("TagCount"),
        checksums=_checksums(answer),
        is_archived=(storage_class in _ARCHIVES or answer.get("ArchiveStatus") is not None)
        and state != "restored",
        restore_state=state,
        is_held="ON"
        in (answer.get("ObjectLockLegalHoldStatus"), answer.get("ObjectLockEventHold")),
        retain_until=retain_until and retain_until.astimezone(UTC),
        retention_mode=answer.get("ObjectLockMode"),
        replication_status=answer.get("ReplicationStatus"),
        parts=answer.get("PartsCount") or _parts_in(etag),
    )


def _parts_in(etag: str) -> int | None:
    count = etag.rpartition("-")[2] if "-" in etag else ""
    return int(count) if count.isdigit() else None


def _beside(answer: Mapping[str, Any]) -> dict[str, Any]:
    checksums = _checksum_names(answer)
    return {
        "content_type": answer.get("ContentType"),
        "content_encoding": answer.get("ContentEncoding"),
        "content_language": answer.get("ContentLanguage"),
        "content_disposition": answer.get("ContentDisposition"),
        "cache_control": answer.get("CacheControl"),
        "expires": _expires(answer),
        "redirect": answer.get("WebsiteRedirectLocation"),
        "metadata": dict(answer.get("Metadata", {})),
        "encryption": _encryption(answer),
        "checksum": checksums[0] if checksums else None,
        "checksum_type": answer.get("ChecksumType") if checksums else None,
    }


def _encryption(answer: Mapping[str, Any]) -> Encryption | None:
    algorithm = answer.get("ServerSideEncryption")
    if algorithm is None:
        return None
    return Encryption(
        algorithm=algorithm,
        key_id=answer.get("SSEKMSKeyId"),
        has_bucket_key=bool(answer.get("BucketKeyEnabled")),
    )


def _expires(answer: Mapping[str, Any]) -> str | None:
    """The header itself: what is no date is none to the SDK."""
    headers: Mapping[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("expires")


def _untold(answer: Mapping[str, Any]) -> str:
    """What a copy that is not made by S3 itself would lose, in words."""
    if answer.get("MissingMeta"):
        return "metadata that is not told"
    expires = _expires(answer)
    return "" if expires is None or _is_date(expires) else "an Expires header that is no date"


def _is_date(header: str) -> bool:
    """Whether it is written as the SDK writes dates, which takes nothing else."""
    try:
        found = parsedate_to_datetime(header)
    except ValueError:
        return False
    return found.tzinfo is not None and format_datetime(found, usegmt=True) == header


def _checksum_names(answer: Mapping[str, Any]) -> list[str]:
    """Algorithms, as S3 calls them."""
    names = [name for name in answer if name.startswith(_CHECKSUM) and name != "ChecksumType"]
    return sorted(name.removeprefix(_CHECKSUM) for name in names if answer[name])


def _checksums(answer: Mapping[str, Any]) -> dict[str, str]:
    """Those of the whole content; a checksum of checksums (``…-3``) says nothing of it."""
    found = {}
    for name in _checksum_names(answer):
        value = str(answer[f"{_CHECKSUM}{name}"])
        if "-" not in value and answer.get("ChecksumType") != "COMPOSITE":
            try:
                found[name.lower()] = base64.b64decode(value, validate=True).hex()
            except binascii.Error:
                continue
    return found
