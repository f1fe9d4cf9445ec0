"""``greendata purge``: what waits in quarantine is removed for ever, the only command that does."""

from __future__ import annotations

import getpass
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from greendata.errors import LimitExceededError, ObjectNotFoundError
from greendata.execute.purging import PurgeHandler, Waiting, purge_units, waiting
from greendata.execute.records import Status
from greendata.execute.runstate import RunState, list_runs, read_run
from greendata.execute.units import read_actions
from greendata.jobs.kept_plans import kept_actions
from greendata.jobs.metering import sum_of_records
from greendata.jobs.parts import FollowingPart, Pace, folders_of
from greendata.jobs.policies import load_policies
from greendata.jobs.results import catalog_place
from greendata.jobs.runs import record_run
from greendata.jobs.runs import runs_uri as runs_uri_of
from greendata.jobs.ways import find_ways, root_of
from greendata.jobs.whole_rows import rows_stand
from greendata.model import SCHEMA_VERSION
from greendata.operating.records import CarbonSettings
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    from greendata.catalog.tables import Catalog
    from greendata.config import DatasetSettings, StoreSettings
    from greendata.execute.engine import Ended
    from greendata.execute.handlers.base import Way
    from greendata.execute.records import Action, Outcome
    from greendata.progress import Progress

MOST_OBJECTS = 10_000
MOST_BYTES = 10 * 2**40
_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRequest:
    """Remove what waits, of one run or of all.

    Attributes:
        older_than: nothing that went into quarantine later, whatever its grace time.
        policies: paths of the policies that runs were planned with; what they let expire stays
            unless they are the same still.
        most_objects, most_bytes: of one purge; more is refused.
    """

    catalog: str
    run_id: str | None = None
    older_than: timedelta = timedelta(0)
    policies: tuple[str, ...] = ()
    most_objects: int = MOST_OBJECTS
    most_bytes: int = MOST_BYTES
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    carbon: CarbonSettings = field(default_factory=CarbonSettings)
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeOfRun:
    """What is due of one run."""

    state: RunState
    due: tuple[Waiting, ...]
    ways: Mapping[str, Way]
    policies_stand: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPurge:
    """What would be removed.

    Attributes:
        kept: how many stay without a further look, by the words of ``REASONS``.
        next_at: when the first of those that are too young is due.
        leaving: URIs of what pending actions are about to move away.
    """

    request: PurgeRequest
    catalog: Catalog
    runs_uri: str
    runs: tuple[PurgeOfRun, ...]
    kept: Mapping[str, int]
    next_at: datetime | None
    leaving: frozenset[str]

    @property
    def objects(self) -> int:
        """How many are due."""
        return sum(len(run.due) for run in self.runs)

    @property
    def size_bytes(self) -> int:
        """Of those that are due."""
        return sum(entry.held.size_bytes for run in self.runs for entry in run.due)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeSummary:
    """What a purge came to.

    Attributes:
        purged, size_bytes: removed for ever.
        kept: how many stay, by the words of ``REASONS``; with some ``examples`` of those that were
            due, as ``uri`` and ``detail``.
        runs: ids of the runs of which something was due.
        own: what the purge itself took.
    """

    runs: Sequence[str]
    purged: int
    size_bytes: int
    failed: int
    kept: Mapping[str, int]
    examples: Mapping[str, Sequence[Mapping[str, str]]]
    next_at: datetime | None
    stopped_because: str | None
    is_interrupted: bool
    seconds: float
    own: Mapping[str, Any] | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def is_partial(self) -> bool:
        """Whether anything that was due is still there."""
        return bool(set(self.kept) - {"early"}) or self.stopped_because is not None

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``purge --json``."""
        return asdict(self)


def prepare_purge(request: PurgeRequest, *, now: datetime, progress: Progress) -> PreparedPurge:
    """See what is due; nothing is changed.

    Raises:
        ObjectNotFoundError: there is no such run, or no catalog.
        LimitExceededError: more is due than one purge may remove.
        PolicyError: a policy file is wrong.
        UnsupportedError: an endpoint cannot be changed safely.
    """
    from greendata.catalog.tables import Catalog

    catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=False)
    store = Stores(request.stores)
    runs_uri = runs_uri_of(catalog)
    states = [read_run(store, runs_uri, name) for name in list_runs(store, runs_uri)]
    chosen = [state for state in states if request.run_id in (None, state.run_id)]
    if request.run_id is not None and not chosen:
        raise ObjectNotFoundError(
            f"{request.run_id}: there is no such run.", hint="See: greendata runs"
        )
    digest = load_policies(request.policies).digest if request.policies else None
    kept, due, next_at = _sorted(chosen, now, request.older_than)
    _refuse_limits(request, due)
    return PreparedPurge(
        request=request,
        catalog=catalog,
        runs_uri=runs_uri,
        runs=tuple(
            PurgeOfRun(
                state=state,
                due=tuple(found),
                ways=find_ways(
                    _kinds(found, state), catalog=catalog, store=store, now=now, progress=progress
                ),
                policies_stand=digest is not None
                and digest == (state.header or {}).get("policy_digest"),
            )
            for state, found in due
        ),
        kept=kept,
        next_at=next_at,
        leaving=frozenset(_leaving(states, store, runs_uri)) if due else frozenset(),
    )


def _sorted(
    states: Sequence[RunState], now: datetime, older_than: timedelta
) -> tuple[Counter[str], list[tuple[RunState, list[Waiting]]], datetime | None]:
    """How many stay and why; what is due of each run; when the next are."""
    kept: Counter[str] = Counter()
    due: list[tuple[RunState, list[Waiting]]] = []
    times: list[datetime] = []
    for state in states:
        found = []
        for entry in waiting(state):
            problem = entry.problem(now, older_than)
            if not problem:
                found.append(entry)
                continue
            kept[problem] += 1
            if problem == "early":
                held = entry.held
                times.append(max(held.purge_after, held.quarantined_at + older_than))
        if found:
            due.append((state, found))
    return kept, due, min(times, default=None)


def _refuse_limits(request: PurgeRequest, due: Sequence[tuple[RunState, list[Waiting]]]) -> None:
    objects = sum(len(found) for _, found in due)
    size_bytes = sum(entry.held.size_bytes for _, found in due for entry in found)
    if objects > request.most_objects:
        raise LimitExceededError(
            f"{objects} objects are due, and {request.most_objects} are the most.",
            hint="Purge one run at a time with --run, or raise --max-objects.",
        )
    if size_bytes > request.most_bytes:
        raise LimitExceededError(
            f"{size_bytes} bytes are due, and {request.most_bytes} are the most.",
            hint="Purge one run at a time with --run, or raise --max-bytes.",
        )


def _kinds(found: Sequence[Waiting], state: RunState) -> dict[str, set[str]]:
    """Which roots are changed, and how: in that of a survivor only its pin is taken off."""
    folders = folders_of(state.header)
    kinds: dict[str, set[str]] = {}
    for entry in found:
        for uri in (entry.held.uri, entry.held.held_uri):
            kinds.setdefault(root_of(uri, folders), set()).add("purge")
        for survivor in entry.held.survivors:
            kinds.setdefault(root_of(survivor.uri, folders), set()).add("left_alone")
    return kinds


def _leaving(states: Sequence[RunState], store: Stores, runs_uri: str) -> Iterator[str]:
    """What is to be moved away when its time comes, by any run."""
    for state in states:
        pending = {
            action_id
            for action_id, outcome in state.outcomes.items()
            if outcome.status is Status.PENDING
            and getattr(state.undone.get(action_id), "status", None) is not Status.DONE
        }
        if pending:
            with kept_actions(store, runs_uri, state.run_id) as path:
                for action in read_actions(path):
                    if action.action_id in pending and action.kind == "relocate":
                        yield action.uri


def carry_out_purge(prepared: PreparedPurge, *, progress: Progress) -> PurgeSummary:
    """Remove for ever what is due and passes every look; killed, it goes on when called again.

    Raises:
        LockedError: another run is at work in one of the stores.
        GreendataError, OSError: a journal cannot be written.
    """
    tally = _Tally(prepared)
    progress.stage("purge", prepared.size_bytes)
    for run in prepared.runs:
        ended = _Purging(prepared, run).run(tally, progress)
        tally.note(ended)
        record_run(
            prepared.catalog,
            Stores(prepared.request.stores),
            run.state.run_id,
            datasets=prepared.request.datasets,
            stores=prepared.request.stores,
        )
        if ended.stopped_because is not None:
            break
    return tally.summary()


class _Purging:
    """The part ``purge`` of one run."""

    def __init__(self, prepared: PreparedPurge, run: PurgeOfRun) -> None:
        self._prepared, self._run = prepared, run
        self._due = run.due
        self._state = _part_state(run.state)
        self._part = FollowingPart(
            "purge",
            self._state,
            runs_uri=prepared.runs_uri,
            ways=run.ways,
            header=run.state.header or {},
            stores=prepared.request.stores,
            pace=prepared.request.pace,
            carbon=prepared.request.carbon,
        )

    def run(self, tally: _Tally, progress: Progress) -> Ended:
        handler = PurgeHandler(
            policies_stand=self._run.policies_stand,
            leaving=self._prepared.leaving,
            by=_who(),
            rows_stand=rows_stand,
        )
        ended = self._part.run(
            self._units(),
            {"purge": handler},
            progress=progress,
            on_outcome=tally.add,
            on_leased=self._read_again,
            finish=lambda ended: "stopped" if ended.stopped_because else "purged",
        )
        if self._part.own is not None:
            tally.own.append(self._part.own.as_record())
        return ended

    def _read_again(self) -> None:
        """Only what is still due now that nobody else is at work."""
        prepared = self._prepared
        store = Stores(prepared.request.stores)
        state = read_run(store, prepared.runs_uri, self._state.run_id)
        now, older_than = self._part.context().now(), prepared.request.older_than
        due = {e.item_id for e in waiting(state) if not e.problem(now, older_than)}
        self._due = tuple(entry for entry in self._due if entry.item_id in due)
        fresh = _part_state(state)
        self._state.intents.update(fresh.intents)
        self._state.outcomes.update(fresh.outcomes)

    def _units(self) -> Iterator[tuple[Action, ...]]:
        stores, folders = Stores(self._prepared.request.stores), folders_of(self._run.state.header)

        def place_of(uri: str) -> str | None:
            together = stores.store_of(uri).capabilities.deletes_together
            return root_of(uri, folders) if together else None

        yield from purge_units(
            self._due,
            place_of=place_of,
            begun=self._state.intents.keys(),
            threads=self._prepared.request.pace.workers,
        )


def _part_state(state: RunState) -> RunState:
    """The run as the engine purges it; what was left alone before is tried again."""
    return RunState(
        run_id=state.run_id,
        header=state.header,
        intents=dict(state.purge_intents),
        outcomes={
            item_id: outcome
            for item_id, outcome in state.purged.items()
            if outcome.status is not Status.SKIPPED
        },
        replays=state.replays,
        damaged=state.damaged,
    )


def _who() -> str:
    """For tombstones."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        name = str(os.getuid())
    return f"{name}@{os.uname().nodename}"


