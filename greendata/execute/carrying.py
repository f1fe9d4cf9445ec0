"""One part of a run, from its leases to the last line of its journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from greendata.execute.engine import Ended, Engine, EngineSettings
from greendata.execute.handlers.base import Context, Handler, Way
from greendata.execute.journal import Journal
from greendata.execute.lease import TTL_SECONDS, Leases
from greendata.execute.processes import this_process
from greendata.execute.records import Action, Outcome
from greendata.execute.runstate import RunState, check_current, run_uri

if TYPE_CHECKING:
    from greendata.progress import Progress
    from greendata.stores.base import Store

_TTL_A_CALL = 2.2
"""A lease lasts so many times as long as the slowest call, so that each is covered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is carried out, where, and how.

    Attributes:
        store: not fenced: for journal and leases.
        fenced: the store for handlers, each change of which asks these leases first.
        runs_uri, run_id, name: the journal is ``runs_uri/run_id/name/``.
        ways: by root; each root gets a lease.
        way_of: the way of a URI.
        state: as the journals have it; outcomes are added to ``outcomes``.
        header: what the journal keeps of the run besides its name and owner.
        call_timeout_seconds: how long one call to a store may last.
        is_broken: take over leases that others hold.
    """

    store: Store
    fenced: Callable[[Leases], Store]
    runs_uri: str
    run_id: str
    name: str
    ways: Mapping[str, Way]
    way_of: Callable[[str], Way]
    state: RunState
    handlers: Mapping[str, Handler]
    settings: EngineSettings
    header: Mapping[str, Any]
    now: Callable[[], datetime]
    call_timeout_seconds: float
    is_broken: bool = False


def carry_out(
    part: Part,
    units: Iterable[Sequence[Action]],
    *,
    progress: Progress,
    on_outcome: Callable[[Action, Outcome], None] = lambda action, outcome: None,
    on_leased: Callable[[], None] = lambda: None,
    on_engine: Callable[[Engine], None] = lambda engine: None,
    finish: Callable[[Ended], str],
    closing: Callable[[], Mapping[str, Any]] = dict,
) -> Ended:
    """Take the leases, journal, act, and note how it ended (``finish`` names it).

    ``closing`` is asked then what else the last line is to say.

    ``on_leased`` runs before the journal begins, ``on_engine`` before the first action.

    Raises:
        LockedError: another run is at work in one of the roots.
        GreendataError, OSError: the journal cannot be written.
    """
    replay = part.state.replays[part.name]
    with Leases(
        part.store,
        sorted(part.ways),
        run_id=part.run_id,
        ttl_seconds=max(TTL_SECONDS, _TTL_A_CALL * part.call_timeout_seconds),
        is_broken=part.is_broken,
        exclusive_roots=[way.root for way in part.ways.values() if way.is_exclusive],
        after_epoch=part.state.last_epoch,
        now=part.now,
    ) as leases:
        check_current(part.store, part.runs_uri, part.state)
        fenced = part.fenced(leases)
        for root in sorted(part.ways):
            _sweep(fenced, root, is_deep=part.state.header is not None)
        part.store.sweep(run_uri(part.runs_uri, part.run_id), is_deep=True)
        on_leased()
        noted = leases.noted_before.get(part.name)
        missing = part.state.damaged
        if noted is not None and not replay.reaches(noted):
            missing += (f"{part.run_id}: the journal is an older copy; it went on to {noted}",)
        for words in missing:
            progress.warn(f"{words}; what it said is found out by looking at every object")
        journal = Journal(
            part.store,
            run_uri(part.runs_uri, part.run_id, part.name),
            run_id=part.run_id,
            part=part.name,
            epoch=leases.epoch,
            previous=replay.last_digest,
        )
        journal.append([_header(part, leases.epoch)])
        engine = Engine(
            part.handlers,
            Context(store=fenced, run_id=part.run_id, now=part.now, way_of=part.way_of),
            journal,
            part.state,
            part.settings,
            progress,
            on_outcome=on_outcome,
            on_append=lambda position: leases.note(part.name, position),
            is_rebuilt=bool(missing),
        )
        on_engine(engine)
        ended = engine.run(units)
        last = {"type": "finish", "state": finish(ended), "at": part.now().isoformat()}
        journal.append([{**last, **closing()}])
        return ended


def _sweep(store: Store, root: str, *, is_deep: bool) -> None:
    """Nobody else is at work here: what is half done in our own folders is of the dead."""
    store.sweep(root, is_deep=is_deep)
    own = f"{root}.greendata/"
    for upload in store.uploads(own):
        if upload.uri.startswith(own):
            store.abort_upload(upload.uri, upload.upload_id)


def _header(part: Part, epoch: int) -> dict[str, Any]:
    ways = [
        {"root": way.root, "is_versioned": way.is_versioned, "is_exclusive": way.is_exclusive}
        for way in part.ways.values()
    ]
    return {
        "type": "run",
        "run_id": part.run_id,
        "epoch": epoch,
        "started_at": part.now().isoformat(),
        **this_process(),
        "ways": ways,
        **part.header,
    }
