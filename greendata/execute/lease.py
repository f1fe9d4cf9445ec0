"""Who may change a store: a document in it that one process holds, renews, and gives back.

``ROOT.greendata/lease`` is written under conditions only. Its epoch grows with every owner and
stays when it is given back. It is over when its time to live has passed since it was last renewed,
by the store's own clock (or, on the machine that wrote it, by the time since that started): nobody
need have the right time. It is over at once when its owner is a process of this machine that is
dead. Whoever takes it over writes the next epoch; the one who lost it finds out before it changes
anything more, because each change asks first how long the lease still lasts.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from greendata.errors import (
    GreendataError,
    LeaseLostError,
    LockedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnreachableError,
    UnsupportedError,
    UsageError,
)
from greendata.execute.journal import MOST_EPOCHS
from greendata.execute.processes import is_dead, is_same_boot, seconds_since_boot, this_process
from greendata.stores.records import IF_ABSENT, Condition
from greendata.stores.wrappers.base import Call, StoreWrapper

if TYPE_CHECKING:
    from types import TracebackType

    from greendata.stores.base import Store

TTL_SECONDS = 60.0
LEASE = ".greendata/lease"
_CLOCK = ".greendata/clock-"
_VERSION = 1
_ATTEMPTS = 5
"""Looks at a lease that somebody else keeps changing, before it is said to be taken."""

_LONGEST_TTL_SECONDS = 1e6
_RENEWALS_A_TTL = 3
_TRIES_A_TTL = 12
"""After a renewal that failed."""

_MARGIN_SECONDS = 1.0
"""Stores tell times in whole seconds; with a tenth of the time to live, for servers that differ."""

_IMPOSSIBLE = (
    (
        IF_ABSENT,
        "If-None-Match",
        "a create-only write and ignores that there is an object",
    ),
    (
        Condition(etag="0" * 32),
        "If-Match",
        "a write for another ETag and ignores that the object has its own",
    ),
)
"""Writes that must be refused where a lease is: condition, its header, what accepting one is."""

Clock = Callable[[], float]


@dataclass(slots=True, kw_only=True)
class _Held:
    """A lease that we wrote: its document, and when the write that counts was sent."""

    root: str
    document: dict[str, Any]
    sent_at: float = 0.0
    lost_to: str = ""
    noted_before: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What is at the place of a lease; no document where its bytes are none."""

    etag: str
    modified_at: datetime
    document: Mapping[str, Any] | None


