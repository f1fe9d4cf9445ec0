"""Contexts and actions for tests of handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from greendata.execute.handlers.base import Context, Way
from greendata.execute.records import Action, Survivor
from greendata.model import StoredObject
from greendata.stores.base import Store

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RUN = "0123456789abcdef-1"


def made_context(
    store: Store,
    root: str,
    *,
    run_id: str = RUN,
    now: Callable[[], datetime] = lambda: NOW,
    **way: Any,
) -> Context:
    """A context in which everything is in one root."""
    only = Way(root=root, **way)
    return Context(store=store, run_id=run_id, now=now, way_of=lambda uri: only)


def made_action(
    kind: str,
    item: StoredObject,
    to: Mapping[str, Any],
    *,
    survivor: StoredObject | None = None,
    action_id: str = "a" * 32,
    is_latest: bool = True,
) -> Action:
    """An action on an object as it is."""
    return Action(
        action_id=action_id,
        group_id=action_id,
        kind=kind,
        uri=item.uri,
        store_id=item.store_id,
        version_id=item.version_id,
        etag=item.etag,
        size_bytes=item.size_bytes,
        source={"storage_class": item.storage_class, "is_latest": is_latest},
        to=to,
        policy="test",
        survivor=None
        if survivor is None
        else Survivor(
            uri=survivor.uri,
            store_id=survivor.store_id,
            etag=survivor.etag,
            version_id=survivor.version_id,
            basis="sha256:0",
        ),
    )
