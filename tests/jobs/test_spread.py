"""Steps of a scan as tasks: what they find is what the threads of one process find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import ObjectNotFoundError, UsageError
from greendata.jobs import spread, spread_members, spread_reading, spread_verifying
from greendata.jobs.spread import Spread
from greendata.model import SkipReason
from greendata.runners.base import (
    Function,
    Outcome,
    Receive,
    Result,
    Runner,
    Task,
    WorkerLostError,
    WorkerMemoryError,
)
from greendata.runners.exchange import Exchange
from greendata.runners.local import LocalRunner
from tests.jobs.made_scans import (
    left_over,
    request,
    run_scan,
    text,
    uri,
    variant,
    write_lines,
)
from tests.jobs.made_spread import found, write_datasets


class BlindRunner(LocalRunner):
    """Tasks that see no folder of the scan."""

    def sees(self, folder: Path) -> bool:
        return False


class FailingRunner(LocalRunner):
    """Every task of one function fails."""

    def __init__(self, name: str, error: WorkerLostError | WorkerMemoryError) -> None:
        self.name, self.error = name, error

    def run(
        self, function: Function[Task], tasks: Iterable[Task], receive: Receive[Result]
    ) -> Iterator[Outcome[Task, Result]]:
        for outcome in super().run(function, tasks, receive):
            is_isolated = getattr(outcome.task, "is_isolated", False)
            if getattr(function, "__name__", "") == self.name and not is_isolated:
                yield replace(outcome, result=None, error=self.error)
            else:
                yield outcome


@pytest.fixture
def spread_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[Runner], None]:
    """Have this runner run the tasks of scans with ``runner="ray"``."""

    def arrange(runner: Runner) -> None:
        def open_spread(asked: Any, folder: Path, warn: Any) -> Spread | None:
            if asked.runner == "local":
                return None
            return Spread(runner=runner, folder=folder / "exchange", stores=asked.stores)

        monkeypatch.setattr(spread, "open_spread", open_spread)
        monkeypatch.setattr(spread, "check_runner", lambda asked: None)

    return arrange


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks for few documents."""
    monkeypatch.setattr(spread_reading, "_TASK_OBJECTS", 2)
    monkeypatch.setattr(spread_members, "_STRETCH_ROWS", 1)
    monkeypatch.setattr(spread_members, "_RANGE_BYTES", 10_000)
    monkeypatch.setattr(spread_members, "_PIECE_ENTRIES", 7)
    monkeypatch.setattr(spread_verifying, "_TASK_TEXTS", 5)
    monkeypatch.setattr("greendata.dedup.verify._COMPARE_BYTES", 2_000)
    monkeypatch.setattr("greendata.runners.exchange.PIECE_BYTES", 1_000)


@pytest.mark.parametrize("runner", [LocalRunner(), BlindRunner()], ids=["shared", "relayed"])
@pytest.mark.usefixtures("small_tasks")
def test_tasks_find_what_threads_find(
    tmp_path: Path, spread_to: Callable[[Runner], None], runner: Runner
) -> None:
    datasets = write_datasets(tmp_path / "data")
    run_scan(*datasets, catalog=tmp_path / "local", workers=2)
    spread_to(runner)
    run_scan(*datasets, catalog=tmp_path / "tasks", runner="ray")
    wanted = found(tmp_path / "local")
    assert all(len(rows) > 3 for rows in wanted.values())
    assert found(tmp_path / "tasks") == wanted
    assert left_over(tmp_path / "tasks") == []


@pytest.mark.parametrize("runner", [LocalRunner(), BlindRunner()], ids=["shared", "relayed"])
@pytest.mark.usefixtures("small_tasks")
def test_second_scan_with_tasks_joins_what_the_first_one_found(
    tmp_path: Path, spread_to: Callable[[Runner], None], runner: Runner
) -> None:
    first, *rest = write_datasets(tmp_path / "data")
    spread_to(runner)
    for kind in ("local", "ray"):
        run_scan(first, catalog=tmp_path / kind, runner="local")
        run_scan(first, *rest, catalog=tmp_path / kind, runner=kind)
    assert found(tmp_path / "ray") == found(tmp_path / "local")


