"""``greendata doctor``: what an endpoint really honours, found out with objects of our own."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from greendata.catalog.commits import new_id
from greendata.catalog.schemas import SCHEMAS
from greendata.errors import (
    GreendataError,
    ObjectChangedError,
    ObjectHeldError,
    ObjectNotFoundError,
    UnsupportedError,
)
from greendata.jobs.container_rules import RuleConflict, find_conflicts
from greendata.model import SCHEMA_VERSION
from greendata.progress import Progress
from greendata.stores.base import Store
from greendata.stores.records import (
    IF_ABSENT,
    Condition,
    ContainerRules,
    Written,
)
from greendata.stores.uris import parse_uri

if TYPE_CHECKING:
    from greendata.catalog.tables import Catalog

WRITERS = 16
"""Writers that race for one object."""

ROUNDS = 5
"""Races of each kind: a server without atomic writes loses one sooner or later."""

LARGEST_CLOCK_SKEW_SECONDS = 300.0
"""Ages are computed from the store's clock; beyond this they cannot be trusted."""

_PROBE_FOLDER = ".greendata/probe"
_CONTENT = b"greendata doctor: this object may be deleted.\n"
_OTHER = b"greendata doctor: other content of the same object.\n"
_WRONG_ETAG = "0" * 32
_RACE_LINES = 20_000  # a body that takes a while to send widens the gap between check and write
_LARGE_RACE_LINES, LARGE_ROUNDS = 1_000_000, 6
_LONGEST_ROUND_SECONDS, _LONGEST_LARGE_SECONDS = 60.0, 10.0
_SKEW_TOLERANCE_SECONDS = 1.0  # stores round to whole seconds


