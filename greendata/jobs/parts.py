"""What the parts of a run that follow ``apply`` have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from greendata.execute.carrying import Part, carry_out
from greendata.execute.engine import Ended, EngineSettings
from greendata.execute.handlers.base import Context, Handler, Way
from greendata.execute.lease import FencedStore
from greendata.jobs.apply import call_timeout_seconds, interruptible
from greendata.jobs.metering import OwnMeter
from greendata.jobs.ways import root_of
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    from greendata.config import StoreSettings
    from greendata.execute.lease import Leases
    from greendata.execute.records import Action, Outcome
    from greendata.execute.runstate import RunState
    from greendata.jobs.metering import OwnFootprint
    from greendata.operating.records import CarbonSettings
    from greendata.progress import Progress
    from greendata.stores.base import Store

_HEADER = ("plan_id", "attempt", "policy_digest", "actions", "folders")
"""What of a run's header is the same in each of its journals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast, and over whom."""

    workers: int = 16
    actions_per_second: float | None = None
    most_failures: int = 20
    break_lease: bool = False


class FollowingPart:
    """``undo`` or ``purge`` of a run.

    Args:
        state: as the journals have it, with the outcomes of this part as its ``outcomes``.
        header: of the run.
        carbon: where this machine stands and what it is, for what the part itself takes.

    Attributes:
        own: what it took, once it has run.
    """

    def __init__(
        self,
        name: str,
        state: RunState,
        *,
        runs_uri: str,
        ways: Mapping[str, Way],
        header: Mapping[str, Any],
        stores: Sequence[StoreSettings],
        pace: Pace,
        carbon: CarbonSettings,
    ) -> None:
        self._name, self._state, self._runs_uri = name, state, runs_uri
        self._ways, self._header, self._pace = ways, header, pace
        self._stores, self._carbon = tuple(stores), carbon
        self.own: OwnFootprint | None = None
        self._folders = folders_of(header)
        self._store: Store = Stores(self._stores)

    def run(
        self,
        units: Iterable[Sequence[Action]],
        handlers: Mapping[str, Handler],
        *,
        progress: Progress,
        on_outcome: Callable[[Action, Outcome], None],
        on_leased: Callable[[], None],
        finish: Callable[[Ended], str],
    ) -> Ended:
        """Carry it out; ``units`` are asked for when the leases are held.

        Raises:
            LockedError: another run is at work in one of the stores.
            GreendataError, OSError: the journal cannot be written.
        """
        with contextlib.ExitStack() as stack:
            meter = stack.enter_context(OwnMeter(self._carbon))

            def own() -> dict[str, Any]:
                self.own = meter.footprint()
                return {"own": self.own.as_record()}

            return carry_out(
                self._part(handlers),
                units,
                progress=progress,
                on_outcome=on_outcome,
                on_leased=on_leased,
                on_engine=lambda engine: stack.enter_context(interruptible(engine)),
                finish=finish,
                closing=own,
            )

    def _part(self, handlers: Mapping[str, Handler]) -> Part:
        return Part(
            store=Stores(self._stores),
            fenced=self._fence,
            runs_uri=self._runs_uri,
            run_id=self._state.run_id,
            name=self._name,
            ways=self._ways,
            way_of=self._way_of,
            state=self._state,
            handlers=handlers,
            settings=EngineSettings(
                workers=self._pace.workers,
                actions_per_second=self._pace.actions_per_second,
                most_failures=self._pace.most_failures,
            ),
            header={name: self._header[name] for name in _HEADER if name in self._header},
            now=_now,
            call_timeout_seconds=call_timeout_seconds(self._stores),
            is_broken=self._pace.break_lease,
        )

    def context(self) -> Context:
        """What handlers have, for looks before there is an action."""
        return Context(store=self._store, run_id=self._state.run_id, now=_now, way_of=self._way_of)

    def _fence(self, leases: Leases) -> Store:
        longest = call_timeout_seconds(self._stores)
        self._store = Stores(
            self._stores,
            around=lambda inner: FencedStore(inner, leases, call_timeout_seconds=longest),
        )
        return self._store

    def _way_of(self, uri: str) -> Way:
        return self._ways[root_of(uri, self._folders)]


def folders_of(header: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Folders that were listed when a run began, the roots of local files."""
    return tuple((header or {}).get("folders", ()))


def now_utc() -> datetime:
    """The time; tests set it."""
    return datetime.now(UTC)


def _now() -> datetime:
    return now_utc()
