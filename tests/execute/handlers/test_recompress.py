from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.execute.handlers.base import Context
from greendata.execute.handlers.recompress import RecompressHandler, new_uri
from greendata.execute.pins import is_pinned
from greendata.execute.records import Action, Outcome, Status
from greendata.jobs.in_place import rewriting
from greendata.stores.azure import AzureSettings, AzureStore
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri
from greendata.stores.memory import MemoryStore
from greendata.stores.s3 import S3Store
from greendata.stores.wrappers import LiarStore
from greendata.stores.wrappers.base import Call, StoreWrapper
from tests.execute.handlers.made_places import (
    action_on,
    carry_out,
    content_of,
    context_of,
    every_fault,
    own_names,
)
from tests.execute.handlers.test_relocate import BESIDE, beside
from tests.stores.servers import ACCOUNT

A = "mem://a/"
ROWS = [
    {"id": number, "text": f"the same words again and again {number % 7}"} for number in range(120)
]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def parquet(rows: list[dict[str, Any]] = ROWS) -> bytes:
    sink = pa.BufferOutputStream()
    options: dict[str, Any] = {"compression": "none", "use_dictionary": False}
    pq.write_table(pa.Table.from_pylist(rows), sink, **options)
    return bytes(sink.getvalue())


PARQUET = parquet()


def handler(store: Store, manifest: str | None = None) -> RecompressHandler:
    return RecompressHandler(rewriting(store), lambda action: manifest)


def rows_at(store: Store, uri: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(pa.BufferReader(store.read(uri))).to_pylist()
    return found


def written(
    store: Store, content: bytes = PARQUET, root: str = A, name: str = "x.parquet", **more: Any
) -> Action:
    store.put(f"{root}{name}", content, properties=BESIDE)
    to = {"profile": "stream", **more}
    return action_on("recompress", store.head(f"{root}{name}"), to)


def once(store: Store, action: Action, context: Context, *, is_resumed: bool = False) -> Outcome:
    (found,) = carry_out(handler(store), [action], context, is_resumed=is_resumed)
    return found


def back(store: Store, action: Action, found: Outcome) -> Action:
    undone = handler(store).inverse(action, {}, found)
    assert isinstance(undone, Action)
    return replace(undone, to=json.loads(json.dumps(undone.to)))


WAYS: list[dict[str, Any]] = [{}, {"copies_conditionally": False}, {"is_versioned": True}]


@pytest.mark.parametrize("way", WAYS)
def test_parquet_is_replaced_in_place_and_put_back(way: dict[str, Any]) -> None:
    store = MemoryStore(keeps_versions="is_versioned" in way)
    action, context = written(store), context_of(store, [A], **way)
    found = once(store, action, context)
    assert found.status is Status.DONE
    uri = action.uri
    assert store.head(uri).size_bytes < len(PARQUET) / 2
    assert rows_at(store, uri) == ROWS
    assert beside(store, uri) == BESIDE
    held = found.after["quarantine"]
    kept = store.read(held["held_uri"], version_id=held.get("held_version_id"))
    assert kept == PARQUET
    assert held["survivors"][0]["etag"] == store.head(uri).etag == found.after["object"]["etag"]
    assert is_pinned(uri, context)
    assert not [name for name in own_names(store, A) if "staging" in name]
    for _ in range(2):
        undone = once(store, back(store, action, found), context)
        assert undone.status is Status.DONE
        assert store.read(uri) == PARQUET
        assert beside(store, uri) == BESIDE
        assert own_names(store, A) == []


def test_a_file_keeps_mode_and_comes_back_as_the_very_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(PARQUET)
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18))
    before = path.stat()
    store, root = LocalStore(), path_to_uri(str(tmp_path)) + "/"
    action = action_on("recompress", store.head(f"{root}x.parquet"), {"profile": "archive"})
    context = context_of(store, [root])
    found = once(store, action, context)
    assert found.status is Status.DONE
    assert path.stat().st_mode == before.st_mode
    assert pq.read_table(path).to_pylist() == ROWS
    again = once(store, action, context, is_resumed=True)
    assert again.after["sha256"] == found.after["sha256"]
    undone = once(store, back(store, action, found), context)
    assert undone.status is Status.DONE
    now = path.stat()
    assert (now.st_ino, now.st_mtime_ns, now.st_mode) == (
        before.st_ino, before.st_mtime_ns, before.st_mode,
    )  # fmt: skip
    assert now.st_nlink == 1
    assert own_names(store, root) == []


