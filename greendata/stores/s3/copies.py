"""Copies inside S3, which carry all that belongs to the object, whatever its size.

CopyObject carries metadata and tags by itself when it is told to; the storage class, the web
redirect and the encryption it takes from the request or else from the bucket's defaults, so they
are always said. Above its limit an upload in parts carries nothing but bytes, and all is said when
the upload begins. Two things no copy carries: an ACL, for which no reader of the object is given
the words, and the additional context of a KMS encryption, which no request tells. Annotations go
along with CopyObject only.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from greendata.errors import GreendataError
from greendata.stores.records import ALWAYS, Condition, Properties, Written
from greendata.stores.s3.arguments import (
    beside_arguments,
    checksum_arguments,
    condition_arguments,
    copy_source,
    properties_arguments,
    quoted,
    unquoted,
    written_record,
)
from greendata.stores.s3.client import translated
from greendata.stores.uris import parse_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from greendata.stores.records import ObjectDetails

LARGEST_COPY_BYTES = 5_000_000_000
"""CopyObject's limit is 5 GB; larger objects are copied in parts."""

PART_BYTES = 512 << 20
MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InsideCopy:
    """One copy from S3 to S3.

    Attributes:
        source: as it is now.
        etag: of the source, compared by the server while it copies.
        place: of the target, as arguments.
        properties: replace the source's; None keeps them.
        storage_class: of the copy where the properties are kept; None keeps it too.
        is_in_place: the target is the source. By one request that takes a moment; in parts it takes
            long, and who writes meanwhile wins.
    """

    source: ObjectDetails
    version_id: str | None
    etag: str
    target: str
    place: Mapping[str, Any]
    properties: Properties | None = None
    storage_class: str | None = None
    condition: Condition = ALWAYS
    is_in_place: bool = False

    def origin(self) -> dict[str, Any]:
        """The source, as arguments of a copy."""
        uri = self.source.item.uri
        return {
            "CopySource": copy_source(parse_uri(uri), self.version_id),
            "CopySourceIfMatch": quoted(self.etag),
        }


def copy_inside(sdk: Any, copy: InsideCopy, tags_of: Callable[[], Mapping[str, str]]) -> Written:
    """Carry it out; ``tags_of`` reads the tags of the source, where that has to be done."""
    item = copy.source.item
    if item.size_bytes < LARGEST_COPY_BYTES:
        return _copy_at_once(sdk, copy)
    kept = copy.properties
    if kept is None:
        kept = copy.source.as_properties(tags_of())
        kept = replace(kept, storage_class=copy.storage_class or item.storage_class)
    if copy.is_in_place:
        copy = replace(copy, condition=Condition(etag=copy.etag))
    return _copy_in_parts(sdk, copy, kept)


def _copy_at_once(sdk: Any, copy: InsideCopy) -> Written:
    source = copy.source
    if copy.properties is None:
        wanted = {"MetadataDirective": "COPY", "TaggingDirective": "COPY"}
        wanted |= beside_arguments(source, is_copied=True)
        if storage_class := copy.storage_class or source.item.storage_class:
            wanted["StorageClass"] = storage_class
    else:
        wanted = {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
        wanted |= properties_arguments(copy.properties)
    kept = source if copy.properties is None else copy.properties
    if kept.checksum is not None:
        wanted["ChecksumAlgorithm"] = kept.checksum
    with translated(source.item.uri):
        answer = sdk.copy_object(
            **copy.place, **copy.origin(), **condition_arguments(copy.condition), **wanted
        )
    result = answer["CopyObjectResult"] | {"VersionId": answer.get("VersionId")}
    return written_record(copy.target, result, source.item.size_bytes)


def _copy_in_parts(sdk: Any, copy: InsideCopy, properties: Properties) -> Written:
    """By many requests; whatever fails between them, no upload stays open."""
    size_bytes = copy.source.item.size_bytes
    with translated(copy.target):
        started = sdk.create_multipart_upload(
            **copy.place, **properties_arguments(properties), **checksum_arguments(properties)
        )
    upload = {**copy.place, "UploadId": started["UploadId"]}
    with ExitStack() as on_failure:
        on_failure.callback(_abort, sdk, upload, copy.target)
        parts = _copied_parts(sdk, copy, upload, size_bytes)
        with translated(copy.target):
            answer = sdk.complete_multipart_upload(
                **upload,
                MultipartUpload={"Parts": parts},
                MpuObjectSize=size_bytes,
                **condition_arguments(copy.condition),
            )
        on_failure.pop_all()
    return written_record(copy.target, answer, size_bytes)


def _copied_parts(
    sdk: Any, copy: InsideCopy, upload: Mapping[str, Any], size_bytes: int
) -> list[dict[str, Any]]:
    part_bytes = max(PART_BYTES, -(-size_bytes // MOST_PARTS))
    parts = []
    with translated(copy.source.item.uri):
        for number, start in enumerate(range(0, size_bytes, part_bytes), 1):
            stop = min(start + part_bytes, size_bytes)
            answer = sdk.upload_part_copy(
                **upload,
                **copy.origin(),
                PartNumber=number,
                CopySourceRange=f"bytes={start}-{stop - 1}",
            )["CopyPartResult"]
            checksums = {name: answer[name] for name in answer if name.startswith("Checksum")}
            parts.append(
                {"PartNumber": number, "ETag": quoted(unquoted(answer["ETag"])), **checksums}
            )
    return parts


def _abort(sdk: Any, upload: Mapping[str, Any], uri: str) -> None:
    """What failed before tells more than this; an upload that stays is found by its listing."""
    try:
        with translated(uri):
            sdk.abort_multipart_upload(**upload)
    except GreendataError:
        return
