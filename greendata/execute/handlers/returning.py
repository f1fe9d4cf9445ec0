"""Taking objects out of quarantine again, and back into the storage class they were in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from greendata.errors import (
    DeniedError,
    GreendataError,
    IntegrityError,
    ObjectArchivedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UnsupportedError,
)
from greendata.execute.copying import copy_object, lost_beside, require_same_bytes
from greendata.execute.handlers.base import CannotUndo, Context, Handler, planned_details
from greendata.execute.handlers.tier import TierHandler, known_content, moved_by_others
from greendata.execute.pins import unpin_all
from greendata.execute.quarantine import Quarantined
from greendata.execute.records import Action, Outcome, Status, Survivor, done, skipped
from greendata.execute.retiring import retire_version
from greendata.footprint.tables import values_of
from greendata.plan.actions import KEPT_DAYS
from greendata.stores.records import ALWAYS, IF_ABSENT, Condition

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.stores.records import ObjectDetails

RESTORE_DAYS = 7
"""How long an archived object is made readable so that it can be copied out of its class."""

LATE_HOURS = 1.0
"""After how long a restore that is late is looked at again."""

_UNKNOWN_HOURS = 12.0
"""Of a class that ``class_limits.csv`` does not have: as its slowest one."""


IS_LEFT_ALONE = "is_left_alone"
"""In an intent: nothing was meant to be done."""


class BringBackHandler(Handler):
    """Gives what is in quarantine its name again, if nothing else has it by now.

    ``action.to`` is the record of quarantine, ``action.source`` what the object was planned as. Of
    an earlier version that a tier action left, ``action.etag`` and ``version_id`` are those of the
    version that took its place.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"bring_back"})

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        held = Quarantined.from_dict(action.to)
        if held.form != "moved" or held.held_uri.startswith("file:"):
            return {}
        found = context.store.details(held.held_uri)
        return {
            "size_bytes": found.item.size_bytes,
            "content_type": found.content_type,
            "metadata": dict(found.metadata),
            "checksums": dict(found.checksums),
        }

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        held = Quarantined.from_dict(action.to)
        if held.form == "marker":
            return done()
        if held.cause == "tier":
            return _version_forward(action, held, context, is_resumed=is_resumed)
        if held.form == "version":
            found = _version_back(action, held, context)
        elif held.held_uri.startswith("file:"):
            found = _file_back(action, held, context)
        else:
            found = _copy_back(action, held, before, context)
        if found.status is Status.DONE:
            unpin_all(held.survivors, action, context)
        return found

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return CannotUndo(words="apply the plan again")


class UntierHandler(Handler):
    """Back into the class it was in; what is archived is restored first, which takes hours."""

    kinds: ClassVar[frozenset[str]] = frozenset({"untier"})

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        return known_content(action, context)

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        target = str(action.to["storage_class"])
        details = context.store.details(action.uri)
        if details.item.etag == action.etag and details.item.storage_class == target:
            return done(object=_identity(details.item))
        moved = moved_by_others(action, details.item)
        if details.item.etag == action.etag and moved is not None:
            return moved
        if details.item.etag == action.etag and details.is_archived:
            waiting = self._wait(action, target, details, context)
            if waiting is not None:
                return waiting
        plain = replace(action, kind="tier", version_id=None)
        return TierHandler().act(plain, before, context, is_resumed=is_resumed)

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return CannotUndo(words="apply the plan again")

    def _wait(
        self, action: Action, target: str, details: ObjectDetails, context: Context
    ) -> Outcome | None:
        """Asks for it unless that was done; None when it can be read now."""
        store, hours = context.store, LATE_HOURS
        if details.restore_state is None:
            held = planned_details(replace(action, version_id=None), context)
            if isinstance(held, Outcome):
                return held
            if action.uri.startswith("az:"):
                store.set_tier(action.uri, target, etag=action.etag)
            else:
                store.restore(action.uri, days=RESTORE_DAYS)
            hours = restore_hours(action.uri, details.item.storage_class)
            details = store.details(action.uri)
        if not details.is_unreadable:
            return None
        due_at = context.now() + timedelta(hours=hours)
        return Outcome(
            status=Status.PENDING,
            reason="waiting",
            detail=f"{action.uri}: is to be readable by {due_at:%Y-%m-%d %H:%M} UTC.",
            due_at=due_at,
        )


