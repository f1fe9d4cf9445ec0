from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import GreendataError, ObjectNotFoundError, StoreUnreachableError
from greendata.execute.auditing import checks_of, known_of, looked_at, own_findings
from greendata.execute.handlers.base import Context, outcome_of
from greendata.execute.handlers.removal import RemovalHandler
from greendata.execute.pins import is_pinned
from greendata.execute.purging import waiting
from greendata.execute.quarantine import Quarantined
from greendata.execute.records import Action, Outcome, Status
from greendata.execute.runstate import RunState
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri
from greendata.stores.memory import MemoryStore
from greendata.stores.wrappers import FaultyStore
from greendata.stores.wrappers.base import Call, StoreWrapper
from tests.execute.crash.in_process import DiedError, Mortal
from tests.execute.made_context import NOW, RUN, made_action, made_context

ROOT = "mem://bucket/"
HANDLER = RemovalHandler()


class Place:
    """Two equal objects in a store, of which ``a`` is to go and ``b`` stays."""

    def __init__(self, store: Store, root: str, **way: Any) -> None:
        self.store, self.root = store, root
        self.context: Context = made_context(store, root, **way)
        self.a, self.b = (store.put(f"{root}data/{name}", b"same").uri for name in "ab")
        self.action: Action = made_action(
            "quarantine", store.head(self.a), {"grace_days": 30}, survivors=[store.head(self.b)]
        )

    def act(self, action: Action | None = None, *, is_resumed: bool = False) -> Outcome:
        return HANDLER.act(action or self.action, {}, self.context, is_resumed=is_resumed)