def test_what_saves_too_little_is_left_alone() -> None:
    small, store = MemoryStore(), MemoryStore()
    once(small, written(small), context_of(small, [A]))
    packed = small.read(f"{A}x.parquet")
    found = once(store, written(store, packed), context_of(store, [A]))
    assert (found.status, found.reason) == (Status.SKIPPED, "no-saving")
    assert store.read(f"{A}x.parquet") == packed
    assert own_names(store, A) == []


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet PAR1", PARQUET[:-9]])
def test_what_cannot_be_read_is_left_alone(content: bytes) -> None:
    store = MemoryStore()
    found = once(store, written(store, content), context_of(store, [A]))
    assert found.status is Status.SKIPPED
    assert store.read(f"{A}x.parquet") == content
    assert own_names(store, A) == []


def test_files_of_a_table_are_left_alone() -> None:
    store = MemoryStore()
    store.put(f"{A}t/_delta_log/0.json", b"{}")
    found = once(store, written(store, name="t/x.parquet"), context_of(store, [A]))
    assert (found.status, found.reason) == (Status.SKIPPED, "unsupported")
    assert "Delta" in found.detail


def test_another_name_needs_a_manifest_or_leave() -> None:
    store = MemoryStore()
    action, context = written(store, LINES, name="x.jsonl"), context_of(store, [A])
    found = once(store, action, context)
    assert (found.status, found.reason) == (Status.SKIPPED, "renamed")
    assert "allow_window" in found.detail
    allowed = replace(action, to={**action.to, "allow_window": True})
    found = once(store, allowed, context)
    assert found.status is Status.DONE
    assert content_of(store, f"{A}x.jsonl") is None
    assert rows_at(store, f"{A}x.parquet") == ROWS
    assert store.details(f"{A}x.parquet").content_type == "application/vnd.apache.parquet"
    assert store.details(f"{A}x.parquet").content_encoding is None
    undone = once(store, back(store, action, found), context)
    assert undone.status is Status.DONE
    assert store.read(f"{A}x.jsonl") == LINES
    assert beside(store, f"{A}x.jsonl") == BESIDE
    assert content_of(store, f"{A}x.parquet") is None


def test_an_object_at_the_new_name_is_not_touched() -> None:
    store = MemoryStore()
    store.put(f"{A}x.parquet", b"mine")
    action = written(store, LINES, name="x.jsonl", allow_window=True)
    found = once(store, action, context_of(store, [A]))
    assert (found.status, found.reason) == (Status.SKIPPED, "conflict")
    assert store.read(f"{A}x.parquet") == b"mine"
    assert own_names(store, A) == []


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://b/a.jsonl.gz", "s3://b/a.parquet"),
        ("s3://b/d/a.b.csv", "s3://b/d/a.b.parquet"),
        ("s3://b/a.parquet", "s3://b/a.parquet"),
        ("s3://b/a.pq", "s3://b/a.pq"),
        ("s3://b/part-0", "s3://b/part-0"),
    ],
)
def test_names_of_what_is_written(uri: str, expected: str) -> None:
    assert new_uri(uri) == expected
    assert new_uri(uri, "ab") != uri


class Before(StoreWrapper):
    """Somebody acts just before the first call of this name about this URI."""

    def __init__(self, inner: Store, name: str, uri: str, work: Callable[[], object]) -> None:
        super().__init__(inner)
        self._name, self._uri, self._work, self._is_done = name, uri, work, False

    def _around(self, call: Call) -> Any:
        if not self._is_done and call.name in self._name.split() and call.uri == self._uri:
            self._is_done = True
            self._work()
        return call.make()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("harm", ["put", "delete", "hold"])
def test_whoever_changes_the_object_just_before_the_switch_wins(
    way: dict[str, Any], harm: str
) -> None:
    store = MemoryStore(keeps_versions="is_versioned" in way)
    action = written(store)
    uri = action.uri
    work: dict[str, Callable[[], object]] = {
        "put": lambda: store.put(uri, b"theirs"),
        "delete": lambda: store.delete(uri),
        "hold": lambda: store.set_hold(uri, is_held=True),
    }
    busy = Before(store, "copy put", uri, work[harm])
    found = once(store, action, context_of(busy, [A], **way))
    if harm == "hold" and "is_versioned" in way:
        assert found.status is Status.DONE  # the held version stays as an earlier one
        return
    assert found.status is Status.SKIPPED
    expected = {"put": b"theirs", "delete": None, "hold": PARQUET}[harm]
    assert content_of(store, uri) == expected
    assert not [name for name in own_names(store, A) if "staging" in name]


def test_a_stored_object_that_reads_back_otherwise_is_not_switched() -> None:
    class Flipping(StoreWrapper):
        def put(self, uri: str, content: bytes, **more: Any) -> Any:
            if "staging" in uri:
                content = content[:200] + bytes([content[200] ^ 1]) + content[201:]
            return self.inner.put(uri, content, **more)

    store = MemoryStore()
    action = written(store)
    found = once(store, action, context_of(Flipping(store), [A]))
    assert (found.status, found.reason) == (Status.FAILED, "damaged")
    assert store.read(action.uri) == PARQUET
    assert own_names(store, A) == []


