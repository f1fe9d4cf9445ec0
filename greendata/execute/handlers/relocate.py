"""``relocate``: objects copied to another bucket, region or cloud, and moved when readers have.

``replicate`` is done when the copy was read back. ``move`` then waits ``KEPT_DAYS``, in which
readers go over; the source is retired in favour of the copy only after that, when the copy was read
once more. A dataset with a manifest is copied as a whole before its manifest is switched, by one
conditional write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from greendata.errors import GreendataError, StoreUnreachableError
from greendata.execute.handlers.base import CannotUndo, Context, Handler, outcome_of
from greendata.execute.pins import refuse_pinned
from greendata.execute.records import Action, Outcome, Status, skipped
from greendata.execute.returning import RETURN, return_action, take_back
from greendata.execute.superseding import supersede
from greendata.execute.together import Made, ManifestOf, make_together
from greendata.execute.verified import (
    Copy,
    copy_from,
    copy_of,
    current_details,
    found_at,
    is_local,
    is_of_step,
    is_unreadable,
    make_copy,
    properties_of,
)
from greendata.plan.actions import KEPT_DAYS, TARGET_CLASS
from greendata.stores.transfer import sha256_of
from greendata.stores.uris import parse_uri

if TYPE_CHECKING:
    from greendata.stores.records import ObjectDetails, Properties

MOVE = "move"


class RelocateHandler(Handler):
    """``manifest_of`` is asked of moves only: a replica is not what readers are told of."""

    kinds: ClassVar[frozenset[str]] = frozenset({"relocate"})

    def __init__(self, manifest_of: ManifestOf) -> None:
        self._manifest_of = manifest_of

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        manifest = self._manifest_of(action) if action.to["mode"] == MOVE else None
        return {} if manifest is None else {"manifest": manifest}

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        if action.to["mode"] == RETURN or before.get("manifest"):
            return self.act_together([action], [before], context, is_resumed=is_resumed)[0]
        made = _copied(action, context, is_resumed=is_resumed)
        return made if isinstance(made, Outcome) else _outcome(action, made, context, None)

    def act_together(
        self,
        actions: Sequence[Action],
        before: Sequence[Mapping[str, Any]],
        context: Context,
        *,
        is_resumed: bool,
    ) -> list[Outcome]:
        if actions[0].to["mode"] == RETURN:
            return take_back(actions, context)
        manifest = before[0].get("manifest")
        if manifest is None:
            words = f"{actions[0].uri}: greendata.yaml names no manifest of its dataset any more."
            return [skipped("unsupported", words)] * len(actions)

        def make(action: Action) -> Made | Outcome:
            found = _copied(action, context, is_resumed=is_resumed)
            return found if isinstance(found, Outcome) else Made(copy=found)

        found = make_together(
            actions,
            manifest,
            context,
            check=lambda action: _checked(action, context),
            make=make,
            target_of=lambda action: str(action.to["uri"]),
        )
        return [
            self._going_on(action, entry.copy, manifest, context)
            if isinstance(entry, Made)
            else entry
            for action, entry in zip(actions, found, strict=True)
        ]

    def look(self, action: Action, before: Mapping[str, Any], context: Context) -> Outcome | None:
        there = found_at(context.store, str(action.to["uri"]))
        if there is None or there.item.size_bytes != action.size_bytes:
            return None
        if not (is_local(there.item.uri) or is_of_step(there, context.step_id(action))):
            return None
        copy = copy_of(there.item, sha256_of(context.store, there.item))
        source = found_at(context.store, action.uri)
        if source is None or sha256_of(context.store, source.item) != copy.sha256:
            return None
        return _outcome(action, copy, context, before.get("manifest"))

    def settle(
        self, action: Action, before: Mapping[str, Any], pending: Outcome, context: Context
    ) -> Outcome:
        if pending.due_at is not None and context.now() < pending.due_at:
            return pending
        try:
            return self._settled(action, pending, context)
        except StoreUnreachableError as error:
            return replace(pending, detail=error.message)  # it stays due

    def _settled(self, action: Action, pending: Outcome, context: Context) -> Outcome:
        copy = _still_there(copy_from(pending.after), action, context)
        if copy is None:
            words = f"{pending.after['uri']}: the copy is not there as it was made; nothing moves."
            return replace(skipped("no-survivor", words), after=pending.after)
        found = supersede(action, copy, context)
        return replace(found, after={**pending.after, **found.after}, moved_bytes=copy.moved_bytes)

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return return_action(action, outcome, sha256=outcome.after.get("sha256", ""))

    def _going_on(self, action: Action, copy: Copy, manifest: str, context: Context) -> Outcome:
        """Of a group: it waits, or, where the copy is old enough, goes on at once."""
        found = _outcome(action, copy, context, manifest)
        kept = timedelta(days=KEPT_DAYS)
        if copy.made_at is None or copy.made_at + kept > context.now():
            return found
        try:
            return self.settle(action, {}, replace(found, due_at=copy.made_at + kept), context)
        except GreendataError as error:
            return outcome_of(error)


def _checked(action: Action, context: Context) -> tuple[ObjectDetails, Properties] | Outcome:
    """Whether the object may be copied to where it is to go; nothing is written."""
    found = current_details(action, context)
    if isinstance(found, Outcome):
        return found
    pinned = refuse_pinned(action, context) if action.to["mode"] == MOVE else None
    if pinned is not None:
        return pinned
    properties = _properties(action, found, context)
    return properties if isinstance(properties, Outcome) else (found, properties)


def _properties(action: Action, details: ObjectDetails, context: Context) -> Properties | Outcome:
    """What goes with the copy; where it cannot, why not."""
    target = action.to.get("uri")
    if not target or target == action.uri:
        return skipped("unsupported", f"{action.uri}: the plan names no other place for it.")
    found = properties_of(details, context.store)
    scheme = target.partition("://")[0]
    if scheme != action.uri.partition("://")[0]:
        tier = str(action.source.get("tier"))
        found = replace(found, storage_class=TARGET_CLASS.get((scheme, tier)))
    unfit = _unfit(found, scheme, is_elsewhere=_is_elsewhere(action, found))
    if unfit:
        return skipped("unsupported", f"{target}: {unfit}.")
    is_alike = scheme == action.uri.partition("://")[0]
    return found if is_alike else replace(found, encryption=None, checksum=None)


def _unfit(found: Properties, scheme: str, *, is_elsewhere: bool) -> str:
    """What of an object has no place where it is to go, in words; empty if all has."""
    if scheme == "file" and (found.metadata or found.tags or _has_headers(found)):
        return "files keep no metadata, tags or headers"
    if scheme == "az":
        names = [name for name in found.metadata if not name.isidentifier()]
        if names:
            return f"Azure takes no metadata named {names[0]!r}"
        if found.redirect or found.expires:
            return "Azure keeps no redirect and no time to expire"
    key_id = found.encryption.key_id if found.encryption else None
    if key_id is not None and is_elsewhere:
        return f"the key that the object is encrypted with, {key_id}, is not known there"
    return ""


def _has_headers(found: Properties) -> bool:
    return any(
        (
            found.content_encoding,
            found.content_language,
            found.content_disposition,
            found.cache_control,
            found.expires,
            found.redirect,
        )
    )


def _is_elsewhere(action: Action, found: Properties) -> bool:
    """Whether a key of the owner's own cannot be had at the target: of KMS each has one region."""
    origin, target = action.uri.partition("://")[0], str(action.to["uri"]).partition("://")[0]
    if origin != target:
        return True
    if origin == "az":  # a scope is of one account
        return parse_uri(action.uri).account != parse_uri(str(action.to["uri"])).account
    before, after = action.source.get("region"), action.to.get("region")
    return None not in (before, after) and before != after


