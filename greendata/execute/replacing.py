"""An object replaced under its own name: its bytes are kept first, one conditional write switches.

Where versions are kept the old bytes become an earlier version; a local file gets a second name in
quarantine, which is the file itself; elsewhere a copy is made there and read. What was new is found
again by a later try by its metadata, or, of local files, by what the Parquet file says of its
source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    DeniedError,
    IntegrityError,
    ObjectChangedError,
    PreconditionFailedError,
    UnreadableShardError,
    UnsupportedError,
)
from greendata.execute.copying import copy_object
from greendata.execute.pins import pin, pins_folder
from greendata.execute.quarantine import Form, Quarantined
from greendata.execute.records import Action, Outcome, done, skipped
from greendata.execute.retiring import held_places, retire_version
from greendata.execute.verified import (
    Copy,
    copy_from,
    copy_of,
    drop_staged,
    drop_staging,
    found_at,
    is_local,
    is_of_step,
    marked,
    properties_of,
    publish,
    staging_uri,
)
from greendata.plan.actions import KEPT_DAYS
from greendata.recompress.columnar import StoredRows
from greendata.recompress.publishing import read_digest
from greendata.recompress.sources import SOURCE_KEY
from greendata.stores.records import IF_ABSENT, Condition
from greendata.stores.transfer import sha256_of

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Context
    from greendata.model import StoredObject
    from greendata.stores.base import Store
    from greendata.stores.records import ObjectDetails, Properties

PUT_BACK = "put-back"
"""``mode`` of an action that gives an object its old bytes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The old bytes: where they are, under what the store has for that."""

    form: Form
    item: StoredObject


def replace_object(
    action: Action,
    old: ObjectDetails,
    staged: StoredObject,
    properties: Properties,
    context: Context,
    *,
    old_sha256: str,
    new_sha256: str,
) -> Outcome:
    """Put what was staged and read back in the place of the object, which is kept.

    Raises:
        PreconditionFailedError: somebody replaced it; nothing was written, nothing is kept.
    """
    step = context.step_id(action)
    held = _hold(action, old.item, old_sha256, context)
    moved = 0
    try:
        _, moved = publish(
            staged,
            action.uri,
            context,
            condition=Condition(etag=old.item.etag),
            properties=marked(properties, step),
        )
    except PreconditionFailedError:
        there = found_at(context.store, action.uri)
        if there is None or not _is_ours(there, old_sha256, context, step):
            release(action, context)
            raise
    except DeniedError:  # a hold, perhaps: nothing was written
        release(action, context)
        raise
    found = _finished(action, held, old_sha256, context)
    if found.after["sha256"] != new_sha256:
        put_back(put_back_action(action, found.after), context)
        raise IntegrityError(f"{action.uri}: what was stored is not what was verified.")
    return replace(found, moved_bytes=found.moved_bytes + moved)


def replaced_before(
    action: Action, context: Context, *, is_looking: bool = False
) -> Outcome | None:
    """What an earlier try of this step did, if it got as far as the switch.

    ``is_looking``: only that; else what was left to do is done.
    """
    there = found_at(context.store, action.uri)
    if there is None or there.item.etag == action.etag:
        return None
    held = _find_held(action, context)
    if held is None:
        return None
    digest = sha256_of(context.store, held.item)
    if not _is_ours(there, digest, context, context.step_id(action)):
        if not is_looking:
            release(action, context)
        return None
    if is_looking:
        made = copy_of(there.item, sha256_of(context.store, there.item))
        return _replaced(action, held, made, digest, context)
    return _finished(action, held, digest, context)


def _hold(action: Action, item: StoredObject, digest: str, context: Context) -> _Held:
    """Keep the old bytes where nothing but purge removes them; twice is once."""
    if context.way_of(action.uri).is_versioned:
        return _Held(form="version", item=item)
    if is_local(action.uri):
        return _Held(form="moved", item=_second_name(action, item, context))
    (uri,) = held_places(action, context)
    with suppress(PreconditionFailedError):
        copy_object(replace(item, version_id=None), uri, context)
    held = found_at(context.store, uri)
    if held is None:  # then the condition that failed was the source's
        raise PreconditionFailedError(f"{action.uri}: was replaced while it was copied.")
    if held.item.size_bytes != item.size_bytes or sha256_of(context.store, held.item) != digest:
        context.store.delete(uri, version_id=held.item.version_id)
        raise IntegrityError(f"{uri}: what was stored is not what was read of {action.uri}.")
    return _Held(form="moved", item=held.item)


def _second_name(action: Action, item: StoredObject, context: Context) -> StoredObject:
    *others, last = held_places(action, context)
    for uri in (*others, last):
        try:
            with suppress(PreconditionFailedError):
                context.store.link(action.uri, uri, etag=item.etag)
        except UnsupportedError:
            if uri == last:
                raise
            continue
        held = found_at(context.store, uri)
        if held is None or held.item.etag != item.etag:
            raise PreconditionFailedError(f"{action.uri}: was replaced before it could be kept.")
        return held.item
    raise UnsupportedError(f"{action.uri}: no place can keep it.")


def _find_held(action: Action, context: Context) -> _Held | None:
    store = context.store
    if context.way_of(action.uri).is_versioned:
        for item in store.versions(action.uri):
            is_planned = item.uri == action.uri and item.etag == action.etag
            if is_planned and not item.is_latest and not item.is_delete_marker:
                return _Held(form="version", item=item)
        return None
    for uri in held_places(action, context):
        found = found_at(store, uri)
        if found is not None and found.item.size_bytes == action.size_bytes:
            return _Held(form="moved", item=found.item)
    return None


def release(action: Action, context: Context) -> None:
    """Drop what was kept of an object that stays after all, or that somebody replaced."""
    if not context.way_of(action.uri).is_versioned:
        for uri in held_places(action, context):
            context.store.delete(uri)
    drop_staged(context.store, staging_uri(context, action.uri, context.step_id(action)))


def drop_begun(action: Action, context: Context) -> None:
    """What is left of a step that never got as far as its switch: the object is as it was."""
    target = str(action.to.get("uri", action.uri))
    drop_staging(context, context.step_id(action), action.uri, target)
    there = found_at(context.store, action.uri)
    if action.kind == "recompress" and there is not None and there.item.etag == action.etag:
        release(action, context)


def _is_ours(there: ObjectDetails, old_sha256: str, context: Context, step: str) -> bool:
    if is_local(there.item.uri):
        return made_from(context.store, there.item) == old_sha256
    return is_of_step(there, step)


def made_from(store: Store, item: StoredObject) -> str | None:
    """SHA-256 of the bytes that a Parquet file says it was made of; None of any other file."""
    try:
        raw = (StoredRows(store, item).schema.metadata or {}).get(SOURCE_KEY, b"{}")
        found = json.loads(raw).get("sha256")
    except (UnreadableShardError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def proof_of(store: Store, item: StoredObject) -> dict[str, Any]:
    """Rows and row digests of a stored object, every page checksum compared."""
    digest = read_digest(store, item).as_dict()
    return {
        "rows": digest["rows"],
        "row_digest": digest["ordered"],
        "row_set_digest": digest["unordered"],
    }


def _finished(action: Action, held: _Held, old_sha256: str, context: Context) -> Outcome:
    """After the switch: the new object is read and pinned."""
    store = context.store
    step = context.step_id(action)
    there = found_at(store, action.uri)
    if there is None or not _is_ours(there, old_sha256, context, step):
        release(action, context)
        raise ObjectChangedError(f"{action.uri}: was replaced by somebody else at once.")
    new = there.item
    made = copy_of(new, sha256_of(store, new))
    pin(made.as_survivor(), action, context)
    drop_staged(store, staging_uri(context, action.uri, step))
    return _replaced(action, held, made, old_sha256, context)


def _replaced(
    action: Action, held: _Held, made: Copy, old_sha256: str, context: Context
) -> Outcome:
    """The outcome: the old object waits for purge."""
    now = context.now()
    left = Quarantined(
        form=held.form,
        uri=action.uri,
        store_id=action.store_id,
        etag=action.etag,
        size_bytes=held.item.size_bytes,
        held_uri=held.item.uri,
        held_version_id=_version_of(held, action),
        held_etag=held.item.etag,
        quarantined_at=now,
        purge_after=now + timedelta(days=KEPT_DAYS),
        cause=action.kind,
        policy=action.policy,
        survivors=(made.as_survivor(),),
    )
    known = made.as_dict()
    outcome = done(
        **known,
        **proof_of(context.store, context.store.head(action.uri)),
        step=context.step_id(action),
        original_sha256=old_sha256,
        object={name: known[name] for name in ("etag", "version_id", "size_bytes")},
        quarantine=left.as_dict(),
    )
    return replace(outcome, moved_bytes=2 * made.size_bytes)


def _version_of(held: _Held, action: Action) -> str | None:
    if held.form != "version":
        return None
    return held.item.version_id or action.version_id or "null"  # S3's name of what was there first


def put_back_action(action: Action, after: Mapping[str, Any]) -> Action:
    """The action that gives a replaced object its old bytes again."""
    return replace(
        action,
        group_id=action.action_id,
        to={
            "mode": PUT_BACK,
            "copy": copy_from(after).as_dict(),
            "original_sha256": after["original_sha256"],
            "quarantine": after["quarantine"],
            "step": after["step"],
        },
        reason="undo",
        survivors=(),
    )


def put_back(action: Action, context: Context) -> Outcome:
    """Give the object its old bytes, and all beside them, if it is still the one that was made."""
    store = context.store
    held = Quarantined.from_dict(action.to["quarantine"])
    made = copy_from(action.to["copy"])
    there = found_at(store, action.uri)
    digest = None if there is None else sha256_of(store, there.item)
    if digest == action.to["original_sha256"] and there is not None:
        return _put_back(action, held, made, there, context)
    if there is not None and (digest != made.sha256 or not _may_go(there, made, action)):
        return skipped("conflict", f"{action.uri}: is another object by now, and stays.")
    condition = IF_ABSENT if there is None else Condition(etag=there.item.etag)
    if is_local(action.uri):
        etag = held.held_etag or ""
        store.link(held.held_uri, action.uri, etag=etag, condition=condition)
    else:
        old = store.details(held.held_uri, version_id=held.held_version_id)
        # S3 calls the version of before there were versions "null", and does not say so
        old = replace(old, item=replace(old.item, version_id=held.held_version_id))
        if old.item.etag != held.held_etag:
            raise ObjectChangedError(f"{held.held_uri}: is not what was put there.")
        if sha256_of(store, old.item) != action.to["original_sha256"]:
            raise IntegrityError(f"{held.held_uri}: is damaged; {action.uri} stays as it is.")
        try:
            publish(
                old.item,
                action.uri,
                context,
                condition=condition,
                properties=properties_of(old, store),
            )
        except PreconditionFailedError:
            now = found_at(store, action.uri)
            if now is None or sha256_of(store, now.item) != action.to["original_sha256"]:
                raise
    back = store.details(action.uri)
    if sha256_of(store, back.item) != action.to["original_sha256"]:
        raise ObjectChangedError(f"{action.uri}: was replaced while it was put back.")
    return _put_back(action, held, made, back, context)


def _may_go(there: ObjectDetails, made: Copy, action: Action) -> bool:
    return there.item.etag == made.etag or is_of_step(there, str(action.to["step"]))


def _put_back(
    action: Action, held: Quarantined, made: Copy, there: ObjectDetails, context: Context
) -> Outcome:
    """What is left of the change goes: the second copy, the pin."""
    store, item = context.store, there.item
    drop_staging(context, str(action.to["step"]), action.uri)
    context.store.delete(f"{pins_folder(action.uri, context)}{action.to['step']}.json")
    now = {"etag": item.etag, "version_id": item.version_id, "size_bytes": item.size_bytes}
    if held.form == "moved":
        found = found_at(store, held.held_uri)
        is_second_name = not is_local(action.uri) or (
            found is not None and found.item.etag == item.etag
        )
        if found is not None and found.item.etag == held.held_etag and is_second_name:
            store.delete(held.held_uri)
        return done(object=now)
    if made.version_id is None:
        return done(object=now)
    survivor = copy_of(item, action.to["original_sha256"]).as_survivor()
    left = retire_version(
        replace(action, etag=made.etag, size_bytes=made.size_bytes),
        context,
        made.version_id,
        grace_days=KEPT_DAYS,
        survivors=(survivor,),
    )
    return done(object=now, quarantine=left.as_dict())
