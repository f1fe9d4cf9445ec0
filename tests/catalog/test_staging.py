from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.catalog.schemas import SCHEMAS
from greendata.catalog.staging import ReadObject, SegmentWriter, Staging

DEPENDS = {"seed": 1}


def batch(object_id: int, count: int) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        field.name: np.zeros(count, np.int64).tolist() for field in SCHEMAS["documents"]
    }
    columns |= {"object_id": [object_id] * count, "row": list(range(count))}
    columns["band_keys"] = [[1, 2]] * count
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMAS["documents"])


def record(object_id: int, documents: int) -> ReadObject:
    return ReadObject(
        object_id=object_id,
        uri=f"file:///{object_id}",
        format="jsonl",
        codec="none",
        text_column="text",
        documents=documents,
        text_bytes=10,
        null_documents=0,
        skipped_documents=1,
        skipped_examples=((3, "not UTF-8"),),
    )


def write(staging: Staging, *objects: tuple[int, int], unfinished: int | None = None) -> None:
    """One segment with these objects (id, documents), and rows of one that is not finished."""
    writer = SegmentWriter(staging)
    for object_id, count in objects:
        if count:
            writer.add(batch(object_id, count))
    if unfinished is not None:
        writer.add(batch(unfinished, 2))
    for object_id, count in objects:
        writer.finish(record(object_id, count))
    writer.close_segment()


def die(staging: Staging) -> None:
    """What the death of the process does: the lock is gone, nothing else changes."""
    staging._lock.close()


def rows_of(paths: list[Path]) -> dict[int, int]:
    found: dict[int, int] = {}
    for path in paths:
        for object_id in pq.ParquetFile(path).read()["object_id"].to_pylist():
            found[object_id] = found.get(object_id, 0) + 1
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    return tmp_path / "scans"


