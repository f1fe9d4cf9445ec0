from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import GreendataError, ObjectNotFoundError
from greendata.execute.handlers import all_handlers
from greendata.execute.handlers.base import outcome_of
from greendata.execute.pins import is_pinned
from greendata.execute.purging import PurgeHandler, Waiting, purge_action, purge_units, waiting
from greendata.execute.quarantine import Quarantined
from greendata.execute.records import Action, Outcome, Status, skipped
from greendata.execute.runstate import RunState
from greendata.execute.undo import inverse_of
from greendata.stores.base import Store
from greendata.stores.wrappers import FaultyStore
from greendata.stores.wrappers.base import Call, StoreWrapper
from tests.execute.handlers.test_returning import World, made_world
from tests.execute.made_context import NOW, RUN, made_action, made_context

LATER = NOW + timedelta(days=31)
SHA256 = "0967115f2813a3541eaef77de9d9d5773f1c0c04314b0bbfe4ff3b3b1c55b5d5"  # of b"same"


class Grave:
    """An object in quarantine, and time that has passed."""

    def __init__(self, world: World, kind: str = "quarantine", **to: Any) -> None:
        self.world, self.store = world, world.store
        action = world.action(kind, to or {"grace_days": 30})
        survivors = tuple(replace(e, basis=f"sha256:{SHA256}") for e in action.survivors)
        action = replace(action, survivors=survivors)
        self.action = action
        before, self.outcome = world.act(action)
        assert self.outcome.status is Status.DONE
        self.state = RunState(
            run_id=RUN,
            intents={action.action_id: before},
            outcomes={action.action_id: self.outcome},
        )
        self.held = Quarantined.from_dict(self.outcome.after["quarantine"])

    def purge(
        self,
        store: Store | None = None,
        *,
        days: float = 31,
        is_resumed: bool = False,
        **named: Any,
    ) -> Outcome:
        (found,) = waiting(self.state)
        return self.purge_one(found, store, days=days, is_resumed=is_resumed, **named)

    def purge_one(
        self,
        found: Waiting,
        store: Store | None = None,
        *,
        days: float = 31,
        is_resumed: bool = False,
        **named: Any,
    ) -> Outcome:
        settings: dict[str, Any] = {"policies_stand": True, "leaving": (), "by": "me", **named}
        context = made_context(
            store or self.store,
            self.world.root,
            now=lambda: NOW + timedelta(days=days),
            **self.world.way,
        )
        handler = PurgeHandler(**settings)
        try:
            return handler.act(purge_action(found), {}, context, is_resumed=is_resumed)
        except GreendataError as error:
            return outcome_of(error)

    def is_there(self) -> bool:
        try:
            self.store.read(self.held.held_uri, version_id=self.held.held_version_id)
        except ObjectNotFoundError:
            return False
        return True


@pytest.fixture(params=["unversioned", "versioned", "local"])
def grave(request: pytest.FixtureRequest, tmp_path: Path) -> Grave:
    return Grave(made_world(request.param, tmp_path, "ä '\u202e"))


def test_what_is_due_is_removed_and_leaves_a_tombstone(grave: Grave) -> None:
    found = grave.purge()
    assert found.status is Status.DONE
    assert not grave.is_there()
    stone = found.after["tombstone"]
    assert stone["uri"] == grave.world.a
    assert [stays["uri"] for stays in stone["survivors"]] == [grave.world.b]
    assert (stone["size_bytes"], stone["by"], stone["at"]) == (4, "me", LATER.isoformat())
    assert grave.store.read(grave.world.b) == b"same"
    assert not is_pinned(grave.world.b, grave.world.context())
    assert [v.uri for v in grave.store.versions(grave.world.root) if v.uri == grave.world.a] == []


def test_nothing_goes_within_its_grace_time(grave: Grave) -> None:
    (found,) = waiting(grave.state)
    just_before = NOW + timedelta(days=29, hours=23)
    assert found.problem(just_before, timedelta(0)) == "early"
    assert found.problem(LATER, timedelta(days=40)) == "early"
    assert found.problem(LATER, timedelta(days=20)) == ""
    assert grave.purge(days=29.9).reason == "early"
    assert grave.is_there()


@pytest.mark.parametrize("bytes_now", [b"samE", b"other"])
def test_a_survivor_that_changed_keeps_it(grave: Grave, bytes_now: bytes) -> None:
    grave.store.put(grave.world.b, bytes_now)
    assert grave.purge().reason == "no-survivor"
    assert grave.is_there()


def test_a_survivor_that_is_gone_keeps_it(grave: Grave) -> None:
    grave.store.delete(grave.world.b)
    assert grave.purge().reason == "no-survivor"
    assert grave.is_there()


