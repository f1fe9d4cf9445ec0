"""A run as its journals have it: what was meant, what came of it, what was taken back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from greendata.errors import LockedError, ObjectNotFoundError
from greendata.execute.journal import Record, Replay, below, positions, read_journal
from greendata.execute.records import Outcome, Status

if TYPE_CHECKING:
    from greendata.stores.base import Store

PARTS = ("apply", "undo", "purge")
"""The journals of a run, a folder each."""

PLAN = "plan"
"""Folder of a run's plan, beside its journals."""

RUNS = "runs"
"""Folder of all runs, beside the catalog's tables."""

_RUN_ID = re.compile(r"[0-9a-f]{1,16}-[0-9]{1,9}")


@dataclass(slots=True, kw_only=True)
class RunState:
    """One run.

    Attributes:
        header: the newest record ``run``, with the time of the first one; None where nothing was
            begun or it is damaged.
        intents: by action id, what was known before, of ``apply``; of an action without an outcome
            nobody knows whether it was done.
        outcomes, undone, purged: by action id, the newest of each part.
        undo_intents, purge_intents: as ``intents``, of the other parts.
        outcomes_at: by part, then action id: when.
        finish, undo_finish: the last record ``finish`` of ``apply`` and of ``undo``, unless
            something came after it.
        own: what its parts took themselves, as far as they were ended.
        damaged: URIs of segments with what is wrong there.
        replays: by part, without their records: what a further ``Journal`` follows.
    """

    run_id: str
    header: Mapping[str, Any] | None = None
    intents: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    finish: Mapping[str, Any] | None = None
    undo_finish: Mapping[str, Any] | None = None
    own: list[Mapping[str, Any]] = field(default_factory=list)
    undo_intents: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    undone: dict[str, Outcome] = field(default_factory=dict)
    purge_intents: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    purged: dict[str, Outcome] = field(default_factory=dict)
    outcomes_at: dict[str, dict[str, datetime]] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    replays: dict[str, Replay] = field(default_factory=dict)

    @property
    def last_epoch(self) -> int:
        """The newest epoch of its journals: a lease for it must have a later one."""
        return max((replay.last_epoch for replay in self.replays.values()), default=0)


def run_uri(runs_uri: str, run_id: str, *names: str) -> str:
    """URI of a run's folder, or of something in it.

    Raises:
        ObjectNotFoundError: no run can have this name.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ObjectNotFoundError(
            f"{run_id!r} is not the name of a run.", hint="See them with: greendata runs"
        )
    return "/".join([runs_uri.rstrip("/"), run_id, *names])


def list_runs(store: Store, runs_uri: str) -> list[str]:
    """Names of the runs that have a folder, sorted."""
    folder = runs_uri.rstrip("/") + "/"
    names = {uri.removeprefix(folder).partition("/")[0] for uri in below(store, folder)}
    return sorted(name for name in names if _RUN_ID.fullmatch(name))


def read_run(store: Store, runs_uri: str, run_id: str) -> RunState:
    """What the journals of a run say; of one that never was, nothing.

    Raises:
        ObjectNotFoundError: no run can have this name.
        DeniedError, StoreUnreachableError.
    """
    state = RunState(run_id=run_id)
    targets = {
        "apply": (state.intents, state.outcomes),
        "undo": (state.undo_intents, state.undone),
        "purge": (state.purge_intents, state.purged),
    }
    for part, (intents, outcomes) in targets.items():
        replay = read_journal(store, run_uri(runs_uri, run_id, part) + "/")
        at = state.outcomes_at.setdefault(part, {})
        finish: Record | None = None
        for record in replay.records:
            kind = record.get("type")
            if kind == "finish" and record.get("own"):
                state.own.append(record["own"])
            finish = record if kind == "finish" else None
            if kind == "run" and part == "apply":
                first = state.header or record
                state.header = dict(record) | {"started_at": first.get("started_at")}
            elif kind == "intent":
                intents[record["id"]] = record.get("before", {})
            elif kind == "outcome":
                outcomes[record["id"]] = outcome_from(record)
                at[record["id"]] = datetime.fromisoformat(record["at"])
        if part == "apply":
            state.finish = finish
        elif part == "undo":
            state.undo_finish = finish
        state.damaged += replay.damaged
        state.replays[part] = dataclasses.replace(replay, records=())
    if state.header is None and not state.damaged:
        plan = run_uri(runs_uri, run_id, PLAN) + "/"
        if any(True for _ in below(store, plan)):  # which is there before anything is done
            state.damaged += (f"{run_uri(runs_uri, run_id, 'apply')}/: missing",)
    return state


def check_current(store: Store, runs_uri: str, state: RunState) -> None:
    """Make sure, once the leases are had, that a run is still as it was read.

    Raises:
        LockedError: another process went on with it, or undid or purged some of it.
    """
    for part in PARTS:
        folder = run_uri(runs_uri, state.run_id, part) + "/"
        if not set(positions(store, folder)) <= set(state.replays.get(part, Replay()).positions):
            raise LockedError(
                f"{folder}: another process went on with this run since it was read.",
                hint="Run the same command again: it goes on from there.",
            )


def intent_record(action_id: str, before: Mapping[str, Any]) -> Record:
    """The line that must be durable before an action acts."""
    return {"type": "intent", "id": action_id} | ({"before": before} if before else {})


def outcome_record(action_id: str, outcome: Outcome, at: datetime) -> Record:
    """The line that says what came of an action; what is empty is left out."""
    record: dict[str, Any] = {
        "type": "outcome",
        "id": action_id,
        "status": outcome.status.value,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "after": outcome.after,
        "due_at": outcome.due_at.isoformat() if outcome.due_at else None,
        "moved_bytes": outcome.moved_bytes,
        "at": at.isoformat(),
    }
    return {name: value for name, value in record.items() if value}


def outcome_from(record: Record) -> Outcome:
    """The outcome that a line has."""
    due_at = record.get("due_at")
    return Outcome(
        status=Status(record["status"]),
        reason=record.get("reason", ""),
        detail=record.get("detail", ""),
        after=record.get("after", {}),
        due_at=datetime.fromisoformat(due_at) if due_at else None,
        moved_bytes=record.get("moved_bytes", 0),
    )
