"""Somebody else writes between our steps, and processes die: what they did always stays."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greendata.errors import GreendataError, LockedError, ObjectHeldError, ObjectNotFoundError
from greendata.execute import carrying, lease
from greendata.execute.processes import this_process
from greendata.execute.records import Status
from greendata.stores.base import Store
from greendata.stores.wrappers.base import Call
from tests.examples import examples
from tests.execute.crash.in_process import DiedError, Mortal, dead_process, world_in_process
from tests.execute.crash.world import KEPT, PLAIN

_URIS = [
    f"{root}data/{name}"
    for root in (PLAIN, KEPT)
    for name in ("copy", "copy-stays", "old", "cool", "both", "held", "cold", "moved")
] + [f"{PLAIN}data/copy-rest", f"{KEPT}moved/moved", f"{PLAIN}moved/moved", f"{KEPT}twice/twice"]
_CHANGES = st.integers(9, 55)
"""Before which of our changes a process dies."""

_LOOKS = st.integers(0, 9)
"""Before which of our calls about an object others change it."""


class Others(RuleBasedStateMachine):
    """A run that is applied, killed, undone and purged while others work on the same objects."""

    def __init__(self) -> None:
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(lease, "this_process", dead_process)
        self.patched.setattr(carrying, "this_process", dead_process)
        self.stack = ExitStack()
        self.world = self.stack.enter_context(world_in_process())
        self.theirs: dict[str, bytes | None] = {}
        self.frozen: dict[str, str] = {}
        self.counter = 0
        self.is_undone = False

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            self.patched.undo()
            self.stack.close()

    # --- ours

    def run(self, phase: str, store: Store) -> None:
        self.world.phase = phase
        with suppress(DiedError):
            self.world.run_on(store)

    def dying(self, at: int) -> Store:
        """Our stores in a process that dies before a change."""
        return Mortal(self.world.store, at, None, counts=lambda call: call.is_mutation)

    def disturbed(self, at: int, uri: str, change: str) -> Store:
        """Our stores, where others change an object before one of our calls about it."""

        def counts(call: Call) -> bool:
            return call.uri == uri

        return Mortal(self.world.store, at, lambda: self.change(uri, change), counts=counts)

    @precondition(lambda self: not self.is_undone)
    @rule(at=_CHANGES)
    def apply_and_die(self, at: int) -> None:
        self.run("apply", self.dying(at))

    @precondition(lambda self: not self.is_undone)
    @rule(at=_LOOKS, uri=st.sampled_from(_URIS), change=st.sampled_from(["put", "delete", "tier"]))
    def apply_while_they_change(self, at: int, uri: str, change: str) -> None:
        self.run("apply", self.disturbed(at, uri, change))

    @precondition(lambda self: not self.is_undone)
    @rule(at=_CHANGES)
    def apply_twice_at_once(self, at: int) -> None:
        self.patched.setattr(lease, "this_process", this_process)
        found: list[str] = []

        def second() -> None:
            try:
                self.world.run_on(self.world.store)
            except LockedError:
                found.append("refused")
            else:
                found.append("carried out")

        world = self.world
        store = Mortal(world.store, at, second, counts=lambda call: call.is_mutation)
        try:
            self.run("apply", store)
        except LockedError:
            assert found == ["carried out"]  # before the first one had all its leases
        finally:
            self.patched.setattr(lease, "this_process", dead_process)

    @rule(at=_CHANGES)
    def undo_and_die(self, at: int) -> None:
        self.is_undone = True
        self.run("undo", self.dying(at))

    @rule(at=_LOOKS, uri=st.sampled_from(_URIS), change=st.sampled_from(["put", "tier"]))
    def undo_while_they_change(self, at: int, uri: str, change: str) -> None:
        self.is_undone = True
        self.run("undo", self.disturbed(at, uri, change))

    @rule(at=_CHANGES)
    def purge_and_die(self, at: int) -> None:
        for uri in [*self.world.contents]:  # of these only time says that they may go
            if uri.endswith(("/old", "/versions?")):
                del self.world.contents[uri]
        self.run("purge", self.dying(at))

    @rule(days=st.sampled_from([8, 31]))
    def time_passes(self, days: int) -> None:
        self.world.days += days

    # --- theirs

    @rule(uri=st.sampled_from(_URIS), change=st.sampled_from(["put", "delete", "tier", "hold"]))
    def they_change(self, uri: str, change: str) -> None:
        self.change(uri, change)

    def change(self, uri: str, change: str) -> None:
        """What others do; what thereby is nowhere any more is no loss of ours."""
        world, before = self.world, self.world.bodies()
        self.counter += 1
        content = f"theirs {self.counter}".encode()
        try:
            if change == "put":
                world.store.put(uri, content)
                self.theirs[uri] = content
            elif change == "delete":
                was_there = self._content(uri) is not None
                world.store.delete(uri)
                if was_there:
                    self.theirs[uri] = None
            elif change == "tier":
                world.store.set_tier(uri, "ARCHIVE")
                self.frozen[uri] = world.store.head(uri).etag
            else:
                world.store.set_hold(uri, is_held=True)
        except (ObjectNotFoundError, ObjectHeldError, GreendataError):
            return
        after = world.bodies()
        for name, known in list(world.contents.items()):
            if before[known] and not after[known]:
                del world.contents[name]
        world.stays.pop(uri, None)
        for name, twins in list(world.twins.items()):
            if uri in (name, *twins):
                del world.twins[name]

    @invariant()
    def nothing_is_lost(self) -> None:
        self.world.phase = "apply"
        self.world.check()

    @invariant()
    def what_others_did_stays(self) -> None:
        for uri, content in self.theirs.items():
            found = self._content(uri)
            assert found == content, f"{uri}: {found!r}, and they left {content!r}"
        for uri, etag in self.frozen.items():
            with suppress(ObjectNotFoundError):
                item = self.world.store.head(uri)
                assert item.etag != etag or item.storage_class == "ARCHIVE", f"{uri}: {item}"

    def _content(self, uri: str) -> bytes | None:
        for server in (self.world.plain, self.world.kept):
            versions = server.state()[0].get(uri)
            if versions:
                return None if versions[-1].is_marker else versions[-1].content
        return None

    def finish(self) -> None:
        """Nobody disturbs any more: each action ends, or its refusal has a name."""
        world = self.world
        self.run("undo" if self.is_undone else "apply", world.store)
        state = world.state()
        found = state.undone if self.is_undone else state.outcomes
        bad = [o for o in found.values() if o.status is Status.FAILED]
        assert not bad, bad
        if not self.is_undone:
            assert len(found) == len(world.actions)
        if not (self.counter or self.is_undone):
            assert world.is_finished(), world.unfinished()
        self.nothing_is_lost()
        self.what_others_did_stays()
        assert world.orphans(pins_too=False) == set()


TestOthers = Others.TestCase
TestOthers.settings = settings(
    max_examples=examples(25),
    stateful_step_count=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
)
TestOthers = pytest.mark.slow(TestOthers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "change"),
    [("apply", "put"), ("apply", "delete"), ("apply", "tier"), ("undo", "put"), ("undo", "tier")],
)
def test_whatever_others_do_right_before_any_call_about_an_object_stays(
    phase: str, change: str
) -> None:
    count, step = 0, 1 if examples(100) > 100 else 3
    for first, uri in enumerate(_URIS):
        for at in range(first % step, 99, step):
            machine = Others()
            try:
                if phase == "undo":
                    machine.is_undone = True
                    machine.world.run_on(machine.world.store)
                machine.run(phase, machine.disturbed(at, uri, change))
                machine.nothing_is_lost()
                machine.what_others_did_stays()
                machine.teardown()
            except AssertionError as error:
                pytest.fail(f"{phase}, {change} before call {at} about {uri}: {error}")
            if not machine.counter:
                break
            count += 1
    print(f"{phase}: {count} times {change} right before a call about the same object")
    assert count > 15