class LeftAloneHandler(Handler):
    """Says of an action that nothing takes it back, or why nobody knows, so that it is journalled.

    ``action.to`` has the outcome's ``status``, ``reason``, ``detail`` and ``after``.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"left_alone"})

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        return {IS_LEFT_ALONE: True}

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        return Outcome(
            status=Status(action.to["status"]),
            reason=str(action.to["reason"]),
            detail=str(action.to["detail"]),
            after=action.to["after"],
        )

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return CannotUndo(words="nothing was done")


def left_alone(action: Action, outcome: Outcome) -> Action:
    """The action that only says this of another one."""
    said = {
        "status": outcome.status.value,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "after": outcome.after,
    }
    return replace(
        action,
        kind="left_alone",
        group_id=action.action_id,
        to=said,
        fees_usd=None,
        monthly_saving_usd=None,
        carbon_kgco2e=None,
    )


def restore_hours(uri: str, storage_class: str | None) -> float:
    """The longest that a restore at standard speed takes, by the provider's page."""
    key = (uri.partition("://")[0], storage_class or "", "restore_standard")
    found = values_of("class_limits").get(key)
    return _UNKNOWN_HOURS if found is None else float(found.high)


def _identity(item: StoredObject) -> dict[str, Any]:
    return {"etag": item.etag, "version_id": item.version_id, "size_bytes": item.size_bytes}


def _taken(uri: str) -> Outcome:
    return skipped("conflict", f"{uri}: another object has this name by now.")


def _found(uri: str, context: Context) -> ObjectDetails | None:
    try:
        return context.store.details(uri)
    except ObjectNotFoundError:
        return None


# --- files are renamed back: inode, times, mode and owner were never touched


def _file_back(action: Action, held: Quarantined, context: Context) -> Outcome:
    try:
        context.store.move(held.held_uri, action.uri, etag=held.held_etag)
    except (ObjectNotFoundError, PreconditionFailedError) as error:
        there = _found(action.uri, context)
        if there is not None and there.item.etag != held.held_etag:
            return _taken(action.uri)
        if there is None:
            reason = "gone" if isinstance(error, ObjectNotFoundError) else "changed"
            return skipped(reason, error.message)
    return done(object=_identity(context.store.head(action.uri)))


# --- in buckets without versions the copy in quarantine is copied back, compared, and deleted


def _copy_back(
    action: Action, held: Quarantined, before: Mapping[str, Any], context: Context
) -> Outcome:
    store, uri = context.store, action.uri
    there, copy = _found(uri, context), _found(held.held_uri, context)
    if copy is None:  # an earlier try deleted it when the object was back
        is_back = there is not None and _is_as_before(there, before)
        if there is None or not is_back:
            return skipped("gone", f"{held.held_uri}: is not there any more.")
        return done(object=_identity(there.item))
    if held.held_etag is not None and copy.item.etag != held.held_etag:
        return skipped("changed", f"{held.held_uri}: is not what was put there.")
    etag = None
    if there is None:
        # where something is by now, perhaps of a try whose answer was lost, that tells
        with suppress(PreconditionFailedError):
            etag = copy_object(copy.item, uri, context).etag
        there = _found(uri, context)
    if there is None or not _has_same_beside(copy, there, context):
        return _taken(uri)
    try:
        require_same_bytes(copy.item, there.item, context)
    except IntegrityError:
        if there.item.etag != etag:
            return _taken(uri)
        store.delete(uri, etag=etag)
        raise
    item = _into_class(action, there.item, context)
    store.delete(held.held_uri, etag=copy.item.etag)
    return Outcome(
        status=Status.DONE,
        after={"object": _identity(item)},
        moved_bytes=2 * item.size_bytes,
    )


def _is_as_before(there: ObjectDetails, before: Mapping[str, Any]) -> bool:
    """Whether this is what was in quarantine when the intent was written."""
    known: Mapping[str, str] = before.get("checksums", {})
    return (
        there.item.size_bytes == before.get("size_bytes")
        and there.content_type == before.get("content_type")
        and dict(there.metadata) == before.get("metadata")
        and all(there.checksums.get(name, value) == value for name, value in known.items())
    )


def _has_same_beside(one: ObjectDetails, other: ObjectDetails, context: Context) -> bool:
    return not lost_beside(one, other) and _tags(one.item, context) == _tags(other.item, context)


def _tags(item: StoredObject, context: Context) -> Mapping[str, str]:
    try:
        return context.store.tags(item.uri, version_id=item.version_id)
    except UnsupportedError:
        return {}


def _into_class(action: Action, item: StoredObject, context: Context) -> StoredObject:
    """Not every store keeps the class when it copies."""
    wanted = action.source.get("storage_class")
    if wanted is None or item.storage_class in (None, wanted):
        return item
    context.store.set_tier(item.uri, str(wanted), etag=item.etag)
    return context.store.head(item.uri)


# --- where versions are kept, the delete marker on top is taken away


