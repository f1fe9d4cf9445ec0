from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from greendata.errors import (
    ConfigError,
    DeniedError,
    ObjectArchivedError,
    ObjectChangedError,
    ObjectHeldError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnreachableError,
    UnsupportedError,
)
from greendata.execute.copying import copy_object
from greendata.stores.azure import AzureSettings, AzureStore
from greendata.stores.base import Store
from greendata.stores.records import Encryption, Properties
from tests.execute.made_context import made_context
from tests.stores.contract import BESIDE, StoreContract
from tests.stores.servers import ACCOUNT, ACCOUNT_KEY, free_port


def azure() -> AzureStore:
    return AzureStore(AzureSettings(account=ACCOUNT))


class TestAzureStore(StoreContract):
    unfit_keys = frozenset({"back\\slash"})  # Azure's SDKs make it a slash
    cool_class = "Cool"
    archive_class = "Archive"

    @pytest.fixture
    def store(self, container: str) -> Store:
        return azure()

    @pytest.fixture
    def root(self, container: str) -> str:
        return f"az://{container}/place/"


def test_an_account_is_not_mistaken_for_another(container: str) -> None:
    with pytest.raises(UnsupportedError, match="another account"):
        azure().head("az://c@other/a")
    with pytest.raises(ConfigError, match="CONNECTION_STRING is of"):
        AzureStore(AzureSettings(account="other")).head("az://c@other/a")


def test_a_missing_container_is_named(container: str) -> None:
    with pytest.raises(ObjectNotFoundError, match="no-such") as caught:
        list(azure().list(f"az://no-such@{ACCOUNT}/a"))
    assert caught.value.hint


