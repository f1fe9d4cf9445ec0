"""What Azure says of blobs, as records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.model import StoredObject
from greendata.stores.records import Encryption, ObjectDetails

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties

    from greendata.stores.uris import ObjectUri

_ARCHIVE = "Archive"

SCOPE = "scope"
"""Algorithm of what is in an encryption scope, by this program's word."""


def stored_object(target: ObjectUri, blob: BlobProperties, store_id: str) -> StoredObject:
    """An entry of a listing, or a blob's properties."""
    return StoredObject(
        uri=str(target.with_key(blob.name)),
        store_id=store_id,
        size_bytes=int(blob.size or 0),
        etag=str(blob.etag or "").strip('"'),
        modified_at=blob.last_modified,
        storage_class=None if blob.blob_tier is None else str(blob.blob_tier),
        version_id=blob.version_id,
        is_latest=blob.is_current_version is not False,
        created_at=blob.creation_time,
        accessed_at=blob.last_accessed_on,
        tier_changed_at=blob.blob_tier_change_time,
    )


def object_details(target: ObjectUri, blob: BlobProperties, store_id: str) -> ObjectDetails:
    """The answer of Get Blob Properties."""
    settings, policy = blob.content_settings, blob.immutability_policy
    md5 = settings.content_md5
    pending, scope = blob.archive_status is not None, blob.encryption_scope
    return ObjectDetails(
        item=stored_object(target, blob, store_id),
        content_type=settings.content_type,
        content_encoding=settings.content_encoding,
        content_language=settings.content_language,
        content_disposition=settings.content_disposition,
        content_md5=bytes(md5).hex() if md5 else None,
        cache_control=settings.cache_control,
        metadata=dict(blob.metadata or {}),
        encryption=Encryption(algorithm=SCOPE, key_id=scope) if scope else None,
        tag_count=blob.tag_count,
        checksums={} if not md5 else {"md5": bytes(md5).hex()},
        is_archived=str(blob.blob_tier) == _ARCHIVE,
        restore_state="pending" if pending else None,
        is_held=bool(blob.has_legal_hold) or blob.lease.state == "leased",
        retain_until=policy.expiry_time if policy else None,
        retention_mode=str(policy.policy_mode) if policy and policy.policy_mode else None,
    )
