"""Copies inside S3: what the server keeps, and what is asked of it, for moto keeps less than S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest

from greendata.errors import (
    ObjectEncryptedError,
    StoreUnreachableError,
    UnsupportedError,
)
from greendata.execute.handlers.base import outcome_of
from greendata.stores.records import Encryption, Properties
from greendata.stores.s3 import S3Store, copies
from greendata.stores.s3.arguments import checksum_arguments
from greendata.stores.s3.listing import object_details
from greendata.stores.uris import parse_uri
from tests.stores.contract import BESIDE

KEY = "arn:aws:kms:us-east-1:123456789012:key/0b1c"
EXPIRES = "Wed, 21 Oct 2026 07:28:00 GMT"
KEPT = {
    "ContentType": "text/plain",
    "ContentEncoding": "zstd",
    "ContentLanguage": "de",
    "ContentDisposition": 'attachment; filename="a b.txt"',
    "CacheControl": "max-age=60, private",
    "Expires": EXPIRES,
    "Metadata": {"owner": "me"},
}
LARGE = b"012345" * (1 << 20)
PROTECTED = {
    "WebsiteRedirectLocation": "/elsewhere",
    "ServerSideEncryption": "aws:kms",
    "SSEKMSKeyId": KEY,
    "BucketKeyEnabled": True,
}


class Place:
    """An object with all that S3 keeps beside it, and what is sent about it."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3, self.bucket = s3, bucket
        self.store = S3Store()
        self.uri, self.target = f"s3://{bucket}/a", f"s3://{bucket}/b"
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.events = self.store._client.sdk.meta.events
        self.events.register("provide-client-params.s3", self._record)

    def put(self, body: bytes, **more: Any) -> None:
        arguments = {**KEPT, **PROTECTED, "Tagging": "a=1&b+c=x%2Fy%3Dz", **more}
        given = {name: value for name, value in arguments.items() if value is not None}
        self.s3.put_object(Bucket=self.bucket, Key="a", Body=body, **given)

    def _record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.sent.append((model.name, dict(params)))

    def of(self, call: str) -> dict[str, Any]:
        """What was sent with the only call of this name."""
        ((_, found),) = [entry for entry in self.sent if entry[0] == call]
        return found

    def fail(self, call: str, number: int, error: Exception) -> None:
        """The call of this name and number, from 1, does not reach the server."""
        left = iter([None] * (number - 1))

        def fail(**_: Any) -> None:
            if next(left, error) is error:
                raise error

        self.events.register(f"before-send.s3.{call}", fail)

    def has_all(self, uri: str) -> None:
        details = self.store.details(uri)
        assert BESIDE.lost_in(details) == ""
        assert (details.expires, details.redirect) == (EXPIRES, "/elsewhere")
        assert self.store.tags(uri) == BESIDE.tags


