"""Contexts and actions for tests of handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    survivors: Sequence[StoredObject] = (),
    basis: str = "sha256:0",
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
        survivors=tuple(
            Survivor(
                uri=entry.uri,
                store_id=entry.store_id,
                etag=entry.etag,
                version_id=entry.version_id,
                basis=basis,
            )
            for entry in survivors
        ),
    )
