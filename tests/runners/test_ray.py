from __future__ import annotations

import importlib.util
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import (
    ExtraMissingError,
    ObjectChangedError,
    StoreUnreachableError,
    UsageError,
)
from greendata.runners import ray as home
from greendata.runners.base import ATTEMPTS, WorkerLostError, WorkerMemoryError
from greendata.runners.ray import RayRunner, RaySettings, check_ray
from tests.runners.clusters import ON_RAY, SETTINGS, Cluster
from tests.runners.made_tasks import (
    DyingOnce,
    count_up,
    die,
    fail,
    fail_by_a_bug,
    linger,
    make_pieces,
    want_memory,
)


@ON_RAY
def test_each_task_gives_what_its_function_yields(cluster: Cluster) -> None:
    found = list(cluster.runner.run(count_up, range(8), list))
    assert {outcome.task: outcome.get() for outcome in found} == {
        number: list(range(number)) for number in range(8)
    }


@ON_RAY
def test_no_task_gives_nothing(cluster: Cluster) -> None:
    assert list(cluster.runner.run(count_up, [], list)) == []


@ON_RAY
def test_tasks_are_taken_only_when_there_is_room(cluster: Cluster) -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    running = cluster.runner.run(count_up, tasks(), list)
    next(running)
    assert len(taken) <= 4
    assert len(list(running)) == 19


@ON_RAY
def test_pieces_larger_than_the_store_in_all_come_one_by_one(cluster: Cluster) -> None:
    def receive(pieces: Iterator[Any]) -> int:
        return sum(int(piece[0]) for piece in pieces if len(piece) == 1 << 20)

    (outcome,) = cluster.runner.run(make_pieces, [200], receive)
    assert outcome.get() == sum(number % 256 for number in range(200))


@ON_RAY
def test_an_error_of_the_program_is_the_outcome_of_its_task_alone(cluster: Cluster) -> None:
    found = {o.task: o for o in cluster.runner.run(fail, [1, 2, 3], list)}
    error = found[2].error
    assert isinstance(error, ObjectChangedError)
    assert (error.message, error.hint) == ("file:///a: it changed.", "Scan again.")
    assert (found[1].get(), found[3].get()) == ([1], [3])


@ON_RAY
def test_a_bug_is_raised_as_what_it_is(cluster: Cluster) -> None:
    with pytest.raises(KeyError):
        list(cluster.runner.run(fail_by_a_bug, [1, 2, 3], list))
    assert len(list(cluster.runner.run(count_up, [1], list))) == 1


@ON_RAY
def test_a_task_whose_worker_is_killed_is_begun_again(cluster: Cluster, tmp_path: Path) -> None:
    function = DyingOnce(count_up, tmp_path / "marker")
    found = list(cluster.runner.run(function, [5, 6, 7], list))
    assert sorted(outcome.get() for outcome in found) == [list(range(n)) for n in (5, 6, 7)]
    (warning,) = cluster.warnings
    assert "A Ray worker died; its work is begun again." in warning


@ON_RAY
def test_a_task_that_kills_every_worker_fails_and_the_others_do_not(cluster: Cluster) -> None:
    (outcome,) = cluster.runner.run(die, [1], list)
    assert isinstance(outcome.error, WorkerLostError)
    assert outcome.error.exit_code == 20
    assert f"{ATTEMPTS} times" in outcome.error.message
    assert len(cluster.warnings) == ATTEMPTS - 1
    assert [o.get() for o in cluster.runner.run(count_up, [1], list)] == [[0]]


@ON_RAY
def test_a_task_without_memory_is_begun_again_then_fails(cluster: Cluster) -> None:
    (outcome,) = cluster.runner.run(want_memory, [1], list)
    assert isinstance(outcome.error, WorkerMemoryError)
    assert outcome.error.exit_code == 32
    assert "was out of memory" in outcome.error.message
    assert len(cluster.warnings) == ATTEMPTS - 1


@ON_RAY
def test_processor_time_of_tasks_is_counted(cluster: Cluster) -> None:
    before = cluster.runner.cpu_seconds
    list(cluster.runner.run(make_pieces, [100], lambda pieces: [len(p) for p in pieces]))
    assert cluster.runner.cpu_seconds > before
    assert cluster.runner.peak_rss_bytes > 10 << 20


@ON_RAY
def test_folder_is_seen_where_it_is(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.runner.sees(tmp_path)
    assert list(tmp_path.iterdir()) == []


@ON_RAY
def test_sigterm_does_what_it_did_before_the_cluster_was_started(cluster: Cluster) -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@ON_RAY
def test_ray_that_somebody_else_uses_in_this_process_is_left_alone(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="uses Ray already"):
        RayRunner(SETTINGS, print).start()
    assert [o.get() for o in cluster.runner.run(count_up, [1], list)] == [[0]]


@ON_RAY
@pytest.mark.slow
def test_ray_itself_kills_workers_when_memory_is_short(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster of its own, whose memory is short from the beginning."""
    cluster.runner.close()
    with monkeypatch.context() as patch:
        patch.setenv("RAY_memory_usage_threshold", "0.01")
        patch.setenv("RAY_memory_monitor_refresh_ms", "50")
        runner = RayRunner(SETTINGS, cluster.warnings.append)
        try:
            (outcome,) = runner.run(linger, [60], list)
        finally:
            runner.close()
    cluster.runner.start()
    assert isinstance(outcome.error, WorkerMemoryError)
    assert "out of memory" in cluster.warnings[0]


def test_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissingError) as caught:
        check_ray(None)
    assert caught.value.exit_code == 50
    assert "pip install 'greendata[ray]'" in str(caught.value.hint)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", "head:x", "a/b:1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="neither HOST:PORT nor auto"):
        check_ray(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "nobody.invalid:6379"])
def test_address_where_nobody_listens_is_an_error_at_once(address: str) -> None:
    with pytest.raises(StoreUnreachableError, match="no Ray cluster answers") as caught:
        check_ray(address)
    assert caught.value.exit_code == 20


def test_address_that_accepts_and_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(home, "ANSWER_SECONDS", 3.0)
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # by tests before this one
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        runner = RayRunner(RaySettings(address=address, workers=1, store_bytes=0), print)
        began = time.monotonic()
        with pytest.raises(StoreUnreachableError, match="no Ray cluster that answers in 3 s"):
            runner.start()
        assert time.monotonic() - began < 30
