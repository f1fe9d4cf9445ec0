"""``greendata undo``: a run taken back, by the same engine, with a journal of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.errors import LockedError
from greendata.execute.engine import Ended
from greendata.execute.handlers import all_handlers
from greendata.execute.handlers.base import CannotUndo, Way
from greendata.execute.records import Action, Status
from greendata.execute.runstate import RunState, read_run
from greendata.execute.undo import Reversal, Units, part_state, reversals
from greendata.execute.units import units
from greendata.jobs.kept_plans import kept_actions
from greendata.jobs.parts import FollowingPart, Pace, folders_of
from greendata.jobs.results import catalog_place
from greendata.jobs.run_summary import RunSummary, Tally
from greendata.jobs.runs import record_run
from greendata.jobs.runs import runs_uri as runs_uri_of
from greendata.jobs.ways import find_ways, root_of
from greendata.operating.records import CarbonSettings
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    from pathlib import Path

    from greendata.catalog.tables import Catalog
    from greendata.config import DatasetSettings, StoreSettings
    from greendata.progress import Progress
    from greendata.stores.base import Store


_WITH_PLACES = ("bring_back", "relocate", "recompress")
"""Kinds whose parameters name other objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRequest:
    """Take ``run_id`` back."""

    catalog: str
    run_id: str
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    carbon: CarbonSettings = field(default_factory=CarbonSettings)
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedUndo:
    """What would be taken back.

    Attributes:
        kinds: how many of each kind of action of the run.
        unknown: how many that were begun and of which only the store tells whether they were done.
        irreversible: how many that nothing takes back, by why.
        restored: how many are archived and have to be made readable first, which takes hours;
            ``restore_usd`` is what that costs, as far as prices are known, and
            ``restored_without_price`` of how many it is not.
        damaged: what is wrong with the run's journals.
    """

    request: UndoRequest
    catalog: Catalog
    runs_uri: str
    state: RunState
    ways: Mapping[str, Way]
    kinds: Mapping[str, int]
    size_bytes: int
    unknown: int
    irreversible: Mapping[str, int]
    restored: int
    restore_usd: Decimal
    restored_without_price: int

    @property
    def open_actions(self) -> int:
        """How many are to be looked at."""
        return sum(self.kinds.values()) + self.unknown

    @property
    def damaged(self) -> tuple[str, ...]:
        return self.state.damaged


def undo_run(request: UndoRequest, *, now: datetime, progress: Progress) -> RunSummary:
    """Take a run back without asking anybody. Raises as its two halves do."""
    return carry_out_undo(prepare_undo(request, now=now, progress=progress), progress=progress)


def prepare_undo(request: UndoRequest, *, now: datetime, progress: Progress) -> PreparedUndo:
    """See what there is to take back; nothing is changed.

    Raises:
        ObjectNotFoundError: there is no such run, or no catalog.
        UnsupportedError: an endpoint cannot be changed safely.
    """
    from greendata.catalog.tables import Catalog

    catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=False)
    store = Stores(request.stores)
    runs_uri = runs_uri_of(catalog)
    state = read_run(store, runs_uri, request.run_id)
    with kept_actions(store, runs_uri, request.run_id) as path:
        found = [entry for unit in reversals(units(path), state, all_handlers()) for entry in unit]
    folders = folders_of(state.header)
    open_ones = [entry for entry in found if not _is_finished(entry, state)]
    kinds: dict[str, set[str]] = {}
    for entry in open_ones:
        for uri, kind in _changed_uris(entry, state):
            kinds.setdefault(root_of(uri, folders), set()).add(kind)
    return PreparedUndo(
        request=request,
        catalog=catalog,
        runs_uri=runs_uri,
        state=state,
        ways=find_ways(kinds, catalog=catalog, store=store, now=now, progress=progress),
        **_counts(open_ones),
    )


def carry_out_undo(prepared: PreparedUndo, *, progress: Progress) -> RunSummary:
    """Take back what is not yet; done again it changes nothing.

    Raises:
        LockedError: another run is at work in one of the stores.
        GreendataError, OSError: the journal cannot be written.
    """
    state, request = prepared.state, prepared.request
    header = state.header or {}
    tally = Tally(request.run_id, str(header.get("plan_id", "")), int(header.get("attempt", 1)))
    store = Stores(request.stores)
    with kept_actions(store, prepared.runs_uri, request.run_id) as path:
        handlers = all_handlers()
        for unit in reversals(units(path), state, handlers):
            for entry in unit:
                if _is_finished(entry, state):
                    action_id = entry.action.action_id
                    tally.add(_without_money(entry.action), state.undone.get(action_id))
        ended = Ended()
        if prepared.ways:
            ended = _Undoing(prepared, store).run(path, tally, progress)
    record_run(
        prepared.catalog,
        store,
        request.run_id,
        datasets=request.datasets,
        stores=request.stores,
    )
    return _as_undo(tally.summary(ended))