class _Tally:
    """Sums over what came of what was due."""

    def __init__(self, prepared: PreparedPurge) -> None:
        self._started_at = datetime.now(UTC)
        self._prepared = prepared
        self._kept = Counter(prepared.kept)
        self._examples: dict[str, list[dict[str, str]]] = {}
        self._purged = self._size_bytes = self._failed = 0
        self._stopped_because: str | None = None
        self.own: list[dict[str, Any]] = []
        self._is_interrupted = False

    def add(self, action: Action, outcome: Outcome) -> None:
        if outcome.status is Status.DONE:
            self._purged += 1
            self._size_bytes += action.size_bytes or 0
            return
        self._failed += outcome.status is Status.FAILED
        self._kept[outcome.reason] += 1
        shown = self._examples.setdefault(outcome.reason, [])
        if len(shown) < _EXAMPLES:
            shown.append({"uri": action.uri, "detail": outcome.detail})

    def note(self, ended: Ended) -> None:
        self._stopped_because = ended.stopped_because
        self._is_interrupted = ended.is_interrupted

    def summary(self) -> PurgeSummary:
        return PurgeSummary(
            runs=[run.state.run_id for run in self._prepared.runs],
            purged=self._purged,
            size_bytes=self._size_bytes,
            failed=self._failed,
            kept=dict(sorted(self._kept.items())),
            examples=self._examples,
            next_at=self._prepared.next_at,
            stopped_because=self._stopped_because,
            is_interrupted=self._is_interrupted,
            own=sum_of_records(self.own),
            seconds=round((datetime.now(UTC) - self._started_at).total_seconds(), 3),
        )
