"""Several scans and readers of one catalog at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.errors import CommitConflictError, GreendataError
from tests.jobs.made_scans import (
    DUPLICATES,
    KEPT_DIGESTS,
    duplicates,
    left_over,
    queries,
    query,
    run_scan,
    start_cli,
    text,
    uri,
    variant,
    write_lines,
)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two folders that have texts in common."""
    base = text(1)
    write_lines(tmp_path / "x" / "1.jsonl", [base, text(2), text(3)])
    write_lines(tmp_path / "y" / "2.jsonl", [f"{base} more", text(2), text(4), text(4)])
    return tmp_path


def _check(world: Path, *folders: str, catalog: str = "catalog") -> None:
    """The catalog holds what one scan of these folders finds."""
    run_scan(*(world / folder for folder in folders), catalog=world / "whole")
    wanted = queries(world / "whole", KEPT_DIGESTS, DUPLICATES)
    assert queries(world / catalog, KEPT_DIGESTS, DUPLICATES) == wanted
    assert left_over(world / catalog) == []


def _before(
    monkeypatch: pytest.MonkeyPatch, method: str, action: Callable[[], Any], times: int = 1
) -> list[int]:
    """Let ``action`` happen before the next calls of a method of the catalog; the calls done."""
    original = getattr(Catalog, method)
    calls: list[int] = []

    def interrupted(self: Catalog, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            monkeypatch.setattr(Catalog, method, original)
            action()
            monkeypatch.setattr(Catalog, method, interrupted)
        return original(self, *arguments)

    monkeypatch.setattr(Catalog, method, interrupted)
    return calls


@pytest.mark.parametrize("is_new", [True, False])
def test_a_scan_that_is_overtaken_sees_the_other_ones_documents(
    world: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    catalog = world / "catalog"
    if not is_new:
        write_lines(world / "x" / "0.jsonl", [variant(text(4), 1)])
        run_scan(world / "x" / "0.jsonl", catalog=catalog)
    commits = _before(monkeypatch, "commit_scan", lambda: run_scan(world / "y", catalog=catalog))
    summary = run_scan(world / "x", catalog=catalog)
    assert len(commits) == 2
    mine = [row for row in duplicates(catalog) if row[0].startswith(uri(world / "x"))]
    assert summary.redundant_documents == len(mine) > 0
    assert any(row[2].startswith(uri(world / "y")) for row in mine)
    _check(world, "x", "y")


def test_a_scan_that_is_overtaken_three_times_still_lands(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = iter(range(3))

    def other() -> None:
        number = next(others)
        write_lines(world / "y" / f"more{number}.jsonl", [variant(text(3), number), text(50)])
        run_scan(world / "y", catalog=world / "catalog")

    _before(monkeypatch, "commit_scan", other, times=3)
    run_scan(world / "x", catalog=world / "catalog")
    _check(world, "x", "y")


def test_two_scans_of_the_same_objects_count_them_once(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _before(monkeypatch, "commit_scan", lambda: run_scan(world / "y", catalog=world / "catalog"))
    run_scan(world / "x", world / "y", catalog=world / "catalog")
    _check(world, "x", "y")


def test_results_committed_before_an_older_scan_tidies_up_stay(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = world / "catalog"
    _before(monkeypatch, "drop_results_before", lambda: run_scan(world / "y", catalog=catalog))
    run_scan(world / "x", catalog=catalog)
    _check(world, "x", "y")


def test_results_that_are_not_committed_yet_survive_another_scan(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another scan tidies up between the results and the commit of this one."""
    catalog = world / "catalog"
    run_scan(world / "x", catalog=catalog)
    last = Catalog(LocalPlace(catalog)).snapshot().last
    assert last is not None
    _before(
        monkeypatch,
        "commit_scan",
        lambda: Catalog(LocalPlace(catalog)).drop_results_before(last.results_id),
    )
    run_scan(world / "y", catalog=catalog)
    _check(world, "x", "y")


def test_a_scan_with_other_parameters_is_refused_when_it_is_overtaken(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = world / "catalog"
    _before(
        monkeypatch,
        "commit_scan",
        lambda: run_scan(world / "y", catalog=catalog, shingle_size=3),
    )
    with pytest.raises(GreendataError, match="shingle_size 3, not 5"):
        run_scan(world / "x", catalog=catalog)
    assert query(catalog, "SELECT count(*) FROM scans") == [(1,)]
    assert query(catalog, "SELECT DISTINCT uri FROM objects") == [(uri(world / "y" / "2.jsonl"),)]


def test_a_scan_is_refused_when_another_one_made_the_catalog_anew(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = world / "catalog"
    run_scan(world / "x", catalog=catalog)
    write_lines(world / "x" / "new.jsonl", [text(70)])
    _before(
        monkeypatch,
        "commit_scan",
        lambda: run_scan(world / "y", catalog=catalog, starts_over=True),
    )
    with pytest.raises(CommitConflictError, match="anew"):
        run_scan(world / "x", catalog=catalog)
    run_scan(world / "x", catalog=catalog)
    _check(world, "x", "y")


def test_a_rebuild_that_is_overtaken_forgets_the_other_scan_too(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = world / "catalog"
    run_scan(world / "y", catalog=catalog)
    write_lines(world / "y" / "3.jsonl", [text(71)])
    _before(monkeypatch, "commit_scan", lambda: run_scan(world / "y", catalog=catalog))
    run_scan(world / "x", catalog=catalog, starts_over=True)
    _check(world, "x")


def test_a_reader_never_finds_results_that_were_just_dropped(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = world / "catalog"
    run_scan(world / "x", world / "y", catalog=catalog)
    before = duplicates(catalog)
    write_lines(world / "y" / "3.jsonl", [text(99)])
    _before(monkeypatch, "files", lambda: run_scan(world / "x", world / "y", catalog=catalog))
    assert duplicates(catalog) == before


def test_a_reader_at_work_is_not_disturbed_by_a_scan(world: Path) -> None:
    from greendata.jobs.results import open_catalog

    catalog = world / "catalog"
    run_scan(world / "x", world / "y", catalog=catalog)
    counting = 'SELECT (SELECT count(*) FROM duplicates), (SELECT count(*) FROM "overlaps")'
    with open_catalog(str(catalog)) as connection:
        before = connection.execute(counting).fetchall()
        write_lines(world / "y" / "3.jsonl", [text(1), text(2)])
        run_scan(world / "x", world / "y", catalog=catalog)
        assert connection.execute(counting).fetchall() == before
    assert query(catalog, counting) != before


def _run_at_once(world: Path, *folders: str) -> None:
    """Processes that begin together, on a catalog that none of them finds."""
    children = [
        start_cli("--catalog", world / "catalog", "scan", world / folder) for folder in folders
    ]
    ends = [(child.communicate(timeout=120)[1], child.returncode) for child in children]
    assert [code for _, code in ends] == [0] * len(ends), ends
    assert query(world / "catalog", "SELECT count(*) FROM scans") == [(len(folders),)]
    _check(world, *folders)


def test_processes_that_start_together_make_one_catalog_and_both_land(world: Path) -> None:
    _run_at_once(world, "x", "y")


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(4))
def test_four_processes_that_start_together_all_land(world: Path, attempt: int) -> None:
    for number in range(2):
        write_lines(world / f"z{number}" / "1.jsonl", [variant(text(3), number + attempt), "z"])
    _run_at_once(world, "x", "y", "z0", "z1")


@pytest.mark.slow
def test_processes_on_overlapping_folders_land_and_agree(world: Path) -> None:
    for attempt in range(3):
        catalog = world / f"catalog{attempt}"
        children = [
            start_cli("--catalog", catalog, "scan", world / "x", world / folder)
            for folder in ("y", "y", "x")
        ]
        ends = [(child.communicate(timeout=120)[1], child.returncode) for child in children]
        assert [code for _, code in ends] == [0, 0, 0], ends
        _check(world, "x", "y", catalog=f"catalog{attempt}")
