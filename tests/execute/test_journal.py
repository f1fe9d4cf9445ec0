"""Journals that are cut, flipped, swapped, rolled back, and written twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from greendata.errors import LockedError, StoreUnreachableError, UsageError
from greendata.execute.journal import Journal, Record, line_of, read_journal
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri
from greendata.stores.memory import MemoryStore
from greendata.stores.wrappers import FaultyStore, RetryingStore

FOLDER = "mem://b/.greendata/catalog/runs/ab-1/apply/"


def journal(
    store: Store, folder: str = FOLDER, epoch: int = 1, previous: str | None = None
) -> Journal:
    return Journal(store, folder, run_id="ab-1", part="apply", epoch=epoch, previous=previous)


def record(number: int) -> Record:
    return {
        "type": "intent",
        "id": f"a{number}",
        "before": {"key": "ü\n\udcff\u202e" * (number % 3)},
    }


def written(store: Store, folder: str = FOLDER, segments: int = 4, each: int = 3) -> list[Record]:
    """What a journal of several segments was given."""
    target = journal(store, folder)
    records = [record(number) for number in range(segments * each)]
    for start in range(0, len(records), each):
        target.append(records[start : start + each])
    return records


def segment(epoch: int, sequence: int) -> str:
    return f"{FOLDER}{epoch:08d}-{sequence:08d}.jsonl"


@pytest.mark.parametrize("inside", [".greendata/catalog", "some folder/catalog"])
def test_what_is_appended_is_read_wherever_the_catalog_is(tmp_path: Path, inside: str) -> None:
    for store, base in ((LocalStore(), path_to_uri(str(tmp_path))), (MemoryStore(), "mem://b")):
        folder = f"{base}/{inside.replace(' ', '%20')}/runs/ab-1/apply/"
        assert read_journal(store, folder).records == ()
        records = written(store, folder)
        replay = read_journal(store, folder)
        assert (list(replay.records), replay.damaged) == (records, ())
        assert replay.positions == tuple(f"00000001-{number:08d}" for number in (1, 2, 3, 4))


def test_300_cuts_and_flips_are_never_misread() -> None:
    draw = random.Random(7)
    for trial in range(300):
        store = MemoryStore()
        records = written(store)
        uri = segment(1, draw.randint(1, 4))
        content = bytearray(store.read(uri))
        if trial % 2:
            content = content[: draw.randrange(len(content))]
        else:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        store.put(uri, bytes(content))
        replay = read_journal(store, FOLDER)
        assert any(words.startswith(uri) for words in replay.damaged)
        remaining = iter(records)
        assert all(found in remaining for found in replay.records), "in order, and nothing else"
        whole = [r for n, r in enumerate(records) if f"{n // 3 + 1:08d}.jsonl" not in uri]
        assert [found for found in replay.records if found in whole] == whole


def test_a_segment_that_is_missing_is_named_by_its_place() -> None:
    store = MemoryStore()
    written(store)
    store.delete(segment(1, 2))
    store.delete(segment(1, 3))
    assert read_journal(store, FOLDER).damaged == (
        f"{FOLDER}00000001-00000002.jsonl to 00000001-00000003.jsonl: missing",
        f"{segment(1, 4)}: what it follows is missing or was changed",
    )


def test_a_whole_epoch_that_is_missing_is_found_by_the_chain() -> None:
    store = MemoryStore()
    written(store)
    previous = read_journal(store, FOLDER).last_digest
    journal(store, epoch=2, previous=previous).append([record(0)])
    for number in range(1, 5):
        store.delete(segment(1, number))
    (words,) = read_journal(store, FOLDER).damaged
    assert words.startswith(segment(2, 1))


def test_swapped_segments_and_those_of_other_runs_belong_elsewhere() -> None:
    store = MemoryStore()
    written(store)
    first, second = store.read(segment(1, 1)), store.read(segment(1, 2))
    store.put(segment(1, 1), second)
    store.put(segment(1, 2), first)
    Journal(store, FOLDER, run_id="cd-1", part="apply", epoch=2, previous=None).append([record(0)])
    replay = read_journal(store, FOLDER)
    complaints = [words for words in replay.damaged if "belongs elsewhere" in words]
    assert len(complaints) == 3
    assert "its seq differ" in complaints[0]
    assert "its run differ" in complaints[2]
    assert len(replay.records) == 6


def test_a_line_rewritten_with_its_checksum_breaks_the_chain() -> None:
    store = MemoryStore()
    written(store)
    lines = store.read(segment(1, 2)).splitlines(keepends=True)
    lines[1] = line_of({"type": "intent", "id": "other"})
    store.put(segment(1, 2), b"".join(lines))
    (words,) = read_journal(store, FOLDER).damaged
    assert words.startswith(segment(1, 3))
    assert "was changed" in words


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_whole_line_that_is_taken_out_is_missed(line: int) -> None:
    store = MemoryStore()
    written(store, segments=1)
    lines = store.read(segment(1, 1)).splitlines(keepends=True)
    store.put(segment(1, 1), b"".join(lines[:line] + lines[line + 1 :]))
    assert read_journal(store, FOLDER).damaged == (f"{segment(1, 1)}: lines of it are missing",)


def test_an_older_copy_is_a_valid_prefix_and_does_not_reach_what_was_noted() -> None:
    store = MemoryStore()
    records = written(store)
    noted = read_journal(store, FOLDER).positions[-1]
    store.delete(segment(1, 4))
    replay = read_journal(store, FOLDER)
    assert list(replay.records) == records[:9]
    assert replay.damaged == ()
    assert not replay.reaches(noted)
    assert replay.reaches("00000001-00000003")


def test_a_late_segment_of_an_earlier_epoch_is_no_damage_and_stands_before() -> None:
    store = MemoryStore()
    stopped = journal(store)
    stopped.append([record(0)])
    next_one = journal(store, epoch=2, previous=read_journal(store, FOLDER).last_digest)
    next_one.append([record(1)])
    stopped.append([record(2)])
    replay = read_journal(store, FOLDER)
    assert [found["id"] for found in replay.records] == ["a0", "a2", "a1"]
    assert replay.damaged == ()


@pytest.mark.parametrize("is_retried", [True, False])
def test_an_answer_that_is_lost_writes_nothing_twice(is_retried: bool) -> None:
    inner = MemoryStore()
    store: Store = FaultyStore(inner, "lost ok ok lost", only=["put"])
    if is_retried:
        store = RetryingStore(store, sleep=lambda seconds: None)
    target = journal(store)
    if is_retried:
        target.append([record(0)])
    else:
        with pytest.raises(StoreUnreachableError):
            target.append([record(0)])
    target.append([record(1)])
    assert target.position == "00000001-00000002"
    replay = read_journal(inner, FOLDER)
    assert (list(replay.records), replay.damaged) == ([record(0), record(1)], ())


def test_a_batch_that_failed_is_written_before_the_next() -> None:
    inner = MemoryStore()
    target = journal(FaultyStore(inner, "ok 503 ok", only=["put"]))
    target.append([record(0)])
    with pytest.raises(StoreUnreachableError):
        target.append([record(1)])
    assert target.position == "00000001-00000001"
    target.append([record(2)])
    assert [found["id"] for found in read_journal(inner, FOLDER).records] == ["a0", "a1", "a2"]


def test_the_second_writer_of_an_epoch_is_locked_out_even_with_the_same_records() -> None:
    store = MemoryStore()
    journal(store).append([record(0)])
    with pytest.raises(LockedError, match="another process") as caught:
        journal(store).append([record(0)])
    assert caught.value.exit_code == 40
    assert len(read_journal(store, FOLDER).records) == 1


def test_nothing_to_append_makes_no_segment() -> None:
    store = MemoryStore()
    journal(store).append([])
    assert read_journal(store, FOLDER).positions == ()


@pytest.mark.parametrize("content", [b"", b"\n", b"\n" * 9, b"00000000 {}\n", b"\xff" * 100])
def test_a_segment_of_nothing_or_of_garbage_is_named(content: bytes) -> None:
    store = MemoryStore()
    store.put(segment(1, 1), content)
    replay = read_journal(store, FOLDER)
    assert replay.records == ()
    assert replay.damaged == (f"{segment(1, 1)}: its first line is damaged",)


def test_a_folder_that_a_listing_would_take_for_a_pattern_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be kept"):
        read_journal(MemoryStore(), "mem://b/c[1]/runs/ab-1/apply/")


def test_other_names_in_the_folder_are_not_read() -> None:
    store = MemoryStore()
    records = written(store)
    for name in (
        "write.lock",
        "1-1.jsonl",
        "00000001-00000009.jsonl.partial",
        "x/00000001-00000009.jsonl",
    ):
        store.put(FOLDER + name, b"?")
    assert read_journal(store, FOLDER).records == tuple(records)
