from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from greendata.execute.handlers.base import Context
from greendata.execute.handlers.relocate import RelocateHandler
from greendata.execute.pins import is_pinned
from greendata.execute.records import Action, Outcome, Status
from greendata.execute.verified import STEP_KEY
from greendata.model import StoredObject
from greendata.stores.azure import AzureSettings, AzureStore
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri
from greendata.stores.memory import MemoryStore
from greendata.stores.records import Encryption, Properties
from greendata.stores.s3 import S3Store
from greendata.stores.wrappers.base import Call, StoreWrapper
from tests.execute.handlers.made_places import (
    OvertakenStore,
    TwoStores,
    action_on,
    carry_out,
    content_of,
    context_of,
    every_fault,
    own_names,
    translated,
)
from tests.stores.servers import ACCOUNT

A, B = "mem://a/", "mem://b/"
BESIDE = Properties(
    content_type="text/x",
    content_encoding="br",
    content_language="de",
    content_disposition="attachment",
    cache_control="no-store",
    metadata={"k": "v"},
    encryption=Encryption(algorithm="aws:kms", key_id="arn:aws:kms:r:1:key/a"),
    tags={"t": "1"},
    storage_class="COOL",
)
MONTH = timedelta(days=31)
ALONE = RelocateHandler(lambda action: None)


def put(store: Store, content: bytes = b"bytes", root: str = A, name: str = "x") -> StoredObject:
    store.put(f"{root}{name}", content, properties=BESIDE)
    return store.head(f"{root}{name}")


def moving(item: StoredObject, mode: str = "move", target: str = f"{B}x", **more: Any) -> Action:
    to = {"region": "us-east-1", "mode": mode, "uri": target}
    return action_on("relocate", item, to, **more)


def beside(store: Store, uri: str) -> Properties:
    """But for what the store works out of the content by itself."""
    found = store.details(uri)
    metadata = {name: value for name, value in found.metadata.items() if name != STEP_KEY}
    is_own = found.encryption is not None and found.encryption.key_id is not None
    return replace(
        found.as_properties(store.tags(uri)),
        metadata=metadata,
        encryption=found.encryption if is_own else None,
        content_md5=None,
        checksum=None,
        checksum_type=None,
    )


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("execute.verified", "stores.transfer"):
        monkeypatch.setattr(f"greendata.{room}.PART_BYTES", 8)


def settled(action: Action, pending: Outcome, context: Context) -> Outcome:
    return ALONE.settle(action, {}, pending, context)


@pytest.mark.parametrize("way", [{}, {"copies_conditionally": False}])
@pytest.mark.parametrize("size", [5, 0, 20])
def test_a_replica_has_the_bytes_and_all_beside_them(
    way: dict[str, Any], size: int, small_parts: None
) -> None:
    store = MemoryStore()
    action = moving(put(store, b"x" * size), "replicate")
    (found,) = carry_out(ALONE, [action], context_of(store, [A, B], **way))
    assert found.status is Status.DONE
    assert content_of(store, f"{B}x") == b"x" * size
    assert beside(store, f"{B}x") == BESIDE
    assert (own_names(store, A), own_names(store, B)) == ([], [])


def test_an_archived_copy_is_read_before_it_is_named() -> None:
    store = MemoryStore()
    item = put(store)
    store.set_tier(item.uri, "ARCHIVE")
    store.restore(item.uri, days=1)
    action = moving(item, "replicate")
    (found,) = carry_out(ALONE, [action], context_of(store, [A, B]))
    assert found.status is Status.DONE
    assert store.details(f"{B}x").is_archived
    assert own_names(store, B) == []


