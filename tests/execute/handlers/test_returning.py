from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import GreendataError
from greendata.execute.handlers import all_handlers
from greendata.execute.handlers.base import CannotUndo, Context
from greendata.execute.pins import is_pinned
from greendata.execute.records import Action, Outcome, Status
from greendata.execute.runstate import RunState
from greendata.execute.undo import Units, inverse_of, reversals
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri, uri_to_path
from greendata.stores.memory import MemoryStore
from greendata.stores.records import Properties
from greendata.stores.wrappers import FaultyStore
from tests.execute.handlers.made_places import OvertakenStore
from tests.execute.made_context import NOW, RUN, made_action, made_context

HANDLERS = all_handlers()
ROOT = "mem://bucket/"
NAMES = ("a", "ä%2F ü\u202e'\"", "..b", "x" * 200)
BESIDE = Properties(
    content_type="text/x",
    content_encoding="zstd",
    content_language="de",
    content_disposition="attachment",
    cache_control="no-store",
    metadata={"k": "v"},
    tags={"t": "1"},
)


@dataclass(slots=True)
class World:
    """A store with one object to change and one that stays, and what happens to it."""

    store: Store
    root: str
    way: dict[str, Any] = field(default_factory=dict)
    name: str = "a"
    beside: Properties = BESIDE
    journal: dict[str, Any] = field(default_factory=dict)
    a: str = ""
    b: str = ""

    def __post_init__(self) -> None:
        if self.root.startswith("file:"):
            self.a = path_to_uri(f"{uri_to_path(self.root)}data/{self.name}")
        else:
            self.a = f"{self.root}data/{self.name}"
        self.b = f"{self.root}data/stays"
        for uri in (self.a, self.b):
            self.store.put(uri, b"same", properties=self.beside)

    def context(self, store: Store | None = None) -> Context:
        return made_context(store or self.store, self.root, **self.way)

    def action(self, kind: str, to: dict[str, Any]) -> Action:
        survivors = [self.store.head(self.b)] if kind == "quarantine" else []
        return made_action(kind, self.store.head(self.a), to, survivors=survivors)

    def act(self, action: Action, store: Store | None = None) -> tuple[dict[str, Any], Outcome]:
        handler = HANDLERS[action.kind]
        before = dict(handler.prepare(action, self.context(store)))
        return before, handler.act(action, before, self.context(store), is_resumed=False)

    def inverse(self, action: Action) -> Action:
        before, outcome = self.act(action)
        assert outcome.status is Status.DONE, outcome
        found = inverse_of(action, before, outcome, HANDLERS)
        assert isinstance(found, Action), found
        return found

    def back(self, inverse: Action, store: Store | None = None) -> Outcome:
        """Carried out; what was known before the first try is known in the next."""
        handler, is_resumed = HANDLERS[inverse.kind], "before" in self.journal
        if not is_resumed:
            self.journal["before"] = dict(handler.prepare(inverse, self.context()))
        context = self.context(store)
        return handler.act(inverse, self.journal["before"], context, is_resumed=is_resumed)

    def look(self) -> dict[str, Any]:
        """All that a reader sees of the object."""
        details = self.store.details(self.a)
        tags = {} if self.root.startswith("file:") else self.store.tags(self.a)
        found: dict[str, Any] = {
            "bytes": self.store.read(self.a),
            "beside": details.beside(),
            "tags": tags,
            "class": details.item.storage_class,
            "held": details.is_held,
        }
        if self.root.startswith("file:"):
            status = os.stat(uri_to_path(self.a))
            found["file"] = (status.st_ino, status.st_mtime_ns, status.st_mode, status.st_uid)
        return found