def test_a_survivor_about_to_leave_keeps_it(grave: Grave) -> None:
    assert grave.purge(leaving={grave.world.b}).reason == "no-survivor"
    assert grave.is_there()


def test_a_survivor_rewritten_with_the_same_bytes_is_one(grave: Grave) -> None:
    grave.store.put(grave.world.b, b"same")
    assert grave.purge().status is Status.DONE


def test_by_texts_alone_the_very_object_must_stand(grave: Grave) -> None:
    after = dict(grave.outcome.after["quarantine"])
    after["survivors"] = [stays | {"basis": "rows"} for stays in after["survivors"]]
    grave.state.outcomes[grave.action.action_id] = replace(
        grave.outcome, after={"quarantine": after}
    )
    grave.store.put(grave.world.b, b"same")
    assert grave.purge().reason == "no-survivor"
    assert grave.is_there()


@pytest.mark.parametrize("place", ["unversioned", "versioned"])
def test_an_archived_survivor_keeps_it(place: str, tmp_path: Path) -> None:
    grave = Grave(made_world(place, tmp_path))
    grave.store.set_tier(grave.world.b, "ARCHIVE")
    assert grave.purge().reason == "no-survivor"
    assert grave.is_there()


@pytest.mark.parametrize("place", ["unversioned", "versioned"])
def test_what_is_held_since_stays(place: str, tmp_path: Path) -> None:
    grave = Grave(made_world(place, tmp_path))
    held = grave.held
    grave.store.set_hold(held.held_uri, is_held=True, version_id=held.held_version_id)
    assert grave.purge().reason == "held"
    assert grave.is_there()


@pytest.mark.parametrize("place", ["unversioned", "local"])
def test_what_was_changed_in_quarantine_stays(place: str, tmp_path: Path) -> None:
    grave = Grave(made_world(place, tmp_path))
    grave.store.put(grave.held.held_uri, b"other")
    assert grave.purge().reason == "changed"
    assert grave.is_there()


def test_a_link_to_the_object_is_no_survivor(tmp_path: Path) -> None:
    grave = Grave(made_world("local", tmp_path))
    stays = tmp_path / "data" / "stays"
    stays.unlink()
    stays.symlink_to(next((tmp_path / ".greendata/quarantine").rglob("a")))
    assert grave.purge().reason == "no-survivor"
    assert grave.is_there()


def test_what_expired_needs_its_policy(tmp_path: Path) -> None:
    for place in ("unversioned", "versioned", "local"):
        grave = Grave(made_world(place, tmp_path / place), "expire")
        assert grave.purge(policies_stand=False).reason == "policy"
        assert grave.is_there()
        assert grave.purge().status is Status.DONE
        assert not grave.is_there()


def test_an_earlier_version_does_not_come_to_light(tmp_path: Path) -> None:
    world = made_world("versioned", tmp_path)
    world.store.put(world.a, b"same")
    grave = Grave(world, "expire")
    assert grave.purge().status is Status.DONE
    assert not grave.is_there()
    with pytest.raises(ObjectNotFoundError):
        world.store.head(world.a)


def test_what_became_current_again_stays(tmp_path: Path) -> None:
    grave = Grave(made_world("versioned", tmp_path))
    grave.store.delete(grave.world.a, version_id=grave.held.marker_version_id)
    assert grave.purge().reason == "changed"
    assert grave.store.read(grave.world.a) == b"same"


def test_a_listing_that_lacks_the_version_does_not_let_it_go(tmp_path: Path) -> None:
    grave = Grave(made_world("versioned", tmp_path), "expire")
    grave.store.delete(grave.world.a, version_id=grave.held.marker_version_id)  # it is current

    class Short(StoreWrapper):
        def _around(self, call: Call) -> Any:
            return iter(()) if call.name == "versions" else super()._around(call)

    assert grave.purge(Short(grave.store)).reason == "unreachable"
    assert grave.store.read(grave.world.a) == b"same"


def test_a_noncurrent_version_goes_and_the_current_stays(tmp_path: Path) -> None:
    world = made_world("versioned", tmp_path)
    old = world.store.head(world.a)
    world.store.put(world.a, b"newer")
    action = made_action("expire", old, {"grace_days": 30}, is_latest=False)
    _, outcome = world.act(action)
    grave = Grave.__new__(Grave)
    grave.world, grave.store, grave.action, grave.outcome = world, world.store, action, outcome
    grave.state = RunState(run_id=RUN, outcomes={action.action_id: outcome})
    assert grave.purge().status is Status.DONE
    assert [v.version_id for v in world.store.versions(world.a) if v.uri == world.a] == ["v3"]