@pytest.fixture
def place(s3: Any, bucket: str) -> Iterator[Place]:
    found = Place(s3, bucket)
    yield found
    assert list(found.store.uploads(f"s3://{bucket}/")) == []


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent in parts is 6 MiB here, in two parts."""
    monkeypatch.setattr(copies, "LARGEST_COPY_BYTES", len(LARGE))
    monkeypatch.setattr(copies, "PART_BYTES", 5 << 20)


def copy(place: Place) -> None:
    place.store.copy(place.uri, place.target)


def retier(place: Place) -> None:
    place.store.set_tier(place.uri, "STANDARD_IA")


def replace(place: Place) -> None:
    details = place.store.details(place.uri)
    properties = details.as_properties(place.store.tags(place.uri))
    place.store.copy(place.uri, place.target, properties=properties)


@pytest.mark.parametrize("change", [copy, retier, replace])
def test_a_copy_by_one_request_carries_all(place: Place, change: Callable[[Place], None]) -> None:
    place.put(b"one", StorageClass="GLACIER_IR", ChecksumAlgorithm="SHA1")
    change(place)
    target = place.uri if change is retier else place.target
    details, sent = place.store.details(target), place.of("CopyObject")
    place.has_all(target)
    assert details.encryption == Encryption(algorithm="aws:kms", key_id=KEY, has_bucket_key=True)
    assert (details.checksum, details.item.storage_class) == (
        "SHA1",
        "STANDARD_IA" if change is retier else "GLACIER_IR",
    )
    assert PROTECTED.items() <= sent.items()
    assert sent["ChecksumAlgorithm"] == "SHA1"
    assert sent["CopySourceIfMatch"] == f'"{place.store.head(place.uri).etag}"'
    directive = "REPLACE" if change is replace else "COPY"
    assert {sent["MetadataDirective"], sent["TaggingDirective"]} == {directive}
    if change is replace:
        assert KEPT.items() <= sent.items()
        assert dict(parse_qsl(sent["Tagging"])) == BESIDE.tags


@pytest.mark.parametrize("change", [copy, retier, replace])
@pytest.mark.usefixtures("small_parts")
def test_a_copy_in_parts_carries_all(place: Place, change: Callable[[Place], None]) -> None:
    place.put(LARGE, StorageClass="GLACIER_IR")
    before = place.store.details(place.uri)
    change(place)
    in_place = change is retier
    target = place.uri if in_place else place.target
    begun, ended = place.of("CreateMultipartUpload"), place.of("CompleteMultipartUpload")
    assert (KEPT | PROTECTED).items() <= begun.items()
    assert dict(parse_qsl(begun["Tagging"])) == BESIDE.tags
    assert begun["StorageClass"] == ("STANDARD_IA" if in_place else "GLACIER_IR")
    parts = [params for name, params in place.sent if name == "UploadPartCopy"]
    assert [params["CopySourceRange"] for params in parts] == [
        "bytes=0-5242879", "bytes=5242880-6291455"
    ]  # fmt: skip
    assert {params["CopySourceIfMatch"] for params in parts} == {f'"{before.item.etag}"'}
    assert ended["MpuObjectSize"] == len(LARGE)
    assert ended.get("IfMatch") == (f'"{before.item.etag}"' if in_place else None)
    assert place.store.read(target) == LARGE
    assert BESIDE.lost_in(place.store.details(target)) == ""


@pytest.mark.parametrize(
    ("checksum", "expected"),
    [
        (("CRC64NVME", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT")),
        (("CRC32C", "COMPOSITE"), ("CRC32C", "COMPOSITE")),
        (("SHA256", "FULL_OBJECT"), ("SHA256", "COMPOSITE")),
        ((None, None), ("SHA256", None)),
    ],
)
def test_parts_have_the_checksum_that_the_object_had(
    checksum: tuple[str | None, str | None], expected: tuple[str, str | None]
) -> None:
    had = Properties(checksum=checksum[0], checksum_type=checksum[1])
    found = checksum_arguments(had)
    assert (found["ChecksumAlgorithm"], found.get("ChecksumType")) == expected


@pytest.mark.parametrize(
    ("call", "number"),
    [("UploadPartCopy", 1), ("UploadPartCopy", 2), ("CompleteMultipartUpload", 1)],
)
@pytest.mark.usefixtures("small_parts")
def test_a_copy_that_fails_leaves_no_upload(place: Place, call: str, number: int) -> None:
    from botocore.exceptions import HTTPClientError

    place.put(LARGE)
    place.fail(call, number, HTTPClientError(error="cut"))
    before = place.store.head(place.uri)
    with pytest.raises(StoreUnreachableError):
        retier(place)
    assert place.of("AbortMultipartUpload")["Key"] == "a"
    assert place.store.head(place.uri) == before


@pytest.mark.usefixtures("small_parts")
def test_whatever_stops_a_copy_leaves_no_upload(place: Place) -> None:
    place.put(LARGE)
    place.fail("UploadPartCopy", 2, ZeroDivisionError("of the program itself"))
    with pytest.raises(ZeroDivisionError):
        copy(place)


@pytest.mark.usefixtures("small_parts")
def test_what_is_no_date_goes_with_a_copy_by_the_server_alone(place: Place) -> None:
    def no_date(request: Any, **_: Any) -> None:
        request.headers["Expires"] = "0"

    place.s3.meta.events.register("before-sign.s3.PutObject", no_date)
    place.put(b"one", Expires=None)
    assert place.store.details(place.uri).expires == "0"
    copy(place)
    assert "Expires" not in place.of("CopyObject")
    place.put(LARGE, Expires=None)
    with pytest.raises(UnsupportedError, match="Expires header that is no date"):
        copy(place)


def test_an_object_of_its_owners_own_key_is_named(place: Place) -> None:
    from botocore.awsrequest import AWSResponse

    words = b"""<Error><Code>InvalidRequest</Code><Message>The object was stored using a form of
    Server Side Encryption. The correct parameters must be provided to retrieve the object.
    </Message></Error>"""

    class Raw:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def stream(self, **_: Any) -> Iterator[bytes]:
            yield self.body

    def refuse(request: Any, **_: Any) -> Any:
        body = b"" if request.method == "HEAD" else words
        return AWSResponse(request.url, 400, {"content-length": str(len(body))}, Raw(body))

    place.put(b"one")
    for call in ("HeadObject", "GetObject"):
        place.events.register(f"before-send.s3.{call}", refuse)
    with pytest.raises(ObjectEncryptedError) as caught:
        retier(place)
    assert (outcome_of(caught.value).status, outcome_of(caught.value).reason) == (
        "skipped",
        "encrypted",
    )
    assert place.of("GetObject")["Range"] == "bytes=0-0"
    assert "CopyObject" not in [name for name, _ in place.sent]


def test_holds_of_every_kind_are_seen() -> None:
    answer = {"ContentLength": 1, "ETag": '"e"', "LastModified": datetime.now(UTC)}
    for kind in ("ObjectLockLegalHoldStatus", "ObjectLockEventHold"):
        for value in ("ON", "OFF"):
            details = object_details(parse_uri("s3://b/a"), answer | {kind: value}, "s3:aws")
            assert details.is_held == (value == "ON")


def test_metadata_that_is_not_told_is_not_written_again() -> None:
    answer = {"ContentLength": 1, "ETag": '"e"', "LastModified": datetime.now(UTC)}
    details = object_details(parse_uri("s3://b/a"), answer | {"MissingMeta": 2}, "s3:aws")
    with pytest.raises(UnsupportedError, match="metadata that is not told"):
        details.as_properties({})
