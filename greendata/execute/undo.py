"""What takes a run back: the inverse of each of its actions, last action first for each object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from greendata.errors import (
    GreendataError,
    MissingFactError,
    ObjectNotFoundError,
)
from greendata.execute.engine import identified
from greendata.execute.handlers.base import CannotUndo, Handler, outcome_of
from greendata.execute.handlers.returning import IS_LEFT_ALONE, RESTORE_DAYS, left_alone
from greendata.execute.pins import unpin_all
from greendata.execute.records import Action, Outcome, Status, skipped
from greendata.execute.replacing import drop_begun
from greendata.execute.retiring import held_places
from greendata.execute.runstate import RunState, outcome_from, outcome_record
from greendata.footprint.costs import restore_cost
from greendata.footprint.prices import DEFAULT_CLASS, price_list
from greendata.stores.wrappers.base import Call, StoreWrapper

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Context

_LOOKED_AT_WITHOUT_INTENT = frozenset({"quarantine", "expire", "tier"})
"""Kinds whose handlers need nothing of what was known before."""

_FOUND = "found"
"""In an intent of an undo: the outcome that looking told."""

_GROUPED = frozenset({"relocate", "recompress"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """How one action is taken back.

    Attributes:
        action: of the plan.
        inverse: what takes it back; or why nothing does; None where it is not known yet whether
            it was done, and the store must be looked at.
    """

    action: Action
    inverse: Action | CannotUndo | None


def reversals(
    units: Iterator[tuple[Action, ...]], state: RunState, handlers: Mapping[str, Handler]
) -> Iterator[tuple[Reversal, ...]]:
    """What is to be taken back of each unit of the plan, last action first.

    Left out is what was never begun, and what was left alone.
    """
    for unit in units:
        found = [_reversal(action, state, handlers) for action in _carried_out(unit, state)]
        kept = tuple(entry for entry in reversed(found) if entry is not None)
        if kept:
            yield kept


def _carried_out(unit: tuple[Action, ...], state: RunState) -> Iterator[Action]:
    """The actions of a unit on the object as the one before left it."""
    ended: list[tuple[Action, Outcome]] = []
    for planned in unit:
        action = planned
        for earlier in ended:
            action = identified(action, *earlier)
        yield action
        outcome = state.outcomes.get(planned.action_id)
        if outcome is not None and outcome.status is Status.DONE:
            ended.append((planned, outcome))


def _reversal(action: Action, state: RunState, handlers: Mapping[str, Handler]) -> Reversal | None:
    outcome = state.outcomes.get(action.action_id)
    purged = state.purged.get(action.action_id)
    is_purged = purged is not None and purged.status is Status.DONE
    if is_purged and action.kind != "tier":
        return Reversal(action=action, inverse=CannotUndo(words="it was purged"))
    if outcome is None or outcome.status is Status.FAILED:
        is_lost = bool(state.damaged) and action.kind in _LOOKED_AT_WITHOUT_INTENT
        if action.action_id in state.intents or is_lost:
            return Reversal(action=action, inverse=None)
        return None
    if outcome.status is Status.SKIPPED:
        return None
    before = state.intents.get(action.action_id, {})
    found = inverse_of(action, before, outcome, handlers, is_purged=is_purged)
    return Reversal(action=action, inverse=found)


def inverse_of(
    action: Action,
    before: Mapping[str, Any],
    outcome: Outcome,
    handlers: Mapping[str, Handler],
    *,
    is_purged: bool = False,
) -> Action | CannotUndo:
    """What takes one back that is done or pending.

    Where the version before a change of class is still kept, it is copied forward, which needs no
    restore of the one that was archived since.
    """
    try:
        found = handlers[action.kind].inverse(action, before, outcome)
    except KeyError:  # what was known before is in a damaged part of the journal
        return CannotUndo(words="the journal does not have what it was before")
    if isinstance(found, CannotUndo):
        return found
    if action.kind == "tier":
        found = _tier_back(action, outcome, found, is_purged=is_purged)
    group_id = found.group_id if found.kind in _GROUPED else found.action_id
    return replace(found, group_id=group_id, monthly_saving_usd=None, carbon_kgco2e=None)


def _tier_back(action: Action, outcome: Outcome, plain: Action, *, is_purged: bool) -> Action:
    left, now = outcome.after.get("quarantine"), outcome.after["object"]
    if left is None or is_purged:
        return replace(plain, kind="untier", fees_usd=restore_usd(action))
    return replace(
        plain,
        kind="bring_back",
        to=left,
        source=action.source,
        etag=now["etag"],
        version_id=now.get("version_id"),
        fees_usd=None,
    )


def restore_usd(action: Action) -> Decimal | None:
    """Having what a tier action archived readable again; zero if it need not be; None not known."""
    provider, region = action.uri.partition("://")[0], action.source.get("region")
    prices = price_list()
    try:
        now = prices.find(provider, region, str(action.to["storage_class"]))
        if now.is_readable:
            return Decimal(0)
        hot = prices.find(provider, region, DEFAULT_CLASS.get(provider))
        return restore_cost(now, hot, action.size_bytes or 0, RESTORE_DAYS)
    except MissingFactError:
        return None


def settled(
    action: Action, state: RunState, handlers: Mapping[str, Handler], context: Context
) -> Outcome | None:
    """What came of an action whose outcome nobody wrote: by looking, without a change.

    The handler is asked to go on with it in a store that takes no changes: it either finds that
    it was done, or would have to change something, and so it was not. None then; what it may have
    begun is taken away. What is skipped left something in quarantine that nothing takes back.

    Raises:
        GreendataError: it cannot be known now.
    """
    before = state.intents.get(action.action_id, {})
    looking = replace(context, store=_LookingStore(context.store))
    outcome: Outcome | None = None
    with suppress(_WouldChangeError):
        outcome = handlers[action.kind].look(action, before, looking)
    if outcome is not None and (
        outcome.status in (Status.DONE, Status.PENDING) or "quarantine" in outcome.after
    ):
        return outcome
    _drop_begun(action, context)
    return None


class _WouldChangeError(Exception):
    """Not an error of this program's root: no handler may take it for one about an object."""


