"""Killed, unanswered, refused or late at every single point: nothing is lost, and it goes on."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from greendata.errors import GreendataError
from greendata.execute.records import Status
from greendata.stores.wrappers.base import MUTATIONS
from tests.execute.crash.faults import FILE_KINDS, KINDS, READ_KINDS, Points
from tests.execute.crash.world import World, as_text, made_world

MOST_TRIES = 4


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made_world(tmp_path_factory.mktemp("w")) as made:
        yield made


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


def golden(world: World) -> tuple[list[str], dict[str, object]]:
    """What is done without a fault: the points, and how the world looks afterwards."""
    world.begin()
    points = Points()
    names = world.folder / "points"

    def work() -> None:
        world.apply(points)
        names.write_text("\n".join(points.names))

    assert in_child(work) == 0
    finish(world)
    return names.read_text().split("\n"), world.picture()


def finish(world: World) -> int:
    """Run again until all is done, looking after each try; how many tries it took."""
    for tries in range(MOST_TRIES):
        world.check()
        outcomes = world.state().outcomes
        if len(outcomes) == len(world.actions) and all(
            outcome.status is Status.DONE for outcome in outcomes.values()
        ):
            assert world.orphans() == set()
            return tries
        assert in_child(world.apply) == 0
    pytest.fail(as_text({k: repr(v) for k, v in world.state().outcomes.items()}))


def kinds_of(name: str) -> tuple[str, ...]:
    """Faults that make a difference: after a read nothing has changed that a next point has not."""
    if name.startswith("os."):
        return FILE_KINDS
    return KINDS if name.partition(" ")[0] in MUTATIONS else READ_KINDS


@pytest.mark.slow
def test_at_every_point_and_with_every_fault_nothing_is_lost(world: World) -> None:
    names, picture = golden(world)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    for at, name in enumerate(names):
        for kind in kinds_of(name):
            world.begin()
            points = Points(at, kind)
            code = in_child(lambda points=points: world.apply(points))  # type: ignore[misc]
            assert code in (0, 20, -signal.SIGKILL), f"{kind} at {at}, {name}"
            assert code == -signal.SIGKILL or not kind.startswith("kill"), f"{kind} at {name}"
            finish(world)
            assert world.picture() == picture, f"{kind} at {at}, {name}"
            counts[kind] += 1
    print(f"{len(names)} points, {sum(counts.values())} faults {dict(counts)}: none lost anything;"
          f" {time.monotonic() - started:.0f} s")  # fmt: skip
