"""Pages of listings against botocore's own parser, from answers of the documented shape."""

from __future__ import annotations

import io
import itertools
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from greendata.errors import StoreUnreachableError
from greendata.stores.s3.pages import read_pages, whole_listing

NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
OBJECTS = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult{ns}><Name>b</Name><Prefix>a%2F</Prefix><KeyCount>3</KeyCount>
<MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>{more}</IsTruncated>
{token}
<Contents><Key>a%2F%C3%A9%0A+%3C.txt</Key><LastModified>2024-01-01T00:00:00.123Z</LastModified>
<ETag>&quot;0123&quot;</ETag><Size>9007199254740993</Size><StorageClass>GLACIER</StorageClass>
<Owner><ID>x</ID><DisplayName>Key</DisplayName></Owner>
<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus>
<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType></Contents>
<Contents><Key>a%2Fb</Key><LastModified>Mon, 01 Jan 2024 00:00:00 GMT</LastModified><Size>0</Size>
<ETag/></Contents>
<CommonPrefixes><Prefix>a%2Fc%2B%2F</Prefix></CommonPrefixes>
<CommonPrefixes><Prefix>a%2Fd%2F</Prefix></CommonPrefixes></ListBucketResult>"""
VERSIONS = """<ListVersionsResult{ns}><Name>b</Name><IsTruncated>{more}</IsTruncated>
<KeyMarker/><NextKeyMarker>a%20b</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker>
<EncodingType>url</EncodingType>{token}
<Version><Key>a%20b</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest>
<LastModified>2024-01-01T01:00:00+01:00</LastModified><ETag>"e"</ETag><Size>7</Size>
<StorageClass>STANDARD</StorageClass></Version>
<DeleteMarker><Key>a%20b</Key><VersionId>null</VersionId><IsLatest>false</IsLatest>
<LastModified>2024-01-01T00:00:00Z</LastModified></DeleteMarker></ListVersionsResult>"""
USED = {"Key", "Size", "ETag", "StorageClass", "LastModified", "VersionId", "IsLatest"}


def answered(body: str, *, is_ours: bool, status: int = 200) -> Any:
    """A client whose every request is answered with ``body``."""
    client = boto3.client(
        "s3", aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1"
    )
    if is_ours:
        read_pages(client)

    class Raw(io.BytesIO):
        def stream(self, amount: int = 0, **_: Any) -> Any:
            yield self.read()

    def answer(**_: Any) -> AWSResponse:
        return AWSResponse("http://s3/", status, {}, Raw(body.encode()))

    client.meta.events.register("before-send.s3", answer)
    return client


def used(page: dict[str, Any]) -> dict[str, Any]:
    lists = ("Contents", "Versions", "DeleteMarkers")
    kept = {name: value for name, value in page.items() if name not in (*lists, "ResponseMetadata")}
    for name in lists:
        kept[name] = [
            {key: value for key, value in entry.items() if key in USED and value != ""}
            for entry in page.get(name, [])
        ]
    return kept


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
@pytest.mark.parametrize("call", ["list_objects_v2", "list_object_versions"])
def test_a_page_is_read_as_botocore_reads_it(call: str, namespace: str) -> None:
    pages = {
        is_ours: used(
            getattr(
                answered(
                    (OBJECTS if call == "list_objects_v2" else VERSIONS).format(
                        ns=namespace, more="true", token="<NextContinuationToken/>"
                    ),
                    is_ours=is_ours,
                ),
                call,
            )(Bucket="b")
        )
        for is_ours in (True, False)
    }
    ours = {name: value for name, value in pages[True].items() if name in pages[False]}
    assert ours == pages[False]
    assert len(pages[True]["Contents"]) + len(pages[True]["Versions"]) > 0


def test_an_error_inside_a_good_answer_is_an_error() -> None:
    client = answered("<Error><Code>InternalError</Code></Error>", is_ours=True)
    client.meta.events.register("needs-retry.s3", lambda **_: None)
    with pytest.raises(ClientError, match="InternalError"):
        client.list_objects_v2(Bucket="b")


@pytest.mark.parametrize("body", ["<ListBucketResult><Contents>", "garbage"])
def test_a_page_that_is_cut_off_is_no_page(body: str) -> None:
    client = answered(body, is_ours=True)
    with pytest.raises((ResponseParserError, ClientError)):
        client.list_objects_v2(Bucket="b")


ENTRY = (
    "<Contents><Key>a</Key><LastModified>2024-01-01T00:00:00Z</LastModified><Size>1</Size>"
    "</Contents>"
)


@pytest.mark.parametrize(
    "body",
    [
        "",  # botocore takes each of these for a bucket that is empty, or for all there is
        "<html><body>Sign in to this network</body></html>",
        "<ListBucketResult/>",
        f"<ListBucketResult><IsTruncated>true</IsTruncated><NextMarker/>{ENTRY}</ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        *(
            f"<ListBucketResult><IsTruncated>false</IsTruncated>{ENTRY.replace(*change)}"
            "</ListBucketResult>"
            for change in (("Key", "Kay"), ("Size", "Sighs"), (">1<", ">one<"), ("2024", "MMXX"))
        ),
    ],
)
def test_what_is_no_whole_listing_is_never_taken_for_one(body: str) -> None:
    client = answered(body, is_ours=True)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="b")
    with pytest.raises(StoreUnreachableError):
        list(whole_listing(pages, "s3://b/"))


def test_a_listing_that_goes_round_in_circles_ends() -> None:
    tokens = itertools.cycle("abcde")
    pages = ({"IsTruncated": True, "NextContinuationToken": token} for token in tokens)
    with pytest.raises(StoreUnreachableError, match="again and again"):
        list(whole_listing(pages, "s3://b/"))


def test_versions_of_one_key_fill_many_pages() -> None:
    tokens = ({"NextKeyMarker": "a", "NextVersionIdMarker": f"v{n}"} for n in range(20))
    pages = [{"IsTruncated": True, **token} for token in tokens]
    assert len(list(whole_listing([*pages, {"IsTruncated": False}], "s3://b/"))) == 21