@pytest.mark.parametrize("fault", ["lost", "503"])
@pytest.mark.parametrize("call", range(9))
def test_killed_anywhere_it_goes_on(grave: Grave, call: int, fault: str) -> None:
    faulty = FaultyStore(grave.store, f"ok*{call} {fault}" if call else fault)
    first = grave.purge(faulty)
    assert first.status in (Status.DONE, Status.FAILED)
    assert grave.purge(is_resumed=True).status is Status.DONE
    assert not grave.is_there()
    assert grave.store.read(grave.world.b) == b"same"
    assert not is_pinned(grave.world.b, grave.world.context())


def test_a_record_that_names_something_else_removes_nothing(grave: Grave) -> None:
    after = dict(grave.outcome.after["quarantine"]) | {
        "held_uri": grave.world.b,
        "held_etag": grave.store.head(grave.world.b).etag,
        "form": "moved",
    }
    grave.state.outcomes[grave.action.action_id] = replace(
        grave.outcome, after={"quarantine": after}
    )
    assert grave.purge().reason == "changed"
    assert grave.store.read(grave.world.b) == b"same"


# --- versions that changes of class leave


@pytest.mark.parametrize("storage_class", ["COOL", "ARCHIVE"])
def test_the_version_before_a_change_of_class_goes(storage_class: str, tmp_path: Path) -> None:
    grave = Grave(made_world("versioned", tmp_path), "tier", storage_class=storage_class)
    now = grave.store.head(grave.world.a)
    assert grave.purge().status is Status.DONE
    assert not grave.is_there()
    assert grave.store.head(grave.world.a) == now


def test_the_version_before_stays_when_the_object_was_written_since(tmp_path: Path) -> None:
    grave = Grave(made_world("versioned", tmp_path), "tier", storage_class="COOL")
    grave.store.put(grave.world.a, b"samE")
    assert grave.purge().reason == "no-survivor"
    assert grave.is_there()


def test_after_an_undo_both_versions_go_and_the_object_stays(tmp_path: Path) -> None:
    world = made_world("versioned", tmp_path)
    grave = Grave(world, "tier", storage_class="COOL")
    handlers = all_handlers()
    inverse = inverse_of(grave.action, {}, grave.outcome, handlers)
    assert isinstance(inverse, Action)
    grave.state.undone[inverse.action_id] = world.back(inverse)
    now, left = world.look(), list(waiting(grave.state))
    assert len(left) == 2
    for found in left:
        assert grave.purge_one(found, days=62).status is Status.DONE
    assert world.look() == now
    assert len([v for v in world.store.versions(world.a) if v.uri == world.a]) == 1


# --- what journals say


@pytest.mark.parametrize(
    ("undone", "expected"),
    [
        (Outcome(status=Status.DONE), []),
        (skipped("conflict"), ["undone"]),
        (skipped("irreversible"), [""]),
        (Outcome(status=Status.PENDING), ["undone"]),
        (None, [""]),
    ],
)
def test_what_is_wanted_back_is_kept(
    undone: Outcome | None, expected: list[str], tmp_path: Path
) -> None:
    grave = Grave(made_world("unversioned", tmp_path))
    if undone is not None:
        grave.state.undone[grave.action.action_id] = undone
    assert [found.keeps for found in waiting(grave.state)] == expected


def test_an_undo_that_was_begun_keeps_it(tmp_path: Path) -> None:
    grave = Grave(made_world("unversioned", tmp_path))
    grave.state.undo_intents[grave.action.action_id] = {}
    assert [found.keeps for found in waiting(grave.state)] == ["undone"]


def test_a_damaged_journal_keeps_all(tmp_path: Path) -> None:
    grave = Grave(made_world("unversioned", tmp_path))
    grave.state.damaged = ("somewhere: it was cut short",)
    assert [found.keeps for found in waiting(grave.state)] == ["journal"]


def test_what_was_purged_does_not_wait(tmp_path: Path) -> None:
    grave = Grave(made_world("unversioned", tmp_path))
    purged: Mapping[str, Outcome] = {grave.action.action_id: grave.purge()}
    grave.state.purged.update(purged)
    assert not list(waiting(grave.state))


# --- versions that go together