def test_a_wrong_key_is_denied_and_not_told(
    container: str, azure_connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "A" * 86 + "=="
    connection = azure_connection.replace(ACCOUNT_KEY, wrong)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    with pytest.raises(DeniedError) as caught:
        azure().head(f"az://{container}/a")
    assert wrong not in f"{caught.value} {caught.value.hint}"


def test_a_server_that_does_not_answer_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    monkeypatch.setenv("AZURE_STORAGE_KEY", ACCOUNT_KEY)
    settings = AzureSettings(
        account=ACCOUNT,
        endpoint_url=f"http://127.0.0.1:{free_port()}/{ACCOUNT}",
        connect_timeout_seconds=1,
        read_timeout_seconds=1,
    )
    with pytest.raises(StoreUnreachableError) as caught:
        AzureStore(settings).head(f"az://c@{ACCOUNT}/a")
    assert caught.value.is_retryable
    assert ACCOUNT_KEY not in f"{caught.value} {caught.value.hint}"


def test_a_blob_replaced_while_it_is_read_is_refused(container: str) -> None:
    store, uri = azure(), f"az://{container}/a"
    store.put(uri, b"x" * (9 << 20))
    with store.open(store.head(uri)) as file:
        assert file.read(10) == b"x" * 10
        store.put(uri, b"y" * (9 << 20))
        with pytest.raises(ObjectChangedError):
            file.read()


def test_an_archived_blob_is_not_overwritten(container: str) -> None:
    store, uri = azure(), f"az://{container}/a"
    store.put(uri, b"one")
    store.set_tier(uri, "Archive")
    with pytest.raises(ObjectArchivedError):
        store.put(uri, b"two")


def test_a_blob_on_its_way_to_the_archive_is_leased_only_meanwhile(container: str) -> None:
    store, uri = azure(), f"az://{container}/a"
    etag = store.put(uri, b"one").etag
    store.set_tier(uri, "Archive", etag=etag)
    details = store.details(uri)
    assert (details.is_archived, details.is_held) == (True, False)


def test_a_blob_with_snapshots_is_held(container: str, azure_connection: str) -> None:
    from azure.storage.blob import BlobServiceClient

    store, uri = azure(), f"az://{container}/a"
    etag = store.put(uri, b"one").etag
    with BlobServiceClient.from_connection_string(azure_connection) as service:
        service.get_blob_client(container.partition("@")[0], "a").create_snapshot()
    with pytest.raises(ObjectHeldError):
        store.delete(uri, etag=etag)
    assert store.read(uri) == b"one"


def test_a_leased_blob_is_held(container: str, azure_connection: str) -> None:
    from azure.storage.blob import BlobServiceClient

    store, uri = azure(), f"az://{container}/a"
    store.put(uri, b"one")
    name = container.partition("@")[0]
    with BlobServiceClient.from_connection_string(azure_connection) as service:
        lease = service.get_blob_client(name, "a").acquire_lease(15)
        assert store.details(uri).is_held
        with pytest.raises(ObjectHeldError):
            store.delete(uri)
        lease.release()
    store.delete(uri)


def test_what_is_sent_in_parts_keeps_the_md5_that_it_had(container: str) -> None:
    store, uri, target = azure(), f"az://{container}/a", f"az://{container}/b"
    store.put(uri, b"one", properties=BESIDE)
    had = store.details(uri)
    assert had.content_md5 == hashlib.md5(b"one").hexdigest()
    upload = store.start_upload(target, had.as_properties(store.tags(uri)))
    store.complete_upload(upload, [store.put_part(upload, 1, b"one")])
    assert store.details(target).beside() == had.beside()


def test_what_is_in_an_encryption_scope_is_sent_into_it(
    container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.storage.blob import BlobClient

    store, uri, target = azure(), f"az://{container}/a", f"az://{container}/b"
    store.put(uri, b"one", properties=BESIDE)
    scope = Encryption(algorithm="scope", key_id="own")
    monkeypatch.setattr(
        AzureStore,
        "details",
        lambda *given, _real=AzureStore.details, **named: replace(
            _real(*given, **named), encryption=scope
        ),
    )
    with pytest.raises(UnsupportedError, match="encryption scope"):
        store.copy(uri, target)
    sent: list[tuple[str, str]] = []
    for call in ("upload_blob", "stage_block", "commit_block_list"):
        real = getattr(BlobClient, call)

        def record(*given: Any, _call: str = call, _real: Any = real, **named: Any) -> Any:
            sent.append((_call, named.pop("encryption_scope")))  # Azurite knows of none
            return _real(*given, **named)

        monkeypatch.setattr(BlobClient, call, record)
    copy_object(store.head(uri), target, made_context(store, f"az://{container}/"))
    upload = store.start_upload(f"{target}2", Properties(encryption=scope))
    store.complete_upload(upload, [store.put_part(upload, 1, b"one")])
    assert sent == [(c, "own") for c in ("upload_blob", "stage_block", "commit_block_list")]
    assert store.tags(target) == BESIDE.tags


@pytest.mark.parametrize("keeps_versions", [False, True])
def test_a_tier_is_set_of_exactly_the_version_that_was_compared(
    keeps_versions: bool, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.storage.blob import BlobClient

    store, uri = azure(), f"az://{container}/a"
    etag = store.put(uri, b"one").etag
    sent: list[tuple[str, str | None, bool]] = []
    real_details, real_tier = AzureStore.details, BlobClient.set_standard_blob_tier

    def details(*given: Any, **named: Any) -> Any:  # Azurite keeps no versions
        found = real_details(*given)
        version_id = "v1" if keeps_versions else None
        return replace(found, item=replace(found.item, version_id=version_id))

    def set_tier(blob: Any, tier: str, **named: Any) -> None:
        sent.append((tier, named.pop("version_id", None), "lease" in named))
        real_tier(blob, tier, **named)
        if tier == "Cool":
            store.put(uri, b"two")

    monkeypatch.setattr(AzureStore, "details", details)
    monkeypatch.setattr(BlobClient, "set_standard_blob_tier", set_tier)
    with pytest.raises(PreconditionFailedError):
        store.set_tier(uri, "Cool", etag=etag)
    store.set_tier(uri, "Archive")
    version_id = "v1" if keeps_versions else None
    assert sent == [
        ("Cool", version_id, False),
        ("Hot", version_id, False),
        ("Archive", version_id, not keeps_versions),
    ]
