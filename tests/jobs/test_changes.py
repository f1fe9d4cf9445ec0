from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from greendata.catalog.schemas import SCHEMAS
from greendata.catalog.staging import ReadObject
from greendata.jobs.changes import Changes, KnownObjects, compare, object_rows, options_key
from greendata.jobs.scope import Scope
from greendata.model import Dataset, SkippedObject, SkipReason, StoredObject
from greendata.shards.base import ReadOptions
from greendata.shards.choosing import ChosenShard

OPTIONS = options_key(ReadOptions())
ROOT = "file:///data"


def item(name: str, etag: str = "1") -> StoredObject:
    return StoredObject(
        uri=f"{ROOT}/{name}",
        store_id="local",
        size_bytes=5,
        etag=etag,
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def known(*rows: dict[str, Any]) -> KnownObjects:
    common = {
        "store_id": "local",
        "etag": "1",
        "dataset": ROOT,
        "priority": 0,
        "format": "jsonl",
        "status": "read",
        "documents_scan_id": "before",
        "read_options": OPTIONS,
    }
    filled = [
        {"object_id": item(row["uri"].rpartition("/")[2]).object_id} | common | row for row in rows
    ]
    names = SCHEMAS["objects"].names
    table = [{name: row.get(name) for name in names} for row in filled]
    return KnownObjects(pa.Table.from_pylist(table, schema=SCHEMAS["objects"]))


def scope(*items: StoredObject, priority: int = 0, denied: tuple[str, ...] = ()) -> Scope:
    skipped = [SkippedObject(uri=uri, reason=SkipReason.DENIED, detail="") for uri in denied]
    return Scope(
        uris=(ROOT,),
        targets=frozenset({ROOT}),
        rules={ROOT: Dataset(name=ROOT, prefixes=(ROOT,), priority=priority)},
        objects=items,
        named=frozenset(),
        denied=tuple(skipped),
        ignored=(),
    )


def changes(before: KnownObjects, now: Scope, *skipped: str, kind: str = "jsonl") -> Changes:
    chosen = [
        ChosenShard(item=i, format=kind, codec="none") for i in now.objects if i.uri not in skipped
    ]
    return compare(before, now, chosen, skipped, OPTIONS)


def names(found: Changes) -> dict[str, list[str]]:
    uris = {
        "to_read": [shard.item.uri for shard in found.to_read],
        "unchanged": found.unchanged,
        "moved": found.moved,
        "removed": found.removed,
    }
    return {kind: [uri.rpartition("/")[2] for uri in listed] for kind, listed in uris.items()}


A, B = {"uri": f"{ROOT}/a"}, {"uri": f"{ROOT}/b"}


def test_new_unchanged_and_removed_objects_are_told_apart() -> None:
    found = changes(known(A, B), scope(item("a"), item("c")))
    assert names(found) == {"to_read": ["c"], "unchanged": ["a"], "moved": [], "removed": ["b"]}


@pytest.mark.parametrize(
    "row",
    [
        {"etag": "2"},
        {"status": "skipped", "reason": "unreadable"},
        {"read_options": options_key(ReadOptions(text_column="other"))},
        {"format": "text"},
    ],
)
def test_an_object_that_was_another_or_read_otherwise_is_read(row: dict[str, Any]) -> None:
    assert names(changes(known(A | row), scope(item("a"))))["to_read"] == ["a"]


def test_an_object_of_another_priority_is_moved_but_not_read() -> None:
    found = names(changes(known(A), scope(item("a"), priority=3)))
    assert (found["to_read"], found["unchanged"], found["moved"]) == ([], ["a"], ["a"])


def test_what_is_below_a_folder_that_cannot_be_listed_stays() -> None:
    below = {"uri": f"{ROOT}/locked/a"}
    found = names(changes(known(below, B), scope(denied=(f"{ROOT}/locked",))))
    assert found["removed"] == ["b"]


def test_what_is_outside_the_scope_stays() -> None:
    outside = {"uri": "file:///database/a"}
    assert names(changes(known(outside), scope()))["removed"] == []


def test_an_object_that_cannot_be_looked_into_is_not_removed() -> None:
    assert names(changes(known(A), scope(item("a")), f"{ROOT}/a"))["removed"] == []


def read_object(uri: str, object_id: int) -> ReadObject:
    return ReadObject(
        object_id=object_id,
        uri=uri,
        format="jsonl",
        codec="none",
        text_column="text",
        documents=1,
        text_bytes=2,
        null_documents=0,
        skipped_documents=0,
        skipped_examples=(),
    )


def rows(before: KnownObjects, now: Scope, *skipped: SkippedObject) -> list[dict[str, Any]]:
    found = changes(before, now)
    read = {
        i.object_id: read_object(i.uri, i.object_id)
        for i in now.objects
        if i.uri not in {entry.uri for entry in skipped}
    }
    table = object_rows(
        known=before,
        scope=now,
        changes=found,
        read=read,
        skipped=skipped,
        options=OPTIONS,
        scan_id="now",
    )
    assert table.schema == SCHEMAS["objects"]
    listed: list[dict[str, Any]] = table.to_pylist()
    return listed


def test_rows_say_only_what_is_not_as_the_catalog_has_it() -> None:
    assert rows(known(A), scope(item("a"))) == []
    found = rows(known(A, B), scope(item("b", "2"), item("c")))
    told = [(row["uri"][-1], row["status"], row["documents_scan_id"]) for row in found]
    assert told == [("a", "removed", "before"), ("b", "read", "now"), ("c", "read", "now")]


def test_a_moved_object_keeps_its_documents() -> None:
    (row,) = rows(known(A), scope(item("a"), priority=3))
    assert (row["priority"], row["documents_scan_id"], row["status"]) == (3, "before", "read")


def test_a_failure_is_a_row_once() -> None:
    failed = SkippedObject(uri=f"{ROOT}/a", reason=SkipReason.TRUNCATED, detail="cut")
    (row,) = rows(known(A | {"etag": "0"}), scope(item("a")), failed)
    assert (row["status"], row["reason"], row["detail"]) == ("skipped", "truncated", "cut")
    same = known(A | {"status": "skipped", "reason": "truncated"})
    assert rows(same, scope(item("a")), failed) == []
    other = known(A | {"status": "skipped", "reason": "crashed"})
    assert len(rows(other, scope(item("a")), failed)) == 1


def test_has_crashed_is_about_this_version() -> None:
    before = known(A | {"status": "skipped", "reason": "crashed"}, B)
    assert before.has_crashed(item("a"))
    assert not before.has_crashed(item("a", "2"))
    assert not before.has_crashed(item("b"))
    assert not before.has_crashed(item("c"))


def test_options_key_names_what_changes_documents_only() -> None:
    assert options_key(ReadOptions(batch_bytes=5)) == OPTIONS
    for other in (
        ReadOptions(text_column="a"),
        ReadOptions(whole_rows=True),
        ReadOptions(lines=True),
        ReadOptions(max_record_bytes=7),
    ):
        assert options_key(other) != OPTIONS
