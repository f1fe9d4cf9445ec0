from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from greendata.errors import DeniedError, ObjectNotFoundError, PreconditionFailedError
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


class TestMoves:
    """Renames into our own folders and back."""

    def test_a_moved_file_keeps_all_that_is_beside_it(self, tmp_path: Path) -> None:
        store, uri, held = LocalStore(), *_places(tmp_path)
        written = store.put(uri, b"one")
        os.utime(tmp_path / "a", ns=(1, 10**18))
        os.chmod(tmp_path / "a", 0o640)
        before = store.head(uri)
        assert store.move(uri, held, etag=before.etag).etag == before.etag
        with pytest.raises(ObjectNotFoundError):
            store.head(uri)
        store.move(held, uri, etag=before.etag)
        assert store.head(uri) == before
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
        assert written.etag != before.etag

    def test_another_file_than_expected_goes_back(self, tmp_path: Path) -> None:
        store, uri, held = LocalStore(), *_places(tmp_path)
        store.put(uri, b"one")
        with pytest.raises(PreconditionFailedError):
            store.move(uri, held, etag="other")
        assert store.read(uri) == b"one"
        with pytest.raises(ObjectNotFoundError):
            store.head(held)

    def test_nothing_is_replaced_by_a_file_that_comes_back(self, tmp_path: Path) -> None:
        store, uri, held = LocalStore(), *_places(tmp_path)
        store.move(uri, held, etag=store.put(uri, b"one").etag)
        store.put(uri, b"two")
        with pytest.raises(PreconditionFailedError):
            store.move(held, uri)
        assert (store.read(uri), store.read(held)) == (b"two", b"one")

    def test_one_that_was_given_back_by_halves_is_given_back(self, tmp_path: Path) -> None:
        store, uri, held = LocalStore(), *_places(tmp_path)
        etag = store.put(uri, b"one").etag
        store.move(uri, held, etag=etag)
        os.link(uri_to_path(held), uri_to_path(uri))
        store.move(held, uri, etag=etag)
        assert store.read(uri) == b"one"
        assert not os.path.exists(uri_to_path(held))


def _places(folder: Path) -> tuple[str, str]:
    return path_to_uri(str(folder / "a")), path_to_uri(str(folder / ".greendata/quarantine/r/s/a"))
