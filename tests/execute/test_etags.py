"""Whether content is what an ETag names, also when it came in parts of a size nobody kept."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from greendata.errors import StoreUnreachableError
from greendata.execute.etags import is_content_of
from greendata.execute.handlers.tier import TierHandler
from greendata.execute.records import Status
from greendata.stores.memory import MemoryStore
from greendata.stores.opening import Stores
from greendata.stores.wrappers import FaultyStore
from tests.execute.made_context import made_action, made_context

MIB = 2**20


def multipart_etag(content: bytes, part_bytes: int) -> str:
    parts = [content[at : at + part_bytes] for at in range(0, len(content), part_bytes)] or [b""]
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"


@pytest.mark.parametrize("size_bytes", [0, 1, 3 * MIB, 3 * MIB + 7])
@pytest.mark.parametrize("part_bytes", [None, MIB, 2 * MIB, 10**6, 2 * 10**6])
def test_content_is_what_its_etag_names_and_other_content_is_not(
    size_bytes: int, part_bytes: int | None
) -> None:
    content = bytes(range(256)) * (size_bytes // 256) + b"e" * (size_bytes % 256)
    other = content[:-1] + b"?" if content else b"??"
    etag = hashlib.md5(content).hexdigest()
    if part_bytes is not None:
        etag = multipart_etag(content, part_bytes)
    store = MemoryStore()
    store.put("mem://b/same", content)
    store.put("mem://b/other", other)
    assert is_content_of(store, store.head("mem://b/same"), etag)
    assert not is_content_of(store, store.head("mem://b/other"), etag)


@pytest.mark.parametrize(
    "etag", ["0x8DC1", "", "not-1", "0" * 32, "0" * 32 + "-0", "a" * 32 + "-7"]
)
def test_an_etag_that_is_no_digest_names_nothing(etag: str) -> None:
    store = MemoryStore()
    store.put("mem://b/a", b"content")
    assert not is_content_of(store, store.head("mem://b/a"), etag)


@pytest.mark.parametrize("is_ours", [True, False])
def test_in_a_bucket_without_versions_only_the_planned_bytes_count_as_moved_by_us(
    s3: Any, bucket: str, is_ours: bool
) -> None:
    uri, content = f"s3://{bucket}/data/a", b"a" * (5 * MIB) + b"the rest"
    place = {"Bucket": bucket, "Key": "data/a"}
    begun = s3.create_multipart_upload(**place)["UploadId"]
    parts = []
    for number, part in enumerate((content[: 5 * MIB], content[5 * MIB :]), start=1):
        put = s3.upload_part(**place, UploadId=begun, PartNumber=number, Body=part)
        parts.append({"PartNumber": number, "ETag": put["ETag"]})
    s3.complete_multipart_upload(**place, UploadId=begun, MultipartUpload={"Parts": parts})
    root, store = f"s3://{bucket}/", Stores()
    action = made_action("tier", store.head(uri), {"storage_class": "STANDARD_IA"})
    assert str(action.etag).endswith("-2")
    if is_ours:
        lost = made_context(FaultyStore(store, "lost", only=("set_tier",)), root)
        with pytest.raises(StoreUnreachableError):
            TierHandler().act(action, {}, lost, is_resumed=False)
    else:
        s3.put_object(**place, Body=b"b" * len(content), StorageClass="STANDARD_IA")
    assert store.head(uri).etag != action.etag
    found = TierHandler().act(action, {}, made_context(store, root), is_resumed=True)
    if is_ours:
        assert found.status is Status.DONE
        assert found.after["object"]["etag"] == store.head(uri).etag
    else:
        assert (found.status, found.reason) == (Status.SKIPPED, "changed")
        assert store.read(uri, size_bytes=1) == b"b"