def _version_back(action: Action, held: Quarantined, context: Context) -> Outcome:
    versions = _versions(action.uri, context)
    if held.held_version_id not in [item.version_id for item in versions]:
        return skipped("gone", f"{action.uri}: version {held.held_version_id} is not there.")
    top = versions[0]
    if top.version_id == held.held_version_id:
        return done(object=_identity(top))
    if not action.source.get("is_latest", True):
        return done()  # it was a noncurrent version before, and is one
    if not top.is_delete_marker:
        return _taken(action.uri)
    is_ours = top.version_id == held.marker_version_id or (
        held.marker_version_id is None and versions[1].version_id == held.held_version_id
    )
    if not is_ours:
        return skipped("changed", f"{action.uri}: was deleted by somebody else since.")
    try:
        context.store.delete(action.uri, version_id=top.version_id)
    except DeniedError:
        return _version_copied(action, held, context)
    item = context.store.head(action.uri)
    if item.version_id != held.held_version_id:
        return _taken(action.uri)
    return done(object=_identity(item))


def _version_copied(action: Action, held: Quarantined, context: Context) -> Outcome:
    """Who may delete no versions, not even a marker, copies the version onto it instead."""
    version = context.store.details(action.uri, version_id=held.held_version_id).item
    try:
        context.store.copy(
            action.uri,
            action.uri,
            source_etag=version.etag,
            source_version_id=version.version_id,
            condition=IF_ABSENT,
        )
    except PreconditionFailedError:
        return _taken(action.uri)
    item = context.store.head(action.uri)
    require_same_bytes(version, item, context)
    return done(object=_identity(item), quarantine=_left(action, version, item, held, context))


def _left(
    action: Action, version: StoredObject, item: StoredObject, held: Quarantined, context: Context
) -> dict[str, Any]:
    """The record of an earlier version that the current one, a copy, stands for."""
    survivor = Survivor(
        uri=item.uri,
        store_id=action.store_id,
        etag=item.etag,
        version_id=item.version_id,
        basis=f"copy:{version.version_id}",
    )
    planned = replace(
        action, kind="tier", etag=version.etag, size_bytes=version.size_bytes, policy=held.policy
    )
    left = retire_version(
        planned, context, str(version.version_id), grace_days=KEPT_DAYS, survivors=(survivor,)
    )
    return left.as_dict()


def _versions(uri: str, context: Context) -> list[StoredObject]:
    """Newest first."""
    return [item for item in context.store.versions(uri) if item.uri == uri]


# --- a version that a tier action left is copied over the one that took its place


def _version_forward(
    action: Action, held: Quarantined, context: Context, *, is_resumed: bool
) -> Outcome:
    store, uri = context.store, action.uri
    versions = _versions(uri, context)
    top = versions[0] if versions else None
    if top is None or top.is_delete_marker:
        return skipped("gone", f"{uri}: was deleted since.")
    if top.version_id == held.held_version_id:
        return done(object=_identity(top))
    earlier = store.details(uri, version_id=held.held_version_id)
    if is_resumed and _is_forward(action, versions, earlier, context):
        return _forward_done(action, held, earlier.item, top, context)
    found = planned_details(replace(action, version_id=None), context)
    if isinstance(found, Outcome):
        return found
    if found.item.version_id != action.version_id:
        return skipped("changed", f"{uri}: was written again since.")
    if earlier.is_archived:
        return _tier_back(action, earlier.item, context)
    is_safe = context.way_of(uri).copies_conditionally
    store.copy(
        uri,
        uri,
        source_etag=earlier.item.etag,
        source_version_id=held.held_version_id,
        condition=Condition(etag=action.etag) if is_safe else ALWAYS,
    )
    top, *below = _versions(uri, context)
    if not below or below[0].version_id != action.version_id:
        store.delete(uri, version_id=top.version_id)  # ours hides what somebody wrote meanwhile
        return skipped("changed", f"{uri}: was written by somebody else meanwhile.")
    return _forward_done(action, held, earlier.item, top, context)


def _is_forward(
    action: Action, versions: list[StoredObject], earlier: ObjectDetails, context: Context
) -> bool:
    """Whether the newest version is the copy that an earlier try made."""
    if len(versions) < 2 or versions[1].version_id != action.version_id:
        return False
    if versions[0].storage_class != earlier.item.storage_class:
        return False
    try:
        require_same_bytes(earlier.item, versions[0], context)
    except GreendataError:
        return False
    return True


def _forward_done(
    action: Action, held: Quarantined, earlier: StoredObject, top: StoredObject, context: Context
) -> Outcome:
    """Compared; tags that others set since stay; the replaced version waits in quarantine."""
    store, uri = context.store, action.uri
    require_same_bytes(earlier, top, context)
    replaced = store.details(uri, version_id=action.version_id).item
    with suppress(ObjectArchivedError):  # of which some servers tell no tags
        tags = _tags(replaced, context)
        if tags != _tags(top, context):
            store.set_tags(uri, tags, version_id=top.version_id)
    return done(object=_identity(top), quarantine=_left(action, replaced, top, held, context))


def _tier_back(action: Action, earlier: StoredObject, context: Context) -> Outcome:
    """What was archived before cannot be copied: the current version goes into its class."""
    plain = replace(action, kind="tier", to={"storage_class": earlier.storage_class})
    return TierHandler().act(plain, {}, context, is_resumed=False)
