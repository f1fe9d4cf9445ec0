"""Somebody else writes between our steps, and processes die: what they did always stays."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greendata.errors import GreendataError, LockedError, ObjectHeldError, ObjectNotFoundError
from greendata.execute import carrying, lease
from greendata.execute.processes import this_process
from greendata.execute.records import Status
from tests.examples import examples
from tests.execute.crash.in_process import DiedError, Mortal, dead_process, world_in_process
from tests.execute.crash.world import KEPT, PLAIN

_URIS = [
    f"{root}data/{name}"
    for root in (PLAIN, KEPT)
    for name in ("copy", "copy-stays", "old", "cool", "both", "held", "cold", "moved")
] + [f"{KEPT}moved/moved", f"{PLAIN}moved/moved", f"{KEPT}twice/twice"]
_CALLS = st.integers(0, 250)


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

    def run(self, phase: str, at: int, what: Callable[[], None] | None) -> None:
        self.world.phase = phase
        try:
            self.world.run_on(Mortal(self.world.store, at, what))
        except DiedError:
            assert what is None

    @precondition(lambda self: not self.is_undone)
    @rule(at=_CALLS)
    def apply_and_die(self, at: int) -> None:
        self.run("apply", at, None)

    @precondition(lambda self: not self.is_undone)
    @rule(at=_CALLS, uri=st.sampled_from(_URIS), change=st.sampled_from(["put", "delete", "tier"]))
    def apply_while_they_change(self, at: int, uri: str, change: str) -> None:
        self.run("apply", at, lambda: self.change(uri, change))

    @precondition(lambda self: not self.is_undone)
    @rule(at=_CALLS)
    def apply_twice_at_once(self, at: int) -> None:
        self.patched.setattr(lease, "this_process", this_process)
        refused: list[LockedError] = []

        def second() -> None:
            try:
                self.world.run_on(self.world.store)
            except LockedError as error:
                refused.append(error)

        try:
            self.run("apply", at, second)
        except LockedError as error:  # the second one came first, or they met
            refused.append(error)
        finally:
            self.patched.setattr(lease, "this_process", dead_process)

    @rule(at=_CALLS)
    def undo_and_die(self, at: int) -> None:
        self.is_undone = True
        self.run("undo", at, None)

    @rule(at=_CALLS, uri=st.sampled_from(_URIS), change=st.sampled_from(["put", "delete"]))
    def undo_while_they_change(self, at: int, uri: str, change: str) -> None:
        self.is_undone = True
        self.run("undo", at, lambda: self.change(uri, change))

    @rule(at=_CALLS)
    def purge_and_die(self, at: int) -> None:
        for uri in [*self.world.contents]:  # of these only time says that they may go
            if uri.endswith(("/old", "/versions?")):
                del self.world.contents[uri]
        self.run("purge", at, None)

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
                world.store.delete(uri)
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
        for name, twin in list(world.twins.items()):
            if uri in (twin, name):
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
        self.run("undo" if self.is_undone else "apply", -1, None)
        state = world.state()
        found = state.undone if self.is_undone else state.outcomes
        bad = [o for o in found.values() if o.status is Status.FAILED]
        assert not bad, bad
        if not self.is_undone:
            assert len(found) == len(world.actions)
        self.nothing_is_lost()
        self.what_others_did_stays()
        assert world.orphans(pins_too=False) == set()


TestOthers = Others.TestCase
TestOthers.settings = settings(
    max_examples=examples(12),
    stateful_step_count=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
)
TestOthers = pytest.mark.slow(TestOthers)