@pytest.fixture(params=["unversioned", "versioned", "local"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(LocalStore(), path_to_uri(str(tmp_path)) + "/")
    is_versioned = request.param == "versioned"
    return Place(MemoryStore(keeps_versions=is_versioned), ROOT, is_versioned=is_versioned)


def left(outcome: Outcome) -> Quarantined:
    return Quarantined.from_dict(outcome.after["quarantine"])


def test_an_object_is_out_of_sight_and_its_bytes_stay(place: Place) -> None:
    found = left(place.act())
    with pytest.raises(ObjectNotFoundError):
        place.store.head(place.a)
    content = place.store.read(found.held_uri, version_id=found.held_version_id)
    assert content == b"same"
    assert found.purge_after == NOW + timedelta(days=30)
    assert is_pinned(place.b, place.context)


def test_done_again_it_is_what_it_was(place: Place) -> None:
    first = place.act()
    again = place.act(is_resumed=True)
    assert again == first


def test_an_object_that_was_replaced_is_left_alone(place: Place) -> None:
    place.store.put(place.a, b"other")
    found = place.act()
    assert (found.status, found.reason) == (Status.SKIPPED, "changed")
    assert place.store.read(place.a) == b"other"
    assert not is_pinned(place.b, place.context)


class TakesAnyETag(StoreWrapper):
    """Deletes whatever the ETag is; ``exclusive_writer`` allows for that."""

    def delete(self, uri: str, *, etag: str | None = None, **named: Any) -> Any:
        return super().delete(uri, **named)


@pytest.mark.parametrize("has_id", [True, False])
def test_of_an_earlier_version_the_current_stays_though_versions_are_kept_no_more(
    has_id: bool,
) -> None:
    store = TakesAnyETag(MemoryStore(keeps_versions=True))
    place = Place(store, ROOT, is_exclusive=True, deletes_conditionally=False)
    old = place.store.head(place.a)
    place.store.put(place.a, b"newer")
    if not has_id:  # S3 calls it null: made before there were versions
        old = replace(place.store.head(place.a), version_id=None)
    action = made_action("expire", old, {"grace_days": 30}, is_latest=False)
    found = place.act(action)
    assert place.store.read(place.a) == b"newer"
    if has_id:
        assert (left(found).form, left(found).held_version_id) == ("version", old.version_id)
    else:
        assert found.reason == "unsupported"


def test_what_replaced_a_version_stays_though_versions_are_kept_no_more() -> None:
    store = TakesAnyETag(MemoryStore(keeps_versions=True))
    place = Place(store, ROOT, is_exclusive=True, deletes_conditionally=False)
    place.store.put(place.a, b"newer")  # the planned version is still there, below this one
    assert place.act().reason == "changed"
    assert place.store.read(place.a) == b"newer"


def test_an_object_that_is_gone_is_not_ours_to_tell_of(place: Place) -> None:
    place.store.delete(place.a)
    assert place.act().reason in ("gone", "changed")


@pytest.mark.parametrize("change", ["replaced", "gone"])
def test_without_its_survivor_it_stays(place: Place, change: str) -> None:
    if change == "gone":
        place.store.delete(place.b)
    else:
        place.store.put(place.b, b"Same")
    assert place.act().reason == "no-survivor"
    assert place.store.read(place.a) == b"same"


def test_a_survivor_with_other_bytes_is_none(tmp_path: Path) -> None:
    place = Place(LocalStore(), path_to_uri(str(tmp_path)) + "/")
    place.store.put(place.b, b"samE")
    action = made_action(
        "quarantine",
        place.store.head(place.a),
        {"grace_days": 30},
        survivors=[place.store.head(place.b)],
    )
    with pytest.raises(Exception, match="does not have the bytes"):
        place.act(action)
    assert place.store.read(place.a) == b"same"
    assert not is_pinned(place.b, place.context)


class TwoNamedStore:
    """A bucket that has two names, as an access point gives it one more."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def __getattr__(self, name: str) -> Any:
        def call(first: Any, *more: Any, **named: Any) -> Any:
            if not isinstance(first, str):
                return getattr(self.store, name)(first, *more, **named)
            found = getattr(self.store, name)(first.replace("mem://alias/", ROOT), *more, **named)
            if name == "details":
                found = replace(found, item=replace(found.item, uri=first))
            return found

        return call


@pytest.mark.parametrize(("key", "status"), [("a", Status.SKIPPED), ("b", Status.DONE)])
def test_the_object_in_a_bucket_of_two_names_is_no_survivor(key: str, status: Status) -> None:
    store: Any = TwoNamedStore()
    for name in "ab":
        store.put(f"{ROOT}{name}", b"same")
    survivor = replace(store.head(f"mem://alias/{key}"), uri=f"mem://alias/{key}")
    action = made_action(
        "quarantine", store.head(f"{ROOT}a"), {"grace_days": 30}, survivors=[survivor]
    )
    way = made_context(store, ROOT).way_of(ROOT)
    context = replace(
        made_context(store, ROOT),
        way_of=lambda uri: replace(way, root=uri[: uri.index("/", len("mem://")) + 1]),
    )
    found = HANDLER.act(action, {}, context, is_resumed=False)
    assert found.status is status
    if status is Status.SKIPPED:
        assert found.reason == "no-survivor"
        assert store.read(f"{ROOT}a") == b"same"


@pytest.mark.parametrize("name", ["link", "folder", "hard link"])
def test_another_name_of_the_object_is_no_survivor(name: str, tmp_path: Path) -> None:
    place = Place(LocalStore(), path_to_uri(str(tmp_path)) + "/")
    data, other = tmp_path / "data", tmp_path / "other"
    if name == "folder":  # as of two listings that each saw one of them
        other.symlink_to(data)
    else:
        other.mkdir()
        make = Path.symlink_to if name == "link" else Path.hardlink_to
        make(other / "a", data / "a")
    survivor = place.store.head(path_to_uri(str(other / "a")))
    action = made_action(
        "quarantine", place.store.head(place.a), {"grace_days": 30}, survivors=[survivor]
    )
    assert place.act(action).reason == "no-survivor"
    assert (other / "a").read_bytes() == b"same"


def test_of_two_that_would_each_remove_the_others_survivor_one_stays(place: Place) -> None:
    other = made_action(
        "quarantine",
        place.store.head(place.b),
        {"grace_days": 30},
        survivors=[place.store.head(place.a)],
        action_id="b" * 32,
    )
    place.act()
    assert place.act(other).reason == "no-survivor"
    assert place.store.read(place.b) == b"same"


def test_a_pinned_object_stays(place: Place) -> None:
    place.act()
    expired = made_action("expire", place.store.head(place.b), {"grace_days": 1})
    assert place.act(expired).reason == "pinned"


def test_a_held_object_stays() -> None:
    place = Place(MemoryStore(), ROOT)
    place.store.set_hold(place.a, is_held=True)
    assert place.act().reason == "held"
    assert place.store.read(place.a) == b"same"


@pytest.mark.parametrize("keeps_versions", [False, True])
def test_a_lost_answer_is_settled_by_looking(keeps_versions: bool) -> None:
    store = MemoryStore(keeps_versions=keeps_versions)
    place = Place(store, ROOT, is_versioned=keeps_versions)
    whole = place.act
    lost = made_context(
        FaultyStore(store, "lost", only=("delete",)), ROOT, is_versioned=keeps_versions
    )
    with pytest.raises(StoreUnreachableError):
        HANDLER.act(place.action, {}, lost, is_resumed=False)
    found = left(whole(is_resumed=True))
    assert store.read(found.held_uri, version_id=found.held_version_id) == b"same"


def test_a_copy_is_taken_away_when_the_object_cannot_be(tmp_path: Path) -> None:
    store = MemoryStore()
    place = Place(store, ROOT)
    denied = made_context(FaultyStore(store, "denied", only=("delete",)), ROOT)
    with pytest.raises(Exception, match="scripted refusal"):
        HANDLER.act(place.action, {}, denied, is_resumed=False)
    assert not list(store.own_objects(ROOT))


class Several:
    """An object whose rows stand in two others, in a bucket without versions."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.uris = [self.store.put(f"{ROOT}data/{name}", name.encode()).uri for name in "abc"]
        gone, *stay = map(self.store.head, self.uris)
        to = {"grace_days": 30}
        self.action = made_action("quarantine", gone, to, survivors=stay, basis="rows:9")
        self.is_disturbed = False

    def act(self, store: Store | None = None, *, is_resumed: bool = False) -> Outcome:
        context = made_context(store or self.store, ROOT)
        try:
            return HANDLER.act(self.action, {}, context, is_resumed=is_resumed)
        except GreendataError as error:
            return outcome_of(error)

    def disturbed(self, at: int, uri: str, change: str, *, is_killed: bool) -> Store:
        """The store, where others change an object before one of our calls."""

        def others() -> None:
            self.is_disturbed = True
            with suppress(ObjectNotFoundError):
                match change:
                    case "put":
                        self.store.put(uri, b"theirs")
                    case "delete":
                        self.store.delete(uri)
                    case "tier":
                        self.store.set_tier(uri, "ARCHIVE")
                    case _:
                        self.store.set_hold(uri, is_held=True)
            if is_killed:
                raise DiedError

        return Mortal(self.store, at, others)

    def check(self, outcome: Outcome) -> None:
        """All that lies in our folders is named: a copy, and a pin on each survivor."""
        own = [item.uri for item in self.store.own_objects(ROOT)]
        pins = [uri for uri in own if "/pins/" in uri]
        held = [uri for uri in own if uri not in pins]
        with suppress(ObjectNotFoundError):
            is_there = self.store.head(self.uris[0]).etag == self.action.etag
            assert not is_there or "quarantine" not in outcome.after, outcome
        if "quarantine" not in outcome.after:
            assert own == [], outcome
        else:
            assert held == [left(outcome).held_uri], outcome
            assert self.store.read(held[0]) == b"a"
            context = made_context(self.store, ROOT)
            assert [is_pinned(uri, context) for uri in self.uris[1:]] == [True, True]
            assert len(pins) == 2


@pytest.mark.parametrize("change", ["put", "delete", "tier", "hold"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_whatever_others_change_meanwhile_no_pin_and_no_copy_is_left_without_a_name(
    change: str, is_killed: bool
) -> None:
    """``is_killed``: right after the change our process dies, and another one goes on."""
    for which in range(3):
        for at in range(99):
            world = Several()
            uri = world.uris[which]
            with suppress(DiedError):
                outcome = world.act(world.disturbed(at, uri, change, is_killed=is_killed))
            if not world.is_disturbed:
                break
            if is_killed:
                outcome = world.act(is_resumed=True)
            world.check(outcome)
            if (change, which) == ("put", 0):
                assert world.store.read(uri) == b"theirs"
                assert outcome.status is Status.SKIPPED
            if change != "hold" and which > 0 and (at == 0 or outcome.status is not Status.DONE):
                named = outcome.detail.partition(": ")[0]
                assert (outcome.reason, named) == ("no-survivor", uri)
        assert at > 9


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("which", [1, 2])
def test_an_audit_looks_at_each_that_stands_for_an_object(which: int, is_full: bool) -> None:
    world = Several()
    state = RunState(run_id=RUN, outcomes={world.action.action_id: world.act()})
    (entry,) = waiting(state)

    def audit(store: Store) -> list[tuple[str, str]]:
        checks = checks_of(RUN, [entry], store, is_full=is_full)
        found = [looked_at(check) for check in checks]
        found += own_findings(ROOT, known_of([(state, [entry], made_context(store, ROOT))]), store)
        return [(finding.problem, finding.uri) for finding in found if finding is not None]

    uri = world.uris[which]
    assert audit(world.store) == []
    cut = Unreadable(world.store, uri)
    assert audit(cut) == ([("survivor-changed", uri)] if is_full else [])
    world.store.put(uri, b"other")
    assert audit(world.store) == [("survivor-changed", uri)]
    world.store.delete(uri)
    assert audit(world.store) == [("survivor-missing", uri)]


class Unreadable(StoreWrapper):
    """A store in which one object is there and ends early."""

    def __init__(self, inner: Store, uri: str) -> None:
        super().__init__(inner)
        self._uri = uri

    def _around(self, call: Call) -> Any:
        return b"" if (call.name, call.uri) == ("read", self._uri) else call.make()


def test_a_pin_that_is_refused_leaves_none() -> None:
    world = Several()
    outcome = world.act(FaultyStore(world.store, "ok denied", only=("put",)))
    assert outcome.reason == "denied"
    world.check(outcome)
    assert world.store.read(world.uris[0]) == b"a"


def test_a_noncurrent_version_only_waits() -> None:
    store = MemoryStore(keeps_versions=True)
    place = Place(store, ROOT, is_versioned=True)
    old = store.head(place.a)
    store.put(place.a, b"newer")
    found = left(place.act(made_action("expire", old, {"grace_days": 7}, is_latest=False)))
    assert (found.form, found.held_version_id) == ("version", old.version_id)
    assert store.read(place.a) == b"newer"


def test_a_delete_marker_that_hides_nothing_only_waits() -> None:
    store = MemoryStore(keeps_versions=True)
    place = Place(store, ROOT, is_versioned=True)
    version = store.head(place.a).version_id
    store.delete(place.a)
    store.delete(place.a, version_id=version)
    (marker,) = (item for item in store.versions(place.a) if item.is_delete_marker)
    found = left(place.act(made_action("expire", marker, {"grace_days": 7})))
    assert (found.form, found.held_version_id) == ("marker", marker.version_id)
