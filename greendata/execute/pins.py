"""Pins: what stands for something in quarantine says so in its own store, until it is purged.

A pin is a small object, created where none is, at ``.greendata/pins/HASH/STEP.json``, ``HASH`` of
the pinned object's URI. Whoever wants to remove an object looks for pins of it first, and has
pinned its own survivor before: of two runs that would each remove the other's survivor, at least
one sees the other's pin.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from greendata.errors import (
    GreendataError,
    IntegrityError,
    LockedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnreachableError,
)
from greendata.execute.quarantine import CopyKeptError
from greendata.execute.records import skipped, step_id
from greendata.stores.records import IF_ABSENT

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Context
    from greendata.execute.records import Action, Outcome, Survivor

PINS = "pins"
"""Folder, below ``.greendata/``."""

PIN_SUFFIX = ".json"
"""Of pins; a local store leaves files of its own beside them."""


def pins_folder(uri: str, context: Context) -> str:
    """URI, with a slash at its end, of all pins of an object."""
    name = hashlib.blake2b(uri.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return context.own_uri(uri, PINS, name, "")


def pin(survivor: Survivor, action: Action, context: Context) -> None:
    """Pin what stands for the object of an action; again it is no change.

    Raises:
        IntegrityError: the pin that is there is of something else.
    """
    uri = pin_uri(survivor, action.action_id, context)
    document = {
        "pinned": survivor.uri,
        "etag": survivor.etag,
        "basis": survivor.basis,
        "for": action.uri,
        "run": context.run_id,
    }
    content = json.dumps(document, sort_keys=True).encode("utf-8", "backslashreplace")
    try:
        context.store.put(uri, content, condition=IF_ABSENT)
    except PreconditionFailedError as error:
        if context.store.read(uri) != content:
            raise IntegrityError(f"{uri}: is not the pin that belongs there.") from error


@contextmanager
def pinned(survivors: Sequence[Survivor], action: Action, context: Context) -> Iterator[None]:
    """What stands for the object of an action is pinned first, all of it, and stays so.

    The pins are taken off again where what follows, or one of them, fails and surely changed
    nothing.
    """
    try:
        for survivor in survivors:
            pin(survivor, action, context)
        yield
    except (StoreUnreachableError, LockedError, CopyKeptError):
        raise  # it may have been done: the pins stay until that is known
    except GreendataError:
        unpin_all(survivors, action, context)
        raise


def unpin(survivor: Survivor, action: Action, context: Context) -> None:
    """Take a pin off; one that is gone is no error."""
    context.store.delete(pin_uri(survivor, action.action_id, context))


def unpin_all(survivors: Iterable[Survivor], action: Action, context: Context) -> None:
    """Take off all pins that an action put on what stands for its object, or may have put."""
    for survivor in survivors:
        unpin(survivor, action, context)


def is_pinned(uri: str, context: Context) -> bool:
    """Whether anything was removed in favour of this object."""
    found = context.store.own_objects(pins_folder(uri, context))
    return any(item.uri.endswith(PIN_SUFFIX) for item in found)


def is_same_object(survivor: Survivor, action: Action, context: Context) -> bool:
    """Whether a pinned survivor is the object itself in a bucket that has two names.

    Access points of S3 and accounts behind two endpoints give one; the pin is seen under both.
    """
    own, other = context.way_of(action.uri).root, context.way_of(survivor.uri).root
    if own == other or action.uri.removeprefix(own) != survivor.uri.removeprefix(other):
        return False
    pin_there = pin_uri(survivor, action.action_id, context).removeprefix(other)
    try:
        context.store.head(own + pin_there)
    except ObjectNotFoundError:
        return False
    return True


def refuse_pinned(action: Action, context: Context) -> Outcome | None:
    """Why the object of an action must stay, if it must."""
    if not is_pinned(action.uri, context):
        return None
    return skipped("pinned", f"{action.uri}: copies of it are in quarantine in its favour.")


def pin_uri(survivor: Survivor, action_id: str, context: Context) -> str:
    """Where the pin is that an action of this run puts on a survivor."""
    return f"{pins_folder(survivor.uri, context)}{step_id(context.run_id, action_id)}{PIN_SUFFIX}"
