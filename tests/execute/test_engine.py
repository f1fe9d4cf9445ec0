from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from greendata.errors import LeaseLostError, StoreUnreachableError
from greendata.execute import engine
from greendata.execute.engine import Engine, EngineSettings
from greendata.execute.handlers.base import CannotUndo, Context, Handler
from greendata.execute.journal import Journal, read_journal
from greendata.execute.records import Action, Outcome, Status, done, failed, skipped
from greendata.execute.runstate import RunState, read_run
from greendata.progress import Progress
from greendata.stores.memory import MemoryStore
from tests.execute.made_context import NOW, RUN, made_action, made_context

RUNS = "mem://bucket/.greendata/catalog/runs"
FOLDER = f"{RUNS}/{RUN}/apply/"


class Told(Handler):
    """Does what its test says, and remembers what it was asked."""

    kinds = frozenset({"tag", "tier"})

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, bool]] = []
        self.says: dict[str, Any] = {}
        self.store = MemoryStore()
        self.lock = threading.Lock()

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        # the intent is durable before anything is done
        records = read_journal(self.store, FOLDER).records
        assert any(record.get("id") == action.action_id for record in records)
        with self.lock:
            self.asked.append((action.action_id, action.etag, is_resumed))
        found: Outcome | BaseException = self.says.get(action.action_id, done())
        if isinstance(found, BaseException):
            raise found
        return found

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return CannotUndo(words="never")


class Bench:
    """An engine with a journal that can be read again."""

    def __init__(self) -> None:
        self.handler = Told()
        self.epoch = 0

    def engine(self, **settings: Any) -> Engine:
        self.epoch += 1
        state = self.state()
        journal = Journal(
            self.handler.store,
            FOLDER,
            run_id=RUN,
            part="apply",
            epoch=self.epoch,
            previous=state.replays["apply"].last_digest,
        )
        return Engine(
            dict.fromkeys(Told.kinds, self.handler),
            made_context(self.handler.store, "mem://bucket/"),
            journal,
            state,
            EngineSettings(workers=4, **settings),
            Progress(),
        )

    def state(self) -> RunState:
        return read_run(self.handler.store, RUNS, RUN)


def actions(count: int) -> list[Action]:
    store = MemoryStore()
    found = []
    for number in range(count):
        uri = f"mem://bucket/{number}"
        store.put(uri, b"")
        found.append(made_action("tag", store.head(uri), {}, action_id=f"{number:032d}"))
    return found


def test_every_action_has_an_intent_before_and_an_outcome_after() -> None:
    bench, made = Bench(), actions(300)
    ended = bench.engine().run([(action,) for action in made])
    assert ended.statuses == {Status.DONE: 300}
    state = bench.state()
    assert state.outcomes.keys() == state.intents.keys() == {a.action_id for a in made}
    assert len(state.replays["apply"].positions) < 40  # flushed in groups


def test_what_is_done_is_not_done_again_and_what_failed_is() -> None:
    bench, made = Bench(), actions(4)
    later = NOW + timedelta(days=1)
    bench.handler.says = {
        made[0].action_id: skipped("changed", "x"),
        made[1].action_id: failed("unreachable", "x"),
        made[2].action_id: Outcome(status=Status.PENDING, due_at=later),
    }
    bench.engine().run([(action,) for action in made])
    bench.handler.asked.clear()
    bench.handler.says = {}
    ended = bench.engine().run([(action,) for action in made])
    assert bench.handler.asked == [(made[1].action_id, made[1].etag, True)]
    assert ended.statuses == {Status.SKIPPED: 1, Status.DONE: 2, Status.PENDING: 1}


def test_actions_on_one_object_follow_with_the_identity_that_the_last_one_gave_it() -> None:
    bench, (first, *_) = Bench(), actions(1)
    second = replace(first, kind="tier", action_id="b" * 32)
    bench.handler.says[first.action_id] = done(object={"etag": "new", "size_bytes": 1})
    bench.engine().run([(first, replace(second, group_id=second.action_id))])
    assert [etag for _, etag, _ in bench.handler.asked] == [first.etag, "new"]


