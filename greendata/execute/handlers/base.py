"""What carries out one kind of action, and what it is handed for that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from greendata.errors import (
    DeniedError,
    GreendataError,
    IntegrityError,
    ObjectArchivedError,
    ObjectChangedError,
    ObjectEncryptedError,
    ObjectHeldError,
    ObjectNotFoundError,
    StoreUnreachableError,
    UnsupportedError,
)
from greendata.execute.quarantine import CopyKeptError
from greendata.execute.records import Action, Outcome, Status, failed, skipped, step_id

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.stores.base import Store
    from greendata.stores.records import ObjectDetails


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How an endpoint may be changed, as it was probed.

    Attributes:
        root: URI, with a slash at its end, of the place that holds ``.greendata/``: the bucket or
            container; of local files the folder that was scanned.
        is_versioned: replaced and deleted objects stay as earlier versions.
        copies_conditionally: a copy inside the store compares the source's ETag and creates only
            where nothing is; else bytes go through this machine.
        deletes_conditionally: DELETE compares the ETag.
        is_exclusive: nobody else writes here (``exclusive_writer``): races need no precondition.
        probed_at: when; None where nothing was, as for local files.
    """

    root: str
    is_versioned: bool = False
    copies_conditionally: bool = True
    deletes_conditionally: bool = True
    is_exclusive: bool = False
    probed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What handlers work with.

    Attributes:
        store: changes go through a fence: each checks the lease of its root first.
        run_id: of the attempt; part of every key that is written.
        now: the time, aware, in UTC.
        way_of: how the endpoint of a URI may be changed.
    """

    store: Store
    run_id: str
    now: Callable[[], datetime]
    way_of: Callable[[str], Way]

    def step_id(self, action: Action) -> str:
        """Names this action of this attempt in stores."""
        return step_id(self.run_id, action.action_id)

    def own_uri(self, uri: str, *parts: str) -> str:
        """A URI in our own folder of the root that holds ``uri``."""
        return f"{self.way_of(uri).root}.greendata/{'/'.join(parts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotUndo:
    """Why an action cannot be taken back, in words."""

    words: str


class Handler(ABC):
    """One kind of action. Stateless; called from several threads.

    ``act`` begins by looking whether it was done already, and may be called again at any time. It
    returns an outcome for everything that concerns this one object and raises only what stops the
    whole run (a lost lease, a full disk).
    """

    kinds: ClassVar[frozenset[str]]

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        """What must be known before, to take it back later; journalled with the intent.

        Only reads. May raise any GreendataError, which ``outcome_of`` turns into a skip.
        """
        return {}

    @abstractmethod
    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        """Do it. ``is_resumed``: an intent was journalled earlier, so it may be done already.

        May raise any GreendataError about the object, which ``outcome_of`` translates.
        """

    def act_together(
        self,
        actions: Sequence[Action],
        before: Sequence[Mapping[str, Any]],
        context: Context,
        *,
        is_resumed: bool,
    ) -> list[Outcome]:
        """A group of several objects that switches as one; in the order of ``actions``."""
        raise UnsupportedError(f"{actions[0].uri}: {actions[0].kind} has no groups.")

    def look(self, action: Action, before: Mapping[str, Any], context: Context) -> Outcome | None:
        """What an earlier try did of an action whose outcome nobody wrote; None: nothing.

        ``context.store`` ends what begins to change anything. By default it is tried again there.
        """
        return self.act(action, before, context, is_resumed=True)

    def settle(
        self, action: Action, before: Mapping[str, Any], pending: Outcome, context: Context
    ) -> Outcome:
        """Go on with one that is pending and due; as ``act``."""
        return self.act(action, before, context, is_resumed=True)

    @abstractmethod
    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        """The action that takes a finished or pending one back, with the same ``action_id``."""


def outcome_of(error: GreendataError) -> Outcome:
    """What an error about one object means for its action.

    Raises:
        GreendataError: it concerns more than this object.
    """
    words = error.message
    match error:
        case CopyKeptError(held=held):
            return replace(skipped("changed", words), after={"quarantine": held.as_dict()})
        case ObjectHeldError():
            return skipped("held", words)
        case ObjectEncryptedError():
            return skipped("encrypted", words)
        case DeniedError():
            return failed("denied", words)
        case ObjectChangedError():
            return skipped("changed", words)
        case ObjectArchivedError():
            return skipped("archived", words)
        case ObjectNotFoundError():
            return skipped("gone", words)
        case UnsupportedError():
            return skipped("unsupported", words)
        case IntegrityError():
            return failed("damaged", words)
        case StoreUnreachableError():
            return failed("unreachable", words)
        case _:
            raise error


def planned_details(
    action: Action, context: Context, *, is_read: bool = False
) -> ObjectDetails | Outcome:
    """The object as it is now if it is the planned one and may be changed, else why not.

    ``is_read``: its bytes are needed, so it must not be archived.
    """
    if action.version_id is None and not action.source.get("is_latest", True):
        return skipped("unsupported", f"{action.uri}: its earlier version has no id of its own.")
    found = context.store.details(action.uri, version_id=action.version_id)
    item = found.item
    if action.version_id is not None:  # whether or not more versions are kept by now
        is_latest = _is_latest(item, context)
        if is_latest != action.source.get("is_latest", True):
            words = "is the current version again" if is_latest else "was replaced or deleted"
            return skipped("changed", f"{action.uri}: {words}.")
    if item.etag != action.etag or (
        action.size_bytes is not None and item.size_bytes != action.size_bytes
    ):
        return skipped("changed", f"{action.uri}: its ETag is {item.etag}, not {action.etag}.")
    if found.is_held:
        return skipped("held", f"{action.uri}: a hold or a lease is on it.")
    if found.retain_until is not None and found.retain_until > context.now():
        return skipped("held", f"{action.uri}: is retained until {found.retain_until:%Y-%m-%d}.")
    if is_read and found.is_unreadable:
        return skipped("archived", f"{action.uri}: is in {item.storage_class}.")
    return found


def _is_latest(item: StoredObject, context: Context) -> bool:
    try:
        return context.store.head(item.uri).version_id == item.version_id
    except ObjectNotFoundError:
        return False


def is_settled(outcome: Outcome) -> bool:
    """Whether an outcome leaves nothing to do now."""
    return outcome.status in (Status.DONE, Status.SKIPPED, Status.PENDING)
