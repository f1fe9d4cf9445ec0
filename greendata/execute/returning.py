"""Taking back what put a new object in the place of another: the first one, the manifest, the rest.

The original comes out of quarantine, if it went there, and is read; a manifest names it again; only
then is the new object retired in its favour. Readers find one of the two at every moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    GreendataError,
    IntegrityError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from greendata.execute.copying import copy_object
from greendata.execute.dataset_manifest import read_dataset_manifest, switch
from greendata.execute.handlers.base import CannotUndo, Context, outcome_of
from greendata.execute.pins import pinned, pins_folder, refuse_pinned
from greendata.execute.quarantine import Quarantined
from greendata.execute.records import Action, Outcome, Survivor, done, skipped
from greendata.execute.retiring import find_retired, retire
from greendata.execute.verified import copy_from, drop_staging, found_at
from greendata.plan.actions import KEPT_DAYS
from greendata.stores.transfer import sha256_of

if TYPE_CHECKING:
    from greendata.model import StoredObject

RETURN = "return"
"""``mode`` of an action that takes another back."""


def return_action(action: Action, outcome: Outcome, *, sha256: str) -> Action | CannotUndo:
    """The action that takes back one that left a new object; ``sha256`` is that of the original."""
    after = outcome.after
    if "uri" not in after:
        return CannotUndo(words=f"{action.uri}: nothing was made of it.")
    return Action(
        action_id=action.action_id,
        group_id=action.group_id,
        kind=action.kind,
        uri=action.uri,
        store_id=action.store_id,
        etag=action.etag,
        size_bytes=action.size_bytes,
        version_id=action.version_id,
        source=action.source,
        to={
            "mode": RETURN,
            "copy": copy_from(after).as_dict(),
            "original_sha256": sha256,
            "quarantine": after.get("quarantine"),
            "manifest": after.get("manifest"),
            "step": after.get("step"),
        },
        policy=action.policy,
        reason="undo",
        reversibility="costly",
    )


def take_back(actions: Sequence[Action], context: Context) -> list[Outcome]:
    """One, or all of a group: they come back together or none does."""
    found = [_guarded_original(action, context) for action in actions]
    bad = [entry for entry in found if isinstance(entry, Outcome)]
    if bad:
        return [
            entry
            if isinstance(entry, Outcome)
            else replace(bad[0], reason="group", detail=f"{action.uri}: {bad[0].detail}")
            for action, entry in zip(actions, found, strict=True)
        ]
    originals = [entry for entry in found if isinstance(entry, _Original)]
    manifest = actions[0].to.get("manifest")
    if manifest is not None:
        named = read_dataset_manifest(context.store, manifest).entries
        pairs = zip(actions, originals, strict=True)
        changes = {action.to["copy"]["uri"]: original.entry for action, original in pairs}
        told = {uri: entry for uri, entry in changes.items() if uri in named}
        if told:  # else it never switched
            switch(context.store, manifest, told)
    return [
        _guarded_retired(action, original, context)
        for action, original in zip(actions, originals, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Original:
    """The object as it is in its old place again, read."""

    item: StoredObject
    sha256: str

    @property
    def entry(self) -> dict[str, Any]:
        return {
            "uri": self.item.uri,
            "etag": self.item.etag,
            "bytes": self.item.size_bytes,
            "sha256": self.sha256,
        }


def _guarded_original(action: Action, context: Context) -> _Original | Outcome:
    try:
        return _original(action, context)
    except GreendataError as error:
        return outcome_of(error)


def _original(action: Action, context: Context) -> _Original | Outcome:
    expected = action.to["original_sha256"]
    there = found_at(context.store, action.uri)
    if there is None and action.to["quarantine"] is not None:
        out_of_quarantine(Quarantined.from_dict(action.to["quarantine"]), context)
        there = context.store.details(action.uri)
    if there is None:
        return skipped("gone", f"{action.uri}: is not there, and its copy stays.")
    item = there.item
    if item.size_bytes != action.size_bytes or sha256_of(context.store, item) != expected:
        return skipped("conflict", f"{action.uri}: is another object by now; its copy stays.")
    if action.to["quarantine"] is not None:
        _drop_held(Quarantined.from_dict(action.to["quarantine"]), item, context)
    return _Original(item=item, sha256=expected)


def out_of_quarantine(held: Quarantined, context: Context) -> None:
    """Give a retired object its name again, where nothing has it; twice is once.

    Raises:
        PreconditionFailedError: somebody else's object has the name.
        ObjectNotFoundError: it was purged.
    """
    store = context.store
    if held.form == "version":
        if held.marker_version_id is not None:
            store.delete(held.uri, version_id=held.marker_version_id)
        return
    if held.held_uri.startswith("file:"):
        store.move(held.held_uri, held.uri, etag=held.held_etag)
        return
    item = store.head(held.held_uri)
    if item.etag != held.held_etag:
        raise IntegrityError(f"{held.held_uri}: is not what was put there.")
    try:
        copy_object(item, held.uri, context)
    except PreconditionFailedError:
        found = found_at(store, held.uri)
        if found is None or found.item.size_bytes != item.size_bytes:
            raise
    there = store.head(held.uri)
    if sha256_of(store, there) != sha256_of(store, item):
        raise PreconditionFailedError(f"{held.uri}: another object has the name.")
    _drop_held(held, there, context)


def _drop_held(held: Quarantined, there: StoredObject, context: Context) -> None:
    """What is in quarantine of an object that is whole in its old place again."""
    if held.form != "moved":
        return
    found = found_at(context.store, held.held_uri)
    is_second_name = held.held_uri.startswith("file:") and found is not None
    if found is None or (is_second_name and found.item.etag != there.etag):
        return
    if found.item.etag == held.held_etag:
        context.store.delete(held.held_uri)


def _guarded_retired(action: Action, original: _Original, context: Context) -> Outcome:
    try:
        return _retired(action, original, context)
    except GreendataError as error:
        return outcome_of(error)


def _retired(action: Action, original: _Original, context: Context) -> Outcome:
    """The new object into quarantine, if it is still the one that was made."""
    made = copy_from(action.to["copy"])
    item = original.item
    now = {"etag": item.etag, "version_id": item.version_id, "size_bytes": item.size_bytes}
    if action.to["step"] is not None:
        drop_staging(context, action.to["step"], action.uri, made.uri)
    there = found_at(context.store, made.uri)
    own = _about_copy(action, there.item if there else None)
    survivor = Survivor(
        uri=item.uri,
        store_id=item.store_id,
        etag=item.etag,
        version_id=item.version_id,
        basis=f"sha256:{original.sha256}",
    )
    if there is None:
        left = find_retired(own, context, grace_days=KEPT_DAYS, survivors=(survivor,))
        return done(object=now) if left is None else done(object=now, quarantine=left.as_dict())
    if there.item.etag != made.etag and (
        there.item.size_bytes != made.size_bytes
        or sha256_of(context.store, there.item) != made.sha256
    ):
        words = f"{made.uri}: was changed by somebody else, and stays."
        return replace(done(object=now), detail=words)
    if action.to["step"] is not None:  # it stood for the original, which is back
        pin_uri = f"{pins_folder(made.uri, context)}{action.to['step']}.json"
        context.store.delete(pin_uri)
    problem = refuse_pinned(own, context)
    if problem is not None:
        return replace(done(object=now), detail=problem.detail)
    try:
        with pinned((survivor,), action, context):
            left = retire(own, there.item, context, grace_days=KEPT_DAYS, survivors=(survivor,))
    except ObjectNotFoundError:
        return done(object=now)
    return done(object=now, quarantine=left.as_dict())


def _about_copy(action: Action, item: StoredObject | None) -> Action:
    """The action as one on the new object, for quarantine."""
    made = copy_from(action.to["copy"])
    return replace(
        action,
        uri=made.uri,
        store_id=made.store_id,
        etag=made.etag if item is None else item.etag,
        version_id=made.version_id if item is None else item.version_id,
        size_bytes=made.size_bytes,
        source={},
    )