def test_a_move_waits_and_then_retires_the_source_in_favour_of_the_copy() -> None:
    store = MemoryStore()
    action = moving(put(store))
    now, then = context_of(store, [A, B]), context_of(store, [A, B], later=MONTH)
    (found,) = carry_out(ALONE, [action], now)
    assert (found.status, found.reason) == (Status.PENDING, "waiting")
    assert content_of(store, f"{A}x") == content_of(store, f"{B}x") == b"bytes"
    assert settled(action, found, now) is found
    done = settled(action, found, then)
    assert done.status is Status.DONE
    assert content_of(store, f"{A}x") is None
    assert content_of(store, f"{B}x") == b"bytes"
    assert is_pinned(f"{B}x", now)
    held = done.after["quarantine"]
    assert content_of(store, held["held_uri"]) == b"bytes"
    assert held["survivors"][0]["uri"] == f"{B}x"
    again = settled(action, found, then)
    assert again.after["quarantine"]["held_uri"] == held["held_uri"]


@pytest.mark.parametrize("theirs", [b"theirs", b"BYTES"])
@pytest.mark.parametrize("way", [{}, {"copies_conditionally": False}, {"is_versioned": True}])
def test_what_others_put_where_the_copy_was_just_made_stays(
    way: dict[str, Any], theirs: bytes
) -> None:
    inner = MemoryStore(keeps_versions="is_versioned" in way)
    action = moving(put(inner))
    store = OvertakenStore(inner, f"{B}x", theirs, Properties())
    (found,) = carry_out(ALONE, [action], context_of(store, [A, B], **way))
    assert (found.status, found.reason) == (Status.SKIPPED, "conflict")
    assert content_of(inner, f"{B}x") == theirs
    assert content_of(inner, f"{A}x") == b"bytes"


def test_a_source_that_was_changed_or_pinned_meanwhile_stays() -> None:
    store = MemoryStore()
    action = moving(put(store))
    (found,) = carry_out(ALONE, [action], context_of(store, [A, B]))
    put(store, b"newer")
    done = settled(action, found, context_of(store, [A, B], later=MONTH))
    assert (done.status, done.reason, done.after["uri"]) == (Status.SKIPPED, "changed", f"{B}x")
    assert content_of(store, f"{A}x") == b"newer"
    assert not is_pinned(f"{B}x", context_of(store, [A, B]))


@pytest.mark.parametrize("harm", ["gone", "other"])
def test_a_copy_that_was_harmed_meanwhile_keeps_the_source(harm: str) -> None:
    store = MemoryStore()
    action = moving(put(store))
    (found,) = carry_out(ALONE, [action], context_of(store, [A, B]))
    if harm == "gone":
        store.delete(f"{B}x")
    else:
        put(store, b"bytez", B)
    done = settled(action, found, context_of(store, [A, B], later=MONTH))
    assert (done.status, done.reason) == (Status.SKIPPED, "no-survivor")
    assert content_of(store, f"{A}x") == b"bytes"


@pytest.mark.parametrize("name", [Path.symlink_to, Path.hardlink_to])
def test_a_copy_that_became_another_name_of_the_source_keeps_it(name: Any, tmp_path: Path) -> None:
    store, root = LocalStore(), path_to_uri(str(tmp_path)) + "/"
    source, target = tmp_path / "x", tmp_path / "y"
    source.write_bytes(b"bytes")
    action = moving(store.head(f"{root}x"), target=f"{root}y")
    (found,) = carry_out(ALONE, [action], context_of(store, [root]))
    target.unlink()
    name(target, source)
    done = settled(action, found, context_of(store, [root], later=MONTH))
    assert (done.status, done.reason) == (Status.SKIPPED, "no-survivor")
    assert source.read_bytes() == b"bytes"


@pytest.mark.parametrize("content", [b"bytes", b"other"])
def test_an_object_of_somebody_else_at_the_target_is_never_touched(content: bytes) -> None:
    store = MemoryStore()
    action = moving(put(store))
    there = put(store, content, B)
    for is_resumed in (False, True):
        (found,) = carry_out(ALONE, [action], context_of(store, [A, B]), is_resumed=is_resumed)
        assert (found.status, found.reason) == (Status.SKIPPED, "conflict")
    assert store.head(f"{B}x").etag == there.etag


