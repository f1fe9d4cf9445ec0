"""Tasks in threads whose results come out of one bounded queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Result = TypeVar("Result")
AddTask = Callable[["Task[Result]"], None]
Task = Callable[["AddTask[Result]"], Iterator[Result]]
"""Gives results; may add tasks by calling what it is handed."""

_WAITING_RESULTS = 4


def run_tasks(first: Iterable[Task[Result]], workers: int) -> Iterator[Result]:
    """What all tasks give, in no order; what one raises is raised here and ends the others."""
    running = _Running(first)
    threads = [threading.Thread(target=running.work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield from running.results()
    finally:
        running.stop(threads)


class _Running(Generic[Result]):
    """The tasks, open ones counted, and the results that nobody took yet."""

    def __init__(self, first: Iterable[Task[Result]]) -> None:
        self._tasks: queue.SimpleQueue[Task[Result] | None] = queue.SimpleQueue()
        self._results: queue.Queue[tuple[Result | None, BaseException | None] | None]
        self._results = queue.Queue(_WAITING_RESULTS)
        self._lock = threading.Lock()
        self._open = 1  # the caller, until all first tasks are in
        self._is_over = threading.Event()
        for task in first:
            self.add(task)
        self._finish()

    def add(self, task: Task[Result]) -> None:
        with self._lock:
            self._open += 1
        self._tasks.put(task)

    def _finish(self) -> None:
        with self._lock:
            self._open -= 1
            is_last = self._open == 0
        if is_last:
            self._results.put(None)

    def work(self) -> None:
        while (task := self._tasks.get()) is not None and not self._is_over.is_set():
            try:
                for result in task(self.add):
                    self._results.put((result, None))
                    if self._is_over.is_set():
                        return
            except BaseException as error:  # told to the thread that waits
                self._results.put((None, error))
                return
            self._finish()

    def results(self) -> Iterator[Result]:
        while (found := self._results.get()) is not None:
            result, error = found
            if error is not None:
                raise error
            yield result  # type: ignore[misc]

    def stop(self, threads: list[threading.Thread]) -> None:
        self._is_over.set()
        for _ in threads:
            self._tasks.put(None)
        for thread in threads:
            while thread.is_alive():  # one that waits for room in the queue gets it
                while not self._results.empty():
                    self._results.get_nowait()
                thread.join(0.01)