class CopyingStore(MemoryStore):
    """Changes a class as S3 does: by a copy in place, which is a new version."""

    def set_tier(
        self,
        uri: str,
        storage_class: str,
        *,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> Any:
        kept = replace(BESIDE, tags=self.tags(uri), storage_class=storage_class)
        return self.copy(uri, uri, source_etag=etag, properties=kept)


def made_world(kind: str, folder: Path, name: str = "a") -> World:
    if kind == "local":
        return World(LocalStore(), path_to_uri(str(folder)) + "/", name=name)
    is_versioned = kind == "versioned"
    store = CopyingStore(keeps_versions=is_versioned)
    way = {"is_versioned": is_versioned, "copies_conditionally": kind != "streamed"}
    return World(store, ROOT, way, name=name)


@pytest.fixture(params=["unversioned", "streamed", "versioned", "local"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return made_world(request.param, tmp_path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["unversioned", "versioned", "local"])
def test_what_was_quarantined_is_back_as_it_was(kind: str, name: str, tmp_path: Path) -> None:
    world = made_world(kind, tmp_path, name)
    if kind == "local":
        os.chmod(uri_to_path(world.a), 0o640)
        os.utime(uri_to_path(world.a), ns=(1, 123_456_789))
    before = world.look()
    inverse = world.inverse(world.action("quarantine", {"grace_days": 30}))
    assert is_pinned(world.b, world.context())
    for _ in range(2):  # twice is once
        assert world.back(inverse).status is Status.DONE
        assert world.look() == before
        assert not is_pinned(world.b, world.context())
    assert not [u for u in own(world) if "/quarantine/" in u]


def own(world: World) -> list[str]:
    return [
        item.uri
        for item in world.store.own_objects(world.root)
        if not item.uri.endswith("write.lock")
    ]


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        ("tag", {"tag": {"t": "2", "u": "3"}}),
        ("hold", {"hold": "legal"}),
        ("tier", {"storage_class": "COOL"}),
        ("tier", {"storage_class": "ARCHIVE"}),
        ("expire", {"grace_days": 1}),
    ],
)
@pytest.mark.parametrize("place", ["unversioned", "versioned"])
def test_every_kind_is_taken_back(
    place: str, kind: str, to: dict[str, Any], tmp_path: Path
) -> None:
    world = made_world(place, tmp_path)
    before = world.look()
    inverse = world.inverse(world.action(kind, to))
    for _ in range(2):
        assert world.back(inverse).status is Status.DONE
        assert world.look() == before


@pytest.mark.parametrize("fault", ["lost", "503"])
@pytest.mark.parametrize("call", range(12))
def test_interrupted_anywhere_it_goes_on(world: World, call: int, fault: str) -> None:
    before = world.look()
    inverse = world.inverse(world.action("quarantine", {"grace_days": 30}))
    faulty = FaultyStore(world.store, f"ok*{call} {fault}" if call else fault)
    try:
        first = world.back(inverse, faulty)
    except GreendataError:
        first = None
    assert first is None or first.status is Status.DONE
    assert world.back(inverse).status is Status.DONE
    assert world.look() == before
    assert not own(world)


@pytest.mark.parametrize("call", range(10))
def test_an_earlier_version_comes_forward_once(call: int, tmp_path: Path) -> None:
    world = made_world("versioned", tmp_path)
    before = world.look()
    inverse = world.inverse(world.action("tier", {"storage_class": "COOL"}))
    faulty = FaultyStore(world.store, f"ok*{call} lost" if call else "lost")
    with contextlib.suppress(GreendataError):
        world.back(inverse, faulty)
    found = world.back(inverse)
    assert found.status is Status.DONE
    assert world.look() == before
    versions = [v for v in world.store.versions(world.a) if v.uri == world.a]
    assert len(versions) == 3
    assert found.after["quarantine"]["held_version_id"] == versions[1].version_id


def test_somebody_elses_object_keeps_the_name(world: World) -> None:
    inverse = world.inverse(world.action("quarantine", {"grace_days": 30}))
    world.store.put(world.a, b"theirs")
    found = world.back(inverse)
    assert (found.status, found.reason) == (Status.SKIPPED, "conflict")
    assert world.store.read(world.a) == b"theirs"
    assert is_pinned(world.b, world.context())


def test_an_object_of_equal_size_is_a_conflict_too(world: World) -> None:
    inverse = world.inverse(world.action("quarantine", {"grace_days": 30}))
    world.store.put(world.a, b"SAME", properties=BESIDE)
    assert world.back(inverse).reason == "conflict"
    assert world.store.read(world.a) == b"SAME"


@pytest.mark.parametrize("kind", ["unversioned", "streamed"])
def test_what_others_put_where_an_object_was_just_brought_back_stays(
    kind: str, tmp_path: Path
) -> None:
    world = made_world(kind, tmp_path)
    inverse = world.inverse(world.action("quarantine", {"grace_days": 30}))
    store = OvertakenStore(world.store, world.a, b"SAME", BESIDE)
    assert world.back(inverse, store).reason == "conflict"
    assert world.store.read(world.a) == b"SAME"
    assert world.store.read(inverse.to["held_uri"]) == b"same"


def test_a_class_that_others_chose_after_a_tier_action_stays(tmp_path: Path) -> None:
    world = made_world("unversioned", tmp_path)
    inverse = world.inverse(world.action("tier", {"storage_class": "COOL"}))
    MemoryStore.set_tier(world.store, world.a, "ARCHIVE")  # type: ignore[arg-type]
    inverse = replace(inverse, etag=world.store.head(world.a).etag)
    assert world.back(inverse).reason == "changed"
    assert world.store.head(world.a).storage_class == "ARCHIVE"


def test_what_was_written_after_a_tier_action_stays(tmp_path: Path) -> None:
    world = made_world("versioned", tmp_path)
    inverse = world.inverse(world.action("tier", {"storage_class": "COOL"}))
    world.store.put(world.a, b"newer")
    assert world.back(inverse).reason == "changed"
    assert world.store.read(world.a) == b"newer"


def test_tags_that_others_set_meanwhile_stay(tmp_path: Path) -> None:
    world = made_world("versioned", tmp_path)
    inverse = world.inverse(world.action("tier", {"storage_class": "COOL"}))
    world.store.set_tags(world.a, {"theirs": "1"})
    assert world.back(inverse).status is Status.DONE
    assert world.store.tags(world.a) == {"theirs": "1"}


def test_what_somebody_else_deleted_again_stays_deleted(tmp_path: Path) -> None:
    world = made_world("versioned", tmp_path)
    inverse = world.inverse(world.action("quarantine", {"grace_days": 30}))
    world.store.put(world.a, b"theirs")
    world.store.delete(world.a)
    assert world.back(inverse).reason == "changed"
    assert len([v for v in world.store.versions(world.a) if v.uri == world.a]) == 4


def test_who_may_delete_no_marker_copies_the_version(tmp_path: Path) -> None:
    world = made_world("versioned", tmp_path)
    before = world.look()
    inverse = world.inverse(world.action("quarantine", {"grace_days": 30}))
    faulty = FaultyStore(world.store, "denied", only=("delete",))
    found = world.back(inverse, faulty)
    assert found.status is Status.DONE
    assert world.look() == before
    assert found.after["quarantine"]["held_version_id"] == inverse.version_id


def test_a_damaged_copy_in_quarantine_is_not_given_the_name(tmp_path: Path) -> None:
    world = made_world("unversioned", tmp_path)
    inverse = world.inverse(world.action("quarantine", {"grace_days": 30}))
    world.store.put(inverse.to["held_uri"], b"sbme")
    assert world.back(inverse).reason == "changed"


def test_an_archived_object_is_restored_first(tmp_path: Path) -> None:
    class SlowStore(MemoryStore):
        def restore(self, *args: Any, **named: Any) -> None:
            asked.append(args)

    asked: list[Any] = []
    world = World(SlowStore(), ROOT, {"is_versioned": False})
    before = world.look()
    inverse = world.inverse(world.action("tier", {"storage_class": "ARCHIVE"}))
    waiting = world.back(inverse)
    assert waiting.status is Status.PENDING
    assert waiting.due_at is not None
    assert waiting.due_at > NOW
    assert asked
    MemoryStore.restore(world.store, world.a, days=1)  # type: ignore[arg-type]
    assert world.back(inverse).status is Status.DONE
    assert world.look() == before


# --- which actions of a run are taken back, and in which order


def state_of(**named: Any) -> RunState:
    return RunState(run_id=RUN, **named)


def unit_of(world: World, state: RunState, *actions: Action) -> tuple[Action, ...]:
    found = [entry for unit in reversals(iter([actions]), state, HANDLERS) for entry in unit]
    return Units(state, HANDLERS).unit(found, world.context())


@pytest.mark.parametrize("moment", ["before", "after", "half"])
def test_an_intent_without_outcome_is_settled_by_looking(world: World, moment: str) -> None:
    before = world.look()
    action = world.action("quarantine", {"grace_days": 30})
    if moment == "after":
        world.act(action)
    elif moment == "half":
        faulty = FaultyStore(world.store, "503", only=("delete", "move"))
        with pytest.raises(GreendataError):
            world.act(action, faulty)
    unit = unit_of(world, state_of(intents={action.action_id: {}}), action)
    assert [inverse.kind for inverse in unit] == ["bring_back"] * (moment == "after")
    for inverse in unit:
        assert world.back(inverse).status is Status.DONE
    assert world.look() == before
    assert not own(world)


def test_looking_changes_nothing_for_any_kind(tmp_path: Path) -> None:
    world = made_world("versioned", tmp_path)
    upload = world.store.start_upload(world.a)
    meant: dict[str, dict[str, Any]] = {
        "tag": {"tag": {"t": "2"}},
        "hold": {"hold": "legal"},
        "tier": {"storage_class": "COOL"},
        "abort_uploads": {"upload_id": upload.upload_id},
    }
    actions = [
        replace(world.action(kind, to), action_id=f"{number:032x}")
        for number, (kind, to) in enumerate(meant.items())
    ]
    before = world.look()
    intents = {
        action.action_id: dict(HANDLERS[action.kind].prepare(action, world.context()))
        for action in actions
    }
    assert unit_of(world, state_of(intents=intents), *actions) == ()
    assert world.look() == before
    assert list(world.store.uploads(world.root))


def test_the_last_action_on_an_object_is_taken_back_first(tmp_path: Path) -> None:
    world = made_world("unversioned", tmp_path)
    tag = replace(world.action("tag", {"tag": {"t": "2"}}), action_id="1" * 32)
    tag_before, tagged = world.act(tag)
    away = world.action("quarantine", {"grace_days": 30})
    away_before, gone = world.act(away)
    state = state_of(
        intents={tag.action_id: tag_before, away.action_id: away_before},
        outcomes={tag.action_id: tagged, away.action_id: gone},
    )
    first, second = unit_of(world, state, tag, away)
    assert (first.kind, second.kind) == ("bring_back", "tag")


def test_what_nothing_takes_back_is_said(tmp_path: Path) -> None:
    world = made_world("unversioned", tmp_path)
    upload = world.store.start_upload(world.a)
    action = world.action("abort_uploads", {"upload_id": upload.upload_id})
    before, outcome = world.act(action)
    state = state_of(intents={action.action_id: before}, outcomes={action.action_id: outcome})
    (said,) = unit_of(world, state, action)
    found = world.back(said)
    assert found.reason == "irreversible"
    assert "parts" in found.detail


def test_what_was_purged_does_not_come_back(tmp_path: Path) -> None:
    world = made_world("unversioned", tmp_path)
    action = world.action("quarantine", {"grace_days": 30})
    before, outcome = world.act(action)
    purged = Outcome(status=Status.DONE)
    state = state_of(
        intents={action.action_id: before},
        outcomes={action.action_id: outcome},
        purged={action.action_id: purged},
    )
    ((entry,),) = reversals(iter([(action,)]), state, HANDLERS)
    assert entry.inverse == CannotUndo(words="it was purged")