def test_a_store_that_ignores_conditions_loses_nothing_where_nobody_else_writes() -> None:
    store = MemoryStore()
    action = written(store)
    found = once(store, action, context_of(LiarStore(store), [A], copies_conditionally=False))
    assert found.status is Status.DONE
    assert rows_at(store, action.uri) == ROWS
    assert store.read(found.after["quarantine"]["held_uri"]) == PARQUET


def readable(store: Store, *uris: str) -> bool:
    return any(
        (content := content_of(store, uri)) is not None
        and pq.read_table(pa.BufferReader(content)).to_pylist() == ROWS
        for uri in uris
    )


@pytest.mark.parametrize("way", [*WAYS, {"is_local": True}])
def test_in_place_goes_on_after_any_failure(way: dict[str, Any], tmp_path: Path) -> None:
    is_local = way.get("is_local")
    count = iter(range(10_000))

    def make() -> Any:
        if is_local:
            store: Store = LocalStore()
            root = path_to_uri(str(tmp_path / str(next(count)))) + "/"
        else:
            store, root = MemoryStore(keeps_versions="is_versioned" in way), A
        action = written(store, root=root)
        store_and.clear()
        store_and.append((action, root))

        def work(faulty: Store, is_resumed: bool) -> list[Outcome]:
            more = {} if is_local else way
            context = context_of(faulty, [root], **more)
            return carry_out(handler(faulty), [action], context, is_resumed=is_resumed)

        return store, work

    store_and: list[tuple[Action, str]] = []

    def watch(store: Store) -> None:
        assert readable(store, store_and[0][0].uri)

    def check(store: Store, found: list[Outcome]) -> None:
        action, root = store_and[0]
        watch(store)
        assert found[0].status is Status.DONE
        held = found[0].after["quarantine"]
        kept = store.read(held["held_uri"], version_id=held.get("held_version_id"))
        assert kept == PARQUET
        names = own_names(store, root)
        assert not [name for name in names if "staging" in name or "partial" in name]
        assert len([name for name in names if "pins" in name]) == 1
        assert len([name for name in names if "quarantine" in name]) == (held["form"] == "moved")
        (undone,) = carry_out(handler(store), [back(store, action, found[0])],
                              context_of(store, [root], **({} if is_local else way)))  # fmt: skip
        assert undone.status is Status.DONE
        assert store.read(action.uri) == PARQUET

    faults = ("kill-after", "503") if is_local else ("kill", "kill-after", "lost")
    assert every_fault(make, check, watch=watch, faults=faults) > 40


def test_another_name_goes_on_after_any_failure(tmp_path: Path) -> None:
    count = iter(range(10_000))

    def made(is_local: bool) -> Callable[[], Any]:
        def make() -> Any:
            store: Store = LocalStore() if is_local else MemoryStore()
            root = path_to_uri(str(tmp_path / str(next(count)))) + "/" if is_local else A
            action = written(store, LINES, root=root, name="x.jsonl", allow_window=True)
            roots[:] = [root]

            def work(faulty: Store, is_resumed: bool) -> list[Outcome]:
                context = context_of(faulty, [root])
                return carry_out(handler(faulty), [action], context, is_resumed=is_resumed)

            return store, work

        return make

    roots: list[str] = []

    def watch(store: Store) -> None:
        (root,) = roots
        lines = content_of(store, f"{root}x.jsonl") == LINES
        assert lines or readable(store, f"{root}x.parquet")

    def check(store: Store, found: list[Outcome]) -> None:
        (root,) = roots
        assert found[0].status is Status.DONE
        assert rows_at(store, f"{root}x.parquet") == ROWS
        assert content_of(store, f"{root}x.jsonl") is None
        assert store.read(found[0].after["quarantine"]["held_uri"]) == LINES
        assert found[0].after["original_sha256"] == hashlib.sha256(LINES).hexdigest()
        names = own_names(store, root)
        assert not [name for name in names if "staging" in name or "partial" in name]
        assert len([name for name in names if "pins" in name]) == 1

    assert every_fault(made(False), check, watch=watch, faults=("kill", "lost")) > 40
    assert every_fault(made(True), check, watch=watch, faults=("kill-after",)) > 20


MANIFEST = f"{A}d/_greendata/manifest.json"


