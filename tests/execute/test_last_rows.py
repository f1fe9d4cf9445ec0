"""Two plans over a dataset that was cut anew, carried out in each other's midst and purged."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greendata.errors import GreendataError, ObjectNotFoundError
from greendata.execute.handlers.base import Context, Handler, outcome_of
from greendata.execute.handlers.removal import RemovalHandler
from greendata.execute.purging import PurgeHandler, purge_action, waiting
from greendata.execute.quarantine import Quarantined
from greendata.execute.records import Action, Outcome
from greendata.execute.runstate import RunState
from greendata.execute.units import read_actions
from greendata.stores.memory import MemoryStore
from tests.examples import examples
from tests.execute.crash.in_process import Mortal
from tests.execute.made_context import NOW, made_context
from tests.plan.made_plans import planned, stored
from tests.policy.made_policies import policy, policy_set

ROOT = "mem://bucket/"
RUNS = ("0123456789abcdef-1", "fedcba9876543210-1")
FATES = {
    "left": policy("left", {"quarantine": {"grace_days": 30}}, where="owner = 'left'"),
    "right": policy("right", {"quarantine": {"grace_days": 7}}, where="owner = 'right'"),
    "both": policy("both", {"quarantine": {"grace_days": 30}}, where="owner <> 'swept'"),
    "swept": policy("swept", {"expire": {"grace_days": 7}}, where="owner = 'swept'"),
}


@st.composite
def shards(draw: st.DrawFn) -> dict[str, frozenset[int]]:
    """Rows by key, which says whose policy is about it: the same rows cut in two ways or three."""
    size, found = draw(st.integers(2, 6)), {}
    more = draw(st.sampled_from([(), ("left",), ("right",), ("swept",)]))
    for layout, fate in enumerate(("left", "right", *more)):
        cuts = sorted(draw(st.sets(st.integers(1, size - 1), max_size=2)))
        for start, end in pairwise([0, *cuts, size]):
            found[f"{fate}/{layout}-{start}"] = frozenset(range(start, end))
    return found


class World:
    """Objects whose bytes are their rows, and what became of two plans made at once."""

    def __init__(self, rows: Mapping[str, frozenset[int]], *, is_versioned: bool) -> None:
        self.store = MemoryStore(keeps_versions=is_versioned)
        self.rows = {f"{ROOT}{key}": found for key, found in rows.items()}
        self.outcomes: dict[tuple[str, str], tuple[Action, Outcome]] = {}
        self._way = {"is_versioned": is_versioned}
        for uri, found in self.rows.items():
            self.store.put(uri, json.dumps(sorted(found)).encode())

    def plan(self, names: Sequence[str], path: Path) -> list[Action]:
        listed = []
        for uri in self.rows:
            item = self.store.head(uri)
            key = uri.removeprefix(ROOT)
            listed.append(
                stored(key)
                | {name: getattr(item, name) for name in ("uri", "etag", "version_id", "store_id")}
                | {"size_bytes": item.size_bytes, "owner": key.partition("/")[0]}
            )
        policies = policy_set(*(FATES[name] for name in names))
        with planned(policies, listed, whole_rows=self.rows) as (connection, _):
            connection.execute(f"COPY (FROM plan_actions) TO '{path}' (FORMAT parquet)")
        return list(read_actions(path))

    def context(self, run_id: str, store: Any = None, days: float = 0) -> Context:
        def now() -> Any:
            return NOW + timedelta(days=days)

        return made_context(store or self.store, ROOT, run_id=run_id, now=now, **self._way)

    def act(self, todo: list[tuple[str, Action, int]]) -> None:
        """The first, and before one of its calls all the others, each in the midst of another."""
        if not todo:
            return
        (run_id, action, at), rest = todo[0], todo[1:]
        store = Mortal(self.store, at, lambda: self.act(rest))
        context = self.context(run_id, store)
        outcome = guarded(RemovalHandler(), action, context)
        self.outcomes[run_id, action.action_id] = action, outcome
        if store.has_acted:
            return
        self.act(rest)

    def purge(self, seed: int) -> None:
        found = [(run_id, entry) for run_id in RUNS for entry in waiting(self.state(run_id))]
        random.Random(seed).shuffle(found)
        handler = PurgeHandler(policies_stand=False, leaving=(), by="us")
        for run_id, entry in found:
            context = self.context(run_id, days=31)
            guarded(handler, purge_action(entry), context)

    def state(self, run_id: str) -> RunState:
        known = {key[1]: found[1] for key, found in self.outcomes.items() if key[0] == run_id}
        return RunState(run_id=run_id, outcomes=known)

    def seen(self) -> frozenset[int]:
        """Rows that readers find."""
        return frozenset[int]().union(*map(self._rows_of, self.rows))

    def kept(self) -> frozenset[int]:
        """Rows that are anywhere, in quarantine too."""
        waiting = [
            Quarantined.from_dict(outcome.after["quarantine"])
            for _, outcome in self.outcomes.values()
            if "quarantine" in outcome.after
        ]
        hidden = (self._rows_of(held.held_uri, held.held_version_id) for held in waiting)
        return self.seen().union(*hidden)

    def _rows_of(self, uri: str, version_id: str | None = None) -> frozenset[int]:
        with suppress(ObjectNotFoundError):
            return frozenset(json.loads(self.store.read(uri, version_id=version_id)))
        return frozenset()

    def all_rows(self) -> frozenset[int]:
        """Rows there were at first."""
        return frozenset[int]().union(*self.rows.values())


def guarded(handler: Handler, action: Action, context: Context) -> Outcome:
    try:
        return handler.act(action, {}, context, is_resumed=False)
    except GreendataError as error:
        return outcome_of(error)


modest = settings(max_examples=examples(6), suppress_health_check=list(HealthCheck))


@modest
@given(shards(), st.booleans(), st.integers(0, 2**32))
def test_of_two_plans_that_each_trust_the_other_no_row_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    rows: Mapping[str, frozenset[int]],
    is_versioned: bool,
    seed: int,
) -> None:
    chance = random.Random(seed)
    folder = tmp_path_factory.mktemp("plans")
    second = chance.choice([("right",), ("both",), ("right", "swept")])
    first = World(rows, is_versioned=is_versioned)
    todo = [
        (run_id, action)
        for run_id, names in zip(RUNS, (("left",), second), strict=True)
        for action in first.plan(names, folder / f"{run_id}.parquet")
    ]
    for _ in range(30):
        world = World(rows, is_versioned=is_versioned)
        chance.shuffle(todo)
        world.act([(*entry, chance.randrange(20)) for entry in todo])
        is_swept = "expire" in {action.kind for action, _ in world.outcomes.values()}
        assert is_swept or world.seen() == world.all_rows()
        assert world.kept() == world.all_rows()
        if chance.random() < 0.3:  # others do what they like
            world.store.delete(chance.choice([*world.rows]))
        there = world.kept()
        world.purge(chance.randrange(99))
        assert world.kept() == there
