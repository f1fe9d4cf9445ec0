from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from greendata.inventory.tasks import AddTask, Task, run_tasks


def giving(*numbers: int) -> Task[int]:
    return lambda add: iter(numbers)


def test_all_results_come_out() -> None:
    tasks = [giving(*range(10 * n, 10 * n + 10)) for n in range(20)]
    assert sorted(run_tasks(tasks, 3)) == list(range(200))


def test_no_task_gives_nothing() -> None:
    assert list(run_tasks([], 3)) == []


def test_tasks_add_tasks() -> None:
    def tree(number: int) -> Task[int]:
        def run(add: AddTask[int]) -> Iterator[int]:
            for child in (2 * number, 2 * number + 1):
                if child < 500:
                    add(tree(child))
            yield number

        return run

    assert sorted(run_tasks([tree(1)], 7)) == list(range(1, 500))


def test_an_error_ends_all() -> None:
    def endless(add: AddTask[int]) -> Iterator[int]:
        while True:
            yield 1

    def failing(add: AddTask[int]) -> Iterator[int]:
        yield 2
        raise ValueError("no more")

    before = threading.active_count()
    with pytest.raises(ValueError, match="no more"):
        for _ in run_tasks([endless, failing, endless], 3):
            pass
    assert threading.active_count() == before


def test_who_stops_listening_leaves_no_thread() -> None:
    before = threading.active_count()
    results = run_tasks([giving(*range(1_000)) for _ in range(8)], 4)
    assert next(results) in range(1_000)
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_tasks_that_fail_before_anybody_listens_are_told() -> None:
    """More failures than the queue has room for, while the caller still starts the workers."""

    def failing(add: AddTask[int]) -> Iterator[int]:
        raise ValueError("at once")

    for _ in range(50):
        with pytest.raises(ValueError, match="at once"):
            list(run_tasks([failing] * 40, 16))