def dataset(store: Store) -> list[Action]:
    """Lines and Parquet that a manifest names."""
    entries, actions = [], []
    for name, content in (("x.jsonl", LINES), ("y.parquet", PARQUET)):
        action = written(store, content, f"{A}d/", name)
        actions.append(replace(action, action_id=name[0] * 32, group_id="group"))
        entries.append({"uri": action.uri, "etag": action.etag, "split": name})
    document = {"schema_version": 1, "dataset": "d", "generation": 4, "objects": entries}
    store.put(MANIFEST, json.dumps(document).encode())
    return actions


def followed(store: Store) -> list[str]:
    """Objects that the manifest names, all of which have the rows."""
    document = json.loads(store.read(MANIFEST))
    uris = [entry["uri"] for entry in document["objects"]]
    assert [store.head(uri).etag for uri in uris] == [e["etag"] for e in document["objects"]]
    for uri in uris:
        content = store.read(uri)
        assert content == LINES or rows_at(store, uri) == ROWS
    return uris


def test_a_dataset_switches_as_one_and_back() -> None:
    store = MemoryStore()
    actions, context = dataset(store), context_of(store, [A])
    before = followed(store)
    found = carry_out(handler(store, MANIFEST), actions, context)
    assert {entry.status for entry in found} == {Status.DONE}
    after = followed(store)
    assert set(before).isdisjoint(after)
    entry = json.loads(store.read(MANIFEST))["objects"][0]
    assert (entry["rows"], entry["split"]) == (120, "x.jsonl")
    assert [content_of(store, uri) for uri in before] == [None, None]
    undone = carry_out(
        handler(store, MANIFEST),
        [back(store, action, one) for action, one in zip(actions, found, strict=True)],
        context,
    )
    assert {entry.status for entry in undone} == {Status.DONE}
    assert followed(store) == before
    assert [store.read(uri) for uri in before] == [LINES, PARQUET]
    assert [content_of(store, uri) for uri in after] == [None, None]


def test_a_dataset_stays_when_one_object_cannot_go() -> None:
    store = MemoryStore()
    actions = dataset(store)
    store.put(actions[1].uri, b"theirs")
    before = store.read(MANIFEST)
    found = carry_out(handler(store, MANIFEST), actions, context_of(store, [A]))
    assert [entry.reason for entry in found] == ["group", "changed"]
    assert store.read(MANIFEST) == before
    assert content_of(store, f"{A}d/x.parquet") is None
    assert own_names(store, A) == ["d/_greendata/manifest.json"]


def test_a_dataset_goes_on_after_any_failure() -> None:
    def make() -> Any:
        store = MemoryStore()
        actions = dataset(store)

        def work(faulty: Store, is_resumed: bool) -> list[Outcome]:
            context = context_of(faulty, [A])
            return carry_out(handler(faulty, MANIFEST), actions, context, is_resumed=is_resumed)

        return store, work

    def watch(store: Store) -> None:
        followed(store)

    def check(store: Store, found: list[Outcome]) -> None:
        assert {entry.status for entry in found} == {Status.DONE}
        assert len(set(followed(store)) - {f"{A}d/x.jsonl", f"{A}d/y.parquet"}) == 2
        names = own_names(store, A)
        assert not [name for name in names if "staging" in name]
        assert len([name for name in names if "quarantine" in name]) == 2
        assert len([name for name in names if "pins" in name]) == 2

    assert every_fault(make, check, watch=watch, faults=("kill-after",)) > 50


def test_on_s3_where_nobody_else_writes(s3: Any, bucket: str) -> None:
    status = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
    in_a_server(S3Store(), f"s3://{bucket}/", "STANDARD_IA", is_versioned=True, is_exclusive=True)


def test_on_azure(container: str, azure_connection: str) -> None:
    in_a_server(AzureStore(AzureSettings(account=ACCOUNT)), f"az://{container}/", "Cool")


def in_a_server(store: Store, root: str, storage_class: str, **way: Any) -> None:
    beside_it = replace(BESIDE, storage_class=storage_class)
    if root.startswith("az:"):
        beside_it = replace(beside_it, encryption=None)
    uri = f"{root}x y.parquet"
    store.put(uri, PARQUET, properties=beside_it)
    action = action_on("recompress", store.head(uri), {"profile": "archive"})
    is_conditional = "is_exclusive" not in way  # moto ignores what copies are asked
    context = context_of(store, [root], copies_conditionally=is_conditional, **way)
    found = once(store, action, context)
    assert found.status is Status.DONE, found
    assert rows_at(store, uri) == ROWS
    assert beside(store, uri) == beside_it
    again = once(store, action, context, is_resumed=True)
    assert again.status is Status.DONE
    assert again.after["quarantine"]["held_uri"] == found.after["quarantine"]["held_uri"]
    undone = once(store, back(store, action, found), context)
    assert undone.status is Status.DONE, undone
    assert store.read(uri) == PARQUET
    assert beside(store, uri) == beside_it
