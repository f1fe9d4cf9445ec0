"""``greendata runs``: looking back at what was applied, undone and purged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from greendata.catalog.queries import columns_sql, create_run_views, create_table
from greendata.catalog.schemas import SCHEMAS
from greendata.errors import ObjectNotFoundError
from greendata.execute.runstate import RunState, list_runs, read_run, run_uri
from greendata.jobs.results import MEMORY_BYTES, catalog_place
from greendata.jobs.runs import dataset_of, planned_actions, run_rows, runs_uri
from greendata.model import SCHEMA_VERSION
from greendata.sql import temporary_duckdb
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from greendata.catalog.tables import Catalog
    from greendata.config import DatasetSettings, StoreSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsRequest:
    """Which runs to look at: the newest, so many; or one, and so many lines of each of its lists.

    ``datasets`` name those of a run that is not in the catalog yet.
    """

    catalog: str
    run_id: str | None = None
    limit: int = 20
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A row of the catalog's ``runs``; ``totals`` as ``jobs.runs`` counts them."""

    run_id: str
    plan_id: str | None
    attempt: int
    state: str
    started_at: datetime | None
    finished_at: datetime | None
    owner: str
    policy_digest: str | None
    totals: dict[str, Any]
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Runs, newest first."""

    runs: tuple[RecordedRun, ...]
    total_runs: int

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``runs --json``."""
        return {"schema_version": SCHEMA_VERSION} | asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDone:
    """Actions that were not done, or not yet, for one reason."""

    status: str
    reason: str
    actions: int
    size_bytes: int
    example_uri: str
    example_detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAction:
    """An action that goes on when it is due."""

    uri: str
    kind: str
    policy: str
    due_at: datetime | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingObject:
    """An object in quarantine, and from when on it can be purged."""

    uri: str
    kind: str
    policy: str
    size_bytes: int | None
    purge_after: datetime
    quarantine_uri: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """All that is known of a run; lists are cut, the totals are not.

    ``damaged`` names what of its journals cannot be read.
    """

    run: RecordedRun
    not_done: tuple[NotDone, ...]
    pending: tuple[PendingAction, ...]
    quarantine: tuple[WaitingObject, ...]
    first_purge_after: datetime | None
    last_purge_after: datetime | None
    damaged: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``runs show --json``."""
        return {"schema_version": SCHEMA_VERSION} | asdict(self)


def find_runs(request: RunsRequest) -> Runs:
    """The newest runs.

    Raises:
        ObjectNotFoundError: there is no catalog.
    """
    with _open(request, None) as opened:
        rows = _fetch(opened.connection, "SELECT * FROM all_runs ORDER BY ALL", [])
    found = sorted(map(_summary, rows), key=_newest_first, reverse=True)
    return Runs(runs=tuple(found[: request.limit]), total_runs=len(found))


def show_run(request: RunsRequest) -> RunDetails:
    """One run: what it came to, what was not done, what goes on later, what waits for purge.

    Raises:
        ObjectNotFoundError: there is no such run.
    """
    run_id = request.run_id or ""
    with _open(request, run_id) as opened:
        rows = _fetch(opened.connection, "SELECT * FROM all_runs", [])
        if not rows:
            raise ObjectNotFoundError(
                f"{opened.name}: has no run {run_id!r}.", hint="See them with: greendata runs"
            )
        first, last = opened.connection.execute(
            "SELECT epoch_us(min(purge_after)), epoch_us(max(purge_after)) FROM all_outcomes"
        ).fetchall()[0]
        limit = [request.limit]
        return RunDetails(
            run=_summary(rows[0]),
            not_done=tuple(NotDone(**row) for row in _fetch(opened.connection, _NOT_DONE, limit)),
            pending=tuple(
                PendingAction(**row) for row in _fetch(opened.connection, _PENDING, limit)
            ),
            quarantine=tuple(
                WaitingObject(**row) for row in _fetch(opened.connection, _WAITING, limit)
            ),
            first_purge_after=_moment(first),
            last_purge_after=_moment(last),
            damaged=opened.damaged,
        )


_NOT_DONE = (
    "SELECT status, reason, count(*) AS actions, min(uri) AS example_uri,"
    " coalesce(sum(size_bytes), 0)::BIGINT AS size_bytes, arg_min(detail, uri) AS example_detail"
    " FROM all_outcomes WHERE status <> 'done' GROUP BY status, reason"
    " ORDER BY actions DESC, status, reason LIMIT ?"
)
_PENDING = (
    "SELECT uri, kind, policy, due_at, detail FROM all_outcomes WHERE status = 'pending'"
    " ORDER BY due_at NULLS LAST, uri LIMIT ?"
)
_WAITING = (
    "SELECT uri, kind, policy, size_bytes, purge_after, quarantine_uri FROM all_outcomes"
    " WHERE purge_after IS NOT NULL ORDER BY purge_after, uri LIMIT ?"
)


def _moment(microseconds: int | None) -> datetime | None:
    from datetime import UTC, datetime, timedelta

    if microseconds is None:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    connection: DuckDBPyConnection
    name: str
    damaged: tuple[str, ...]


@contextmanager
def _open(request: RunsRequest, run_id: str | None) -> Iterator[_Opened]:
    """Views ``all_runs`` and ``all_outcomes``: of the catalog, and of what it does not have.

    A run that is at work, or was killed, is read from its journals; so is one that is asked for by
    name, unless they are damaged and the catalog has it.
    """
    from greendata.catalog.tables import Catalog

    catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=False)
    if run_id is not None:
        run_uri(runs_uri(catalog), run_id)  # raises for what names no run
    with temporary_duckdb(
        catalog.name, memory_bytes=MEMORY_BYTES, threads=os.cpu_count() or 1
    ) as connection:
        damaged = create_history_views(connection, catalog, request, run_id)
        yield _Opened(connection=connection, name=catalog.name, damaged=damaged)


def create_history_views(
    connection: DuckDBPyConnection, catalog: Catalog, request: RunsRequest, run_id: str | None
) -> tuple[str, ...]:
    """Make the views ``all_runs`` and ``all_outcomes``, of one run or of all.

    Returns:
        What of the journals of runs that are not settled cannot be read.
    """
    store = Stores(request.stores)
    create_run_views(connection, catalog, None if run_id is None else {run_id})
    settled = {
        row["run_id"]
        for row in _fetch(connection, "SELECT run_id FROM runs WHERE state <> 'running'", [])
    }
    wanted = [run_id] if run_id is not None else list_runs(store, runs_uri(catalog))
    states = [
        read_run(store, runs_uri(catalog), name)
        for name in wanted
        if run_id is not None or name not in settled
    ]
    better_known = {state.run_id for state in states if state.damaged} & settled
    _add_read(
        connection,
        catalog,
        store,
        request,
        [state for state in states if state.run_id not in better_known],
    )
    return tuple(words for state in states for words in state.damaged)


def _add_read(
    connection: DuckDBPyConnection,
    catalog: Catalog,
    store: Stores,
    request: RunsRequest,
    states: Sequence[RunState],
) -> None:
    import pyarrow as pa

    find_dataset = dataset_of(request.datasets, request.stores)
    runs, outcomes = [], []
    for state in states:
        found = _rows_of(catalog, store, state, find_dataset)
        if found is not None:
            runs.append(found[0])
            outcomes += found[1]
    for name, rows in (("runs", runs), ("outcomes", outcomes)):
        columns = columns_sql(name)
        create_table(connection, f"read_{name}", pa.Table.from_pylist(rows, schema=SCHEMAS[name]))
        connection.execute(
            f"CREATE TEMP VIEW all_{name} AS SELECT {columns} FROM read_{name}"
            f" UNION ALL SELECT {columns} FROM {name} c ANTI JOIN read_runs r"
            " ON r.run_id = c.run_id"
        )


def _rows_of(
    catalog: Catalog, store: Stores, state: RunState, find_dataset: Callable[[str], str | None]
) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """The rows of a run that is not settled; None where there is no run, or no plan of one."""
    try:
        actions = planned_actions(store, runs_uri(catalog), state.run_id)
    except ObjectNotFoundError:
        return None
    return run_rows(state, actions, find_dataset)


def _fetch(connection: DuckDBPyConnection, query: str, values: list[Any]) -> list[dict[str, Any]]:
    """Rows by way of Arrow: DuckDB's own need pytz for times."""
    relation = connection.sql(query, params=values)
    found: list[dict[str, Any]] = relation.to_arrow_table().to_pylist()
    return found


def _summary(row: dict[str, Any]) -> RecordedRun:
    kept = {name: row[name] for name in RecordedRun.__slots__}
    return RecordedRun(
        **kept | {"totals": json.loads(row["totals"]), "reasons": json.loads(row["reasons"])}
    )


def _newest_first(run: RecordedRun) -> tuple[str, str, int]:
    started_at = run.started_at.isoformat() if run.started_at else ""
    return (started_at, run.run_id.partition("-")[0], run.attempt)