def test_somebody_who_comes_first_wins() -> None:
    class Busy(StoreWrapper):
        def _around(self, call: Call) -> Any:
            if call.name in ("put", "copy") and call.uri == f"{B}x":
                self.inner.put(f"{B}x", b"first")
            return call.make()

    for is_copied in (True, False):
        store = MemoryStore()
        action = moving(put(store))
        context = context_of(Busy(store), [A, B], copies_conditionally=is_copied)
        (found,) = carry_out(ALONE, [action], context)
        assert found.status is Status.SKIPPED
        assert content_of(store, f"{B}x") == b"first"


def test_a_source_that_changes_while_it_is_copied_leaves_no_copy() -> None:
    class Changing(StoreWrapper):
        def _around(self, call: Call) -> Any:
            found = call.make()
            if call.name in ("put", "copy") and call.uri == f"{B}x":
                self.inner.put(f"{A}x", b"newer")
            return found

    for is_copied in (True, False):
        store = MemoryStore()
        action = moving(put(store))
        context = context_of(Changing(store), [A, B], copies_conditionally=is_copied)
        (found,) = carry_out(ALONE, [action], context)
        if found.status is Status.SKIPPED:
            assert (found.reason, content_of(store, f"{B}x")) == ("changed", None)
        else:  # it was read before
            assert content_of(store, f"{B}x") == b"bytes"


def test_a_copy_that_reads_back_otherwise_is_removed() -> None:
    class Flipping(StoreWrapper):
        def put(self, uri: str, content: bytes, **more: Any) -> Any:
            return self.inner.put(uri, content[:-1] + b"!", **more)

    store = MemoryStore()
    action = moving(put(store))
    way: dict[str, Any] = {"copies_conditionally": False}
    (found,) = carry_out(ALONE, [action], context_of(Flipping(store), [A, B], **way))
    assert (found.status, found.reason) == (Status.FAILED, "damaged")
    assert content_of(store, f"{B}x") is None
    assert content_of(store, f"{A}x") == b"bytes"


@pytest.mark.parametrize("size", [5, 20])
@pytest.mark.parametrize("way", [{}, {"copies_conditionally": False}, {"is_versioned": True}])
def test_it_goes_on_after_any_failure(way: dict[str, Any], size: int, small_parts: None) -> None:
    content = b"x" * size

    def make() -> Any:
        store = MemoryStore(keeps_versions="is_versioned" in way)
        action = moving(put(store, content))
        noted: list[Outcome] = []

        def work(faulty: Store, is_resumed: bool) -> list[Outcome]:
            context = context_of(faulty, [A, B], later=MONTH, **way)
            if not noted:
                found = carry_out(ALONE, [action], context, is_resumed=is_resumed)
                noted.extend(entry for entry in found if entry.status is Status.PENDING)
            if noted:
                due = replace(noted[0], due_at=context.now())
                found = [translated(lambda: settled(action, due, context))]
            return found

        return store, work

    def watch(store: Store) -> None:
        assert content in (content_of(store, f"{A}x"), content_of(store, f"{B}x"))

    def check(store: Store, found: list[Outcome]) -> None:
        watch(store)
        assert content_of(store, f"{B}x") == content
        assert beside(store, f"{B}x") == BESIDE
        assert not list(store.uploads(B))
        assert not [name for name in own_names(store, B) if "staging" in name]
        assert found[0].status is Status.DONE
        assert content_of(store, f"{A}x") is None
        assert len([name for name in own_names(store, B) if "pins" in name]) == 1

    assert every_fault(make, check, watch=watch) > 30


def test_copies_between_stores_are_streamed(tmp_path: Path) -> None:
    memory = MemoryStore()
    root = path_to_uri(str(tmp_path)) + "/"
    store = TwoStores({"mem://": memory, "file://": LocalStore()})
    big = b"y" * ((16 << 20) + 5)
    (tmp_path / "big").write_bytes(big)
    action = moving(store.head(f"{root}big"), target=f"{B}big")
    context = context_of(store, [A, B, root])
    (found,) = carry_out(ALONE, [action], context)
    assert (found.status, content_of(store, f"{B}big")) == (Status.PENDING, big)
    assert own_names(memory, B) == []
    back = moving(put(memory), target=f"{root}x")
    (found,) = carry_out(ALONE, [back], context)
    assert (found.status, found.reason) == (Status.SKIPPED, "unsupported")
    memory.put(f"{A}plain", b"plain")
    plain = moving(memory.head(f"{A}plain"), target=f"{root}plain", name="b")
    (found,) = carry_out(ALONE, [plain], context)
    assert (tmp_path / "plain").read_bytes() == b"plain"
    (found,) = carry_out(ALONE, [plain], context, is_resumed=True)
    assert found.status is Status.PENDING


