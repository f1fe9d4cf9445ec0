"""An object that a new one stands for: pinned first, then retired in its favour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.errors import ObjectNotFoundError
from greendata.execute.pins import pinned, refuse_pinned, unpin_all
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
    survivors = (new.as_survivor(),)
    try:
        found = current_details(action, context)
    except ObjectNotFoundError as error:
        left = find_retired(action, context, grace_days=KEPT_DAYS, survivors=survivors)
        if left is None:
            return skipped("gone", error.message)
        with pinned(survivors, action, context):
            return done(quarantine=left.as_dict())
    if isinstance(found, Outcome):
        return found
    with pinned(survivors, action, context):
        problem = refuse_pinned(action, context)
        if problem is None:
            left = retire(action, found.item, context, grace_days=KEPT_DAYS, survivors=survivors)
            return done(quarantine=left.as_dict())
    unpin_all(survivors, action, context)
    return problem
