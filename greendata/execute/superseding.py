"""An object that a new one stands for: pinned first, then retired in its favour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.errors import GreendataError, ObjectNotFoundError, StoreUnreachableError
from greendata.execute.pins import pin, refuse_pinned, unpin
from greendata.execute.records import Action, Outcome, done, skipped
from greendata.execute.retiring import find_retired, retire
from greendata.execute.verified import current_details
from greendata.plan.actions import KEPT_DAYS

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Context
    from greendata.execute.verified import Copy


def supersede(action: Action, new: Copy, context: Context) -> Outcome:
    """The planned object into quarantine in favour of ``new``, which the caller has just read.

    Done twice it is done once; why the object must stay is an outcome too.
    """
    survivor = new.as_survivor()
    try:
        found = current_details(action, context)
    except ObjectNotFoundError as error:
        left = find_retired(action, context, grace_days=KEPT_DAYS, survivor=survivor)
        if left is None:
            return skipped("gone", error.message)
        pin(survivor, action, context)
        return done(quarantine=left.as_dict())
    if isinstance(found, Outcome):
        return found
    pin(survivor, action, context)
    pinned = refuse_pinned(action, context)
    if pinned is not None:
        unpin(survivor, action, context)
        return pinned
    try:
        left = retire(action, found.item, context, grace_days=KEPT_DAYS, survivor=survivor)
    except StoreUnreachableError:
        raise  # it may have been done: the pin stays until that is known
    except GreendataError:
        unpin(survivor, action, context)
        raise
    return done(quarantine=left.as_dict())
