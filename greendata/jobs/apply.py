"""``greendata apply``: a plan carried out; ``resume``: one that was begun.

First everything is checked that can be without changing anything: the plan, its age, the catalog it
was made from, the limits, and whether each endpoint can be changed safely. Then the run gets its
folder beside the catalog, the stores their leases, and the engine the actions.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.config import DatasetSettings, LimitSettings, StoreSettings
from greendata.errors import (
    LimitExceededError,
    ObjectNotFoundError,
    PlanError,
    PreconditionFailedError,
)
from greendata.execute.carrying import Part
from greendata.execute.carrying import carry_out as carry_part
from greendata.execute.engine import Ended, EngineSettings
from greendata.execute.handlers import all_handlers
from greendata.execute.lease import FencedStore
from greendata.execute.records import run_id, skipped
from greendata.execute.runstate import RunState, list_runs, read_run, run_uri
from greendata.execute.units import read_actions, units
from greendata.jobs.deltas import DELTA_NAME, write_delta
from greendata.jobs.in_place import manifests, rewriting
from greendata.jobs.metering import OwnMeter
from greendata.jobs.results import catalog_place
from greendata.jobs.run_summary import RunSummary, Tally
from greendata.jobs.runs import record_run
from greendata.jobs.runs import runs_uri as runs_uri_of
from greendata.jobs.show import read_plan
from greendata.jobs.ways import find_ways, root_of
from greendata.operating.records import CarbonSettings
from greendata.stores.opening import Stores, is_remote
from greendata.stores.records import IF_ABSENT
from greendata.stores.transfer import download, upload

if TYPE_CHECKING:
    from greendata.catalog.tables import Catalog
    from greendata.execute.engine import Engine
    from greendata.execute.handlers.base import Way
    from greendata.execute.records import Action
    from greendata.plan.document import PlanDocument
    from greendata.progress import Progress

OLDEST_PLAN_DAYS = 7
"""Prices, accesses and holds of a plan are older than that to nobody's benefit."""