@pytest.fixture(autouse=True)
def _close_locks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give up every lock that a test took."""
    made: list[Staging] = []
    original = Staging.create

    def create(*arguments: Any) -> Staging:
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(Staging, "create", create)
    yield
    for staging in made:
        die(staging)


def test_finished_objects_of_a_dead_scan_are_adopted_and_it_is_swept(root: Path) -> None:
    dead = Staging.create(root, "dead", DEPENDS)
    write(dead, (1, 3), (2, 0), unfinished=9)
    die(dead)
    staging = Staging.create(root, "new", DEPENDS)
    assert staging.adopt(root, DEPENDS, {1, 2, 9}) == 2
    assert staging.finished == {1: record(1, 3), 2: record(2, 0)}
    assert rows_of(staging.segments) == {1: 3}
    assert [path.name for path in root.iterdir()] == ["new"]


def test_only_wanted_objects_are_adopted(root: Path) -> None:
    dead = Staging.create(root, "dead", DEPENDS)
    write(dead, (1, 3), (2, 4))
    die(dead)
    staging = Staging.create(root, "new", DEPENDS)
    assert staging.adopt(root, DEPENDS, {2}) == 1
    assert rows_of(staging.segments) == {2: 4}


def test_a_scan_that_is_alive_is_left_alone(root: Path) -> None:
    alive = Staging.create(root, "alive", DEPENDS)
    write(alive, (1, 3))
    staging = Staging.create(root, "new", DEPENDS)
    assert staging.adopt(root, DEPENDS, {1}) == 0
    assert rows_of(alive.segments) == {1: 3}


def test_work_under_other_parameters_is_swept_unused(root: Path) -> None:
    dead = Staging.create(root, "dead", {"seed": 2})
    write(dead, (1, 3))
    die(dead)
    staging = Staging.create(root, "new", DEPENDS)
    assert staging.adopt(root, DEPENDS, {1}) == 0
    assert [path.name for path in root.iterdir()] == ["new"]


def test_what_several_dead_scans_finished_outlives_a_third_death(root: Path) -> None:
    first, second, third = (Staging.create(root, name, DEPENDS) for name in ("a", "b", "c"))
    write(first, (1, 3))
    write(second, (2, 2))
    for staging in (first, second, third):
        die(staging)
    for name in ("d", "e"):
        staging = Staging.create(root, name, DEPENDS)
        assert staging.adopt(root, DEPENDS, {1, 2}) == 2
        assert rows_of(staging.segments) == {1: 3, 2: 2}
        die(staging)


def test_an_object_finished_by_two_dead_scans_is_adopted_once(root: Path) -> None:
    for name in ("a", "b"):
        staging = Staging.create(root, name, DEPENDS)
        write(staging, (1, 3))
        die(staging)
    staging = Staging.create(root, "new", DEPENDS)
    assert staging.adopt(root, DEPENDS, {1}) == 1
    assert rows_of(staging.segments) == {1: 3}


def test_segments_after_the_last_list_do_not_count(root: Path) -> None:
    dead = Staging.create(root, "dead", DEPENDS)
    write(dead, (1, 3))
    writer = SegmentWriter(dead)
    writer.add(batch(2, 5))
    writer.close_segment()
    die(dead)
    staging = Staging.create(root, "new", DEPENDS)
    assert staging.adopt(root, DEPENDS, {1, 2}) == 1
    assert rows_of(staging.segments) == {1: 3}


@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_segment_that_was_lost_makes_its_objects_unfinished(root: Path, damage: str) -> None:
    dead = Staging.create(root, "dead", DEPENDS)
    write(dead, (1, 3))
    write(dead, (2, 3))
    lost = dead.segments[1]
    if damage == "missing":
        lost.unlink()
    else:
        lost.write_bytes(lost.read_bytes()[:-50] if damage == "cut" else b"")
    die(dead)
    staging = Staging.create(root, "new", DEPENDS)
    assert staging.adopt(root, DEPENDS, {1, 2}) == 1
    assert rows_of(staging.segments) == {1: 3}


@pytest.mark.parametrize("name", ["finished-1.json", "scan.json"])
def test_a_list_that_was_cut_short_is_no_list(root: Path, name: str) -> None:
    dead = Staging.create(root, "dead", DEPENDS)
    write(dead, (1, 3))
    (dead.folder / name).write_text('[{"object')
    die(dead)
    staging = Staging.create(root, "new", DEPENDS)
    assert staging.adopt(root, DEPENDS, {1}) == 0
    assert [path.name for path in root.iterdir()] == ["new"]


def test_crashes_are_counted_over_dead_scans(root: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        staging = Staging.create(root, name, DEPENDS)
        staging.adopt(root, DEPENDS, {7})
        assert staging.crashes.get(7, 0) == number
        staging.mark_in_flight(0, 7)
        die(staging)


def test_a_scan_that_ends_by_itself_had_no_crash(root: Path) -> None:
    stopped = Staging.create(root, "a", DEPENDS)
    stopped.mark_in_flight(0, 7)
    stopped.release()
    staging = Staging.create(root, "b", DEPENDS)
    staging.adopt(root, DEPENDS, {7})
    assert staging.crashes == {}


def test_committable_holds_rows_of_wanted_objects_only(root: Path) -> None:
    staging = Staging.create(root, "a", DEPENDS)
    write(staging, (1, 3))
    write(staging, (2, 3), unfinished=9)
    clean = staging.committable({1, 2})
    assert clean[0] == staging.segments[0]
    assert rows_of(clean) == {1: 3, 2: 3}
    assert rows_of(staging.committable({1})) == {1: 3}


def test_remove_leaves_nothing_and_gives_up_the_lock(root: Path) -> None:
    staging = Staging.create(root, "a", DEPENDS)
    write(staging, (1, 3))
    staging.remove()
    assert list(root.iterdir()) == []
    Staging.create(root, "a", DEPENDS)


def test_documents_of_one_object_may_stand_in_several_segments(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greendata.catalog.staging.SEGMENT_BYTES", 1)
    dead = Staging.create(root, "dead", DEPENDS)
    writer = SegmentWriter(dead)
    for _ in range(3):
        writer.add(batch(1, 2))
    writer.finish(record(1, 6))
    writer.close_segment()
    assert len(dead.segments) == 3
    die(dead)
    staging = Staging.create(root, "new", DEPENDS)
    assert staging.adopt(root, DEPENDS, {1}) == 1
    assert rows_of(staging.segments) == {1: 6}


def test_lists_are_json_that_names_every_field(root: Path) -> None:
    staging = Staging.create(root, "a", DEPENDS)
    write(staging, (1, 3))
    listed = json.loads((staging.folder / "finished-1.json").read_text())
    assert set(listed[0]) == set(ReadObject.__slots__)
