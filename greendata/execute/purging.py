"""``purge``: the one place that removes data, after looking once more at all that must allow it.

Of what was removed, replaced or moved in favour of survivors, all are read now and compared. Of
what a policy let expire, the policy must still stand. A hold or retention time set since forbids
it, and so does any doubt.

Purging is where requests are put together: a version is deleted by its id, which never names
anything else, so that up to ``MOST_TOGETHER`` of a bucket need no precondition and share a request,
and so do their delete markers. What lies in quarantine under a key of its own is deleted by the one
request that compares its ETag. Nowhere else would it be safe or worth it: S3's batch operations
compare no ETag, and a batch of Azure's tier changes would spare one of three requests, between the
looks before and after that each of them needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from greendata.errors import GreendataError, ObjectNotFoundError
from greendata.execute.handlers.base import CannotUndo, Context, Handler, outcome_of
from greendata.execute.pins import is_pinned, unpin_all
from greendata.execute.quarantine import QUARANTINE, Quarantined
from greendata.execute.records import Action, Outcome, Status, failed, skipped
from greendata.execute.surviving import is_weak, replaced, survived

if TYPE_CHECKING:
    from greendata.execute.runstate import RunState
    from greendata.model import StoredObject
    from greendata.stores.base import Store
    from greendata.stores.records import ObjectDetails

MOST_TOGETHER = 50
"""Versions that are removed as one; each was looked at before the first of them goes."""

MOST_BYTES_TOGETHER = 64 << 20
"""Of these together, since each may be read with its survivor: seconds, not hours, go by."""

RowsStand = Callable[["Store", "StoredObject", Sequence["StoredObject"], int], bool]

_OF_UNDO = "undo-"
"""Begins the id, in journals of purge, of what an undo left in quarantine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What lies in quarantine because of one action.

    Attributes:
        item_id: in the journal of purge; an action and its undo may each have left something.
        action_id: of the plan, which named the pin.
        keeps: why it is not to be purged whatever its age, by a word of ``REASONS``; empty if it
            may be.
    """

    item_id: str
    action_id: str
    held: Quarantined
    keeps: str = ""

    def problem(self, now: datetime, older_than: timedelta) -> str:
        """Why it is not to be purged now; empty if it may be tried."""
        is_early = self.held.purge_after > now or self.held.quarantined_at + older_than > now
        return self.keeps or ("early" if is_early else "")


def waiting(state: RunState) -> Iterator[Waiting]:
    """All that a run has in quarantine, by its journals: not brought back, not purged.

    Of a journal that is damaged nobody knows whether a part that is lost forbids it: all of it
    stays.
    """
    lost = "journal" if state.damaged else ""
    for action_id, outcome in state.outcomes.items():
        if "quarantine" in outcome.after:
            held = _still_held(action_id, Quarantined.from_dict(outcome.after["quarantine"]), state)
            if held is not None:
                keeps = lost or _wanted_back(action_id, state)
                yield from _unpurged(action_id, action_id, held, keeps, state)
    for action_id, outcome in state.undone.items():
        if "quarantine" in outcome.after:
            held = Quarantined.from_dict(outcome.after["quarantine"])
            yield from _unpurged(f"{_OF_UNDO}{action_id}", action_id, held, lost, state)


def _still_held(action_id: str, held: Quarantined, state: RunState) -> Quarantined | None:
    """What an undo left of it: nothing, or an earlier version whose copy is the current one."""
    outcome = state.undone.get(action_id)
    if outcome is None or outcome.status is not Status.DONE:
        return held
    is_replaced = held.form == "version" and held.marker_version_id is None
    if is_replaced and held.cause in ("tier", "recompress"):
        return replace(held, cause="tier", survivors=())
    return None


def _wanted_back(action_id: str, state: RunState) -> str:
    """Whether an undo was begun and has not ended, or found something in the way."""
    outcome = state.undone.get(action_id)
    if outcome is None:
        return "undone" if action_id in state.undo_intents else ""
    is_over = outcome.status is Status.DONE or outcome.reason == "irreversible"
    return "" if is_over else "undone"


def _unpurged(
    item_id: str, action_id: str, held: Quarantined, keeps: str, state: RunState
) -> Iterator[Waiting]:
    outcome = state.purged.get(item_id)
    if outcome is None or outcome.status is not Status.DONE:
        yield Waiting(item_id=item_id, action_id=action_id, held=held, keeps=keeps)


def purge_action(found: Waiting) -> Action:
    """The action that removes it for ever."""
    held = found.held
    return Action(
        action_id=found.item_id,
        group_id=found.item_id,
        kind="purge",
        uri=held.uri,
        store_id=held.store_id,
        etag=held.etag,
        size_bytes=held.size_bytes,
        to=held.as_dict(),
        source={"action_id": found.action_id},
        policy=held.policy,
        reversibility="irreversible",
        survivors=held.survivors,
    )


def purge_units(
    due: Iterable[Waiting],
    *,
    place_of: Callable[[str], str | None],
    begun: Collection[str] = (),
    threads: int,
) -> Iterator[tuple[Action, ...]]:
    """What is carried out together.

    ``place_of`` gives the bucket of a URI where versions are deleted together, else None. What was
    begun before (``begun``, by item id) goes by itself, and so does the rest as long as there are
    fewer than the ``threads`` can take.
    """
    together: dict[str, list[Waiting]] = {}
    for found in due:
        place = place_of(found.held.held_uri) if found.held.form == "version" else None
        if place is None or found.item_id in begun:
            yield (purge_action(found),)
        else:
            together.setdefault(place, []).append(found)
    for entries in together.values():
        most = max(1, min(MOST_TOGETHER, len(entries) // (2 * threads)))
        unit: list[Waiting] = []
        for found in entries:
            size_bytes = sum(entry.held.size_bytes for entry in (*unit, found))
            if unit and (len(unit) == most or size_bytes > MOST_BYTES_TOGETHER):
                yield _grouped(unit)
                unit = []
            unit.append(found)
        yield _grouped(unit)


def _grouped(unit: Sequence[Waiting]) -> tuple[Action, ...]:
    """They share a group: not because they switch together, but because they go together."""
    return tuple(replace(purge_action(found), group_id=unit[0].item_id) for found in unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going:
    """What passed every look, and is to be removed; ``sha256`` if it was read."""

    action: Action
    held: Quarantined
    item: StoredObject
    sha256: str | None

    @property
    def version(self) -> tuple[str, str]:
        """URI and version id, of a form that has one."""
        return self.held.held_uri, str(self.held.held_version_id)


def _is_named(entry: _Going, item: StoredObject) -> bool:
    return (item.uri, item.version_id) == entry.version


class PurgeHandler(Handler):
    """Removes objects from quarantine and leaves a tombstone of each in the journal.

    Args:
        policies_stand: the policies of the run were shown, and are what they were.
        leaving: URIs of what pending actions are about to move away.
        by: who purges, for the tombstone.
        rows_stand: whether an object has so many different rows, and others have them all, read
            now; without it no local file goes that only its rows prove.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"purge"})

    def __init__(
        self,
        *,
        policies_stand: bool,
        leaving: Collection[str],
        by: str,
        rows_stand: RowsStand = lambda store, item, survivors, count: False,
    ) -> None:
        self._policies_stand, self._leaving, self._by = policies_stand, leaving, by
        self._rows_stand = rows_stand

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        found = self._looked_at(action, context, is_resumed=is_resumed)
        if isinstance(found, Outcome):
            return found
        if found.held.form == "version":
            return self._versions_gone([found], context)[action.action_id]
        _remove(found.held, found.item, context)
        return self._ended(action, found.held, found.sha256, context)

    def act_together(
        self,
        actions: Sequence[Action],
        before: Sequence[Mapping[str, Any]],
        context: Context,
        *,
        is_resumed: bool,
    ) -> list[Outcome]:
        """Versions of one bucket: each is looked at, then those that may go are deleted as one."""
        found: dict[str, Outcome] = {}
        going: list[_Going] = []
        for action in actions:
            try:
                looked = self._looked_at(action, context, is_resumed=is_resumed)
            except GreendataError as error:
                looked = outcome_of(error)
            if isinstance(looked, Outcome):
                found[action.action_id] = looked
            else:
                going.append(looked)
        found |= self._versions_gone(going, context)
        return [found[action.action_id] for action in actions]

    def _looked_at(self, action: Action, context: Context, *, is_resumed: bool) -> _Going | Outcome:
        """Whether it may be removed; or what came of it."""
        held = Quarantined.from_dict(action.to)
        if held.purge_after > context.now():
            return skipped("early", f"{held.uri}: is kept until {held.purge_after:%Y-%m-%d}.")
        if not _is_ours(held, context):
            return skipped("changed", f"{held.held_uri}: is not in quarantine of this run.")
        if held.form == "marker":
            return self._marker(action, held, context)
        try:
            details = context.store.details(held.held_uri, version_id=held.held_version_id)
        except ObjectNotFoundError:
            if is_resumed:
                if held.marker_version_id is not None:
                    _remove_marker(held, context)
                return self._ended(action, held, None, context)
            return skipped("gone", f"{held.held_uri}: is not in quarantine any more.")
        problem = _own_problem(held, details, context)
        if problem is not None:
            return problem
        found = self._allowed(held, details, context)
        if isinstance(found, Outcome):
            return found
        return _Going(action=action, held=held, item=details.item, sha256=found or None)

    def _versions_gone(self, going: Sequence[_Going], context: Context) -> dict[str, Outcome]:
        """What came of each, by action id: none of them is current at the last look."""
        found: dict[str, Outcome] = {}
        listed: dict[str, list[StoredObject]] = {}
        for entry in going:
            uri = entry.held.held_uri
            try:
                listed[uri] = _versions(uri, context)
            except GreendataError as error:
                found[entry.action.action_id] = outcome_of(error)
                continue
            named = [item for item in listed[uri] if _is_named(entry, item)]
            if not named:  # it was there a moment ago, so that the listing lacks more than this
                words = f"{uri}: the listing of its versions does not name it."
                found[entry.action.action_id] = failed("unreachable", words)
            elif any(item.is_latest for item in named):
                words = f"{uri}: is the current version again."
                found[entry.action.action_id] = skipped("changed", words)
        left = [entry for entry in going if entry.action.action_id not in found]
        self._delete({e.version: e for e in left}, found, context)
        left = [entry for entry in left if entry.action.action_id not in found]
        gone = {entry.version for entry in left}
        hiding = {  # unless a still earlier version would come to light
            (entry.held.uri, entry.held.marker_version_id): entry
            for entry in left
            if entry.held.marker_version_id is not None
            and all(
                item.is_delete_marker or (item.uri, item.version_id) in gone
                for item in listed[entry.held.held_uri]
            )
        }
        self._delete(hiding, found, context)
        for entry in left:
            action = entry.action
            if action.action_id not in found:
                try:
                    found[action.action_id] = self._ended(action, entry.held, entry.sha256, context)
                except GreendataError as error:
                    found[action.action_id] = outcome_of(error)
        return found

    def _delete(
        self, named: Mapping[tuple[str, str], _Going], found: dict[str, Outcome], context: Context
    ) -> None:
        """Delete these versions; of those that stay, ``found`` says why."""
        try:
            failures = context.store.delete_versions(list(named))
        except GreendataError as error:  # of the request as a whole
            failures = dict.fromkeys(named, error)
        for version, failure in failures.items():
            found[named[version].action.action_id] = outcome_of(failure)

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return CannotUndo(words="what was purged does not come back")

    def _allowed(
        self, held: Quarantined, details: ObjectDetails, context: Context
    ) -> Outcome | str:
        """SHA-256 of the object if it was read; or why it stays."""
        if held.cause == "expire":
            if not self._policies_stand:
                words = "the policies of the run were not named, or are not what they were"
                return skipped("policy", f"{held.uri}: {words}.")
            return ""
        if held.cause == "tier":
            return replaced(held, details, context)
        if not held.survivors:
            return skipped("no-survivor", f"{held.uri}: the journal names no copy that stays.")
        digest = ""
        for survivor in held.survivors:
            if survivor.uri in self._leaving:
                return skipped("no-survivor", f"{survivor.uri}: is about to be moved away.")
            found = survived(held, survivor, details, context)
            if isinstance(found, Outcome):
                return found
            digest = digest or found
        if is_weak(held) and not self._rows_still_stand(held, details, context):
            words = "its rows, or those of what stands for it, are not what was compared"
            return skipped("no-survivor", f"{held.uri}: {words}.")
        return digest

    def _rows_still_stand(
        self, held: Quarantined, details: ObjectDetails, context: Context
    ) -> bool:
        there = [context.store.head(survivor.uri) for survivor in held.survivors]
        count = int(held.survivors[0].basis.rpartition(":")[2])
        return self._rows_stand(context.store, details.item, there, count)

    def _marker(self, action: Action, held: Quarantined, context: Context) -> Outcome:
        if not self._policies_stand:
            return skipped("policy", f"{held.uri}: the policies of the run were not named.")
        versions = _versions(held.uri, context)
        if any(not item.is_delete_marker for item in versions):
            return skipped("changed", f"{held.uri}: the delete marker hides something again.")
        context.store.delete(held.uri, version_id=held.held_version_id)
        return self._ended(action, held, None, context)

    def _ended(
        self, action: Action, held: Quarantined, sha256: str | None, context: Context
    ) -> Outcome:
        """What goes with the object, and its tombstone."""
        if held.cause != "tier":
            named = replace(action, action_id=str(action.source["action_id"]))
            unpin_all(held.survivors, named, context)
        tombstone = {
            "uri": held.uri,
            "etag": held.etag,
            "version_id": held.held_version_id,
            "size_bytes": held.size_bytes,
            "sha256": sha256,
            "survivors": [{"uri": e.uri, "etag": e.etag} for e in held.survivors],
            "cause": held.cause,
            "policy": held.policy,
            "at": context.now().isoformat(),
            "by": self._by,
        }
        kept = {name: value for name, value in tombstone.items() if value}
        return Outcome(status=Status.DONE, after={"tombstone": kept})


