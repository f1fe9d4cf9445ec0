"""``tier``: another storage class for an object, its bytes and all beside them as they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from greendata.execute.copying import lost_beside, require_same_bytes, same_checksum
from greendata.execute.etags import is_content_of
from greendata.execute.handlers.base import CannotUndo, Context, Handler, planned_details
from greendata.execute.records import Action, Outcome, Survivor, done, failed, skipped
from greendata.execute.retiring import retire_version
from greendata.model import StoredObject
from greendata.plan.actions import KEPT_DAYS
from greendata.stores.records import ObjectDetails

_ACL_NOTE = "its ACL is its bucket's default now"


class TierHandler(Handler):
    """Sets the class that the plan names, if the object is still in the class it was planned in.

    In a versioned bucket that makes a new version; the one before waits in quarantine, with the
    new one as its survivor.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"tier"})

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        return known_content(action, context)

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        target = str(action.to["storage_class"])
        if is_resumed:
            found = _moved_before(action, before, target, context)
            if found is not None:
                return found
        details = planned_details(action, context, is_read=action.uri.startswith("s3:"))
        if isinstance(details, Outcome):
            return details
        item = details.item
        if item.storage_class == target:
            return skipped("changed", f"{action.uri}: is in {target} already.")
        moved = moved_by_others(action, item)
        if moved is not None:
            return moved
        context.store.set_tier(action.uri, target, etag=action.etag, version_id=None)
        return _verified(action, details, target, context)

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        was = action.source.get("storage_class")
        now = outcome.after.get("object")
        if was is None or now is None:
            return CannotUndo(words="the class it was in is not known")
        return replace(
            action,
            etag=now["etag"],
            version_id=now.get("version_id"),
            source={"storage_class": action.to["storage_class"]},
            to={"storage_class": was},
            survivors=(),
            reason="undo",
        )


def known_content(action: Action, context: Context) -> Mapping[str, Any]:
    """Checksums of the planned content, where its ETag changes with its class and nothing else is
    left of it: of a copy whose answer was lost they tell whether it is ours."""
    if action.uri.startswith("az:") or context.way_of(action.uri).is_versioned:
        return {}
    details = context.store.details(action.uri)
    return {"checksums": dict(details.checksums)} if details.item.etag == action.etag else {}


def moved_by_others(action: Action, item: StoredObject) -> Outcome | None:
    """Why an object that is not in the class it was planned in stays there."""
    planned = action.source.get("storage_class")
    if None in (planned, item.storage_class) or planned == item.storage_class:
        return None
    words = f"is in {item.storage_class} by now, not in {planned}"
    return skipped("changed", f"{action.uri}: {words}.")


def _verified(action: Action, before: ObjectDetails, target: str, context: Context) -> Outcome:
    after = context.store.details(action.uri)
    if after.item.size_bytes != before.item.size_bytes:
        return failed("damaged", f"{action.uri}: has another size in {target}.")
    if after.item.storage_class != target:
        return failed("damaged", f"{action.uri}: is in {after.item.storage_class}, not {target}.")
    lost = lost_beside(before, after)
    if lost:
        return failed("damaged", f"{action.uri}: lost its {lost} on the way to {target}.")
    found = _result(action, before.item, after.item, context)
    return replace(found, detail=_ACL_NOTE) if action.uri.startswith("s3:") else found


def _result(action: Action, before: StoredObject, after: StoredObject, context: Context) -> Outcome:
    now = {"etag": after.etag, "version_id": after.version_id, "size_bytes": after.size_bytes}
    if before.version_id is None or after.version_id in (None, before.version_id):
        return done(object=now)
    if not _is_archive(after, context):
        require_same_bytes(before, after, context)
    survivor = Survivor(
        uri=after.uri,
        store_id=action.store_id,
        etag=after.etag,
        version_id=after.version_id,
        basis=f"copy:{before.version_id}",
    )
    left = retire_version(
        action, context, before.version_id, grace_days=KEPT_DAYS, survivors=(survivor,)
    )
    return done(object=now, quarantine=left.as_dict())


def _is_archive(item: StoredObject, context: Context) -> bool:
    return context.store.details(item.uri, version_id=item.version_id).is_archived


def _moved_before(
    action: Action, before: Mapping[str, Any], target: str, context: Context
) -> Outcome | None:
    """What an earlier try left: the object in its new class, with the bytes that were planned."""
    details = context.store.details(action.uri)
    item = details.item
    if item.storage_class != target or item.size_bytes != action.size_bytes:
        return None
    is_versioned = context.way_of(action.uri).is_versioned
    if item.etag == action.etag or (
        not is_versioned and _is_planned_content(details, action, before, context)
    ):
        return done(
            object={"etag": item.etag, "version_id": item.version_id,
                    "size_bytes": item.size_bytes}
        )  # fmt: skip
    if not is_versioned:
        return None
    versions = [v for v in context.store.versions(action.uri) if v.uri == action.uri]
    if len(versions) > 1 and versions[1].etag == action.etag:
        return _result(action, versions[1], item, context)
    return None


def _is_planned_content(
    details: ObjectDetails, action: Action, before: Mapping[str, Any], context: Context
) -> bool:
    """Whether it is the planned content with another ETag, as copies of uploads in parts have."""
    known: Mapping[str, str] = before.get("checksums", {})
    is_same = same_checksum(known, details.checksums)
    if is_same is not None:
        return is_same
    etag = str(action.etag)
    return not details.is_unreadable and is_content_of(context.store, details.item, etag)
