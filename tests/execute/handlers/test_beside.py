"""Tags, holds, tiers and uploads: done once, settled by looking, taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from greendata.errors import IntegrityError, StoreUnreachableError
from greendata.execute.handlers import all_handlers
from greendata.execute.handlers.base import CannotUndo, Handler, outcome_of
from greendata.execute.handlers.labels import HoldHandler, TagHandler
from greendata.execute.handlers.tier import TierHandler
from greendata.execute.handlers.uploads import UploadsHandler
from greendata.execute.quarantine import Quarantined
from greendata.execute.records import Action, Outcome, Status
from greendata.stores.memory import MemoryStore
from greendata.stores.records import Properties
from greendata.stores.wrappers import FaultyStore
from tests.execute.made_context import made_action, made_context

ROOT = "mem://bucket/"
URI = ROOT + "data/a"
BESIDE = Properties(
    content_type="text/plain", metadata={"owner": "me"}, tags={"kept": "yes", "team": "old"}
)


class Try:
    """A handler on one object."""

    def __init__(self, handler: Handler, kind: str, to: Mapping[str, Any], **way: Any) -> None:
        self.store = MemoryStore(keeps_versions=way.get("is_versioned", False))
        self.store.put(URI, b"content", properties=BESIDE)
        self.handler = handler
        self.context = made_context(self.store, ROOT, **way)
        self.action = made_action(kind, self.store.head(URI), to)
        self.before = handler.prepare(self.action, self.context)

    def act(self, action: Action | None = None, *, is_resumed: bool = False) -> Outcome:
        return self.handler.act(
            action or self.action, self.before, self.context, is_resumed=is_resumed
        )

    def undo(self, outcome: Outcome) -> Outcome:
        inverse = self.handler.inverse(self.action, self.before, outcome)
        assert isinstance(inverse, Action)
        return self.act(inverse)


def tag() -> Try:
    return Try(TagHandler(), "tag", {"tag": {"team": "new", "more": "1"}})


def test_tags_are_added_to_those_that_are_there_and_taken_back() -> None:
    made = tag()
    found = made.act()
    assert made.store.tags(URI) == {"kept": "yes", "team": "new", "more": "1"}
    assert made.act(is_resumed=True) == found
    assert made.undo(found).status is Status.DONE
    assert made.store.tags(URI) == {"kept": "yes", "team": "old"}


def test_tags_that_somebody_changed_since_are_not_taken_back() -> None:
    made = tag()
    found = made.act()
    made.store.set_tags(URI, {"team": "theirs"})
    assert made.undo(found).reason == "changed"
    assert made.store.tags(URI) == {"team": "theirs"}


def test_a_hold_is_put_on_and_taken_off_by_undo_only_if_it_was_ours() -> None:
    made = Try(HoldHandler(), "hold", {"hold": "legal"})
    found = made.act()
    assert made.store.details(URI).is_held
    assert made.act(is_resumed=True).status is Status.DONE
    assert made.undo(found).status is Status.DONE
    assert not made.store.details(URI).is_held
    made.store.set_hold(URI, is_held=True)
    held_before = made.handler.prepare(made.action, made.context)
    assert isinstance(made.handler.inverse(made.action, held_before, found), CannotUndo)


@pytest.mark.parametrize("is_versioned", [False, True])
def test_a_tier_changes_nothing_else_and_is_taken_back(is_versioned: bool) -> None:
    made = Try(TierHandler(), "tier", {"storage_class": "COOL"}, is_versioned=is_versioned)
    found = made.act()
    details = made.store.details(URI)
    assert details.item.storage_class == "COOL"
    assert (details.content_type, dict(details.metadata)) == ("text/plain", {"owner": "me"})
    assert made.store.tags(URI) == BESIDE.tags
    assert made.act(is_resumed=True).status is Status.DONE
    made.undo(found)
    assert made.store.head(URI).storage_class == "HOT"


def test_an_object_that_moved_already_or_was_replaced_is_left_alone() -> None:
    made = Try(TierHandler(), "tier", {"storage_class": "COOL"})
    made.store.set_tier(URI, "COOL")
    assert made.act().reason == "changed"
    made.store.put(URI, b"other")
    assert made.act().reason == "changed"
    assert made.store.head(URI).storage_class == "HOT"


def test_an_object_that_others_moved_to_a_third_class_stays_there() -> None:
    made = Try(TierHandler(), "tier", {"storage_class": "COOL"})
    made.store.set_tier(URI, "ARCHIVE")
    assert made.act().reason == "changed"
    assert made.store.head(URI).storage_class == "ARCHIVE"


def test_a_held_object_stays_in_its_tier() -> None:
    made = Try(TierHandler(), "tier", {"storage_class": "COOL"})
    made.store.set_hold(URI, is_held=True)
    assert made.act().reason == "held"


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
        before = self.details(uri, version_id=version_id)
        kept = Properties(
            content_type=before.content_type,
            metadata=before.metadata,
            tags=self.tags(uri),
            storage_class=storage_class,
        )
        return self.copy(uri, uri, source_etag=etag, properties=kept)


@pytest.mark.parametrize("is_resumed", [False, True])
def test_the_version_before_waits_with_the_new_one_as_its_survivor(is_resumed: bool) -> None:
    store = CopyingStore(keeps_versions=True)
    first = store.put(URI, b"content", properties=BESIDE)
    context = made_context(store, ROOT, is_versioned=True)
    action = made_action("tier", store.head(URI), {"storage_class": "COOL"})
    if is_resumed:
        lost = made_context(FaultyStore(store, "lost", only=("set_tier",)), ROOT, is_versioned=True)
        with pytest.raises(StoreUnreachableError):
            TierHandler().act(action, {}, lost, is_resumed=False)
    found = TierHandler().act(action, {}, context, is_resumed=is_resumed)
    waiting = Quarantined.from_dict(found.after["quarantine"])
    now = store.head(URI)
    assert waiting.held_version_id == first.version_id
    (survivor,) = waiting.survivors
    assert (survivor.version_id, now.storage_class) == (now.version_id, "COOL")


class ForgettingStore(MemoryStore):
    """Copies without one thing that is beside the content, as some servers do."""

    def copy(self, source: str, target: str, **named: Any) -> Any:
        written = super().copy(source, target, **named)
        version = self._current(target)
        kept = replace(version.properties, cache_control=None)
        self._replace(target, version, properties=kept)
        return written

    def set_tier(self, uri: str, storage_class: str, **named: Any) -> Any:
        return self.copy(uri, uri, properties=Properties(storage_class=storage_class))


@pytest.mark.parametrize("kind", ["tier", "quarantine"])
def test_a_copy_that_lost_something_beside_the_content_is_no_copy(kind: str) -> None:
    store = ForgettingStore()
    for uri in (URI, ROOT + "stays"):
        store.put(uri, b"content", properties=Properties(cache_control="no-store"))
    to: dict[str, Any] = {"storage_class": "COOL"} if kind == "tier" else {"grace_days": 30}
    survivors = (store.head(ROOT + "stays"),) if kind == "quarantine" else ()
    action = made_action(kind, store.head(URI), to, survivors=survivors)
    handler = all_handlers()[kind]
    try:
        found = handler.act(action, {}, made_context(store, ROOT), is_resumed=False)
    except IntegrityError as error:
        found = outcome_of(error)
    assert (found.status, found.reason) == (Status.FAILED, "damaged")
    assert "lost" in found.detail
    assert "cache control" in found.detail
    assert store.read(URI) == b"content"


def test_what_s3_copies_says_that_an_acl_stays_behind() -> None:
    store = CopyingStore()
    store.put("s3://b/a", b"content")
    action = made_action("tier", store.head("s3://b/a"), {"storage_class": "COOL"})
    found = TierHandler().act(action, {}, made_context(store, "s3://b/"), is_resumed=False)
    assert (found.status, "ACL" in found.detail) == (Status.DONE, True)


def test_exactly_the_planned_upload_is_aborted() -> None:
    store = MemoryStore()
    ours, theirs = store.start_upload(URI), store.start_upload(URI)
    store.put_part(ours, 1, b"part")
    store.put(URI, b"content")
    context = made_context(store, ROOT)
    action = made_action("abort_uploads", store.head(URI), {"upload_id": ours.upload_id})
    handler = UploadsHandler()
    assert handler.act(action, {}, context, is_resumed=False).status is Status.DONE
    assert [upload.upload_id for upload in store.uploads(URI)] == [theirs.upload_id]
    assert handler.act(action, {}, context, is_resumed=True).status is Status.DONE
    assert handler.act(action, {}, context, is_resumed=False).reason == "gone"
    assert isinstance(handler.inverse(action, {}, Outcome(status=Status.DONE)), CannotUndo)