PLAN_FILES = ("plan.json", "actions.parquet")


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyRequest:
    """Carry out the plan in ``directory``, or go on with ``run_id``.

    Attributes:
        share: of the actions, always the same ones: a smaller share is part of a larger one.
        carbon: where this machine stands and what it is, for what the run itself takes.
        unattended: of these policies alone actions that cannot be undone are carried out; None is
            of all, if ``allow_irreversible``.
    """

    catalog: str
    directory: Path | None = None
    run_id: str | None = None
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    limits: LimitSettings = field(default_factory=LimitSettings)
    allow_irreversible: bool = False
    break_lease: bool = False
    workers: int = 16
    actions_per_second: float | None = None
    most_failures: int = 20
    oldest_plan_days: float = OLDEST_PLAN_DAYS
    share: float = 1.0
    unattended: frozenset[str] | None = None
    carbon: CarbonSettings = field(default_factory=CarbonSettings)
    clock: Callable[[], datetime] = utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What was checked and would be carried out.

    Attributes:
        open_actions: actions without a final outcome yet.
        is_new: the run has not begun.
    """

    request: ApplyRequest
    catalog: Catalog
    document: PlanDocument
    folder: Path
    run_id: str
    attempt: int
    runs_uri: str
    state: RunState
    ways: Mapping[str, Way]
    folders: tuple[str, ...]
    open_actions: int
    is_new: bool


def apply_plan(request: ApplyRequest, *, now: datetime, progress: Progress) -> RunSummary:
    """Check and carry out, without asking anybody. Raises as its two halves do."""
    return carry_out(prepare_apply(request, now=now, progress=progress), progress=progress)


def prepare_apply(request: ApplyRequest, *, now: datetime, progress: Progress) -> Prepared:
    """Check everything that can be checked without changing an object.

    Raises:
        PlanError: the plan was edited, is too old, or was made from another catalog.
        LimitExceededError: it goes beyond a limit, or has irreversible actions not allowed.
        UnsupportedError: an endpoint cannot be changed safely.
        ObjectNotFoundError: there is no such run, plan or catalog.
    """
    from greendata.catalog.tables import Catalog

    catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=False)
    store = Stores(request.stores)
    runs_uri = runs_uri_of(catalog)
    folder = _plan_folder(request, store, runs_uri)
    document = read_plan(folder) if request.run_id is None else _kept_plan(folder)
    name, attempt, state = _run_of(request, document, store, runs_uri)
    is_new = state.header is None
    if is_new:
        _refuse_old(document, now, request.oldest_plan_days)
        _refuse_other_catalog(document, catalog)
        _refuse_limits(document, request)
    kept = (state.header or {}).get("folders")  # where quarantine is does not change in a run
    folders = _local_folders(catalog) if kept is None else tuple(kept)
    kinds, open_actions = _kinds_by_root(folder, state, folders, now)
    return Prepared(
        request=request,
        catalog=catalog,
        document=document,
        folder=folder,
        run_id=name,
        attempt=attempt,
        runs_uri=runs_uri,
        state=state,
        ways=find_ways(kinds, catalog=catalog, store=store, now=now, progress=progress),
        folders=folders,
        open_actions=open_actions,
        is_new=is_new,
    )


def carry_out(prepared: Prepared, *, progress: Progress) -> RunSummary:
    """Change the stores as the plan says; what was done before is not done again.

    Raises:
        LockedError: another run is at work in one of the stores.
        GreendataError, OSError: the journal cannot be written.
    """
    with _folder_of(prepared):
        tally = Tally(prepared.run_id, prepared.document.plan_id, prepared.attempt)
        for action in read_actions(prepared.folder / "actions.parquet"):
            known = prepared.state.outcomes.get(action.action_id)
            is_left = known is None and not _is_allowed(action, prepared.request)
            tally.add(action, skipped("unattended") if is_left else known)
        if not prepared.open_actions:
            return tally.summary(Ended())
        ended = _run(prepared, tally, progress)
        record_run(
            prepared.catalog,
            Stores(prepared.request.stores),
            prepared.run_id,
            datasets=prepared.request.datasets,
            stores=prepared.request.stores,
        )
        return tally.summary(ended)


def call_timeout_seconds(stores: Sequence[StoreSettings]) -> float:
    """How long one call may last, by the settings of all stores."""
    return max(
        entry.connect_timeout_seconds + entry.read_timeout_seconds
        for entry in (*stores, StoreSettings(match=""))
    )


def _plan_folder(request: ApplyRequest, store: Stores, runs_uri: str) -> Path:
    """The folder of the plan; of one that is gone on with, a copy of what the run keeps."""
    if request.directory is not None:
        return request.directory
    folder = Path(tempfile.mkdtemp(prefix="greendata-plan-"))
    try:
        for name in PLAN_FILES:
            uri = run_uri(runs_uri, str(request.run_id), "plan", name)
            download(store, uri, folder / name, size_bytes=store.head(uri).size_bytes)
    except ObjectNotFoundError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ObjectNotFoundError(
            f"{request.run_id}: there is no such run.", hint="See: greendata runs"
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


@contextlib.contextmanager
def _folder_of(prepared: Prepared) -> Iterator[None]:
    """A folder that was made for this run goes with it."""
    try:
        yield
    finally:
        if prepared.request.directory is None:
            shutil.rmtree(prepared.folder, ignore_errors=True)


def _kept_plan(folder: Path) -> PlanDocument:
    from greendata.plan.document import read_document

    path = folder / "plan.json"
    return read_document(path.read_bytes(), str(path))


def _run_of(
    request: ApplyRequest, document: PlanDocument, store: Stores, runs_uri: str
) -> tuple[str, int, RunState]:
    """The run of a plan: the one that was begun; a new attempt after one that was undone."""
    if request.run_id is not None:
        state = read_run(store, runs_uri, request.run_id)
        if state.undo_intents or state.undone:
            raise PlanError(
                f"{request.run_id}: was undone, or is being.",
                hint=f"Finish that with greendata undo {request.run_id}; then plan again.",
            )
        return request.run_id, int(request.run_id.rpartition("-")[2]), state
    prefix = run_id(document.plan_id, 0).removesuffix("0")
    attempts = [
        int(name.removeprefix(prefix))
        for name in list_runs(store, runs_uri)
        if name.startswith(prefix) and name.removeprefix(prefix).isdigit()
    ]
    attempt = max(attempts, default=1)
    name = run_id(document.plan_id, attempt)
    state = read_run(store, runs_uri, name)
    if state.undone:
        attempt += 1
        name = run_id(document.plan_id, attempt)
        state = read_run(store, runs_uri, name)
    return name, attempt, state


def _refuse_old(document: PlanDocument, now: datetime, oldest_days: float) -> None:
    age = now - document.as_of
    if age > timedelta(days=oldest_days):
        raise PlanError(
            f"plan {document.plan_id[:16]}: is {age.days} days old, and {oldest_days:g} are the"
            " most.",
            hint="Refresh the inventory and plan again.",
        )


def _refuse_other_catalog(document: PlanDocument, catalog: Catalog) -> None:
    known = {entry.scan_id for entry in catalog.refreshes().refreshes}
    if not known.issuperset(entry.scan_id for entry in document.inventory):
        raise PlanError(
            f"plan {document.plan_id[:16]}: was made from another catalog than {catalog.name}, or"
            " its inventory was refreshed since.",
            hint="Plan again with this catalog.",
        )


def _refuse_limits(document: PlanDocument, request: ApplyRequest) -> None:
    from greendata.plan.summary import limits

    exceeded = limits(request.limits, document.totals, document.scope_objects).exceeded
    if exceeded:
        words = "; ".join(f"{entry.limit}: {entry.words}" for entry in exceeded)
        raise LimitExceededError(
            f"plan {document.plan_id[:16]}: goes beyond a limit: {words}",
            hint="Plan less at a time, or raise it under limits: in greendata.yaml.",
        )
    is_allowed = request.allow_irreversible or request.unattended is not None
    if document.totals.irreversible and not is_allowed:
        raise LimitExceededError(
            f"plan {document.plan_id[:16]}: {document.totals.irreversible} of its actions cannot be"
            " undone once they are purged.",
            hint="Look at them with greendata show, then add --allow-irreversible.",
        )


def _local_folders(catalog: Catalog) -> tuple[str, ...]:
    """Folders that were listed, the roots of local files."""
    found = set()
    for refresh in catalog.refreshes().refreshes:
        for cover in refresh.covers:
            if not is_remote(cover.uri):
                found.add(cover.uri.rstrip("/") + "/")
    return tuple(sorted(found))


def _kinds_by_root(
    folder: Path, state: RunState, folders: Sequence[str], now: datetime
) -> tuple[dict[str, set[str]], int]:
    """Which kinds are meant in which root; how many actions are open."""
    kinds: dict[str, set[str]] = {}
    count = 0
    for action in read_actions(folder / "actions.parquet"):
        outcome = state.outcomes.get(action.action_id)
        if outcome is not None and outcome.is_final:
            continue
        count += not (outcome is not None and outcome.due_at is not None and outcome.due_at > now)
        for uri in _changed_uris(action):
            kinds.setdefault(root_of(uri, folders), set()).add(action.kind)
    return kinds, count


def _changed_uris(action: Action) -> Iterator[str]:
    yield action.uri
    for survivor in action.survivors:
        yield survivor.uri
    if "uri" in action.to:
        yield str(action.to["uri"])


def _run(prepared: Prepared, tally: Tally, progress: Progress) -> Ended:
    """Carry out what is open, and count what that takes."""
    with contextlib.ExitStack() as stack:
        meter = stack.enter_context(OwnMeter(prepared.request.carbon))
        store = Stores(prepared.request.stores)
        progress.stage(f"run {prepared.run_id}", prepared.document.totals.size_bytes)

        def own() -> dict[str, Any]:
            tally.own = meter.footprint()
            return {"own": tally.own.as_record()}

        return carry_part(
            _part(prepared, store),
            _chosen_units(prepared),
            progress=progress,
            on_outcome=tally.add,
            on_leased=lambda: _keep_plan(prepared, store),
            on_engine=lambda engine: stack.enter_context(interruptible(engine)),
            finish=lambda ended: tally.summary(ended).state,
            closing=own,
        )


def _part(prepared: Prepared, store: Stores) -> Part:
    request, document = prepared.request, prepared.document
    longest = call_timeout_seconds(request.stores)
    return Part(
        store=store,
        fenced=lambda leases: Stores(
            request.stores,
            around=lambda inner: FencedStore(inner, leases, call_timeout_seconds=longest),
        ),
        runs_uri=prepared.runs_uri,
        run_id=prepared.run_id,
        name="apply",
        ways=prepared.ways,
        way_of=lambda uri: prepared.ways[root_of(uri, prepared.folders)],
        state=prepared.state,
        handlers=all_handlers(
            manifest_of=manifests(request.datasets, request.stores), rewrite=rewriting(store)
        ),
        settings=EngineSettings(
            workers=request.workers,
            actions_per_second=request.actions_per_second,
            most_failures=request.most_failures,
        ),
        header={
            "plan_id": document.plan_id,
            "attempt": prepared.attempt,
            "policy_digest": document.policy_digest,
            "actions": document.totals.actions,
            "folders": list(prepared.folders),
        },
        now=request.clock,
        call_timeout_seconds=longest,
        is_broken=request.break_lease,
    )


def _chosen_units(prepared: Prepared) -> Iterator[tuple[Action, ...]]:
    """Units of the share that is asked for, without what nobody is there to allow."""
    request = prepared.request
    for unit in units(prepared.folder / PLAN_FILES[1]):
        if int(unit[0].group_id[:8], 16) < request.share * 2**32:
            allowed = tuple(action for action in unit if _is_allowed(action, request))
            if allowed:
                yield allowed


def _is_allowed(action: Action, request: ApplyRequest) -> bool:
    is_undone_again = action.reversibility != "irreversible"
    return is_undone_again or request.unattended is None or action.policy in request.unattended


def _keep_plan(prepared: Prepared, store: Stores) -> None:
    """What resume, undo and purge need, beside the journal."""
    request = prepared.request
    root = run_uri(prepared.runs_uri, prepared.run_id, "")
    for name in PLAN_FILES:
        with contextlib.suppress(PreconditionFailedError):
            upload(store, prepared.folder / name, f"{root}plan/{name}", condition=IF_ABSENT)
    with tempfile.TemporaryDirectory(prefix="greendata-") as scratch:
        path = Path(scratch) / DELTA_NAME
        if write_delta(request.catalog, request.stores, prepared.folder / PLAN_FILES[1], path):
            with contextlib.suppress(PreconditionFailedError):
                upload(store, path, f"{root}plan/{DELTA_NAME}", condition=IF_ABSENT)


@contextlib.contextmanager
def interruptible(engine: Engine) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM lets what is under way finish; the second ends at once."""
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def stop(number: int, frame: object) -> None:
        for each in signals:
            signal.signal(each, before[each])
        engine.interrupt()

    for number in signals:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, before[number])
