"""``tag`` and ``hold``: what is set beside an object and changes none of its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from greendata.execute.handlers.base import CannotUndo, Context, Handler, planned_details
from greendata.execute.records import Action, Outcome, done, failed, skipped


class TagHandler(Handler):
    """Sets tags; one whose value is None is taken off. Other tags stay."""

    kinds: ClassVar[frozenset[str]] = frozenset({"tag"})

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        tags = context.store.tags(action.uri, version_id=action.version_id)
        return {"tags": {name: tags.get(name) for name in action.to["tag"]}}

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        found = planned_details(action, context)
        if isinstance(found, Outcome) and found.reason != "held":  # a hold allows tags
            return found
        store, wanted = context.store, action.to["tag"]
        tags = store.tags(action.uri, version_id=action.version_id)
        expected = action.to.get("expected", {})
        is_ours = _has(tags, expected) or (is_resumed and _has(tags, wanted))
        if not is_ours:
            return skipped("changed", f"{action.uri}: its tags were changed by somebody else.")
        if not _has(tags, wanted):
            merged = {**tags, **wanted}
            kept = {name: value for name, value in merged.items() if value is not None}
            store.set_tags(action.uri, kept, version_id=action.version_id)
            if not _has(store.tags(action.uri, version_id=action.version_id), wanted):
                return failed("damaged", f"{action.uri}: the store did not keep the tags.")
        return done()

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return replace(
            action,
            to={"tag": before["tags"], "expected": action.to["tag"]},
            reason="undo",
        )


class HoldHandler(Handler):
    """Puts a legal hold on an object; ``off`` takes it off, which only an undo does."""

    kinds: ClassVar[frozenset[str]] = frozenset({"hold"})

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        found = context.store.details(action.uri, version_id=action.version_id)
        return {"is_held": bool(found.is_held)}

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        wanted = action.to["hold"] != "off"
        found = planned_details(action, context)
        if isinstance(found, Outcome) and found.reason != "held":
            return found
        details = context.store.details(action.uri, version_id=action.version_id)
        if bool(details.is_held) != wanted:
            context.store.set_hold(action.uri, is_held=wanted, version_id=action.version_id)
            details = context.store.details(action.uri, version_id=action.version_id)
        if bool(details.is_held) != wanted:
            return failed("damaged", f"{action.uri}: the store did not keep the hold.")
        return done()

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        if before.get("is_held"):
            return CannotUndo(words="it was held before")
        return replace(action, to={"hold": "off"}, reason="undo")


def _has(tags: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    return all(tags.get(name) == value for name, value in wanted.items())