class Verdict(StrEnum):
    """What a probe came to."""

    HONOURED = "honoured"
    IGNORED = "ignored"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried, and what became of it."""

    name: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionVerdict:
    """Whether an action is safe at this endpoint, and what stands against it.

    Attributes:
        relies_on: findings that make it safe: the way ``apply`` must take.
        missing: findings that were not honoured.
        conflicts: rules of the bucket that would undo its safety.
    """

    action: str
    is_allowed: bool
    relies_on: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything ``doctor`` found out about the store behind one URI."""

    uri: str
    store_id: str
    checked_at: datetime
    findings: tuple[Finding, ...]
    actions: tuple[ActionVerdict, ...]
    rules: ContainerRules
    clock_skew_seconds: float | None
    leftovers: tuple[str, ...] = ()
    schema_version: int = field(default=SCHEMA_VERSION)

    @property
    def is_safe(self) -> bool:
        """Whether no action would be refused."""
        return all(action.is_allowed for action in self.actions)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``doctor --json``."""
        return asdict(self)


# What each action needs: any one of the alternatives, each a set of findings (design, section 6).
NEEDS: dict[str, tuple[frozenset[str], ...]] = {
    "read": (frozenset({"list", "read"}),),
    "lease": (frozenset({"put-if-absent", "put-if-match", "race-if-absent", "race-if-match"}),),
    "catalog": (frozenset({"put-if-absent", "race-if-absent"}),),
    "tier": (
        frozenset({"tier-if-match"}),
        frozenset({"tier", "tier-in-place"}),
    ),
    "relocate": (
        frozenset({"copy-source-if-match", "delete-if-match"}),
        frozenset({"read-if-match", "put-if-match", "delete-if-match"}),
    ),
    "recompress": (frozenset({"read-if-match", "put-if-absent", "put-if-match", "race-if-match"}),),
    "quarantine": (
        frozenset({"delete-if-match", "versioning"}),
        frozenset({"copy-source-if-match", "copy-if-absent", "delete-if-match"}),
        frozenset({"read-if-match", "put-if-absent", "delete-if-match"}),
    ),
    "expire": (frozenset({"delete-if-match"}),),
}


def diagnose(store: Store, uri: str, *, now: datetime, progress: Progress) -> Diagnosis:
    """Probe the store behind ``uri`` and clean up.

    Raises:
        ObjectNotFoundError, DeniedError, StoreUnreachableError: it cannot even be listed.
    """
    progress.stage("probing")
    prober = _Prober(store, f"{uri.rstrip('/')}/{_PROBE_FOLDER}/{uuid.uuid4().hex}", now)
    try:
        findings = tuple(prober.probe(uri))
    finally:
        leftovers = prober.clean_up()
    rules = store.rules(uri)
    return Diagnosis(
        uri=uri,
        store_id=prober.store_id,
        checked_at=now,
        findings=findings,
        actions=tuple(_judge(findings, find_conflicts(rules, uri))),
        rules=rules,
        clock_skew_seconds=prober.clock_skew_seconds,
        leftovers=leftovers,
    )


def keep_diagnosis(catalog: Catalog, found: Diagnosis) -> None:
    """Store a diagnosis in the catalog, for ``apply`` to rely on."""
    import pyarrow as pa

    row = {
        "store_id": found.store_id,
        "uri": found.uri,
        "checked_at": found.checked_at,
        "document": json.dumps(found.as_dict(), default=str),
    }
    rows = pa.Table.from_pylist([row], schema=SCHEMAS["diagnoses"])
    catalog.write("diagnoses", new_id(found.checked_at), rows)


def _judge(
    findings: tuple[Finding, ...], conflicts: tuple[RuleConflict, ...]
) -> Iterator[ActionVerdict]:
    honoured = {f.name for f in findings if f.verdict is Verdict.HONOURED}
    for action, alternatives in NEEDS.items():
        chosen = min(alternatives, key=lambda needed: len(needed - honoured))
        missing = chosen - honoured
        against = tuple(
            f"lifecycle rule {conflict.rule} {conflict.effect}"
            for conflict in conflicts
            if action in conflict.actions
        )
        yield ActionVerdict(
            action=action,
            is_allowed=not missing and not against,
            relies_on=() if missing else tuple(sorted(chosen)),
            missing=tuple(sorted(missing)),
            conflicts=against,
        )


class _Prober:
    """Tries one precondition after the other on objects below ``folder``."""

    def __init__(self, store: Store, folder: str, now: datetime) -> None:
        self.store = store
        self.folder = folder
        self.now = now
        self.store_id = store.store_id
        self.clock_skew_seconds: float | None = None
        self._made: list[str] = []

    def probe(self, uri: str) -> Iterator[Finding]:
        """All findings; the first ones raise, for without them there is nothing to say."""
        self._check_listing(uri)
        self.store_id = self.store.store_id
        yield Finding(name="list", verdict=Verdict.HONOURED)
        for name, step in self._steps():
            yield self._guarded(name, step)

    def _check_listing(self, uri: str) -> None:
        """Raises where nothing can be listed; a prefix that is empty yet is none of that."""
        try:
            next(iter(self.store.list(uri)), None)
        except ObjectNotFoundError:
            if uri.startswith("file:"):
                raise
            next(iter(self.store.list(str(parse_uri(uri).with_key("")))), None)

    def _steps(self) -> Iterator[tuple[str, Callable[[], Finding]]]:
        yield "read", self._read
        yield "read-if-match", self._read_if_match
        yield "put-if-absent", self._put_if_absent
        yield "put-if-match", self._put_if_match
        yield "delete-if-match", self._delete_if_match
        for name, condition in _BAD_CONDITIONS.items():
            yield f"copy-{name}", partial(self._copy, f"copy-{name}", condition)
        yield "copy-source-if-match", self._copy_source
        for name, condition in _BAD_CONDITIONS.items():
            yield f"multipart-{name}", partial(self._multipart, f"multipart-{name}", condition)
        yield "race-if-absent", partial(self._race, "race-if-absent", is_absent=True)
        yield "race-if-match", partial(self._race, "race-if-match", is_absent=False)
        yield "tier", self._tier
        yield "tier-if-match", self._tier_if_match
        yield "tier-in-place", self._tier_in_place
        yield "versioning", self._versioning
        yield "hold", self._hold
        yield "checksum", self._checksum
        yield "clock", self._clock

    def clean_up(self) -> tuple[str, ...]:
        """Delete every probe object, versions included; those that stay."""
        left = []
        for uri in self._made:
            try:
                self.store.delete(uri)
                for version in list(self.store.versions(uri)):
                    if version.version_id is not None:
                        self.store.delete(uri, version_id=version.version_id)
            except GreendataError:
                left.append(uri)
        return tuple(left)

    def _guarded(self, name: str, step: Callable[[], Finding]) -> Finding:
        try:
            return step()
        except UnsupportedError as error:
            return Finding(name=name, verdict=Verdict.UNSUPPORTED, detail=error.message)
        except GreendataError as error:
            return Finding(name=name, verdict=Verdict.FAILED, detail=error.message)

    def _new(self, name: str) -> str:
        uri = f"{self.folder}/{name}-{uuid.uuid4().hex[:8]}"
        self._made.append(uri)
        return uri

    def _write(self, name: str) -> Written:
        return self.store.put(self._new(name), _CONTENT)

    def _refused(self, name: str, attempt: Callable[[], object], uri: str) -> Finding:
        """Honoured if the attempt is refused and has no effect on ``uri``."""
        before = self.store.head(uri).etag
        try:
            attempt()
        except ObjectChangedError:
            if self.store.head(uri).etag == before:
                return Finding(name=name, verdict=Verdict.HONOURED)
            return Finding(name=name, verdict=Verdict.IGNORED, detail="refused, but done")
        return Finding(name=name, verdict=Verdict.IGNORED, detail="accepted")

    def _read(self) -> Finding:
        written = self._write("read")
        is_same = self.store.read(written.uri) == _CONTENT
        verdict = Verdict.HONOURED if is_same else Verdict.FAILED
        return Finding(name="read", verdict=verdict, detail="" if is_same else "other bytes")

    def _read_if_match(self) -> Finding:
        uri = self._write("read-if-match").uri
        return self._refused("read-if-match", lambda: self.store.read(uri, etag=_WRONG_ETAG), uri)

    def _put_if_absent(self) -> Finding:
        uri = self._new("put-if-absent")
        self.store.put(uri, _CONTENT, condition=IF_ABSENT)
        return self._refused(
            "put-if-absent", lambda: self.store.put(uri, _OTHER, condition=IF_ABSENT), uri
        )

    def _put_if_match(self) -> Finding:
        written = self._write("put-if-match")
        changed = self.store.put(written.uri, _OTHER, condition=Condition(etag=written.etag))
        return self._refused(
            "put-if-match",
            lambda: self.store.put(written.uri, _CONTENT, condition=Condition(etag=written.etag)),
            changed.uri,
        )

    def _delete_if_match(self) -> Finding:
        uri = self._write("delete-if-match").uri
        try:
            self.store.delete(uri, etag=_WRONG_ETAG)
        except ObjectChangedError:
            self.store.head(uri)
            return Finding(name="delete-if-match", verdict=Verdict.HONOURED)
        return Finding(name="delete-if-match", verdict=Verdict.IGNORED, detail="deleted")

    def _copy(self, name: str, condition: Condition) -> Finding:
        source = self._write("copy-source").uri
        target = self.store.put(self._new("copy-target"), _OTHER).uri
        return self._refused(
            name, lambda: self.store.copy(source, target, condition=condition), target
        )

    def _copy_source(self) -> Finding:
        source = self._write("copy-source").uri
        target = self.store.put(self._new("copy-target"), _OTHER).uri
        return self._refused(
            "copy-source-if-match",
            lambda: self.store.copy(source, target, source_etag=_WRONG_ETAG),
            target,
        )

    def _multipart(self, name: str, condition: Condition) -> Finding:
        uri = self._write("multipart").uri
        upload = self.store.start_upload(uri)
        try:
            part = self.store.put_part(upload, 1, _OTHER)
            return self._refused(
                name,
                lambda: self.store.complete_upload(upload, [part], condition=condition),
                uri,
            )
        finally:
            with suppress(GreendataError):
                self.store.abort_upload(uri, upload.upload_id)

    def _race(self, name: str, *, is_absent: bool) -> Finding:
        """Exactly one of many writers with the same condition may win.

        Small bodies arrive together; large ones widen the gap between a server's check and its
        write. One round of them at least, however slow it is: a busy machine shows nothing with
        small ones. Where a round would last minutes they are smaller.
        """
        started = time.monotonic()
        winners = [self._winners(self._new(name), is_absent=is_absent) for _ in range(ROUNDS)]
        small_seconds = (time.monotonic() - started) / ROUNDS
        lines = min(_LARGE_RACE_LINES, int(_RACE_LINES * _LONGEST_ROUND_SECONDS / small_seconds))
        started = time.monotonic()
        for number in range(LARGE_ROUNDS):
            if number and time.monotonic() - started > _LONGEST_LARGE_SECONDS:
                break
            winners.append(self._winners(self._new(name), is_absent=is_absent, lines=lines))
            if winners[-1] != 1:
                break
        verdict = Verdict.HONOURED if set(winners) == {1} else Verdict.IGNORED
        detail = f"of {WRITERS} writers at once {', '.join(map(str, winners))} won"
        return Finding(name=name, verdict=verdict, detail=detail)

    def _winners(self, uri: str, *, is_absent: bool, lines: int = _RACE_LINES) -> int:
        condition = IF_ABSENT if is_absent else Condition(etag=self.store.put(uri, _CONTENT).etag)
        gate = threading.Barrier(WRITERS)
        bodies = [f"writer {number}\n".encode() * lines for number in range(WRITERS)]

        def write(number: int) -> bool:
            gate.wait()
            try:
                self.store.put(uri, bodies[number], condition=condition)
            except ObjectChangedError:
                return False
            return True

        with ThreadPoolExecutor(WRITERS) as pool:
            return sum(pool.map(write, range(WRITERS)))

    def _cool_class(self) -> str:
        return "Cool" if self.folder.startswith("az://") else "STANDARD_IA"

    def _tiered(self) -> tuple[Written, Written]:
        if not self.store.capabilities.has_tiers:
            raise UnsupportedError(f"{self.folder}: there are no storage classes.")
        before = self._write("tier")
        after = self.store.set_tier(before.uri, self._cool_class())
        return before, after

    def _tier(self) -> Finding:
        before, _ = self._tiered()
        found = self.store.head(before.uri).storage_class
        is_moved = found == self._cool_class()
        verdict = Verdict.HONOURED if is_moved else Verdict.IGNORED
        return Finding(name="tier", verdict=verdict, detail=f"storage class {found}")

    def _tier_if_match(self) -> Finding:
        if not self.store.capabilities.tiers_conditionally:
            raise UnsupportedError(f"{self.folder}: tier changes take no ETag.")
        uri = self._write("tier-if-match").uri
        before = self.store.head(uri).storage_class
        try:
            self.store.set_tier(uri, self._cool_class(), etag=_WRONG_ETAG)
        except ObjectChangedError:
            if self.store.head(uri).storage_class == before:
                return Finding(name="tier-if-match", verdict=Verdict.HONOURED)
        return Finding(name="tier-if-match", verdict=Verdict.IGNORED, detail="moved")

    def _tier_in_place(self) -> Finding:
        """Whether a tier changes without the content being written again."""
        name = "tier-in-place"
        if self.store.capabilities.tiers_conditionally:
            return Finding(name=name, verdict=Verdict.UNSUPPORTED, detail="by copying")
        before, after = self._tiered()
        verdict = Verdict.HONOURED if before.etag == after.etag else Verdict.UNSUPPORTED
        return Finding(name=name, verdict=verdict)

    def _versioning(self) -> Finding:
        rules = self.store.rules(self.folder)
        verdict = Verdict.HONOURED if rules.versioning == "on" else Verdict.UNSUPPORTED
        return Finding(name="versioning", verdict=verdict, detail=rules.versioning or "unknown")

    def _hold(self) -> Finding:
        if not self.store.capabilities.has_holds or not self.store.rules(self.folder).is_lockable:
            return Finding(name="hold", verdict=Verdict.NOT_TRIED, detail="no object lock here")
        written = self._write("hold")
        self.store.set_hold(written.uri, is_held=True)
        try:
            self.store.delete(written.uri, version_id=written.version_id)
        except ObjectHeldError:
            return Finding(name="hold", verdict=Verdict.HONOURED)
        finally:
            with suppress(GreendataError):
                self.store.set_hold(written.uri, is_held=False, version_id=written.version_id)
        return Finding(name="hold", verdict=Verdict.IGNORED, detail="deleted while held")

    def _checksum(self) -> Finding:
        found = self.store.details(self._write("checksum").uri).checksums
        known = {name: hashlib.new(name, _CONTENT).hexdigest() for name in ("md5", "sha256")}
        for name, digest in found.items():
            if name in known and known[name] != digest:
                return Finding(name="checksum", verdict=Verdict.FAILED, detail=f"{name} differs")
        verdict = Verdict.HONOURED if found else Verdict.UNSUPPORTED
        return Finding(name="checksum", verdict=verdict, detail=", ".join(sorted(found)))

    def _clock(self) -> Finding:
        started, begun = time.monotonic(), datetime.now(UTC)
        stored = self.store.head(self._write("clock").uri).modified_at
        took = time.monotonic() - started
        skew = (stored - begun).total_seconds()
        if -_SKEW_TOLERANCE_SECONDS <= skew <= took + _SKEW_TOLERANCE_SECONDS:
            skew = 0.0
        self.clock_skew_seconds = round(skew, 1)
        is_close = abs(skew) <= LARGEST_CLOCK_SKEW_SECONDS
        return Finding(
            name="clock",
            verdict=Verdict.HONOURED if is_close else Verdict.FAILED,
            detail=f"{self.clock_skew_seconds} s ahead of this machine",
        )


_BAD_CONDITIONS = {"if-absent": IF_ABSENT, "if-match": Condition(etag=_WRONG_ETAG)}