def test_after_a_failure_nothing_further_is_done_to_the_object() -> None:
    bench, (first, *_) = Bench(), actions(1)
    second = replace(first, kind="tier", action_id="b" * 32, group_id="b" * 32)
    bench.handler.says[first.action_id] = StoreUnreachableError("no answer")
    bench.engine().run([(first, second)])
    assert [name for name, _, _ in bench.handler.asked] == [first.action_id]
    assert bench.state().outcomes[second.action_id].reason == "earlier"


def test_failures_in_a_row_stop_the_run() -> None:
    bench, made = Bench(), actions(500)
    bench.handler.says = {a.action_id: failed("unreachable", "no answer") for a in made}
    ended = bench.engine(most_failures=5).run([(action,) for action in made])
    assert "no answer" in (ended.stopped_because or "")
    assert len(bench.handler.asked) < 100


def test_a_lost_lease_ends_the_run_and_says_so() -> None:
    bench, made = Bench(), actions(200)
    bench.handler.says[made[7].action_id] = LeaseLostError("somebody took over")
    with pytest.raises(LeaseLostError):
        bench.engine().run([(action,) for action in made])
    assert made[7].action_id not in bench.state().outcomes
    bench.handler.says = {}
    ended = bench.engine().run([(action,) for action in made])
    assert ended.statuses == {Status.DONE: 200}


def test_a_defect_in_a_handler_is_not_hidden() -> None:
    bench, made = Bench(), actions(3)
    bench.handler.says[made[1].action_id] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        bench.engine().run([(action,) for action in made])


def test_an_interrupted_run_finishes_what_is_under_way() -> None:
    bench, made = Bench(), actions(500)
    engine = bench.engine()
    bench.handler.says[made[3].action_id] = done()
    told = bench.handler.act

    def act(action: Action, *arguments: Any, **named: Any) -> Outcome:
        if action is made[3]:
            engine.interrupt()
        return told(action, *arguments, **named)

    bench.handler.act = act  # type: ignore[method-assign]
    ended = engine.run([(action,) for action in made])
    assert ended.is_interrupted
    state = bench.state()
    assert state.outcomes.keys() == state.intents.keys()
    assert 0 < len(state.outcomes) < 500


def test_after_an_action_that_was_done_the_next_is_on_what_it_left() -> None:
    bench, (first,) = Bench(), actions(1)
    second = replace(first, action_id="2" * 32, group_id="2" * 32)
    bench.handler.says = {
        first.action_id: done(object={"etag": "new", "version_id": "v", "size_bytes": 0}),
        second.action_id: failed("unreachable", "x"),
    }
    bench.engine().run([(first, second)])
    del bench.handler.says[second.action_id]
    bench.engine().run([(first, second)])
    assert bench.handler.asked[-1] == (second.action_id, "new", True)


def test_with_a_rate_each_begins_in_its_turn_and_is_noted_before_the_last_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "_LONGEST_CREDIT_SECONDS", 0.0)
    bench, noted = Bench(), []
    plain = bench.handler.act

    def act(*asked: Any, **named: Any) -> Outcome:
        noted.append(len(bench.state().outcomes))
        return plain(*asked, **named)

    bench.handler.act = act  # type: ignore[method-assign]
    made = actions(6)
    bench.engine(actions_per_second=20.0).run([(action,) for action in made])
    assert len(noted) == 6
    assert noted[-1] > noted[0]  # else all began together


def test_a_rate_does_not_hold_up_who_interrupts() -> None:
    bench, made = Bench(), actions(3)
    slow = bench.engine(actions_per_second=0.01)
    threading.Timer(0.3, slow.interrupt).start()
    ended = slow.run([(action,) for action in made])
    assert (ended.is_interrupted, ended.statuses.total()) == (True, 1)