def undone(action: Action, found: Outcome, context: Context) -> Outcome:
    back = ALONE.inverse(action, {}, found)
    assert isinstance(back, Action)
    back = replace(back, to=json.loads(json.dumps(back.to)))
    (outcome,) = carry_out(ALONE, [back], context)
    (again,) = carry_out(ALONE, [back], context, is_resumed=True)
    assert again.status is outcome.status
    return outcome


@pytest.mark.parametrize("way", [{}, {"is_versioned": True}])
@pytest.mark.parametrize("state", ["replica", "pending", "settled"])
def test_undo_brings_the_source_back_and_retires_the_copy(way: dict[str, Any], state: str) -> None:
    store = MemoryStore(keeps_versions=bool(way))
    action = moving(put(store), "replicate" if state == "replica" else "move")
    then = context_of(store, [A, B], later=MONTH, **way)
    (found,) = carry_out(ALONE, [action], then)
    if state == "settled":
        found = settled(action, replace(found, due_at=then.now()), then)
        assert content_of(store, f"{A}x") is None
    outcome = undone(action, found, then)
    assert outcome.status is Status.DONE
    assert content_of(store, f"{A}x") == b"bytes"
    assert beside(store, f"{A}x") == BESIDE
    assert content_of(store, f"{B}x") is None
    assert outcome.after["quarantine"]["survivors"][0]["uri"] == f"{A}x"
    assert is_pinned(f"{A}x", then)
    assert not is_pinned(f"{B}x", then)


def test_undo_leaves_a_copy_that_somebody_changed() -> None:
    store = MemoryStore()
    action = moving(put(store))
    context = context_of(store, [A, B])
    (found,) = carry_out(ALONE, [action], context)
    put(store, b"newer", B)
    outcome = undone(action, found, context)
    assert (outcome.status, "stays" in outcome.detail) == (Status.DONE, True)
    assert content_of(store, f"{B}x") == b"newer"


def test_undo_is_refused_where_the_source_is_another_object() -> None:
    store = MemoryStore()
    action = moving(put(store))
    context = context_of(store, [A, B])
    (found,) = carry_out(ALONE, [action], context)
    put(store, b"newer")
    outcome = undone(action, found, context)
    assert (outcome.status, outcome.reason) == (Status.SKIPPED, "conflict")
    assert content_of(store, f"{A}x") == b"newer"
    assert content_of(store, f"{B}x") == b"bytes"


def test_an_undo_goes_on_after_any_failure() -> None:
    def make() -> Any:
        store = MemoryStore()
        action = moving(put(store))
        then = context_of(store, [A, B], later=MONTH)
        (found,) = carry_out(ALONE, [action], then)
        found = settled(action, replace(found, due_at=then.now()), then)
        back = ALONE.inverse(action, {}, found)
        assert isinstance(back, Action)

        def work(faulty: Store, is_resumed: bool) -> list[Outcome]:
            context = context_of(faulty, [A, B], later=MONTH)
            return carry_out(ALONE, [back], context, is_resumed=is_resumed)

        return store, work

    def check(store: Store, found: list[Outcome]) -> None:
        assert found[0].status is Status.DONE
        assert content_of(store, f"{A}x") == b"bytes"
        assert content_of(store, f"{B}x") is None
        held = [name for name in own_names(store, B) if "quarantine" in name]
        assert len(held) == 1
        assert found[0].after["quarantine"]["held_uri"].endswith(held[0])
        assert not [name for name in own_names(store, A) if "quarantine" in name]

    assert every_fault(make, check) > 40


