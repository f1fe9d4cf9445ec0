"""Arguments of S3's requests from this program's records, and the way back."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from greendata.stores.records import Beside, Condition, Properties, UploadPart, Written
from greendata.stores.uris import ObjectUri

ENCRYPTIONS = frozenset({"AES256", "aws:kms", "aws:kms:dsse"})
"""What an owner of objects may choose."""


def whole_body(answer: Any) -> bytes:
    """The body, whole: one that is cut short is a failure of the connection."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError
    from urllib3.exceptions import HTTPError

    expected = answer.get("ContentLength")
    try:
        found: bytes = answer["Body"].read()
    except (HTTPError, IncompleteReadError, OSError) as error:
        raise ResponseStreamingError(error=error) from error
    if expected is not None and len(found) != expected:
        raise HTTPClientError(error=f"{len(found)} of {expected} bytes")
    return found


def version_argument(version_id: str | None) -> dict[str, str]:
    """The version a request is about."""
    return {} if version_id is None else {"VersionId": version_id}


def copy_source(source: ObjectUri, version_id: str | None) -> dict[str, str]:
    """Where a copy comes from."""
    return {"Bucket": source.container, "Key": source.key} | version_argument(version_id)


def condition_arguments(condition: Condition) -> dict[str, str]:
    """A condition as headers."""
    if condition.is_absent:
        return {"IfNoneMatch": "*"}
    return {} if condition.etag is None else {"IfMatch": quoted(condition.etag)}


def properties_arguments(properties: Properties) -> dict[str, Any]:
    """What is written beside the content, but for how its checksum is computed."""
    found = {
        "Metadata": dict(properties.metadata) or None,
        "Tagging": urlencode(dict(properties.tags)) or None,
        "StorageClass": properties.storage_class,
    }
    beside = beside_arguments(properties, is_copied=False)
    return beside | {name: value for name, value in found.items() if value is not None}


def beside_arguments(beside: Beside, *, is_copied: bool) -> dict[str, Any]:
    """The headers of an object and its encryption.

    ``is_copied``: only what a copy does not take from its source by itself.
    """
    found: dict[str, Any] = {"WebsiteRedirectLocation": beside.redirect}
    if not is_copied:
        found |= {
            "ContentType": beside.content_type,
            "ContentEncoding": beside.content_encoding,
            "ContentLanguage": beside.content_language,
            "ContentDisposition": beside.content_disposition,
            "CacheControl": beside.cache_control,
            "Expires": beside.expires,
        }
    encryption = beside.encryption
    if encryption is not None and encryption.algorithm in ENCRYPTIONS:
        found["ServerSideEncryption"] = encryption.algorithm
        found["SSEKMSKeyId"] = encryption.key_id
        if encryption.algorithm == "aws:kms":  # else the bucket's own setting would hold
            found["BucketKeyEnabled"] = encryption.has_bucket_key
    return {name: value for name, value in found.items() if value is not None}


def checksum_arguments(beside: Beside) -> dict[str, str]:
    """What an upload in parts computes: as the object had it, else SHA-256 of its parts."""
    if beside.checksum is None:
        return {"ChecksumAlgorithm": "SHA256"}
    # only CRCs of parts make up one of the whole
    is_whole = beside.checksum_type == "FULL_OBJECT" and beside.checksum.startswith("CRC")
    kind = "FULL_OBJECT" if is_whole else "COMPOSITE"
    return {"ChecksumAlgorithm": beside.checksum, "ChecksumType": kind}


def part_argument(part: UploadPart) -> dict[str, Any]:
    """A part as completing an upload names it."""
    listed: dict[str, Any] = {"PartNumber": part.number, "ETag": quoted(part.etag)}
    if part.checksum:
        listed["ChecksumSHA256"] = part.checksum
    return listed


def written_record(uri: str, answer: Mapping[str, Any], size_bytes: int) -> Written:
    """The answer of a write."""
    version_id = answer.get("VersionId")
    return Written(
        uri=uri,
        etag=unquoted(answer["ETag"]),
        size_bytes=size_bytes,
        version_id=None if version_id in (None, "null") else version_id,
    )


def sha256_checksum(content: bytes) -> str:
    """SHA-256 as S3 takes it, in base 64."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def quoted(etag: str) -> str:
    """An ETag as headers carry it."""
    return f'"{etag}"'


def unquoted(etag: str) -> str:
    """An ETag as this program holds it."""
    return etag.strip('"')
