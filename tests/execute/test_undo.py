"""Whatever a run did to an object, and wherever it or its undo was cut off, undo gives it back."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.errors import GreendataError
from greendata.execute.engine import Engine, EngineSettings
from greendata.execute.handlers import all_handlers
from greendata.execute.journal import Journal
from greendata.execute.records import Action
from greendata.execute.runstate import RunState, read_run
from greendata.execute.undo import Units, part_state, reversals
from greendata.plan.actions import KINDS
from greendata.progress import Progress
from greendata.stores.base import Store
from greendata.stores.memory import MemoryStore
from greendata.stores.wrappers import FaultyStore
from tests.execute.handlers.test_returning import World, made_world
from tests.execute.made_context import RUN

RUNS = "mem://bucket/.greendata/catalog/runs"
TO: dict[str, dict[str, Any]] = {
    "tag": {"tag": {"t": "2", "u": None, "v": "3"}},
    "tier": {"storage_class": "COOL"},
    "quarantine": {"grace_days": 30},
    "expire": {"grace_days": 30},
}


class Run:
    """A run and its undo, by the engine, with journals in a store of their own."""

    def __init__(self, world: World, actions: tuple[Action, ...]) -> None:
        self.world, self.actions = world, actions
        self.journals, self.epoch = MemoryStore(), 0

    def state(self) -> RunState:
        return read_run(self.journals, RUNS, RUN)

    def carry_out(self, part: str, script: str) -> None:
        """One try, in a store that fails as the script says."""
        self.epoch += 1
        store: Store = FaultyStore(self.world.store, script)
        context, state = self.world.context(store), self.state()
        units: list[tuple[Action, ...]] = [self.actions]
        handlers, mine = all_handlers(), state
        if part == "undo":
            found = [e for unit in reversals(iter(units), state, handlers) for e in unit]
            made = Units(state, handlers)
            units, handlers, mine = [made.unit(found, context)], made.handlers, part_state(state)
        journal = Journal(
            self.journals,
            f"{RUNS}/{RUN}/{part}",
            run_id=RUN,
            part=part,
            epoch=self.epoch,
            previous=state.replays[part].last_digest,
        )
        engine = Engine(handlers, context, journal, mine, EngineSettings(workers=1), Progress())
        engine.run([unit for unit in units if unit])


@settings(max_examples=60)
@given(
    place=st.sampled_from(["unversioned", "streamed", "versioned"]),
    kinds=st.sets(st.sampled_from(["tag", "tier"])),
    last=st.sampled_from(["", "quarantine", "expire"]),
    apply_at=st.integers(0, 25),
    undo_at=st.integers(0, 25),
    faults=st.tuples(*[st.sampled_from(["lost", "503"])] * 2),
)
def test_a_run_that_was_cut_off_is_taken_back_by_an_undo_that_was(
    place: str, kinds: set[str], last: str, apply_at: int, undo_at: int, faults: tuple[str, str]
) -> None:
    world = made_world(place, Path())
    before = world.look()
    wanted = [kind for kind in KINDS if kind in kinds | {last}]
    actions = tuple(
        replace(world.action(kind, TO[kind]), action_id=f"{number:032x}", group_id=f"{number:032x}")
        for number, kind in enumerate(wanted)
    )
    run = Run(world, actions)
    run.carry_out("apply", f"ok*{apply_at} {faults[0]}*9")
    with contextlib.suppress(GreendataError):
        run.carry_out("undo", f"ok*{undo_at} {faults[1]}*9")
    for _ in range(2):
        run.carry_out("undo", "")
        assert world.look() == before
    own = [item.uri for item in world.store.own_objects(world.root)]
    assert own == []
