"""Scans on a real Ray cluster of two workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from greendata.jobs import spread
from greendata.jobs.spread import Spread
from greendata.runners.base import Function, Outcome, Receive, Result, Runner, Task
from tests.jobs.made_scans import (
    command,
    environment,
    left_over,
    run_new_cli,
    run_scan,
    text,
    write_lines,
)
from tests.jobs.made_spread import found, write_datasets
from tests.runners.clusters import ON_RAY, Cluster
from tests.runners.made_tasks import DyingOnce, DyingUnlessIsolated

pytestmark = ON_RAY


@dataclass
class DeadlyRunner(Runner):
    """A cluster in which some kinds of task kill their worker once, after their first piece.

    Where an object is named, reading it kills its worker, always.
    """

    inner: Runner
    markers: Path
    deadly: tuple[str, ...] = ()
    deadly_object: str = ""

    @property
    def workers(self) -> int:
        return self.inner.workers

    def start(self) -> None:
        self.inner.start()

    def run(
        self, function: Function[Task], tasks: Iterable[Task], receive: Receive[Result]
    ) -> Iterator[Outcome[Task, Result]]:
        name = getattr(function, "__name__", "")
        dying: Function[Any] = function
        if name in self.deadly:
            dying = DyingOnce(function, self.markers / name)
        elif name == "read_objects" and self.deadly_object:
            dying = DyingUnlessIsolated(function, self.deadly_object)
        return self.inner.run(dying, tasks, receive)

    def sees(self, folder: Path) -> bool:
        return self.inner.sees(folder)

    def close(self) -> None:
        pass


def use(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have scans use a runner that is there already."""

    def open_spread(asked: Any, folder: Path, warn: Any) -> Spread:
        return Spread(runner=runner, folder=folder / "exchange", stores=asked.stores)

    monkeypatch.setattr(spread, "open_spread", open_spread)


@pytest.mark.parametrize(
    "deadly",
    [
        ("read_objects", "make_sets"),
        pytest.param(("compare_sets", "find_members", "sort_keys"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_killed_workers_change_nothing_of_what_a_scan_finds(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, deadly: tuple[str, ...]
) -> None:
    """One is killed by SIGKILL in the middle of each of these kinds of task."""
    datasets = write_datasets(tmp_path / "data")
    run_scan(*datasets, catalog=tmp_path / "local", workers=2)
    markers = tmp_path / "markers"
    markers.mkdir()
    use(DeadlyRunner(cluster.runner, markers, deadly), monkeypatch)
    run_scan(*datasets, catalog=tmp_path / "ray", runner="ray")
    assert {path.name for path in markers.iterdir()} == set(deadly)
    assert len([told for told in cluster.warnings if "died" in told]) == len(deadly)
    wanted = found(tmp_path / "local")
    assert all(len(rows) > 3 for rows in wanted.values())
    assert found(tmp_path / "ray") == wanted
    assert left_over(tmp_path / "ray") == []


@pytest.mark.slow
def test_an_object_that_kills_workers_is_read_in_a_child_of_one(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_lines(tmp_path / "data" / f"{number}.jsonl", [text(number), text(7)])
    run_scan(tmp_path / "data", catalog=tmp_path / "local")
    use(DeadlyRunner(cluster.runner, tmp_path, deadly_object="1.jsonl"), monkeypatch)
    run_scan(tmp_path / "data", catalog=tmp_path / "ray", runner="ray")
    assert found(tmp_path / "ray") == found(tmp_path / "local")


def test_command_uses_a_cluster_that_is_there_and_leaves_it_running(
    tmp_path: Path, cluster: Cluster
) -> None:
    datasets = write_datasets(tmp_path / "data", 2, 20)
    run_scan(*datasets, catalog=tmp_path / "local")
    done = run_new_cli(
        "--catalog",
        tmp_path / "ray",
        "scan",
        *datasets,
        "--runner=ray",
        "--json",
        f"--ray-folder={tmp_path / 'folder'}",
        more={"RAY_ADDRESS": cluster.address},
    )
    assert (done.returncode, done.stderr.count("error")) == (0, 0), done.stderr
    assert json.loads(done.stdout)["documents"] > 20
    assert found(tmp_path / "ray") == found(tmp_path / "local")
    assert list((tmp_path / "folder").iterdir()) == []
    assert cluster.runner.sees(tmp_path)


def test_address_that_does_not_answer_ends_the_command_with_20(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [text(1)])
    began = time.monotonic()
    done = run_new_cli(
        *("--catalog", tmp_path / "c", "scan", tmp_path / "a.jsonl", "--runner", "ray"),
        *("--ray-address", "127.0.0.1:1"),
    )
    assert done.returncode == 20
    assert "--ray-address 127.0.0.1:1: no Ray cluster answers" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 30


def children_of(pid: int) -> Iterator[tuple[int, str]]:
    """Process and name of all below a process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, _, rest = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            if int(rest.split()[1]) == pid:
                yield int(entry.name), name
                yield from children_of(int(entry.name))


@pytest.mark.slow
def test_command_starts_a_cluster_and_survives_the_death_of_a_worker(tmp_path: Path) -> None:

    datasets = write_datasets(tmp_path / "data", 2, 3_000)
    run_scan(*datasets, catalog=tmp_path / "local", workers=2)
    catalog = tmp_path / "ray"
    child = subprocess.Popen(
        command("--catalog", catalog, "scan", *datasets, "--runner=ray", "--workers=2", "--json"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    killed = None
    while killed is None and time.monotonic() < end and child.poll() is None:
        working = [pid for pid, name in children_of(child.pid) if "_perform" in name]
        if working:
            killed = working[0]
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.001)
    output, errors = child.communicate(timeout=240)
    assert killed is not None
    assert child.returncode == 0, errors
    assert json.loads(output)["objects_read"] == 6
    assert found(tmp_path / "ray") == found(tmp_path / "local")
    assert left_over(tmp_path / "ray") == []