@pytest.mark.parametrize("runner", [LocalRunner(), BlindRunner()], ids=["shared", "relayed"])
def test_nothing_and_next_to_nothing_are_scanned(
    tmp_path: Path, spread_to: Callable[[Runner], None], runner: Runner
) -> None:
    spread_to(runner)
    write_lines(tmp_path / "data" / "a.jsonl", [])
    assert run_scan(tmp_path / "data", catalog=tmp_path / "c", runner="ray").documents == 0
    write_lines(tmp_path / "data" / "b.jsonl", [""])
    assert run_scan(tmp_path / "data", catalog=tmp_path / "c", runner="ray").documents == 1
    write_lines(tmp_path / "data" / "c.jsonl", [text(1), text(1)])
    last = run_scan(tmp_path / "data", catalog=tmp_path / "c", runner="ray")
    assert (last.documents, last.exact_duplicate_documents) == (3, 1)


def test_objects_that_cannot_be_read_are_named_as_threads_name_them(
    tmp_path: Path, spread_to: Callable[[Runner], None]
) -> None:
    data = tmp_path / "data"
    write_lines(data / "a.jsonl", [text(1), variant(text(1), 1)])
    (data / "b.parquet").write_bytes(b"PAR1" + b"x" * 50)
    (data / "c.jsonl").write_bytes(b'{"text": "\xff\xfe"}\n{"text": "good"}\n{"text": \n')
    local = run_scan(data, catalog=tmp_path / "local")
    spread_to(LocalRunner())
    tasks = run_scan(data, catalog=tmp_path / "tasks", runner="ray")
    assert tasks.skipped == local.skipped
    assert tasks.skipped_documents == local.skipped_documents > 0
    assert tasks.skipped_document_examples == local.skipped_document_examples
    assert found(tmp_path / "tasks") == found(tmp_path / "local")


@pytest.mark.parametrize("kind", [WorkerLostError, WorkerMemoryError])
def test_objects_with_which_workers_die_are_read_in_child_processes(
    tmp_path: Path, spread_to: Callable[[Runner], None], kind: type[WorkerLostError]
) -> None:
    datasets = write_datasets(tmp_path / "data", 1, 10)
    run_scan(*datasets, catalog=tmp_path / "local")
    spread_to(FailingRunner("read_objects", kind("a worker died")))
    run_scan(*datasets, catalog=tmp_path / "tasks", runner="ray")
    assert found(tmp_path / "tasks") == found(tmp_path / "local")


def test_an_object_that_kills_its_child_too_is_named_and_the_others_are_read(
    tmp_path: Path, spread_to: Callable[[Runner], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(tmp_path / "data" / "a.jsonl", [text(1)])
    spread_to(FailingRunner("read_objects", WorkerLostError("a worker died")))
    monkeypatch.setattr("sys.executable", "/bin/false")
    (skipped,) = run_scan(tmp_path / "data", catalog=tmp_path / "c", runner="ray").skipped
    assert (skipped.uri, skipped.reason) == (
        uri(tmp_path / "data" / "a.jsonl"),
        SkipReason.CRASHED,
    )


@pytest.mark.parametrize("name", ["sort_keys", "find_members", "make_sets", "compare_sets"])
def test_work_that_cannot_be_done_fails_the_scan_and_commits_nothing(
    tmp_path: Path, spread_to: Callable[[Runner], None], name: str
) -> None:
    write_lines(tmp_path / "data" / "a.jsonl", [text(1), variant(text(1), 1)])
    spread_to(FailingRunner(name, WorkerLostError("a worker died")))
    with pytest.raises(WorkerLostError):
        run_scan(tmp_path / "data", catalog=tmp_path / "c", runner="ray")
    assert not list((tmp_path / "c" / "scans").rglob("exchange"))
    again = run_scan(tmp_path / "data", catalog=tmp_path / "c")
    assert (again.documents, again.near_duplicate_documents) == (2, 1)


def test_a_file_that_was_cut_short_stops_the_scan(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(bytes(16 * 3))
    part = spread_members.Slice(path=path, start=2, size=2)
    with pytest.raises(OSError, match="ends before"):
        list(spread_members.find_members((part,)))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    made = Spread(runner=LocalRunner(), folder=tmp_path / "file" / "folder")
    with pytest.raises(ObjectNotFoundError, match="file/folder"):
        made.start()


def test_a_folder_asked_for_that_workers_do_not_see_is_warned_of(tmp_path: Path) -> None:
    told: list[str] = []
    made = Spread(runner=BlindRunner(), folder=tmp_path / "folder", warn=told.append)
    assert isinstance(made.start(), Exchange)
    assert "not all workers see it" in told[0]
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_runner_is_refused() -> None:
    with pytest.raises(UsageError, match="'spark' is none of local, ray"):
        request("/data", catalog="/c", runner="spark")
