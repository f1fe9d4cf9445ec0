"""``greendata audit``: whether stores still have what the journals of all runs say."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from greendata.errors import ObjectNotFoundError
from greendata.execute.auditing import (
    Check,
    Finding,
    checks_of,
    known_of,
    looked_at,
    manifest_checks,
    own_findings,
)
from greendata.execute.handlers.base import Context, Way
from greendata.execute.purging import Waiting, waiting
from greendata.execute.runstate import RunState, list_runs, read_run
from greendata.jobs.parts import folders_of
from greendata.jobs.results import catalog_place
from greendata.jobs.runs import runs_uri as runs_uri_of
from greendata.jobs.ways import root_of
from greendata.model import SCHEMA_VERSION
from greendata.stores.opening import Stores, normalise_uri
from greendata.stores.wrappers import ReadOnlyStore

if TYPE_CHECKING:
    from greendata.config import DatasetSettings, StoreSettings
    from greendata.progress import Progress
    from greendata.stores.base import Store

STATE_NAME = "audit.json"
"""In the catalog's folder: when each object was looked at last."""

_LOOKS_AT_ONCE = 16

Runs = Sequence[tuple[RunState, Sequence[Waiting], Context]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """Look at what is below ``uris``, or at all.

    Attributes:
        is_full: read every object and digest it, instead of asking for it.
        sample: share of the objects to look at, those first that were not looked at for longest.
        datasets: their manifests are compared with what is stored.
    """

    catalog: str
    uris: tuple[str, ...] = ()
    is_full: bool = False
    sample: float = 1.0
    datasets: tuple[DatasetSettings, ...] = ()
    stores: tuple[StoreSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSummary:
    """What an audit found.

    Attributes:
        objects: that could be looked at; ``checked`` of them were.
        oldest_at: when the one that was not looked at for longest was; None for never.
        problems: how many findings, by the words of ``auditing.PROBLEMS``.
    """

    runs: int
    objects: int
    checked: int
    is_full: bool
    oldest_at: datetime | None
    problems: Mapping[str, int]
    findings: Sequence[Finding]
    seconds: float
    schema_version: int = SCHEMA_VERSION

    @property
    def is_clean(self) -> bool:
        """Whether all is as it should be."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``audit --json``."""
        return asdict(self)


def audit(request: AuditRequest, *, now: datetime, progress: Progress) -> AuditSummary:
    """Look at survivors, quarantine, pins, manifests and journals; nothing is changed but when.

    Raises:
        ObjectNotFoundError: there is no catalog.
        DeniedError, StoreUnreachableError: of the catalog's own folder.
    """
    from greendata.catalog.tables import Catalog

    catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=False)
    plain = Stores(request.stores)
    store = ReadOnlyStore(plain)
    runs = _runs(runs_uri_of(catalog), store)
    findings = [
        Finding(problem="journal-damaged", uri=words.partition(": ")[0],
                detail=words.partition(": ")[2], run_id=state.run_id)
        for state, _, _ in runs
        for words in state.damaged
    ]  # fmt: skip
    checks, of_manifests = _checks(request, runs, store)
    findings += of_manifests
    known = known_of(runs)
    for root in sorted(_roots(request, runs)):
        progress.stage(f"looking into {root}.greendata/")
        findings += own_findings(root, known, store)
    kept = _Kept(plain, f"{catalog.place.uri}/{STATE_NAME}")
    chosen = kept.longest_ago(checks, request.sample)
    progress.stage("auditing", len(chosen))
    findings += _looked_at(chosen, progress)
    kept.note(chosen, checks, now)
    return _summary(request, runs, checks, chosen, findings, kept.oldest_at(checks), now)


def _runs(runs_uri: str, store: Store) -> Runs:
    found = []
    for name in list_runs(store, runs_uri):
        state = read_run(store, runs_uri, name)
        found.append((state, tuple(waiting(state)), _context(state, store)))
    return found


def _context(state: RunState, store: Store) -> Context:
    """What says where a run's own folders are; for looks only."""
    folders = folders_of(state.header)
    return Context(
        store=store,
        run_id=state.run_id,
        now=lambda: datetime.now(UTC),
        way_of=lambda uri: Way(root=root_of(uri, folders)),
    )


def _roots(request: AuditRequest, runs: Runs) -> set[str]:
    """Roots that runs changed, and those of what was asked for."""
    if request.uris:
        folders = [folder for state, _, _ in runs for folder in folders_of(state.header)]
        targets = _targets(request)
        return {root_of(uri, folders) for uri in targets} | {
            folder for folder in folders if any(_is_below(folder, uri) for uri in targets)
        }
    found: set[str] = set()
    for state, entries, context in runs:
        header: Mapping[str, Any] = state.header or {}
        found |= {str(way["root"]) for way in header.get("ways", ())}
        found |= {context.way_of(entry.held.uri).root for entry in entries}
    return found


def _targets(request: AuditRequest) -> tuple[str, ...]:
    return tuple(normalise_uri(uri, request.stores) for uri in request.uris)


def _is_below(uri: str, target: str) -> bool:
    return uri == target or uri.startswith(target.rstrip("/") + "/")


def _checks(request: AuditRequest, runs: Runs, store: Store) -> tuple[list[Check], list[Finding]]:
    checks: dict[str, Check] = {}
    findings: list[Finding] = []
    for state, entries, _ in runs:
        for check in checks_of(state.run_id, entries, store, is_full=request.is_full):
            checks[check.key] = check
    for manifest in {entry.manifest for entry in request.datasets if entry.manifest}:
        uri = normalise_uri(manifest, request.stores)
        found, wrong = manifest_checks(uri, store, is_full=request.is_full)
        checks |= {check.key: check for check in found}
        findings += wrong
    if request.uris:
        targets = _targets(request)
        wanted = {k: c for k, c in checks.items() if any(_is_below(c.uri, t) for t in targets)}
        return list(wanted.values()), findings
    return list(checks.values()), findings


def _looked_at(chosen: Sequence[Check], progress: Progress) -> Iterator[Finding]:
    with ThreadPoolExecutor(_LOOKS_AT_ONCE, "audit") as pool:
        for finding in pool.map(looked_at, chosen):
            progress.advance(1)
            if finding is not None:
                yield finding


def _summary(
    request: AuditRequest,
    runs: Runs,
    checks: Sequence[Check],
    chosen: Sequence[Check],
    findings: Iterable[Finding],
    oldest_at: datetime | None,
    now: datetime,
) -> AuditSummary:
    found = sorted(findings, key=lambda entry: (entry.problem, entry.uri, entry.detail))
    return AuditSummary(
        runs=len(runs),
        objects=len(checks),
        checked=len(chosen),
        is_full=request.is_full,
        oldest_at=oldest_at,
        problems=dict(sorted(Counter(entry.problem for entry in found).items())),
        findings=found,
        seconds=round((datetime.now(UTC) - now).total_seconds(), 3),
    )


class _Kept:
    """When objects were looked at, kept beside the catalog; losing it loses only the order."""

    def __init__(self, store: Store, uri: str) -> None:
        self._store, self._uri = store, uri
        self._checked_at: dict[str, str] = {}
        try:
            document = json.loads(store.read(uri))
            known = document["checked_at"]
            self._checked_at = {
                str(name): datetime.fromisoformat(at).isoformat() for name, at in known.items()
            }
        except ObjectNotFoundError:
            return
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return

    def longest_ago(self, checks: Sequence[Check], share: float) -> list[Check]:
        """So many of them, those first that were never looked at or not for longest."""
        count = math.ceil(len(checks) * share)
        ordered = sorted(
            checks, key=lambda check: (self._checked_at.get(_name(check), ""), _name(check))
        )
        return ordered[:count]

    def note(self, chosen: Sequence[Check], checks: Sequence[Check], now: datetime) -> None:
        """Keep when these were looked at, of those that there still are."""
        if not checks:
            return
        fresh = dict.fromkeys(map(_name, chosen), now.isoformat())
        there = set(map(_name, checks))
        known = {name: at for name, at in self._checked_at.items() if name in there}
        self._checked_at = known | fresh
        content = json.dumps({"version": 1, "checked_at": self._checked_at}, sort_keys=True)
        self._store.put(self._uri, content.encode())

    def oldest_at(self, checks: Sequence[Check]) -> datetime | None:
        """When the one was that was not looked at for longest; None if one never was."""
        times = [self._checked_at.get(_name(check)) for check in checks]
        if not times or None in times:
            return None
        return datetime.fromisoformat(min(at for at in times if at is not None))


def _name(check: Check) -> str:
    """Short, and of one length whatever the URI."""
    return hashlib.blake2b(check.key.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
