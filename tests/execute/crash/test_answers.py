"""Stores that refuse, vanish, are too busy, or lie; and clocks that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from greendata.errors import (
    DeniedError,
    GreendataError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnreachableError,
    UnsupportedError,
)
from greendata.execute import carrying, lease
from greendata.execute.records import REASONS, Status
from greendata.stores.base import Store
from greendata.stores.wrappers import LiarStore
from greendata.stores.wrappers.base import Call, StoreWrapper
from tests.execute.crash.in_process import (
    DiedError,
    Mortal,
    dead_process,
    world_in_process,
)
from tests.execute.crash.world import PLAIN, RoutedStore, World

Make = Callable[[str], GreendataError]
ANSWERS: dict[str, Make] = {
    "409": lambda uri: StoreUnreachableError(f"{uri}: conflict.", is_retryable=True),
    "503": lambda uri: StoreUnreachableError(f"{uri}: slow down.", is_retryable=True),
    "412": lambda uri: PreconditionFailedError(f"{uri}: its ETag is not the one expected."),
    "404": lambda uri: ObjectNotFoundError(f"{uri}: no such object."),
}
LASTING: dict[str, Make] = {
    "credentials expire": lambda uri: DeniedError(f"{uri}: the token is expired."),
    "the bucket is gone": lambda uri: ObjectNotFoundError(f"{uri}: no such bucket."),
    "nothing answers": lambda uri: StoreUnreachableError(f"{uri}: no answer.", is_retryable=True),
}


class Answering(StoreWrapper):
    """Answers a call about buckets with an error; with ``is_lasting`` all that follow too."""

    def __init__(self, inner: Store, at: int, make: Make, *, is_lasting: bool) -> None:
        super().__init__(inner)
        self._at, self._make, self._is_lasting = at, make, is_lasting
        self._count = -1

    def _around(self, call: Call) -> Any:
        if call.uri.startswith("mem://"):
            self._count += 1
            if self._count == self._at or (self._is_lasting and self._count > self._at):
                raise self._make(call.uri)
        return call.make()


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that could not be given back belong to nobody who is alive."""
    monkeypatch.setattr(lease, "this_process", dead_process)
    monkeypatch.setattr(carrying, "this_process", dead_process)


def tried(world: World, at: int, make: Make, *, is_lasting: bool) -> GreendataError | None:
    """Run with an answer; then as often as it takes without, and look at everything."""
    problem = None
    try:
        world.run_on(Answering(world.store, at, make, is_lasting=is_lasting))
    except GreendataError as error:
        problem = error
    world.check()
    world.run_on(world.store)
    world.run_on(world.store)
    world.check()
    outcomes = world.state().outcomes
    assert len(outcomes) == len(world.actions)
    for outcome in outcomes.values():
        assert outcome.status is not Status.FAILED, outcome
        assert outcome.status is Status.DONE or outcome.reason in REASONS
    assert world.orphans(pins_too=False) == set()
    return problem


@pytest.mark.slow
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.usefixtures("dead")
def test_a_single_bad_answer_ends_nothing_but_its_own_action(answer: str) -> None:
    for at in range(0, 200, 17):
        with world_in_process() as world:
            tried(world, at, ANSWERS[answer], is_lasting=False)


@pytest.mark.slow
@pytest.mark.parametrize("answer", LASTING)
@pytest.mark.usefixtures("dead")
def test_what_no_longer_answers_is_named_and_gone_on_with(answer: str) -> None:
    for at in range(0, 200, 17):
        with world_in_process() as world:
            problem = tried(world, at, LASTING[answer], is_lasting=True)
            assert problem is None or problem.exit_code not in (0, 1, 70)


def lying(world: World, **way: Any) -> Iterator[Store]:
    """The bucket without versions ignores preconditions."""
    liar = LiarStore(world.plain)
    world.store = RoutedStore({**world.store.inner._stores, PLAIN: liar})  # type: ignore[attr-defined]
    world.ways[PLAIN] = replace(world.ways[PLAIN], **way)
    yield world.store


def test_a_store_that_lies_is_refused_and_nothing_is_changed() -> None:
    with world_in_process() as world:
        before = world.picture()
        for store in lying(world):
            with pytest.raises(UnsupportedError, match="two runs could") as caught:
                world.run_on(store)
        assert caught.value.exit_code == 33
        assert world.picture() == before


@pytest.mark.slow
@pytest.mark.usefixtures("dead")
def test_where_nobody_else_writes_a_store_that_lies_is_harmless() -> None:
    for at in range(0, 260, 20):
        with world_in_process() as world:
            for store in lying(world, is_exclusive=True):
                with suppress(DiedError):
                    world.run_on(Mortal(store, at, None))
                world.check()
                world.run_on(store)
                world.check()
                assert world.is_finished(), world.unfinished()
                world.phase = "undo"
                world.run_on(store)
                world.check()
                world.check_undone()


@pytest.mark.usefixtures("dead")
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_between_two_tries_changes_nothing(hours: int) -> None:
    with world_in_process() as world:
        world.days = hours / 24  # type: ignore[assignment]
        with pytest.raises(DiedError):
            world.run_on(Mortal(world.store, 90, None))
        world.check()
        world.days = 0
        world.run_on(world.store)
        world.check()
        assert world.is_finished(), world.unfinished()
        assert world.orphans() == set()
