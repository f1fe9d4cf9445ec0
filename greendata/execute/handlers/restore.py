"""``restore``: archived objects made readable; it takes hours and ends by itself on S3."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from greendata.execute.handlers.base import CannotUndo, Context, Handler
from greendata.execute.records import Action, Outcome, Status, skipped
from greendata.footprint.prices import price_list
from greendata.footprint.tables import GIB, values_of

if TYPE_CHECKING:
    from datetime import datetime

    from greendata.stores.records import ObjectDetails

UNKNOWN_CLASS_HOURS = 12.0
"""Of a class that ``class_limits.csv`` does not have, such as the archive tiers of S3
Intelligent-Tiering, of which the slower takes 12 hours (Amazon S3 user guide, archive retrieval
options)."""

LATE_HOURS = 1.0
"""After how long one that is late is looked at again."""

_KEEPS_NO_COPY = ("az://",)


class RestoreHandler(Handler):
    """Asks once; S3 keeps a readable copy for some days, Azure moves the blob to Hot."""

    kinds: ClassVar[frozenset[str]] = frozenset({"restore"})

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        found = context.store.details(action.uri, version_id=action.version_id)
        return {
            "was_readable": not found.is_archived and found.restore_state is None,
            "storage_class": found.item.storage_class,
            "asked_at": context.now().isoformat(),
        }

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        found = self._planned(action, context)
        if isinstance(found, Outcome):
            return found
        if before["was_readable"] and not (found.is_archived or found.restore_state):
            return _readable(action, before, context.now())
        is_asked = found.restore_state == "pending" or (is_resumed and _is_readable(found))
        if not is_asked:  # of one that is readable already it is asked for longer
            context.store.restore(
                action.uri, days=int(action.to["days"]), version_id=action.version_id
            )
            found = context.store.details(action.uri, version_id=action.version_id)
        if _is_readable(found):
            return _readable(action, before, context.now())
        hours = restore_hours(action.uri, before["storage_class"])
        return _waiting(action, context.now() + timedelta(hours=hours), context.now())

    def settle(
        self, action: Action, before: Mapping[str, Any], pending: Outcome, context: Context
    ) -> Outcome:
        now = context.now()
        if pending.due_at is not None and now < pending.due_at:
            return pending
        found = self._planned(action, context)
        if isinstance(found, Outcome):
            return found
        if _is_readable(found):
            return _readable(action, before, now)
        if found.restore_state == "pending":
            return _waiting(action, now + timedelta(hours=LATE_HOURS), now, pending)
        if pending.due_at is not None and now >= pending.due_at + _kept(action):
            return Outcome(
                status=Status.DONE,
                detail=f"{action.uri}: the {action.to['days']} days are over already.",
                after=pending.after,
            )
        return self.act(action, before, context, is_resumed=False)

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        if before.get("was_readable"):
            return CannotUndo(words=f"{action.uri}: was readable before; nothing was changed.")
        if not action.uri.startswith(_KEEPS_NO_COPY):
            return CannotUndo(
                words=f"{action.uri}: the readable copy is dropped by S3 itself after"
                f" {action.to['days']} days."
            )
        if outcome.status is Status.PENDING:
            return CannotUndo(
                words=f"{action.uri}: is on its way out of {before['storage_class']}, which nothing"
                " stops; undo again when it is readable."
            )
        storage_class = str(before["storage_class"])
        return Action(
            action_id=action.action_id,
            group_id=action.action_id,
            kind="tier",
            uri=action.uri,
            store_id=action.store_id,
            etag=action.etag,
            size_bytes=action.size_bytes,
            version_id=action.version_id,
            source={"storage_class": "Hot", "tier": "hot", "region": action.source.get("region")},
            to={"tier": "archive", "storage_class": storage_class},
            policy=action.policy,
            reason="undo of a restore",
            reversibility="costly",
            fees_usd=_tier_back_usd(action, storage_class),
        )

    def _planned(self, action: Action, context: Context) -> ObjectDetails | Outcome:
        """Asking changes nothing of the object: holds do not forbid it."""
        found = context.store.details(action.uri, version_id=action.version_id)
        if found.item.etag != action.etag:
            return skipped("changed", f"{action.uri}: its ETag is {found.item.etag} by now.")
        return found


def restore_hours(uri: str, storage_class: str | None) -> float:
    """The longest that a standard restore takes, by the provider's page."""
    provider = uri.partition("://")[0]
    found = values_of("class_limits").get((provider, storage_class or "", "restore_standard"))
    return UNKNOWN_CLASS_HOURS if found is None else float(found.high)


def _is_readable(found: ObjectDetails) -> bool:
    return found.restore_state == "restored" or not (found.is_archived or found.restore_state)


def _kept(action: Action) -> timedelta:
    return timedelta(days=int(action.to["days"]))


def _readable(action: Action, before: Mapping[str, Any], now: datetime) -> Outcome:
    is_lasting = before["was_readable"] or action.uri.startswith(_KEEPS_NO_COPY)
    until = None if is_lasting else (now + _kept(action)).isoformat()
    detail = f"{action.uri}: needed no restore." if before["was_readable"] else ""
    return Outcome(status=Status.DONE, detail=detail, after={"readable_until": until})


def _waiting(
    action: Action, due_at: datetime, now: datetime, earlier: Outcome | None = None
) -> Outcome:
    after = {"asked_at": now.isoformat()} if earlier is None else earlier.after
    detail = f"{action.uri}: is to be readable by {due_at:%Y-%m-%d %H:%M} UTC."
    return Outcome(
        status=Status.PENDING, reason="waiting", detail=detail, after=after, due_at=due_at
    )


def _tier_back_usd(action: Action, storage_class: str) -> Decimal | None:
    """What moving it back costs by the newest price list; None where that does not know."""
    region = action.source.get("region")
    found = price_list().transitions.get(("az", region or "", "Hot", storage_class, "set_tier"))
    if found is None or found.usd_per_object is None or found.usd_per_gib is None:
        return None
    return found.usd_per_object + found.usd_per_gib * (action.size_bytes or 0) / GIB
