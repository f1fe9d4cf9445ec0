"""Objects of one dataset that change as one: all made and proved, then one switch of its manifest.

Until the switch readers see the old objects, from it on the new ones. What is in the way of one
object is in the way of all of them; then nothing that was made stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from greendata.errors import GreendataError, ObjectChangedError, ObjectNotFoundError
from greendata.execute.dataset_manifest import read_dataset_manifest, switch
from greendata.execute.handlers.base import outcome_of
from greendata.execute.records import Action, Outcome, Status, skipped
from greendata.execute.verified import Copy, copy_of, found_at, is_of_step, withdraw

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Context

ManifestOf = Callable[[Action], str | None]
"""URI of the manifest of the dataset that an object is in, if it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new object; ``more`` is what its entry in a manifest has besides."""

    copy: Copy
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entry(self) -> dict[str, Any]:
        """As a manifest names it."""
        return {
            "uri": self.copy.uri,
            "etag": self.copy.etag,
            "bytes": self.copy.size_bytes,
            "sha256": self.copy.sha256,
            **self.more,
        }


Make = Callable[[Action], Made | Outcome]


def make_together(
    actions: Sequence[Action],
    manifest: str,
    context: Context,
    *,
    check: Callable[[Action], object],
    make: Make,
    target_of: Callable[[Action], str],
) -> Sequence[Made | Outcome]:
    """All new objects, which the manifest names now; or for each why none is.

    ``check`` only reads, and gives an Outcome for what cannot go. ``target_of`` is where ``make``
    puts the new object.
    """
    targets = [target_of(action) for action in actions]
    before = _switched_before(targets, actions, manifest, context)
    if before is not None:
        return before
    found = [_guarded(check, action) for action in actions]
    if _is_well(found):
        found = _unnamed(targets, actions, manifest, context)
    if _is_well(found):
        found = [_guarded(make, action) for action in actions]
    made = [entry for entry in found if isinstance(entry, Made)]
    if len(made) == len(actions):  # it took a while
        checked = [_guarded(check, action) for action in actions]
        found = found if _is_well(checked) else checked
        made = made if _is_well(checked) else []
    if len(made) == len(actions):
        changes = {action.uri: new.entry for action, new in zip(actions, made, strict=True)}
        try:
            switch(context.store, manifest, changes)
        except (ObjectChangedError, ObjectNotFoundError) as error:
            found = [outcome_of(error)] * len(actions)
        else:
            return made
    return _none(targets, actions, found, manifest, context)


def _guarded(work: Callable[[Action], object], action: Action) -> object:
    try:
        return work(action)
    except GreendataError as error:
        return outcome_of(error)


def _is_well(found: Sequence[object]) -> bool:
    return not any(isinstance(entry, Outcome) for entry in found)


def _unnamed(
    targets: Sequence[str], actions: Sequence[Action], uri: str, context: Context
) -> list[object]:
    """For each object why it cannot be switched in the manifest, or None."""
    named = read_dataset_manifest(context.store, uri).entries
    found: list[object] = []
    for action, target in zip(actions, targets, strict=True):
        if action.uri not in named:
            found.append(skipped("changed", f"{uri}: does not name {action.uri}."))
        elif target in named:
            found.append(skipped("conflict", f"{uri}: names {target} already."))
        else:
            found.append(None)
    return found


def _switched_before(
    targets: Sequence[str], actions: Sequence[Action], uri: str, context: Context
) -> list[Made] | None:
    """The objects as an earlier try left them, if the manifest names them all since."""
    try:
        named = read_dataset_manifest(context.store, uri).entries
    except GreendataError:
        return None
    found = []
    for action, target in zip(actions, targets, strict=True):
        there = found_at(context.store, target) if target in named else None
        if there is None or action.uri in named or "sha256" not in named[target]:
            return None
        entry = named[target]
        known = ("uri", "etag", "bytes", "sha256")
        more = {name: value for name, value in entry.items() if name not in known}
        found.append(Made(copy=copy_of(there.item, entry["sha256"]), more=more))
    return found


def _none(
    targets: Sequence[str],
    actions: Sequence[Action],
    found: Sequence[object],
    manifest: str,
    context: Context,
) -> list[Outcome]:
    """The group stays. What may succeed later keeps what was made, the rest leaves nothing."""
    bad = [entry for entry in found if isinstance(entry, Outcome)]
    is_final = any(entry.status is Status.SKIPPED for entry in bad)
    if is_final:
        named = _names(manifest, context)
        for action, target, entry in zip(actions, targets, found, strict=True):
            if named is not None and target not in named:
                _undo_one(action, target, entry, context)
    status = Status.SKIPPED if is_final else Status.FAILED
    words = f"{len(bad)} of {len(actions)} objects cannot go, such as: {bad[0].detail}"
    return [
        replace(entry, status=status)
        if isinstance(entry, Outcome)
        else Outcome(status=status, reason="group", detail=words)
        for entry in found
    ]


def _names(uri: str, context: Context) -> frozenset[str] | None:
    """What the manifest names now; None where nobody knows."""
    try:
        return frozenset(read_dataset_manifest(context.store, uri).entries)
    except ObjectNotFoundError:
        return frozenset()
    except GreendataError:
        return None


def _undo_one(action: Action, target: str, made: object, context: Context) -> None:
    """Remove what this step made at ``target``; no manifest names it."""
    there = found_at(context.store, target)
    if there is None:
        return
    is_just_made = isinstance(made, Made) and made.copy.etag == there.item.etag
    if is_just_made or is_of_step(there, context.step_id(action)):
        withdraw(there, context)