def _is_ours(held: Quarantined, context: Context) -> bool:
    """Whether a journal names what may be removed at all: a version, or our own folder of a run."""
    if held.form != "moved":
        return held.held_version_id is not None and held.held_uri == held.uri
    below = f"/.greendata/{QUARANTINE}/{context.run_id}/"
    return below in held.held_uri and "/../" not in held.held_uri


def _own_problem(held: Quarantined, details: ObjectDetails, context: Context) -> Outcome | None:
    """Why the object itself must stay, as it is now."""
    item = details.item
    if held.held_etag is not None and item.etag != held.held_etag:
        return skipped("changed", f"{held.held_uri}: is not what was put in quarantine.")
    if details.is_held:
        return skipped("held", f"{held.held_uri}: a hold or a lease is on it.")
    if details.retain_until is not None and details.retain_until > context.now():
        words = f"is retained until {details.retain_until:%Y-%m-%d}"
        return skipped("held", f"{held.held_uri}: {words}.")
    is_alone = held.form == "moved" or held.marker_version_id is not None
    if is_alone and held.cause != "recompress" and is_pinned(held.uri, context):
        return skipped("pinned", f"{held.uri}: copies of it are in quarantine in its favour.")
    return None


def _remove(held: Quarantined, item: StoredObject, context: Context) -> None:
    """Exactly this object of our own folder."""
    if item.version_id is not None:
        context.store.delete(held.held_uri, version_id=item.version_id)
    elif held.held_uri.startswith("file:"):
        context.store.delete(held.held_uri)  # compared just now; nobody else writes here
    else:
        context.store.delete(held.held_uri, etag=item.etag)


def _remove_marker(held: Quarantined, context: Context) -> None:
    """Our delete marker, unless a still earlier version would come to light without it."""
    versions = _versions(held.uri, context)
    if any(not item.is_delete_marker for item in versions):
        return
    with suppress(ObjectNotFoundError):
        context.store.delete(held.uri, version_id=held.marker_version_id)


def _versions(uri: str, context: Context) -> list[StoredObject]:
    return [item for item in context.store.versions(uri) if item.uri == uri]
