from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from greendata.errors import DeniedError, ObjectNotFoundError
from greendata.inventory.listing import list_objects
from greendata.model import StoredObject
from greendata.stores.base import Store
from greendata.stores.opening import Stores
from greendata.stores.wrappers.base import StoreWrapper


def uris(store: Store, uri: str, **options: Any) -> list[str]:
    return [
        row for batch in list_objects(store, uri, **options) for row in batch["uri"].to_pylist()
    ]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """More folders than are taken apart."""
    monkeypatch.setattr("greendata.inventory.listing._SPLIT_FOLDERS", 16)
    found = [f"deep/{a}/{b}/{n}" for a in range(5) for b in range(6) for n in range(2)]
    return [*found, "top", "deep/direct", "a//b", "odd <key> é/x y", "deep/0/only"]


@pytest.fixture
def in_s3(s3: Any, bucket: str, keys: list[str]) -> str:
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.put_object(Bucket=bucket, Key=".greendata/probe/1", Body=b"x")
    s3.put_object(Bucket=bucket, Key="deep/folder/", Body=b"")
    return f"s3://{bucket}/"


@pytest.fixture
def in_azure(container: str, keys: list[str]) -> str:
    from azure.storage.blob import BlobServiceClient

    connection = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    with BlobServiceClient.from_connection_string(connection) as service:
        for key in keys:
            service.get_blob_client(container.partition("@")[0], key).upload_blob(b"x")
    return f"az://{container}/"


@pytest.mark.parametrize("listers", [1, 5])
@pytest.mark.parametrize("place", ["in_s3", "in_azure"])
def test_folders_listed_at_once_give_every_object_once(
    place: str, listers: int, keys: list[str], request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(place)
    store = Stores().store_of(root)
    assert Counter(uris(store, root, listers=listers)) == Counter(root + key for key in keys)
    below = Counter(root + key for key in keys if key.startswith("deep/"))
    assert Counter(uris(store, f"{root}deep/", listers=listers)) == below
    assert Counter(uris(store, f"{root}deep")) == below


def test_versions_are_listed_by_folder_too(s3: Any, in_s3: str, keys: list[str]) -> None:
    bucket = in_s3.split("/")[2]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="deep/3/3/1", Body=b"yy")
    s3.delete_object(Bucket=bucket, Key="top")
    store = Stores().store_of(in_s3)
    found = Counter(uris(store, in_s3, with_versions=True))
    assert found[f"{in_s3}deep/3/3/1"] == 2
    assert found[f"{in_s3}top"] == 2
    assert not any(".greendata" in uri for uri in found)
    assert set(found) >= {in_s3 + key for key in keys}


class Denying(StoreWrapper):
    """Folders of one name may not be listed."""

    def list_folder(self, uri: str, *, with_versions: bool = False) -> Iterator[StoredObject | str]:
        if uri.endswith("/3/"):
            raise DeniedError(f"{uri}: denied")
        return super().list_folder(uri, with_versions=with_versions)

    def list(self, uri: str, **options: Any) -> Iterator[StoredObject]:
        if "/3/" in uri:
            raise DeniedError(f"{uri}: denied")
        return super().list(uri, **options)


def test_a_folder_that_may_not_be_listed_is_told(in_s3: str) -> None:
    store = Denying(Stores().store_of(in_s3))
    denied: list[str] = []
    found = uris(store, in_s3, on_denied=lambda uri, detail: denied.append(uri))
    assert f"{in_s3}deep/3/" in denied
    assert f"{in_s3}deep/4/4/1" in found
    assert f"{in_s3}deep/3/4/1" not in found
    with pytest.raises(DeniedError):
        uris(store, in_s3)
    with pytest.raises(DeniedError):
        uris(store, f"{in_s3}deep/3/", on_denied=lambda uri, detail: None)


def test_a_prefix_of_nothing_is_not_found(in_s3: str) -> None:
    with pytest.raises(ObjectNotFoundError):
        uris(Stores().store_of(in_s3), f"{in_s3}none/")