MANIFEST = f"{A}d/_greendata/manifest.json"
TOLD = RelocateHandler(lambda action: MANIFEST)


def dataset(store: Store, names: str = "xyz") -> list[Action]:
    """Objects that a manifest names, and their moves."""
    entries, actions = [], []
    for name in names:
        item = put(store, name.encode() * 9, f"{A}d/", name)
        entries.append({"uri": item.uri, "etag": item.etag, "bytes": 9, "rows": 3, "split": name})
        actions.append(moving(item, target=f"{B}d/{name}", name=name, group="group"))
    document = {"schema_version": 1, "dataset": "d", "generation": 4, "objects": entries}
    store.put(MANIFEST, json.dumps(document).encode())
    return actions


def readable(store: Store, names: str = "xyz") -> None:
    """A reader who follows the manifest finds all objects, all in one place."""
    document = json.loads(store.read(MANIFEST))
    uris = [entry["uri"] for entry in document["objects"]]
    assert len({uri[:8] for uri in uris}) == 1
    assert [store.read(uri) for uri in uris] == [name.encode() * 9 for name in names]
    assert [store.head(uri).etag for uri in uris] == [e["etag"] for e in document["objects"]]
    assert [entry["split"] for entry in document["objects"]] == list(names)


def test_a_dataset_is_moved_by_one_switch_of_its_manifest_and_back() -> None:
    store = MemoryStore()
    actions = dataset(store)
    context = context_of(store, [A, B])
    found = carry_out(TOLD, actions, context)
    assert {entry.status for entry in found} == {Status.PENDING}
    readable(store)
    document = json.loads(store.read(MANIFEST))
    assert document["generation"] == 5
    assert document["objects"][0]["uri"] == f"{B}d/x"
    back = [TOLD.inverse(action, {}, one) for action, one in zip(actions, found, strict=True)]
    undone = carry_out(TOLD, [one for one in back if isinstance(one, Action)], context)
    assert {entry.status for entry in undone} == {Status.DONE}
    readable(store)
    assert json.loads(store.read(MANIFEST))["generation"] == 6
    assert content_of(store, f"{B}d/x") is None


@pytest.mark.parametrize("trouble", ["changed", "taken", "unnamed", "no-manifest"])
def test_a_dataset_stays_when_one_of_its_objects_cannot_go(trouble: str) -> None:
    store = MemoryStore()
    actions = dataset(store)
    if trouble == "changed":
        put(store, b"other", f"{A}d/", "z")
    elif trouble == "taken":
        put(store, b"other", f"{B}d/", "z")
    elif trouble == "unnamed":
        document = json.loads(store.read(MANIFEST))
        document["objects"].pop()
        store.put(MANIFEST, json.dumps(document).encode())
    else:
        store.delete(MANIFEST)
    before = content_of(store, MANIFEST)
    found = carry_out(TOLD, actions, context_of(store, [A, B]))
    assert {entry.status for entry in found} == {Status.SKIPPED}
    assert content_of(store, MANIFEST) == before
    assert [content_of(store, f"{B}d/{name}") for name in "xy"] == [None, None]


def test_what_others_write_into_the_manifest_meanwhile_stays() -> None:
    class Busy(StoreWrapper):
        times = 0

        def _around(self, call: Call) -> Any:
            if call.name == "put" and call.uri == MANIFEST and self.times < 3:
                self.times += 1
                document = json.loads(self.inner.read(MANIFEST))
                document["objects"].append({"uri": f"{A}d/new{self.times}"})
                self.inner.put(MANIFEST, json.dumps(document).encode())
            return call.make()

    store = MemoryStore()
    actions = dataset(store)
    found = carry_out(TOLD, actions, context_of(Busy(store), [A, B]))
    assert {entry.status for entry in found} == {Status.PENDING}
    uris = [entry["uri"] for entry in json.loads(store.read(MANIFEST))["objects"]]
    assert uris == [f"{B}d/{n}" for n in "xyz"] + [f"{A}d/new{n}" for n in (1, 2, 3)]


