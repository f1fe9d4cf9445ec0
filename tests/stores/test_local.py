"""The local store: names, listings, errors."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greendata.errors import (
    DeniedError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreUnreachableError,
    UsageError,
)
from greendata.stores import local
from greendata.stores.base import list_all, store_error
from greendata.stores.local import LocalStore, is_glob, normalise_uri, path_to_uri, uri_to_path

STORE = LocalStore()
WEIRD_NAMES = (
    "a b.txt", "new\nline", "<script>alert(1)<", "100%.txt", "%41", "ü", "语", "a#b?c", "[x]*",
    "-rf", "quote'\"", os.fsdecode(b"bad\xff\xfe"), "e\u0301", "tab\t", "back\\slash", "~", "a:b",
)  # fmt: skip


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, errors="surrogateescape")


def names(folder: Path, uris: object) -> list[str]:
    return [os.path.relpath(uri_to_path(item.uri), folder) for item in uris]  # type: ignore[attr-defined]


def listed(folder: Path, argument: str | None = None) -> list[str]:
    return names(folder, STORE.list(normalise_uri(argument or str(folder))))


@given(st.lists(st.binary(min_size=1).filter(lambda n: not {0, 47} & set(n)), min_size=1))
def test_path_returns_from_its_uri(parts: list[bytes]) -> None:
    path = os.fsdecode(b"/" + b"/".join(parts))
    uri = path_to_uri(path)
    assert uri_to_path(uri) == path
    assert uri.isascii()
    assert uri.isprintable()
    assert not is_glob(uri)
    assert path_to_uri(uri_to_path(uri)) == uri


def test_weird_names_are_listed_and_opened(tmp_path: Path) -> None:
    make(tmp_path, *WEIRD_NAMES)
    items = list(STORE.list(normalise_uri(str(tmp_path))))
    assert sorted(names(tmp_path, items)) == sorted(WEIRD_NAMES)
    for item in items:
        expected = os.fsencode(os.path.relpath(uri_to_path(item.uri), tmp_path))
        with STORE.open(item) as source:
            assert source.read() == expected


def test_listing_is_recursive_and_sorted_by_uri(tmp_path: Path) -> None:
    make(tmp_path, "b/z.txt", "a.txt", "b/a/x", "B", ".hidden", "_SUCCESS")
    uris = [item.uri for item in STORE.list(normalise_uri(str(tmp_path)))]
    assert uris == sorted(uris)
    assert len(uris) == 6


def test_own_folders_are_invisible(tmp_path: Path) -> None:
    make(tmp_path, ".greendata/a", "x/_greendata/b", "x/c")
    assert listed(tmp_path) == ["x/c"]
    with pytest.raises(ObjectNotFoundError, match="of greendata itself"):
        listed(tmp_path, str(tmp_path / ".greendata"))
    with pytest.raises(ObjectNotFoundError):
        listed(tmp_path, str(tmp_path / "x/_greendata/b"))


def test_links_and_special_files_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "root/real", "outside/secret")
    root = tmp_path / "root"
    (root / "link").symlink_to(root / "real")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    (root / "gone").symlink_to(root / "nothing")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s"))
        ignored: dict[str, str] = {}
        items = list(STORE.list(normalise_uri(str(root)), on_ignored=ignored.__setitem__))
    assert names(root, items) == ["real"]
    kinds = {os.path.basename(uri): detail.split(",")[0] for uri, detail in ignored.items()}
    links = dict.fromkeys(("link", "out", "loop", "gone"), "symbolic link")
    assert kinds == links | {"fifo": "special file", "s": "special file"}


def test_link_named_itself_is_followed(tmp_path: Path) -> None:
    make(tmp_path, "data/real")
    (tmp_path / "file").symlink_to(tmp_path / "data/real")
    (tmp_path / "folder").symlink_to(tmp_path / "data")
    assert listed(tmp_path, str(tmp_path / "file")) == ["file"]
    assert listed(tmp_path, str(tmp_path / "folder")) == ["folder/real"]


def test_special_file_named_itself_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ObjectNotFoundError, match="not a regular file"):
        STORE.head(path_to_uri(str(tmp_path / "fifo")))
    with pytest.raises(ObjectNotFoundError, match="nothing matches"):
        listed(tmp_path, str(tmp_path / "fi*"))


def test_hard_links_are_one_object(tmp_path: Path) -> None:
    make(tmp_path, "b/first", "a")
    os.link(tmp_path / "b/first", tmp_path / "b/second")
    os.link(tmp_path / "b/first", tmp_path / "0")
    assert listed(tmp_path) == ["0", "a"]


def test_overlapping_arguments_count_once(tmp_path: Path) -> None:
    make(tmp_path, "x/one", "x/two", "y")
    os.link(tmp_path / "x/one", tmp_path / "z")
    uris = [normalise_uri(str(tmp_path / name)) for name in ("x", "x/one", "z", "y", "x")]
    listing = list_all(STORE, uris)
    assert names(tmp_path, listing.objects) == ["x/one", "x/two", "y"]
    assert {os.path.basename(uri) for uri in listing.named} == {"one", "y", "z"}


def test_hard_link_to_a_named_file_counts_as_named(tmp_path: Path) -> None:
    make(tmp_path, "x/one")
    os.link(tmp_path / "x/one", tmp_path / "z")
    listing = list_all(STORE, [normalise_uri(str(tmp_path / name)) for name in ("x", "z")])
    assert [item.uri in listing.named for item in listing.objects] == [True]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["a.txt"]),
        ("*", ["a.txt", "d/b.txt", "d/e/c.txt"]),
        ("**/*.txt", ["a.txt", "d/b.txt", "d/e/c.txt"]),
        ("**", ["a.txt", "d/b.txt", "d/e/c.txt"]),
        ("d/?.txt", ["d/b.txt"]),
        ("[a-c].txt", ["a.txt"]),
        (".h*", [".hid.txt"]),
        ("*/e", ["d/e/c.txt"]),
    ],
)
def test_glob_matches_as_a_shell_does(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    make(tmp_path, "a.txt", "d/b.txt", "d/e/c.txt", ".hid.txt", ".greendata/x.txt")
    (tmp_path / "d/loop").symlink_to(tmp_path)
    assert listed(tmp_path, str(tmp_path / pattern)) == expected


def test_glob_names_its_files_but_not_what_is_in_its_folders(tmp_path: Path) -> None:
    make(tmp_path, "a", "d/b")
    listing = list_all(STORE, [normalise_uri(str(tmp_path / "*"))])
    assert len(listing.objects) == 2
    assert [os.path.basename(uri) for uri in listing.named] == ["a"]


def test_name_with_glob_characters_is_taken_literally_when_it_exists(tmp_path: Path) -> None:
    make(tmp_path, "a[1].txt", "a1.txt")
    assert listed(tmp_path, str(tmp_path / "a[1].txt")) == ["a[1].txt"]
    make(tmp_path / "d*[", "x.txt", "y.csv")
    escaped = path_to_uri(str(tmp_path / "d*[")) + "/*.txt"
    assert listed(tmp_path, escaped) == ["d*[/x.txt"]


def test_relative_path_and_uri_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "d/a b")
    monkeypatch.chdir(tmp_path)
    uri = path_to_uri(str(tmp_path / "d/a b"))
    assert normalise_uri("d/a b") == normalise_uri("./d/../d/a b") == uri
    assert normalise_uri(uri) == normalise_uri(uri.replace("file://", "file://localhost")) == uri
    assert normalise_uri(f"file://{tmp_path}/d/a b") == uri


@pytest.mark.parametrize("argument", ["", "s3://b/k", "file://host/x", "file:/", "a\0b", "file://"])
def test_argument_that_names_nothing_local_is_refused(argument: str) -> None:
    if argument == "file:/":
        assert normalise_uri(argument).endswith("/file:")
        return
    with pytest.raises(UsageError):
        normalise_uri(argument)


def test_missing_names_say_so(tmp_path: Path) -> None:
    make(tmp_path, "file")
    for name in ("nothing", "file/below", "x" * 300):
        uri = path_to_uri(str(tmp_path / name))
        with pytest.raises(ObjectNotFoundError, match="file://"):
            list(STORE.list(uri))
        with pytest.raises(ObjectNotFoundError):
            STORE.head(uri)


def test_empty_folder_has_no_objects(tmp_path: Path) -> None:
    assert listed(tmp_path) == []


def test_etag_moves_with_content_and_opening_an_old_one_fails(tmp_path: Path) -> None:
    make(tmp_path, "a")
    uri = path_to_uri(str(tmp_path / "a"))
    before = STORE.head(uri)
    assert STORE.head(uri) == before
    (tmp_path / "a").write_text("b")
    os.utime(tmp_path / "a", ns=(0, 1))
    assert STORE.head(uri).etag != before.etag
    with pytest.raises(ObjectChangedError, match="changed"):
        STORE.open(before)


def test_object_says_when_it_was_modified(tmp_path: Path) -> None:
    make(tmp_path, "a")
    os.utime(tmp_path / "a", ns=(0, 1_700_000_000_123_456_789))
    item = STORE.head(path_to_uri(str(tmp_path / "a")))
    assert item.modified_at.isoformat() == "2023-11-14T22:13:20.123456+00:00"
    assert (item.size_bytes, item.store_id) == (1, "local")


def deny(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    real = local._entries

    def entries(path: str) -> tuple[os.DirEntry[str], ...]:
        if path == str(folder):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(local, "_entries", entries)


def test_denied_sub_folder_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/x", "b/y", "c")
    deny(monkeypatch, tmp_path / "a")
    denied: dict[str, str] = {}
    uri = normalise_uri(str(tmp_path))
    assert names(tmp_path, STORE.list(uri, on_denied=denied.__setitem__)) == ["b/y", "c"]
    assert denied == {path_to_uri(str(tmp_path / "a")): "Permission denied"}
    with pytest.raises(DeniedError, match="/a: not readable"):
        list(STORE.list(uri))


def test_denied_argument_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deny(monkeypatch, tmp_path)
    with pytest.raises(DeniedError):
        list(STORE.list(normalise_uri(str(tmp_path)), on_denied=lambda _uri, _detail: None))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_denied_when_opened(tmp_path: Path) -> None:
    make(tmp_path, "a")
    (tmp_path / "a").chmod(0)
    item = STORE.head(path_to_uri(str(tmp_path / "a")))
    with pytest.raises(DeniedError):
        STORE.open(item)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(13, DeniedError), (1, DeniedError), (2, ObjectNotFoundError), (5, StoreUnreachableError)],
)
def test_system_error_becomes_the_error_of_its_meaning(number: int, expected: type) -> None:
    error = store_error("file:///x", OSError(number, os.strerror(number)))
    assert isinstance(error, expected)
    assert "file:///x" in error.message
    assert os.strerror(number) in error.message
