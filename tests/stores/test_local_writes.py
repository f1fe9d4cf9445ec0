from __future__ import annotations

import os
from pathlib import Path

import pytest

from greendata.errors import DeniedError, PreconditionFailedError
from greendata.stores import files
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri, uri_to_path
from greendata.stores.records import IF_ABSENT
from tests.stores.contract import StoreContract


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return LocalStore()

    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        (tmp_path / "place").mkdir()
        return path_to_uri(str(tmp_path / "place")) + "/"

    def child(self, root: str, key: str) -> str:
        return path_to_uri(f"{uri_to_path(root)}{key}")


def test_a_refused_or_failed_write_leaves_no_file_behind(tmp_path: Path) -> None:
    store, uri = LocalStore(), path_to_uri(str(tmp_path / "a"))
    store.put(uri, b"one")
    with pytest.raises(PreconditionFailedError):
        store.put(uri, b"two", condition=IF_ABSENT)
    assert [name for name in os.listdir(tmp_path / ".greendata") if name != "write.lock"] == []


def test_delete_of_a_file_that_somebody_replaced_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = LocalStore(), tmp_path / "a"
    uri = path_to_uri(str(path))
    etag = store.put(uri, b"planned").etag
    path.write_bytes(b"somebody else's")
    with pytest.raises(PreconditionFailedError):
        store.delete(uri, etag=etag)
    assert path.read_bytes() == b"somebody else's"


def test_delete_never_replaces_a_file_that_appeared_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"other")

    def etag_of(found: Path) -> str:
        if found != path:  # moved aside: now somebody writes a new one
            path.write_bytes(b"newest")
        return "not the one"

    with pytest.raises(PreconditionFailedError):
        files.remove(path, "planned", etag_of)
    assert path.read_bytes() == b"newest"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_denied(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DeniedError):
        LocalStore().put(path_to_uri(str(tmp_path / "a")), b"one")