class Graves:
    """Objects of one bucket in quarantine, and what is asked of the store when they are purged."""

    def __init__(self, count: int) -> None:
        world = made_world("versioned", Path())
        self.store, self.root, self.outcomes = world.store, world.root, {}
        self.context = made_context(self.store, self.root, now=lambda: LATER, is_versioned=True)
        for number in range(count):
            uri, survivor = f"{self.root}data/{number}", f"{self.root}stays/{number}"
            for place in (uri, survivor):
                self.store.put(place, b"same")
            action = made_action(
                "quarantine",
                self.store.head(uri),
                {"grace_days": 30},
                survivors=[self.store.head(survivor)],
                basis=f"sha256:{SHA256}",
                action_id=f"{number:032x}",
            )
            now = made_context(self.store, self.root, is_versioned=True)
            found = all_handlers()["quarantine"].act(action, {}, now, is_resumed=False)
            assert found.status is Status.DONE
            self.outcomes[action.action_id] = found

    def due(self) -> list[Waiting]:
        return list(waiting(RunState(run_id=RUN, outcomes=self.outcomes)))

    def units(self, **named: Any) -> list[tuple[Action, ...]]:
        known: dict[str, Any] = {"place_of": lambda uri: self.root, "threads": 1}
        return list(purge_units(self.due(), **(known | named)))

    def purge(self, store: Store, unit: tuple[Action, ...]) -> list[Outcome]:
        handler = PurgeHandler(policies_stand=True, leaving=(), by="me")
        context = replace(self.context, store=store)
        return handler.act_together(unit, [{}] * len(unit), context, is_resumed=False)

    def left(self) -> list[str]:
        places = (item.uri for item in self.store.versions(f"{self.root}data/"))
        return sorted({name for uri in places if (name := uri.rpartition("/")[2]).isdigit()})


def test_versions_go_by_one_request_and_their_markers_by_another() -> None:
    graves = Graves(6)
    (unit, _) = graves.units()
    store = FaultyStore(graves.store, "", only=("delete", "delete_versions"))
    found = graves.purge(store, unit)
    assert [outcome.status for outcome in found] == [Status.DONE] * 3
    assert store.calls == ["delete_versions"] * 2 + ["delete"] * 3  # of the pins
    assert graves.left() == ["3", "4", "5"]
    assert len({outcome.after["tombstone"]["uri"] for outcome in found}) == 3


def test_of_those_that_go_together_each_is_looked_at_by_itself() -> None:
    graves = Graves(10)
    (unit, _) = graves.units()
    store, uris = graves.store, [action.uri for action in unit]
    held = Quarantined.from_dict(unit[0].to)
    store.set_hold(uris[0], is_held=True, version_id=held.held_version_id)
    store.delete(f"{graves.root}stays/1")
    marker = Quarantined.from_dict(unit[2].to).marker_version_id
    store.delete(uris[2], version_id=marker)
    store.put(uris[3], b"newer")
    found = graves.purge(store, unit)
    assert [outcome.reason for outcome in found] == ["held", "no-survivor", "changed", "", ""]
    assert store.read(uris[2]) == b"same"
    assert store.read(uris[3]) == b"newer"
    assert graves.left() == ["0", "1", "2", "3", "5", "6", "7", "8", "9"]


@pytest.mark.parametrize("fault", ["503", "lost"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_request_for_many_that_fails_is_settled_one_by_one(call: int, fault: str) -> None:
    graves = Graves(6)
    (unit, _) = graves.units()
    script = f"{fault}" if call == 1 else f"ok {fault}"
    found = graves.purge(FaultyStore(graves.store, script, only=("delete_versions",)), unit)
    assert {outcome.reason for outcome in found} == {"unreachable"}
    begun = {action.action_id for action in unit}
    alone = [unit for unit in graves.units(begun=begun) if unit[0].action_id in begun]
    assert [len(unit) for unit in alone] == [1, 1, 1]
    handler = PurgeHandler(policies_stand=True, leaving=(), by="me")
    for (action,) in alone:
        done = handler.act(action, {}, graves.context, is_resumed=True)
        assert done.status is Status.DONE
    assert graves.left() == ["3", "4", "5"]


def test_a_version_became_current_while_others_were_looked_at() -> None:
    graves = Graves(6)
    (unit, _) = graves.units()
    marker = Quarantined.from_dict(unit[1].to).marker_version_id

    class Overtaken(StoreWrapper):
        def _around(self, call: Call) -> Any:
            if call.name == "read" and call.uri.endswith("stays/2"):
                self.inner.delete(unit[1].uri, version_id=marker)
            return call.make()

    found = graves.purge(Overtaken(graves.store), unit)
    assert [outcome.reason for outcome in found] == ["", "changed", ""]
    assert graves.store.read(unit[1].uri) == b"same"


def test_no_more_go_together_than_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    graves = Graves(12)
    assert [len(unit) for unit in graves.units()] == [6, 6]
    assert [len(unit) for unit in graves.units(threads=16)] == [1] * 12
    assert [len(unit) for unit in graves.units(place_of=lambda uri: None)] == [1] * 12
    monkeypatch.setattr("greendata.execute.purging.MOST_BYTES_TOGETHER", 10)
    units = graves.units()
    assert [len(unit) for unit in units] == [2] * 6
    assert {len({action.group_id for action in unit}) for unit in units} == {1}
