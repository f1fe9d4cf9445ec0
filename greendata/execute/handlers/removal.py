"""``quarantine`` and ``expire``: out of sight now, removed by ``purge`` after the grace time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from greendata.errors import ObjectNotFoundError
from greendata.execute.copying import require_same_bytes
from greendata.execute.handlers.base import CannotUndo, Context, Handler, planned_details
from greendata.execute.pins import is_same_object, pinned, refuse_pinned, unpin_all
from greendata.execute.quarantine import Quarantined
from greendata.execute.records import Action, Outcome, Survivor, done, skipped
from greendata.execute.retiring import drop_copy, find_retired, retire, retire_marker
from greendata.model import StoredObject

BYTES = "sha256:"
"""A survivor's basis that begins so has the very bytes of the object."""


class RemovalHandler(Handler):
    """Quarantine in favour of survivors, each of which is pinned and checked now; or expire."""

    kinds: ClassVar[frozenset[str]] = frozenset({"quarantine", "expire"})

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        found = _planned(action, context)
        if isinstance(found, Outcome):
            return _ended_before(found, action, context, is_resumed=is_resumed)
        if found is None:
            marker = retire_marker(action, context, grace_days=_days(action))
            return done(quarantine=marker.as_dict())
        with pinned(action.survivors, action, context):
            problem = _refusal(action, found, context)
            if problem is None:
                left = retire(
                    action,
                    found,
                    context,
                    grace_days=_days(action),
                    survivors=action.survivors,
                    is_whole=_is_whole(action),
                )
                return done(quarantine=left.as_dict())
        return _ended_before(problem, action, context, is_resumed=is_resumed)

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return bring_back(action, outcome)


def bring_back(action: Action, outcome: Outcome) -> Action:
    """The action that takes an object out of quarantine again."""
    return Action(
        action_id=action.action_id,
        group_id=action.group_id,
        kind="bring_back",
        uri=action.uri,
        store_id=action.store_id,
        version_id=action.version_id,
        etag=action.etag,
        size_bytes=action.size_bytes,
        source=action.source,
        to=outcome.after["quarantine"],
        policy=action.policy,
        reason="undo",
        survivors=action.survivors,
    )


def _days(action: Action) -> int:
    return int(action.to["grace_days"])


def _is_whole(action: Action) -> bool:
    return action.to.get("allow") is None


def _planned(action: Action, context: Context) -> StoredObject | Outcome | None:
    """The planned object; why it cannot go; None for a delete marker that hides nothing."""
    try:
        way = context.way_of(action.uri)
        is_copied = not way.is_versioned and not action.uri.startswith("file:")
        found = planned_details(action, context, is_read=is_copied)
        return found if isinstance(found, Outcome) else found.item
    except ObjectNotFoundError as error:
        if action.kind == "expire" and action.version_id is not None and not action.etag:
            return _expired_marker(action, context)
        return skipped("gone", error.message)


def _expired_marker(action: Action, context: Context) -> Outcome | None:
    versions = [item for item in context.store.versions(action.uri) if item.uri == action.uri]
    if not any(item.version_id == action.version_id for item in versions):
        return skipped("gone", f"{action.uri}: the delete marker is not there any more.")
    if len(versions) > 1 or not versions[0].is_delete_marker:
        return skipped("changed", f"{action.uri}: the delete marker hides something again.")
    return None


def _ended_before(
    problem: Outcome, action: Action, context: Context, *, is_resumed: bool
) -> Outcome:
    """Why it cannot go, unless an earlier try came to its end.

    Where others have its name by now, nobody can tell whether that did; its copy waits for purge.
    """
    left = _left_before(action, context) if is_resumed else None
    is_copy = left is not None and left.form == "moved" and not action.uri.startswith("file:")
    if left is None or (is_copy and drop_copy(action, context)):
        unpin_all(action.survivors, action, context)
        return problem
    if is_copy and problem.reason != "gone":
        return replace(problem, after={"quarantine": left.as_dict()})
    return done(quarantine=left.as_dict())


def _left_before(action: Action, context: Context) -> Quarantined | None:
    return find_retired(
        action,
        context,
        grace_days=_days(action),
        survivors=action.survivors,
        is_whole=_is_whole(action),
    )


def _refusal(action: Action, item: StoredObject, context: Context) -> Outcome | None:
    """Why it must stay. What stands for it is pinned by now, so that of two runs that would each
    remove what the other leaves, at least one sees it."""
    if action.kind == "quarantine" and not action.survivors:
        return skipped("no-survivor", f"{action.uri}: the plan names no copy that stays.")
    for survivor in action.survivors:
        problem = _survivor_problem(survivor, action, item, context)
        if problem is not None:
            return problem
    return refuse_pinned(action, context)


def _survivor_problem(
    survivor: Survivor, action: Action, item: StoredObject, context: Context
) -> Outcome | None:
    """Looked at now. Local files are compared byte by byte; elsewhere the ETag, which changes with
    the content, says that it is what was read, and checksums are compared where the stores have
    them. ``purge`` reads both.
    """
    try:
        found = context.store.details(survivor.uri)
    except ObjectNotFoundError:
        return skipped("no-survivor", f"{survivor.uri}: is not there any more.")
    if survivor.uri == action.uri or found.item.etag != survivor.etag:
        return skipped("no-survivor", f"{survivor.uri}: is not the object that was compared.")
    is_itself = context.store.identity(found.item) == context.store.identity(item)
    if is_itself or is_same_object(survivor, action, context):
        return skipped("no-survivor", f"{survivor.uri}: is the object itself by another name.")
    if found.is_unreadable:
        return skipped("no-survivor", f"{survivor.uri}: is archived.")
    if survivor.basis.startswith(BYTES):
        if found.item.size_bytes != item.size_bytes:
            return skipped("no-survivor", f"{survivor.uri}: has another size.")
        if action.uri.startswith("file:") and survivor.uri.startswith("file:"):
            require_same_bytes(item, found.item, context)
    return None
