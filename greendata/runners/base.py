"""What a runner does: a function on many tasks, wherever there is a processor for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from greendata.errors import GreendataError, LimitExceededError, StoreUnreachableError

Task = TypeVar("Task")
Result = TypeVar("Result")

Function = Callable[[Task], Iterator[Any]]
"""Work on one task, in any process: a function of a module, which yields what it finds in pieces
that each fit into memory. Done twice it finds the same; what it leaves on disk has a name of its
own each time."""

Receive = Callable[[Iterator[Any]], Result]
"""Takes the pieces of one task where the scan is. Called again from the start when pieces were
lost on the way."""

ATTEMPTS = 3
"""Times a task is begun whose process dies."""


class WorkerLostError(StoreUnreachableError):
    """The processes that worked on a task died, each time it was begun."""


class WorkerMemoryError(LimitExceededError):
    """The processes that worked on a task were out of memory, each time it was begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[Task, Result]):
    """What became of one task: a result or an error."""

    task: Task
    result: Result | None = None
    error: GreendataError | None = None

    def get(self) -> Result:
        """The result; raises the error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # None may be the result


class Runner(ABC):
    """Runs functions on tasks.

    Attributes:
        cpu_seconds: processor time that tasks took in other processes.
        peak_rss_bytes: the most memory that one of these processes had.
    """

    cpu_seconds: float = 0.0
    peak_rss_bytes: int = 0

    @property
    @abstractmethod
    def workers(self) -> int:
        """Tasks that run at the same time."""

    @abstractmethod
    def start(self) -> None:
        """Get ready; nothing happens the second time.

        Raises:
            ExtraMissingError: a package that the runner needs is not installed.
            StoreUnreachableError: the cluster does not answer.
        """

    @abstractmethod
    def run(
        self, function: Function[Task], tasks: Iterable[Task], receive: Receive[Result]
    ) -> Iterator[Outcome[Task, Result]]:
        """``receive(function(task))`` for each task, in the order in which they end.

        A few tasks more than there are workers are taken from ``tasks`` at a time. A task whose
        process dies is begun again, ATTEMPTS times in all. An error of this program that
        ``function`` raises is the task's outcome, as are WorkerLostError and WorkerMemoryError;
        any other is raised here.
        """

    @abstractmethod
    def sees(self, folder: Path) -> bool:
        """Whether tasks, wherever they run, find there what this process writes there."""

    @abstractmethod
    def close(self) -> None:
        """End what was started."""
