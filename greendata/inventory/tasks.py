"""Tasks in threads whose results come out of one bounded queue."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Result = TypeVar("Result")
AddTask = Callable[["Task[Result]"], None]
Task = Callable[["AddTask[Result]"], Iterator[Result]]
"""Gives results; may add tasks by calling what it is handed."""

_WAITING_RESULTS = 4
_POLL_SECONDS = 0.1


def run_tasks(first: Iterable[Task[Result]], workers: int) -> Iterator[Result]:
    """What all tasks give, in no order; what one raises is raised here and ends the others."""
    running = _Running(first)
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(workers):
            pool.submit(running.work).add_done_callback(running.note_failure)
        try:
            yield from running.results()
        finally:
            running.stop(workers)


class _Running(Generic[Result]):
    """The tasks, open ones counted, and the results that nobody took yet."""

    def __init__(self, first: Iterable[Task[Result]]) -> None:
        self._tasks: queue.SimpleQueue[Task[Result] | None] = queue.SimpleQueue()
        self._results: queue.Queue[tuple[Result] | None] = queue.Queue(_WAITING_RESULTS)
        self._failure: BaseException | None = None
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
            self._put(None)

    def _put(self, found: tuple[Result] | None) -> None:
        """Wait for room, unless nobody takes anything any more."""
        while not self._is_over.is_set():
            with contextlib.suppress(queue.Full):
                self._results.put(found, timeout=_POLL_SECONDS)
                return

    def work(self) -> None:
        while (task := self._tasks.get()) is not None and not self._is_over.is_set():
            for result in task(self.add):
                self._put((result,))
                if self._is_over.is_set():
                    return
            self._finish()

    def note_failure(self, done: Future[None]) -> None:
        """Runs in the thread that failed, or in the one that waits for results: never blocks."""
        self._failure = self._failure or done.exception()
        if self._failure is not None:
            with contextlib.suppress(queue.Full):  # then what is in it wakes who waits
                self._results.put_nowait(None)

    def results(self) -> Iterator[Result]:
        while (found := self._results.get()) is not None and self._failure is None:
            yield found[0]
        if self._failure is not None:
            raise self._failure

    def stop(self, workers: int) -> None:
        self._is_over.set()
        for _ in range(workers):
            self._tasks.put(None)
