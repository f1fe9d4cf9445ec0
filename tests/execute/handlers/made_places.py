"""Places between which objects go, and stores that stop anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from greendata.errors import (
    GreendataError,
    ObjectNotFoundError,
    StoreUnreachableError,
    UnsupportedError,
)
from greendata.execute.handlers.base import Context, Handler, Way, outcome_of
from greendata.execute.records import Action, Outcome, Status
from greendata.model import StoredObject
from greendata.stores.base import Store
from greendata.stores.opening import Stores
from greendata.stores.records import Properties
from greendata.stores.wrappers.base import Call, StoreWrapper

RUN = "0123456789abcdef-1"


class TwoStores(Stores):
    """Stores by the beginning of their URIs; none copies to another by itself."""

    def __init__(self, places: dict[str, Store]) -> None:
        super().__init__()
        self._places = places

    def store_of(self, uri: str) -> Store:
        return next(store for start, store in self._places.items() if uri.startswith(start))


def context_of(
    store: Store, roots: Sequence[str], *, later: timedelta = timedelta(0), **way: Any
) -> Context:
    """``roots`` end with a slash; the clock is the machine's, or later."""
    ways = [Way(root=root, **way) for root in roots]

    def way_of(uri: str) -> Way:
        return next(entry for entry in ways if uri.startswith(entry.root))

    return Context(store=store, run_id=RUN, now=lambda: datetime.now(UTC) + later, way_of=way_of)


def action_on(
    kind: str, item: StoredObject, to: dict[str, Any], *, name: str = "a", group: str | None = None
) -> Action:
    action_id = name * 32
    return Action(
        action_id=action_id,
        group_id=group or action_id,
        kind=kind,
        uri=item.uri,
        store_id=item.store_id,
        version_id=item.version_id,
        etag=item.etag,
        size_bytes=item.size_bytes,
        source={"storage_class": item.storage_class, "tier": "hot", "region": "us-east-1"},
        to=to,
        policy="test",
    )


class KilledError(BaseException):
    """The process is gone: nothing that catches errors may go on."""


class FaultAt(StoreWrapper):
    """The call of that number fails in one way; ``calls`` are all that were made."""

    def __init__(self, inner: Store, at: int, fault: str) -> None:
        super().__init__(inner)
        self._at, self._fault = at, fault
        self.calls: list[str] = []

    def _around(self, call: Call) -> Any:
        number = len(self.calls)
        self.calls.append(call.name)
        if number != self._at:
            return call.make()
        if self._fault == "kill":
            raise KilledError
        if self._fault == "503":
            raise StoreUnreachableError(f"{call.uri}: scripted 503.", is_retryable=True)
        try:
            call.make()
        finally:
            if self._fault == "kill-after":
                raise KilledError
        raise StoreUnreachableError(f"{call.uri}: scripted loss.", is_retryable=True)


FAULTS = ("kill", "kill-after", "503", "lost")


def carry_out(
    handler: Handler, actions: Sequence[Action], context: Context, *, is_resumed: bool = False
) -> list[Outcome]:
    """As the engine does: prepare, act, translate."""
    try:
        before = [handler.prepare(action, context) for action in actions]
        before = json.loads(json.dumps(before))
        if len(actions) > 1:
            return handler.act_together(actions, before, context, is_resumed=is_resumed)
        return [handler.act(actions[0], before[0], context, is_resumed=is_resumed)]
    except GreendataError as error:
        return [outcome_of(error)] * len(actions)


def translated(work: Callable[[], Outcome]) -> Outcome:
    try:
        return work()
    except GreendataError as error:
        return outcome_of(error)


def every_fault(
    make: Callable[[], tuple[Store, Callable[[Store, bool], list[Outcome]]]],
    check: Callable[[Store, list[Outcome]], None],
    *,
    watch: Callable[[Store], None] = lambda store: None,
    faults: Iterable[str] = FAULTS,
    until: Status = Status.DONE,
) -> int:
    """Fail once at each call of a run, go on until all is done, and check; how many faults.

    ``make`` gives a fresh store and what is to be done in it; ``watch`` sees it after each try.
    """
    store, work = make()
    counting = FaultAt(store, -1, "503")
    check(store, work(counting, False))
    count = 0
    for at in range(len(counting.calls)):
        for fault in faults:
            store, work = make()
            try:
                found = work(FaultAt(store, at, fault), False)
            except KilledError:
                found = []
            watch(store)
            for _ in range(3):
                if found and all(entry.status is until for entry in found):
                    break
                found = work(store, True)
                watch(store)
            check(store, found)
            count += 1
    return count


def content_of(store: Store, uri: str) -> bytes | None:
    try:
        return store.read(uri)
    except (FileNotFoundError, UnsupportedError):
        return None


def own_names(store: Store, root: str) -> list[str]:
    """What is in our own folder, but for locks of local files."""
    found = (item.uri.removeprefix(root) for item in store.own_objects(root))
    return sorted(name for name in found if not name.endswith("write.lock"))


class OvertakenStore(StoreWrapper):
    """Right after something is written at ``uri``, others put ``theirs`` there, once."""

    def __init__(self, inner: Store, uri: str, theirs: bytes, properties: Properties) -> None:
        super().__init__(inner)
        self._uri, self._theirs, self._properties = uri, theirs, properties
        self._is_done = False

    def _around(self, call: Call) -> Any:
        found = call.make()
        if call.is_mutation and not self._is_done:
            with suppress(ObjectNotFoundError):
                self.inner.head(self._uri)
                self._is_done = True
                self.inner.put(self._uri, self._theirs, properties=self._properties)
        return found