def test_a_dataset_goes_on_after_any_failure() -> None:
    def make() -> Any:
        store = MemoryStore()
        actions = dataset(store)

        def work(faulty: Store, is_resumed: bool) -> list[Outcome]:
            return carry_out(TOLD, actions, context_of(faulty, [A, B]), is_resumed=is_resumed)

        return store, work

    def check(store: Store, found: list[Outcome]) -> None:
        assert {entry.status for entry in found} == {Status.PENDING}
        readable(store)
        assert json.loads(store.read(MANIFEST))["generation"] == 5

    assert every_fault(make, check, watch=readable, until=Status.PENDING) > 100


def test_a_group_that_is_old_enough_goes_on_at_once() -> None:
    store = MemoryStore()
    actions = dataset(store)
    carry_out(TOLD, actions, context_of(store, [A, B]))
    later = context_of(store, [A, B], later=MONTH)
    found = carry_out(TOLD, actions, later, is_resumed=True)
    assert {entry.status for entry in found} == {Status.DONE}
    assert content_of(store, f"{A}d/x") is None
    readable(store)


OWN_KEY = Encryption(algorithm="aws:kms", key_id="arn:aws:kms:r:1:key/a")


@pytest.mark.parametrize(
    ("target", "region", "beside_it", "words"),
    [
        ("s3://b/x", "r", Properties(encryption=OWN_KEY), "the key that the object is encrypted"),
        ("az://c/x", "us-east-1", Properties(encryption=OWN_KEY), "the key that the object is"),
        ("az://c/x", "us-east-1", Properties(redirect="/y"), "no redirect"),
        ("az://c/x", "us-east-1", Properties(metadata={"a-b": "1"}), "named 'a-b'"),
        ("file:///d/x", "us-east-1", Properties(cache_control="no-store"), "files keep no"),
    ],
)
def test_what_cannot_go_along_keeps_the_object_where_it_is(
    target: str, region: str, beside_it: Properties, words: str
) -> None:
    store = MemoryStore()
    store.put("s3://a/x", b"bytes", properties=beside_it)
    action = moving(store.head("s3://a/x"), target=target)
    action = replace(action, to={**action.to, "region": region})
    (found,) = carry_out(ALONE, [action], context_of(store, ["s3://a/"]))
    assert (found.status, found.reason) == (Status.SKIPPED, "unsupported")
    assert words in found.detail
    assert [item.uri for item in store.versions("")] == ["s3://a/x"]


def test_from_bucket_to_bucket_on_s3(s3: Any, bucket: str) -> None:
    s3.create_bucket(Bucket=f"{bucket}-2")
    roots = (f"s3://{bucket}/", f"s3://{bucket}-2/")
    in_a_server(S3Store(), roots, "STANDARD_IA", copies_conditionally=False)


def test_from_folder_to_folder_on_azure(container: str, azure_connection: str) -> None:
    root = f"az://{container}/"
    in_a_server(AzureStore(AzureSettings(account=ACCOUNT)), (root, f"{root}there/"), "Cool")


def in_a_server(store: Store, roots: tuple[str, str], storage_class: str, **way: Any) -> None:
    beside_it = replace(BESIDE, storage_class=storage_class)
    if roots[0].startswith("az:"):
        beside_it = replace(beside_it, encryption=None)
    uri, target = f"{roots[0]}x y", f"{roots[1]}x y"
    store.put(uri, b"bytes", properties=beside_it)
    action = moving(store.head(uri), target=target)
    context = context_of(store, roots[::-1], later=MONTH, **way)
    (found,) = carry_out(ALONE, [action], context)
    assert found.status is Status.PENDING, found
    assert store.read(target) == b"bytes"
    assert beside(store, target) == beside_it
    done = settled(action, replace(found, due_at=context.now()), context)
    assert done.status is Status.DONE, done
    assert content_of(store, uri) is None
    outcome = undone(action, done, context)
    assert outcome.status is Status.DONE, outcome
    assert store.read(uri) == b"bytes"
    assert beside(store, uri) == beside_it
    assert content_of(store, target) is None
