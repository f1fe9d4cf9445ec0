"""A catalog in an object store: the strict in-memory one, hostile ones, and real servers."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from greendata.catalog.places import RemotePlace
from greendata.catalog.tables import Catalog
from greendata.errors import (
    CommitConflictError,
    ObjectNotFoundError,
    StoreUnreachableError,
    UnsupportedError,
)
from greendata.stores.memory import MemoryStore
from greendata.stores.records import ALWAYS, Condition, Properties, Written
from greendata.stores.wrappers.base import Call, StoreWrapper
from tests.catalog.test_tables import commit, rows

URI = "mem://b/.greendata/catalog"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def opened(store: Any, *, create: bool = True) -> Catalog:
    return Catalog.open(RemotePlace(store, URI), create=create)


def test_what_one_machine_commits_another_sees(
    store: MemoryStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = opened(store)
    here.write("pairs", "one", rows("pairs", jaccard=0.5))
    commit(here, "one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "elsewhere"))
    there = opened(store, create=False)
    assert there.snapshot().scan_ids == {"one"}
    (file,) = there.files("pairs", {"one"})
    assert Path(file).is_relative_to(cache / "elsewhere")
    commit(there, "two")
    assert here.snapshot().scan_ids == {"one", "two"}


def test_of_two_commits_of_one_version_one_is_refused(store: MemoryStore) -> None:
    catalog = opened(store)
    base = catalog.snapshot()
    commit(catalog, "first", base)
    names = {item.uri for item in store.versions(URI)}
    with pytest.raises(CommitConflictError):
        commit(catalog, "second", base)
    assert catalog.snapshot().scan_ids == {"first"}
    assert {item.uri for item in store.versions(URI)} == names  # and nothing is left of it
    commit(catalog, "second")
    assert catalog.snapshot().scan_ids == {"first", "second"}


def test_blind_appends_of_many_threads_all_land(store: MemoryStore) -> None:
    catalog = opened(store)
    names = [f"s{number}" for number in range(8)]
    threads = [
        threading.Thread(target=catalog.write, args=("pairs", name, rows("pairs", jaccard=0.5)))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catalog.files("pairs", set(names))) == 8


def test_makers_at_once_make_one_catalog(store: MemoryStore) -> None:
    made: list[Catalog] = []
    threads = [threading.Thread(target=lambda: made.append(opened(store))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, catalog in enumerate(made):
        catalog.write("pairs", f"s{number}", rows("pairs", jaccard=0.5))
    assert len(made) == 6
    assert len({catalog.place.folder for catalog in made}) == 1
    assert len(opened(store).files("pairs", None)) == 6


def test_another_catalog_of_the_same_name_is_not_mistaken_for_the_first(
    store: MemoryStore,
) -> None:
    commit(opened(store), "one")
    for item in list(store.versions(URI)):
        store.delete(item.uri)
    assert opened(store).snapshot().scans == ()


def test_a_cache_that_was_removed_comes_back(store: MemoryStore, cache: Path) -> None:
    catalog = opened(store)
    for number in range(40):
        commit(catalog, f"s{number}")
    shutil.rmtree(cache)
    assert len(opened(store).snapshot().scans) == 40


ONE, TWO = "20260108T120000-1", "20260109T120000-2"
DEAD, YOUNG = "20260108T110000-3", "20260109T110000-4"


def test_dropped_results_are_swept_after_the_retention_time(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = opened(store)
    catalog.check_writable()
    commit(catalog, ONE)
    for name in (f"{ONE}.0", f"{TWO}.0"):
        catalog.write("duplicates", name, rows("duplicates", kind="exact"))
    commit(catalog, TWO, results_id=f"{TWO}.0")
    catalog.drop_results_before(f"{TWO}.0")
    assert catalog.files("duplicates", {f"{ONE}.0"}) == []
    kept = [item.uri for item in store.versions(f"{URI}/tables/duplicates") if ONE in item.uri]
    assert len(kept) == 1  # readers may be at work on it
    monkeypatch.setattr("greendata.catalog.tables._RETENTION_SECONDS", -1)
    catalog.write("duplicates", f"{DEAD}.0", rows("duplicates", kind="exact"))
    catalog.drop_results_before(f"{TWO}.0")
    catalog.write("duplicates", f"{YOUNG}.0", rows("duplicates", kind="exact"))
    catalog.drop_results_before(f"{TWO}.0")
    left = [item.uri for item in store.versions(f"{URI}/tables/duplicates")]
    assert not any(ONE in uri or DEAD in uri for uri in left)
    assert len(catalog.files("duplicates", {f"{TWO}.0"})) == 1
    assert len(catalog.files("duplicates", {f"{YOUNG}.0"})) == 1  # may be at work elsewhere


class Overwriting(StoreWrapper):
    """A server that takes put-if-absent for put."""

    def put(
        self,
        uri: str,
        content: bytes,
        *,
        condition: Condition = ALWAYS,
        properties: Properties | None = None,
    ) -> Written:
        return self.inner.put(uri, content)


def test_a_store_that_ignores_put_if_absent_is_refused(store: MemoryStore) -> None:
    with pytest.raises(UnsupportedError, match="put-if-absent"):
        opened(Overwriting(store))
    assert list(store.versions("mem://b/")) == []


def test_a_store_that_begins_to_ignore_it_is_refused_before_a_scan(store: MemoryStore) -> None:
    opened(store)
    with pytest.raises(UnsupportedError, match=r"mem://b/\.greendata/catalog"):
        opened(Overwriting(store)).check_writable()


class Dying(StoreWrapper):
    """Every call fails from the n-th mutation on."""

    def __init__(self, inner: Any, mutations: int) -> None:
        super().__init__(inner)
        self.left = mutations

    def _around(self, call: Call) -> Any:
        if call.is_mutation:
            self.left -= 1
        if self.left < 0:
            raise StoreUnreachableError("gone")
        return call.make()


@pytest.mark.parametrize("mutations", range(0, 30, 3))
def test_a_catalog_is_whole_wherever_its_making_or_a_commit_was_cut(mutations: int) -> None:
    store = MemoryStore()
    try:
        dying = opened(Dying(store, mutations))
        dying.write("pairs", "one", rows("pairs", jaccard=0.5))
        commit(dying, "one")
    except StoreUnreachableError:
        pass
    catalog = opened(store)
    assert catalog.snapshot().scan_ids in (set(), {"one"})
    commit(catalog, "two")
    catalog.write("pairs", "two", rows("pairs", jaccard=0.5))
    assert len(catalog.files("pairs", {"two"})) == 1


def test_there_is_none(store: MemoryStore) -> None:
    with pytest.raises(ObjectNotFoundError, match="there is none"):
        opened(store, create=False)


@pytest.mark.parametrize("server", ["bucket", "container"])
def test_scans_into_a_catalog_in_a_store(
    server: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    from greendata.cli.boundary import run
    from tests.jobs.made_scans import text, write_lines

    place = request.getfixturevalue(server)
    scheme = "s3" if server == "bucket" else "az"
    catalog = f"{scheme}://{place}/cat alog/é"
    write_lines(tmp_path / "x" / "a.jsonl", [text(1), text(2)])
    write_lines(tmp_path / "y" / "a.jsonl", [text(2), text(3)])
    assert run(["--catalog", catalog, "scan", str(tmp_path / "x")]) == 0
    shutil.rmtree(os.environ["XDG_CACHE_HOME"])
    assert run(["--catalog", catalog, "scan", str(tmp_path / "y")]) == 0
    capsys.readouterr()
    assert run(["--catalog", catalog, "overlap", "--level", "dataset", "--format", "csv"]) == 0
    assert "0.5" in capsys.readouterr().out
    assert run(["--catalog", catalog, "objects", "--format", "csv", "--columns", "uri"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
