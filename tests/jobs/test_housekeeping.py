from __future__ import annotations

import math
from pathlib import Path

import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.jobs import growth, housekeeping
from tests.jobs.made_scans import queries, query, run_scan, text, variant, write_lines

VIEWS = {
    "objects": "uri, dataset, documents, text_bytes, status",
    "documents": "uri, row, digest_high, digest_low, text_bytes, tokens",
    "pairs": "a_digest_high, b_digest_high, jaccard",
    "duplicates": "document_uri, document_row, kept_uri, kept_row, kind, jaccard",
    '"overlaps"': "level, a, b, a_in_b_documents, b_in_a_documents",
}


def shown(catalog: Path) -> dict[str, list[tuple[object, ...]]]:
    statements = (f"SELECT {columns} FROM {name} ORDER BY ALL" for name, columns in VIEWS.items())
    return dict(zip(VIEWS, queries(catalog, *statements), strict=True))


def files(catalog: Path, name: str) -> int:
    return len(Catalog.open(LocalPlace(catalog), create=False).files(name, None))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(housekeeping, "MOST_SCANS", 3)
    return tmp_path


def grow(world: Path, number: int, catalog: str = "c") -> None:
    write_lines(
        world / "data" / f"{number}.jsonl",
        [text(number), text(number % 2), variant(text(9), number)],
    )
    run_scan(world / "data", catalog=world / catalog)


def test_many_scans_become_one_that_shows_the_same(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        grow(world, number)
    before = files(world / "c", "documents")
    monkeypatch.setattr(housekeeping, "MOST_SCANS", 100)
    grow(world, 3)
    expected = shown(world / "c")
    assert files(world / "c", "documents") == before + 1
    monkeypatch.setattr(housekeeping, "MOST_SCANS", 3)
    grow(world, 4)
    assert query(world / "c", "SELECT count(*) FROM scans") == [(1,)]
    assert files(world / "c", "documents") == files(world / "c", "objects") == 1
    (world / "data" / "4.jsonl").unlink()
    run_scan(world / "data", catalog=world / "c")
    found = shown(world / "c")
    assert found["duplicates"] == expected["duplicates"]
    assert found["documents"] == expected["documents"]


@pytest.mark.parametrize("most_share", [-1, math.inf])
def test_nothing_is_read_again_after_it(
    world: Path, most_share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "MOST_SHARE", most_share)
    for number in range(4):
        grow(world, number)
    again = run_scan(world / "data", catalog=world / "c")
    assert (again.objects_read, again.objects_unchanged) == (0, 4)
    write_lines(world / "data" / "new.jsonl", [variant(text(9), 77)])
    more = run_scan(world / "data", catalog=world / "c")
    assert more.objects_read == 1
    run_scan(world / "data", catalog=world / "whole")
    assert shown(world / "c")["duplicates"] == shown(world / "whole")["duplicates"]


def test_rows_of_removed_objects_go(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_LEAST_DEAD_ROWS", 2)
    for number in range(2):
        grow(world, number)
    (world / "data" / "0.jsonl").unlink()
    write_lines(world / "data" / "1.jsonl", [text(1), text(50)])
    run_scan(world / "data", catalog=world / "c")
    rows = query(world / "c", "SELECT count(*) FROM documents_rows")
    assert rows == [(2,)]
    assert query(world / "c", "SELECT count(*) FROM objects_rows") == [(1,)]


def test_a_scan_that_is_first_leaves_the_compaction_undone(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        grow(world, number)
    write = housekeeping._write
    others = iter([True])

    def write_late(*arguments: object) -> int:
        if next(others, False):
            monkeypatch.setattr(housekeeping, "MOST_SCANS", 100)
            write_lines(world / "other" / "x.jsonl", [text(70)])
            run_scan(world / "other", catalog=world / "c")
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(housekeeping, "_write", write_late)
    grow(world, 3)
    assert query(world / "c", "SELECT count(*) FROM scans") == [(5,)]
    assert query(world / "c", "SELECT count(*) FROM objects") == [(5,)]


def test_it_waits_while_another_scan_is_at_work(world: Path) -> None:
    for number in range(3):
        grow(world, number)
    (world / "c" / "scans" / "other").mkdir()
    (world / "c" / "scans" / "other" / "lock").touch()
    import fcntl

    with (world / "c" / "scans" / "other" / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        grow(world, 3)
    assert query(world / "c", "SELECT count(*) FROM scans") == [(4,)]


def test_a_rebuild_drops_what_it_forgets(world: Path) -> None:
    for number in range(2):
        grow(world, number)
    run_scan(world / "data", catalog=world / "c", starts_over=True)
    assert files(world / "c", "documents") == 1