def _copied(action: Action, context: Context, *, is_resumed: bool) -> Copy | Outcome:
    found = _checked(action, context)
    if isinstance(found, Outcome):
        return found
    details, properties = found
    return make_copy(
        details,
        str(action.to["uri"]),
        properties,
        context,
        step=context.step_id(action),
        is_resumed=is_resumed,
    )


def _outcome(action: Action, made: Copy, context: Context, manifest: str | None) -> Outcome:
    """What came of a verified copy: done, or waiting until readers use it."""
    is_move = action.to["mode"] == MOVE
    due_at = context.now() + timedelta(days=KEPT_DAYS) if is_move else None
    more = {"step": context.step_id(action)}
    return Outcome(
        status=Status.PENDING if is_move else Status.DONE,
        reason="waiting" if is_move else "",
        detail=f"{action.uri}: goes to quarantine on {due_at:%Y-%m-%d}." if due_at else "",
        after=made.as_dict() | more | ({"manifest": manifest} if manifest else {}),
        due_at=due_at,
        moved_bytes=made.moved_bytes,
    )


def _still_there(made: Copy, action: Action, context: Context) -> Copy | None:
    """The copy as it is now, if it still has the bytes that were copied.

    Of files somebody may have made it another name of the source by now, as tools against
    duplicates do.
    """
    there = found_at(context.store, made.uri)
    if there is None or there.item.size_bytes != made.size_bytes:
        return None
    item = there.item
    source = found_at(context.store, action.uri) if is_local(action.uri) else None
    identity = context.store.identity
    if source is not None and identity(source.item) == identity(item):
        return None
    if is_unreadable(item.storage_class):
        return made if item.etag == made.etag else None
    if sha256_of(context.store, item) != made.sha256:
        return None
    return replace(made, etag=item.etag, version_id=item.version_id, moved_bytes=item.size_bytes)