def _as_undo(found: RunSummary) -> RunSummary:
    return replace(found, state="undone" if found.state == "finished" else found.state)


def _is_finished(entry: Reversal, state: RunState) -> bool:
    """What was left alone is tried again: whatever was in the way may be gone."""
    undone = state.undone.get(entry.action.action_id)
    if undone is None:
        return False
    is_final = undone.status is Status.SKIPPED and undone.reason == "irreversible"
    return undone.status is Status.DONE or is_final


def _without_money(action: Action) -> Action:
    return replace(action, fees_usd=None, monthly_saving_usd=None)


def _changed_uris(entry: Reversal, state: RunState) -> Iterator[tuple[str, str]]:
    """URIs that are changed, with the kind that does it."""
    inverse = entry.inverse
    action = inverse if isinstance(inverse, Action) else entry.action
    kind = inverse.kind if isinstance(inverse, Action) else "left_alone"
    yield action.uri, kind
    for survivor in entry.action.survivors:
        yield survivor.uri, kind
    if action.kind in _WITH_PLACES:  # tags, too, may have such names
        before = state.intents.get(action.action_id, {})
        for uri in (*_uris_in(action.to), *_uris_in(before)):
            yield uri, kind


def _uris_in(value: Any) -> Iterator[str]:
    """URIs of copies, quarantine, survivors and manifests among the parameters of an action."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in ("uri", "held_uri", "manifest") and isinstance(inner, str):
                yield inner
            else:
                yield from _uris_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _uris_in(inner)


def _counts(found: Sequence[Reversal]) -> dict[str, Any]:
    kinds, irreversible = Counter[str](), Counter[str]()
    unknown = size_bytes = restored = without_price = 0
    restore_usd = Decimal(0)
    for entry in found:
        inverse = entry.inverse
        if inverse is None:
            unknown += 1
        elif isinstance(inverse, CannotUndo):
            irreversible[inverse.words] += 1
        else:
            kinds[entry.action.kind] += 1
            size_bytes += entry.action.size_bytes or 0
            if inverse.kind == "untier" and inverse.fees_usd != 0:
                restored += 1
                restore_usd += inverse.fees_usd or 0
                without_price += inverse.fees_usd is None
    return {
        "kinds": dict(sorted(kinds.items())),
        "size_bytes": size_bytes,
        "unknown": unknown,
        "irreversible": dict(irreversible),
        "restored": restored,
        "restore_usd": restore_usd,
        "restored_without_price": without_price,
    }


class _Undoing:
    """The part ``undo`` of a run."""

    def __init__(self, prepared: PreparedUndo, store: Store) -> None:
        self._prepared, self._store = prepared, store
        self._handlers = all_handlers()
        self._state = prepared.state
        self._made = Units(prepared.state, self._handlers)
        self._part_state = part_state(prepared.state)
        self._part = FollowingPart(
            "undo",
            self._part_state,
            runs_uri=prepared.runs_uri,
            ways=prepared.ways,
            header=prepared.state.header or {},
            stores=prepared.request.stores,
            pace=prepared.request.pace,
            carbon=prepared.request.carbon,
        )

    def run(self, path: Path, tally: Tally, progress: Progress) -> Ended:
        progress.stage(f"undo of {self._state.run_id}", self._prepared.size_bytes)
        ended = self._part.run(
            self._units(path),
            self._made.handlers,
            progress=progress,
            on_outcome=tally.add,
            on_leased=self._read_again,
            finish=lambda ended: _as_undo(tally.summary(ended)).state,
        )
        tally.own = self._part.own
        return ended

    def _read_again(self) -> None:
        """Whoever had the lease may have done something since."""
        state = read_run(self._store, self._prepared.runs_uri, self._state.run_id)
        if set(state.outcomes) - set(self._state.outcomes):
            raise LockedError(
                f"{state.run_id}: went on while it was looked at.", hint="Undo it again."
            )
        fresh = part_state(state)
        self._part_state.intents.update(fresh.intents)
        self._part_state.outcomes.update(fresh.outcomes)

    def _units(self, path: Path) -> Iterator[tuple[Action, ...]]:
        context = self._part.context()
        for unit in reversals(units(path), self._state, self._handlers):
            if all(_is_finished(entry, self._state) for entry in unit):
                continue
            actions = self._made.unit(unit, context)
            if actions:
                yield actions
