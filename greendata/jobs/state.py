"""Small documents that outlive a run, beside the catalog: who was told, what was counted.

They lie in the catalog's own folder or bucket, so that a pod needs no disk, and are switched by
compare-and-swap, so that two runs at once lose nothing of each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    CommitConflictError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from greendata.stores.records import IF_ABSENT, Condition

if TYPE_CHECKING:
    from greendata.config import StoreSettings
    from greendata.stores.base import Store

LARGEST_STATE_BYTES = 16 * 2**20
_ATTEMPTS = 20

State = dict[str, Any]


def read_state(catalog: str, name: str, stores: Sequence[StoreSettings] = ()) -> State:
    """The document of this name; empty where there is none, or none that can be read.

    Raises:
        StoreUnreachableError, DeniedError: where the catalog is.
    """
    store, uri = _place(catalog, name, stores)
    return _read(store, uri)[0]


def update_state(
    catalog: str,
    name: str,
    change: Callable[[State], State],
    stores: Sequence[StoreSettings] = (),
) -> State:
    """Write what ``change`` makes of the document; it is called again if another was first.

    Raises:
        CommitConflictError: others were first too often.
        StoreUnreachableError, DeniedError: where the catalog is.
    """
    store, uri = _place(catalog, name, stores)
    for _ in range(_ATTEMPTS):
        known, condition = _read(store, uri)
        changed = change(known)
        content = json.dumps(changed, sort_keys=True).encode()
        try:
            store.put(uri, content, condition=condition)
        except (PreconditionFailedError, ObjectNotFoundError):
            continue
        return changed
    raise CommitConflictError(
        f"{uri}: {_ATTEMPTS} times another process wrote it first",
        hint="Are very many runs at work on this catalog?",
    )


def _place(catalog: str, name: str, stores: Sequence[StoreSettings]) -> tuple[Store, str]:
    from greendata.stores.opening import Stores, normalise_uri

    uri = normalise_uri(catalog, stores).rstrip("/")
    return Stores(stores).store_of(uri), f"{uri}/state/{name}.json"


def _read(store: Store, uri: str) -> tuple[State, Condition]:
    """The document, and the condition to replace it; what is damaged is replaced as if empty."""
    try:
        item = store.head(uri)
        if item.size_bytes > LARGEST_STATE_BYTES:
            return {}, Condition(etag=item.etag)
        raw = store.read(uri, etag=item.etag)
    except ObjectNotFoundError:
        return {}, IF_ABSENT
    except ObjectChangedError:
        return _read(store, uri)
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    return (found if isinstance(found, dict) else {}), Condition(etag=item.etag)