class Leases:
    """The leases of several roots, held as long as the block lasts.

    Args:
        store: not fenced.
        roots: URIs with a slash at their end.
        is_broken: take over what others hold (``--break-lease``).
        exclusive_roots: roots where nobody else writes (``exclusive_writer``); the store need not
            honour conditions there.
        after_epoch: the newest epoch in the run's journals; ours is a later one, whatever
            became of the lease documents.
        now: only to say since when.
        clock: seconds that nobody can set back.
    """

    def __init__(
        self,
        store: Store,
        roots: Sequence[str],
        *,
        run_id: str,
        ttl_seconds: float = TTL_SECONDS,
        is_broken: bool = False,
        exclusive_roots: Collection[str] = (),
        after_epoch: int = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Clock = seconds_since_boot,
    ) -> None:
        self._store, self._roots = store, sorted(set(roots))
        self._run_id, self._ttl = run_id, ttl_seconds
        self._is_broken, self._exclusive = is_broken, frozenset(exclusive_roots)
        self._after_epoch, self._now, self._clock = after_epoch, now, clock
        self._held: dict[str, _Held] = {}
        self._notes: dict[str, str] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def epoch(self) -> int:
        """The newest of the roots' epochs: that of the journal's segments."""
        return max((held.document["epoch"] for held in self._held.values()), default=0)

    @property
    def is_lost(self) -> bool:
        """Whether somebody else has one of the leases."""
        return any(held.lost_to for held in self._held.values())

    @property
    def longest_call_seconds(self) -> float:
        """What a call may last so that a lease renewed in time always covers it."""
        return self._ttl * (1 - 1.5 / _RENEWALS_A_TTL)

    @property
    def noted_before(self) -> dict[str, str]:
        """What an earlier owner of the same run noted last: a journal must reach up to there."""
        newest: dict[str, str] = {}
        for held in self._held.values():
            for name, value in held.noted_before.items():
                newest[name] = max(newest.get(name, ""), value)
        return newest

    def note(self, name: str, value: str) -> None:
        """Keep a word with the leases from their next renewal on: a journal's position."""
        self._notes[name] = value

    def __enter__(self) -> Self:
        try:
            for root in self._roots:
                self._acquire(root)
        except BaseException:
            self._release()
            raise
        for held in self._held.values():  # each its own: a store that hangs delays no other
            thread = threading.Thread(target=self._keep, args=(held,), name="lease", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._release()

    def check(self, uri: str, needed_seconds: float) -> None:
        """Make sure that a change which may take so long is covered.

        Raises:
            LeaseLostError: by no lease, or by one that ends earlier or is somebody else's.
        """
        held = max(
            (held for root, held in self._held.items() if uri.startswith(root)),
            key=lambda held: len(held.root),
            default=None,
        )
        if held is None:
            raise LeaseLostError(f"{uri}: no lease of this process covers it; it is not changed.")
        if held.lost_to:
            raise LeaseLostError(
                f"{held.root}: {held.lost_to} has taken over; nothing more is changed here.",
                hint="Let it finish; then continue the run with resume.",
            )
        left = held.sent_at + self._ttl - self._clock()
        if left <= needed_seconds:
            raise LeaseLostError(
                f"{held.root}: the lease could not be renewed in time ({max(0.0, left):.0f} s of it"
                f" are left, a change may take {needed_seconds:.0f} s); nothing more is changed.",
                hint="See that the store answers; then continue the run with resume.",
            )

    # --- taking it

    def _acquire(self, root: str) -> None:
        """Raises LockedError where somebody has it, UnsupportedError where nobody can."""
        for _ in range(_ATTEMPTS):
            found = _look(self._store, root)
            if found is not None:
                self._check_free(root, found)
            held = self._new(root, found)
            condition = IF_ABSENT if found is None else Condition(etag=found.etag)
            sent_at = self._clock()
            try:
                self._write(held, condition)
            except PreconditionFailedError:
                pass  # what is there now decides: an earlier try may have done it
            except StoreUnreachableError as error:
                if not error.is_retryable:
                    raise
            if _is_ours(held, _look(self._store, root)):
                held.sent_at = sent_at
                self._held[root] = held
                self._check_honest(held)
                return
        raise LockedError(
            f"{root}: other processes keep changing its lease.", hint="Try again a little later."
        )

    def _new(self, root: str, found: _Found | None) -> _Held:
        before = (found.document if found is not None else None) or {}
        document = {
            "version": _VERSION,
            "epoch": max(int(before.get("epoch", 0)), self._after_epoch) + 1,
            "nonce": secrets.token_hex(16),
            "run": self._run_id,
            **this_process(),
            "acquired_at": self._now().isoformat(),
            "ttl_seconds": self._ttl,
            "is_released": False,
        }
        noted = before.get("notes", {}) if before.get("run") == self._run_id else {}
        return _Held(
            root=root,
            document=document,
            noted_before={str(name): str(value) for name, value in noted.items()},
        )

    def _write(self, held: _Held, condition: Condition) -> None:
        held.document |= {
            "renewed_at_boot_seconds": self._clock(),
            "notes": dict(held.noted_before) | self._notes,
        }
        self._store.put(held.root + LEASE, _content(held), condition=condition)

    def _check_honest(self, held: _Held) -> None:
        """Raises UnsupportedError where a write whose condition cannot hold is not refused."""
        if held.root in self._exclusive:
            return
        other = _content(held) + b"\n"  # so that a repeated try is not taken for a success
        for condition, header, what in _IMPOSSIBLE:
            try:
                self._store.put(held.root + LEASE, other, condition=condition)
            except PreconditionFailedError:
                continue
            raise UnsupportedError(
                f"{held.root}: the store accepts {what}: two runs could change it at once.",
                hint=f"Use an endpoint that honours {header}, or set exclusive_writer: true.",
            )

    def _check_free(self, root: str, found: _Found) -> None:
        document = found.document
        if self._is_broken:
            return
        if document is None:
            raise LockedError(
                f"{root}{LEASE}: is no lease that this program can read, so nobody knows who is at"
                " work.",
                hint="See what it is; when nobody is at work here, use --break-lease.",
            )
        if document["is_released"] or is_dead(document):
            return
        age_seconds = self._age_seconds(root, found, document)
        ttl_seconds = float(document["ttl_seconds"])
        if age_seconds > ttl_seconds * 1.1 + _MARGIN_SECONDS:
            return
        raise LockedError(
            f"{root}: {_name_of(document)} is at work since {document['acquired_at']}"
            f" (its lease was renewed {age_seconds:.0f} s ago).",
            hint="Wait for it or stop it; when it is certainly not there any more, its lease ends"
            f" {ttl_seconds:.0f} s after it was renewed, or at once with --break-lease.",
        )

    def _age_seconds(self, root: str, found: _Found, document: Mapping[str, Any]) -> float:
        """Since it was renewed: by the time since this machine started, else by the store."""
        since_boot = self._clock() - float(document["renewed_at_boot_seconds"])
        if is_same_boot(document) and since_boot >= 0:
            return since_boot
        return (_server_now(self._store, root) - found.modified_at).total_seconds()

    # --- keeping it

    def _keep(self, held: _Held) -> None:
        wait_seconds = self._ttl / _RENEWALS_A_TTL
        while not self._stopping.wait(wait_seconds) and not held.lost_to:
            is_renewed = self._renew(held)
            wait_seconds = self._ttl / (_RENEWALS_A_TTL if is_renewed else _TRIES_A_TTL)

    def _renew(self, held: _Held) -> bool:
        """Once more from now on, unless somebody took it; a store in trouble is asked again.

        It is looked at first, so that neither an answer that was lost nor a store that ignores
        conditions makes two owners.
        """
        with contextlib.suppress(GreendataError):
            for _ in range(_ATTEMPTS):
                found = _look(self._store, held.root)
                if found is None or not _is_ours(held, found):
                    document = found.document if found is not None else None
                    held.lost_to = _name_of(document) if document else "somebody"
                    return False
                sent_at = self._clock()
                with contextlib.suppress(PreconditionFailedError):
                    self._write(held, Condition(etag=found.etag))
                    held.sent_at = sent_at
                    return True
        return False

    def _release(self) -> None:
        """Give back what is still ours; what cannot be given back ends by itself."""
        for held in self._held.values():
            if not held.lost_to:
                held.document["is_released"] = True
                self._renew(held)


class FencedStore(StoreWrapper):
    """Changes nothing that no lease covers for as long as the call may take.

    It belongs around the back end itself, inside of what tries again: each try asks anew.
    """

    def __init__(self, inner: Store, leases: Leases, *, call_timeout_seconds: float) -> None:
        super().__init__(inner)
        if call_timeout_seconds > leases.longest_call_seconds:
            raise UsageError(
                f"A call may take {call_timeout_seconds:.0f} s, and a lease covers"
                f" {leases.longest_call_seconds:.0f} s at least.",
                hint="Set shorter timeouts for the store, or a longer time to live.",
            )
        self._leases, self._call_timeout_seconds = leases, call_timeout_seconds

    def _around(self, call: Call) -> Any:
        if call.is_mutation:
            self._leases.check(call.uri, self._call_timeout_seconds)
        return call.make()


def _look(store: Store, root: str) -> _Found | None:
    """The lease as it is: document and ETag of one moment."""
    uri = root + LEASE
    for _ in range(_ATTEMPTS):
        try:
            item = store.head(uri)
            content = store.read(uri, etag=item.etag)
        except ObjectNotFoundError:
            return None
        except PreconditionFailedError:  # renewed in between
            continue
        return _Found(etag=item.etag, modified_at=item.modified_at, document=_document(content))
    raise LockedError(f"{uri}: other processes keep changing it.", hint="Try again a little later.")


def _document(content: bytes) -> Mapping[str, Any] | None:
    """A lease of this version with everything that is asked of one, or None."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    kinds: dict[str, Any] = {
        "version": int,
        "epoch": int,
        "nonce": str,
        "run": str,
        "acquired_at": str,
        "ttl_seconds": (int, float),
        "renewed_at_boot_seconds": (int, float),
        "is_released": bool,
        "notes": dict,
    }
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        return None
    if not all(isinstance(found.get(name), kind) for name, kind in kinds.items()):
        return None
    is_sane = 0 < found["epoch"] < MOST_EPOCHS and 0 < found["ttl_seconds"] <= _LONGEST_TTL_SECONDS
    return found if is_sane else None


def _content(held: _Held) -> bytes:
    return json.dumps(held.document, sort_keys=True).encode()


def _is_ours(held: _Held, found: _Found | None) -> bool:
    nonce = held.document["nonce"]
    return found is not None and (found.document or {}).get("nonce") == nonce


def _server_now(store: Store, root: str) -> datetime:
    """The store's own time: when it says that an object written just now was written."""
    uri = f"{root}{_CLOCK}{secrets.token_hex(8)}"
    store.put(uri, b"", condition=IF_ABSENT)
    try:
        return store.head(uri).modified_at
    finally:
        with contextlib.suppress(GreendataError):
            store.delete(uri)


def _name_of(document: Mapping[str, Any]) -> str:
    return (
        f"run {document.get('run')} of {document.get('owner')} on {document.get('host')}"
        f" (process {document.get('pid')})"
    )