class _LookingStore(StoreWrapper):
    """Ends what begins to change anything."""

    def _around(self, call: Call) -> Any:
        if call.is_mutation:
            raise _WouldChangeError
        return call.make()


def _drop_begun(action: Action, context: Context) -> None:
    """The pin and the copy of a removal that never came to remove: the object is still there."""
    if action.kind in ("relocate", "recompress"):
        drop_begun(action, context)
    if action.kind not in ("quarantine", "expire"):
        return
    unpin_all(action.survivors, action, context)
    if context.way_of(action.uri).is_versioned:
        return
    with suppress(ObjectNotFoundError):
        if context.store.head(action.uri).etag == action.etag:
            _drop_kept(action, context)


def _drop_kept(action: Action, context: Context) -> None:
    """The copy, or second name, that an object got in quarantine before it was to go."""
    store = context.store
    for uri in held_places(action, context):
        for upload in list(store.uploads(uri)):
            if upload.uri == uri:
                store.abort_upload(uri, upload.upload_id)
        store.delete(uri)


class Remembering(Handler):
    """A handler of an undo whose intents keep what was found out by looking.

    The next try cannot look any more: the object may be back, and nothing tell what it was.
    """

    kinds: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, inner: Handler, found: Mapping[str, Outcome]) -> None:
        self._inner, self._found = inner, found

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        before = self._inner.prepare(action, context)
        outcome = self._found.get(action.action_id)
        if outcome is None:
            return before
        return {**before, _FOUND: outcome_record(action.action_id, outcome, context.now())}

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        return self._inner.act(action, before, context, is_resumed=is_resumed)

    def act_together(
        self,
        actions: Sequence[Action],
        before: Sequence[Mapping[str, Any]],
        context: Context,
        *,
        is_resumed: bool,
    ) -> list[Outcome]:
        return self._inner.act_together(actions, before, context, is_resumed=is_resumed)

    def settle(
        self, action: Action, before: Mapping[str, Any], pending: Outcome, context: Context
    ) -> Outcome:
        return self._inner.settle(action, before, pending, context)

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return self._inner.inverse(action, before, outcome)


class Units:
    """What the engine is to do for each unit of the plan; ``handlers`` are for that."""

    def __init__(self, state: RunState, handlers: Mapping[str, Handler]) -> None:
        self._state, self._plain = state, handlers
        self._found: dict[str, Outcome] = {}
        self.handlers: dict[str, Handler] = {
            kind: Remembering(handler, self._found) for kind, handler in handlers.items()
        }

    def unit(self, entries: Sequence[Reversal], context: Context) -> tuple[Action, ...]:
        """One unit. What nothing takes back is in it too, to be journalled as such.

        What is taken back already is in it for what it tells of the object.
        """
        actions = [self._action(entry, context) for entry in entries]
        return tuple(action for action in actions if action is not None)

    def _action(self, entry: Reversal, context: Context) -> Action | None:
        inverse: Action | CannotUndo | Outcome | None = entry.inverse
        undone = self._state.undone.get(entry.action.action_id)
        if inverse is None and undone is not None and undone.status is Status.DONE:
            inverse = undone
        if inverse is None:
            inverse = self._looked_at(entry.action, context)
        if isinstance(inverse, CannotUndo):
            inverse = skipped("irreversible", f"{entry.action.uri}: {inverse.words}.")
        return left_alone(entry.action, inverse) if isinstance(inverse, Outcome) else inverse

    def _looked_at(self, action: Action, context: Context) -> Action | CannotUndo | Outcome | None:
        state = self._state
        known = state.undo_intents.get(action.action_id, {}).get(_FOUND)
        try:
            outcome = (
                settled(action, state, self._plain, context)
                if known is None
                else outcome_from(known)
            )
        except GreendataError as error:
            return outcome_of(error)
        if outcome is None or outcome.status is Status.SKIPPED:
            return outcome
        self._found[action.action_id] = outcome
        before = state.intents.get(action.action_id, {})
        return inverse_of(action, before, outcome, self._plain)


def part_state(state: RunState) -> RunState:
    """The run as the engine takes it back: what was undone are its outcomes.

    What was left alone is tried again: whatever was in the way may be gone.
    """
    return RunState(
        run_id=state.run_id,
        header=state.header,
        intents={
            action_id: before
            for action_id, before in state.undo_intents.items()
            if not before.get(IS_LEFT_ALONE)
        },
        outcomes={
            action_id: outcome
            for action_id, outcome in state.undone.items()
            if outcome.status is not Status.SKIPPED
        },
        replays=state.replays,
        damaged=state.damaged,
    )
