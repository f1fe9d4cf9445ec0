"""Tasks in this process, one after the other: what other runners are measured by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from greendata.errors import GreendataError
from greendata.runners.base import Function, Outcome, Receive, Result, Runner, Task


class LocalRunner(Runner):
    """Runs each task to its end where it is asked for."""

    @property
    def workers(self) -> int:
        return 1

    def start(self) -> None:
        pass

    def run(
        self, function: Function[Task], tasks: Iterable[Task], receive: Receive[Result]
    ) -> Iterator[Outcome[Task, Result]]:
        for task in tasks:
            try:
                yield Outcome(task=task, result=receive(function(task)))
            except GreendataError as error:
                yield Outcome(task=task, error=error)

    def sees(self, folder: Path) -> bool:
        return folder.is_dir()

    def close(self) -> None:
        pass
