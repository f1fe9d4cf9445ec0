"""A process without threads of its own that runs a world and forks a child for each try.

``python -m tests.execute.crash.harness WORLD`` reads commands, a line of JSON each, and answers
each with a line: ``["golden", PHASE]`` with the names of all points, ``["case", PHASE, FAULTS]``
with what went wrong, or null. Tests talk to it by ``Harness``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from greendata.errors import GreendataError
from greendata.execute.handlers import all_handlers
from tests.execute.crash.faults import Points, parse
from tests.execute.crash.naive import NaiveWorld
from tests.execute.crash.world import World, made_world

MOST_TRIES = 5
_REPOSITORY = Path(__file__).resolve().parents[3]


def in_child(work: Callable[[], object]) -> int:
    """The exit status of a forked child that does some work; 0 when it ended of itself."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            work()
        except (GreendataError, OSError):
            code = 20
        except BaseException:
            traceback.print_exc()
            code = 70
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class Runner:
    """Runs phases of a world, with faults."""

    def __init__(self, world: World | NaiveWorld) -> None:
        self.world = world
        self._pictures: dict[str, Any] = {}

    def golden(self, phase: str) -> list[str]:
        """Run a phase without a fault; the points, counted."""
        world, points = self.world, Points({})
        names = world.folder / "points"

        def work() -> None:
            world.run(points)
            names.write_text("\n".join(points.names))

        world.begin(phase)
        assert in_child(work) == 0, phase
        world.check()
        assert world.is_finished(), world.unfinished()
        assert world.orphans() == set()
        self._pictures[phase] = world.picture()
        if phase in ("apply", "settle"):
            world.keep(phase)
        if phase == "undo":
            world.check_undone()
        return names.read_text().split("\n")

    def case(self, phase: str, faults: str) -> None:
        """Run with faults, a list of them a try, then without until all is done.

        Raises:
            AssertionError: something is lost, left over, not finished or done otherwise.
        """
        world = self.world
        world.begin(phase)
        for points in map(Points, parse(faults)):
            code = in_child(lambda points=points: world.run(points))  # type: ignore[misc]
            assert code in (0, 20, -signal.SIGKILL), f"ends with {code}"
            world.check()
        for _ in range(MOST_TRIES):  # once more at least: what a killed one left over is swept
            code = in_child(world.run)
            assert code in (0, 20), f"ends with {code}"
            world.check()
            if world.is_finished():
                break
        assert world.is_finished(), f"is not finished: {world.unfinished()}"
        assert world.orphans() == set(), f"leaves something over: {world.orphans()}"
        assert world.picture() == self._pictures[phase], "ends otherwise"


def _serve(name: str, folder: Path) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    all_handlers()  # imported before there are children
    import pyarrow.parquet  # noqa: F401

    with made_world(folder, name) as world:
        runner = Runner(NaiveWorld(world.plain, folder) if name == "naive" else world)
        answers.write("null\n")
        answers.flush()
        for line in sys.stdin:
            command, *arguments = json.loads(line)
            answer: Any = None
            try:
                answer = getattr(runner, command)(*arguments)
            except (AssertionError, GreendataError):
                answer = traceback.format_exc()
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


class Harness:
    """The process, asked from a test."""

    def __init__(self, name: str) -> None:
        memory = Path("/dev/shm")  # what is flushed goes nowhere anyway, and quickly
        self._folder = tempfile.TemporaryDirectory(
            prefix="greendata-", dir=memory if os.access(memory, os.W_OK) else None
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, name, self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_REPOSITORY,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self.names: dict[str, list[str]] = {}
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def golden(self, *phases: str) -> None:
        """Run phases without a fault; ``names`` has their points then."""
        for phase in phases:
            found = self._ask("golden", phase)
            assert isinstance(found, list), found
            self.names[phase] = found

    def problem(self, phase: str, faults: str) -> str | None:
        """What went wrong with these faults, if anything did."""
        found = self._ask("case", phase, faults)
        return None if found is None else f"{phase} {faults}\n{found}"

    def _ask(self, *command: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the harness ended"
        return json.loads(line)


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
