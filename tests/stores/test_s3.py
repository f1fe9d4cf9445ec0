from __future__ import annotations

from typing import Any

import pytest

from greendata.errors import (
    ConfigError,
    DeniedError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreUnreachableError,
)
from greendata.stores.base import Store
from greendata.stores.s3 import S3Settings, S3Store
from greendata.stores.s3.deletes import delete_together
from tests.stores.contract import HoldsContract, StoreContract, VersionsContract
from tests.stores.servers import CANARY, free_port


class TestS3Store(StoreContract, VersionsContract, HoldsContract):
    # moto 5.2: preconditions of copies are ignored, and conditional writes are not atomic
    known_to_ignore = frozenset(
        {
            "copy-source-if-match",
            "copy-if-absent",
            "copy-if-match",
            "multipart-if-match",
            "tier-if-match",
            "races",
        }
    )
    unfit_keys = frozenset({"new\nline"})  # moto's router takes no line feed
    cool_class = "STANDARD_IA"
    archive_class = "GLACIER"

    @pytest.fixture
    def store(self, s3: Any) -> Store:
        return S3Store()

    @pytest.fixture
    def root(self, bucket: str) -> str:
        return f"s3://{bucket}/place/"

    @pytest.fixture
    def versioned_root(self, s3: Any, bucket: str) -> str:
        status = {"Status": "Enabled"}
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
        return f"s3://{bucket}/kept/"

    @pytest.fixture
    def lockable_root(self, s3: Any) -> str:
        s3.create_bucket(Bucket="lockable", ObjectLockEnabledForBucket=True)
        return "s3://lockable/"


def test_keys_with_dots_and_double_slashes_are_kept(s3: Any, bucket: str) -> None:
    store = S3Store()
    keys = ["../up", "a//b", "./here", "x/../y"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    found = [item.uri for item in store.list(f"s3://{bucket}")]
    assert found == [f"s3://{bucket}/{key}" for key in sorted(keys)]
    assert [store.read(uri) for uri in found] == [key.encode() for key in sorted(keys)]


def test_a_listing_goes_over_pages(s3: Any, bucket: str) -> None:
    store, pages = S3Store(), []
    keys = [f"{number:05}" for number in range(5)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")

    def ask_for_two(params: dict[str, Any], **_: Any) -> None:
        pages.append(params.get("ContinuationToken"))
        params["MaxKeys"] = 2

    events = store._client.listing_sdk.meta.events
    events.register("provide-client-params.s3.ListObjectsV2", ask_for_two)
    assert [item.uri for item in store.list(f"s3://{bucket}")] == [
        f"s3://{bucket}/{k}" for k in keys
    ]
    assert len(set(pages)) == 3


def test_folder_markers_are_told_and_left_out(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="folder/", Body=b"")
    s3.put_object(Bucket=bucket, Key="folder/a", Body=b"x")
    ignored: list[str] = []
    found = S3Store().list(
        f"s3://{bucket}/folder", on_ignored=lambda uri, detail: ignored.append(uri)
    )
    assert [item.uri for item in found] == [f"s3://{bucket}/folder/a"]
    assert ignored == [f"s3://{bucket}/folder/"]


def test_a_missing_bucket_is_named(s3: Any) -> None:
    with pytest.raises(ObjectNotFoundError, match="no-such-bucket") as caught:
        list(S3Store().list("s3://no-such-bucket/a"))
    assert caught.value.hint


def test_an_object_replaced_while_it_is_read_is_refused(s3: Any, bucket: str) -> None:
    store = S3Store()
    uri = f"s3://{bucket}/a"
    store.put(uri, b"x" * (9 << 20))
    with store.open(store.head(uri)) as file:
        assert file.read(10) == b"x" * 10
        store.put(uri, b"y" * (9 << 20))
        with pytest.raises(ObjectChangedError):
            file.read()


def test_no_credentials_are_said(
    s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(DeniedError, match="no AWS credentials"):
        S3Store().head(f"s3://{bucket}/a")
    with pytest.raises(ObjectNotFoundError):
        S3Store(S3Settings(anonymous=True)).head(f"s3://{bucket}/a")


def test_an_unknown_profile_is_a_configuration_error(s3: Any) -> None:
    with pytest.raises(ConfigError, match="nobody"):
        S3Store(S3Settings(profile="nobody")).head("s3://bucket/a")


def test_a_server_that_does_not_answer_is_unreachable_and_no_secret_is_told(s3: Any) -> None:
    settings = S3Settings(
        endpoint_url=f"http://127.0.0.1:{free_port()}",
        connect_timeout_seconds=1,
        read_timeout_seconds=1,
    )
    with pytest.raises(StoreUnreachableError) as caught:
        S3Store(settings).head("s3://bucket/a")
    assert caught.value.is_retryable
    assert CANARY not in f"{caught.value} {caught.value.hint}"


def test_plain_http_to_another_machine_is_refused_unless_allowed() -> None:
    with pytest.raises(ConfigError, match="plain HTTP"):
        S3Store(S3Settings(endpoint_url="http://storage.example")).head("s3://bucket/a")


def test_rules_of_a_bucket_are_read(s3: Any, bucket: str) -> None:
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 3}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    rules = S3Store().rules(f"s3://{bucket}/x")
    assert rules.lifecycle is not None
    assert [entry["ID"] for entry in rules.lifecycle] == ["r"]
    assert (rules.versioning, rules.is_lockable) == ("off", False)


def test_versions_are_deleted_by_one_request_but_for_keys_that_xml_cannot_name(
    s3: Any, bucket: str
) -> None:
    status = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
    store, sent = S3Store(), []
    named = [
        (uri, store.put(uri, b"x").version_id or "")
        for uri in (f"s3://{bucket}/{key}" for key in ("a", "b", "c\x7f"))
    ]
    for call in ("DeleteObject", "DeleteObjects"):
        store._client.sdk.meta.events.register(
            f"provide-client-params.s3.{call}",
            lambda model, params, **_: sent.append((model.name, params.get("Delete"))),
        )
    assert store.delete_versions(named) == {}
    assert list(store.versions(f"s3://{bucket}/")) == []
    listed = [{"Key": key, "VersionId": named[at][1]} for at, key in enumerate("ab")]
    assert sent == [("DeleteObjects", {"Objects": listed}), ("DeleteObject", None)]


def test_a_version_that_the_answer_does_not_name_is_not_taken_for_deleted() -> None:
    class Silent:
        def delete_objects(self, **_: Any) -> dict[str, Any]:
            errors = [
                {"Key": "b", "VersionId": "2", "Code": "AccessDenied", "Message": "no"},
                {"Key": "c", "VersionId": "3", "Code": "NoSuchVersion", "Message": ""},
                {"Key": "d", "VersionId": "4", "Code": "InternalError", "Message": ""},
            ]
            return {"Errors": errors}  # fmt: skip

    named = [(f"s3://x/{key}", str(at)) for at, key in enumerate("abcd", 1)]
    found = dict(delete_together(Silent(), {"Bucket": "x"}, named))
    assert {uri[-1]: type(error) for (uri, _), error in found.items()} == {
        "a": StoreUnreachableError,
        "b": DeniedError,
        "d": StoreUnreachableError,
    }
