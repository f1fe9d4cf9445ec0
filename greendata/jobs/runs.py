"""What a run did, put into the catalog: one row a run, one an action."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.catalog.queries import is_realised
from greendata.catalog.schemas import SCHEMAS
from greendata.execute.records import Outcome, Status
from greendata.execute.runstate import RUNS, read_run, run_uri
from greendata.jobs.metering import sum_of_records
from greendata.stores.opening import normalise_uri

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.catalog.tables import Catalog
    from greendata.config import DatasetSettings, StoreSettings
    from greendata.execute.runstate import RunState
    from greendata.stores.base import Store

_CARBON = ("carbon_kgco2e_low", "carbon_kgco2e_central", "carbon_kgco2e_high")
_PLANNED = (
    "action_id", "kind", "policy", "uri", "store_id", "version_id", "size_bytes", "fees_usd",
    "monthly_saving_usd", *_CARBON, "etag", "to",
)  # fmt: skip

Row = dict[str, Any]


def runs_uri(catalog: Catalog) -> str:
    """URI of the folder that holds the runs of a catalog."""
    return f"{catalog.place.uri}/{RUNS}"


def record_run(
    catalog: Catalog,
    store: Store,
    run_id: str,
    *,
    datasets: Sequence[DatasetSettings] = (),
    stores: Sequence[StoreSettings] = (),
) -> bool:
    """Append what the catalog does not have yet of a run's row and of its outcomes.

    Journals and the plan's actions are read from the run's own folder. Done twice it appends
    nothing; the outcomes come before the row that counts them.

    Returns:
        Whether there was something to append.

    Raises:
        ObjectNotFoundError: the run has no plan: it never began.
    """
    import pyarrow as pa

    runs = runs_uri(catalog)
    run, outcomes = run_rows(
        read_run(store, runs, run_id),
        planned_actions(store, runs, run_id),
        dataset_of(datasets, stores),
    )
    known_runs = _known(catalog, "runs", run_id)
    known = {row["action_id"]: row for row in _known(catalog, "outcomes", run_id)}
    sequence = 1 + max(
        (row["catalog_sequence"] for row in (*known_runs, *known.values())), default=0
    )
    changed = [row for row in outcomes if not _is_same(row, known.get(row["action_id"]))]
    is_known = bool(known_runs) and _is_same(run, known_runs[-1])
    for name, rows in (("outcomes", changed), ("runs", [] if is_known else [run])):
        numbered = [row | {"catalog_sequence": sequence} for row in rows]
        catalog.write(name, run_id, pa.Table.from_pylist(numbered, schema=SCHEMAS[name]))
    return bool(changed) or not is_known


def _known(catalog: Catalog, name: str, run_id: str) -> list[Row]:
    """All rows of a run, the newest of each thing last."""
    import pyarrow.parquet as pq

    rows = [
        row
        for path in catalog.files(name, {run_id})
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
    return sorted(rows, key=lambda row: int(row["catalog_sequence"]))


def _is_same(row: Row, known: Row | None) -> bool:
    return known is not None and row == known | {"catalog_sequence": row["catalog_sequence"]}


def planned_actions(store: Store, runs: str, run_id: str) -> pa.Table:
    """The actions of a run's plan, as its folder has them; the columns that outcomes need.

    Raises:
        ObjectNotFoundError: it has no plan: it never began.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = store.read(run_uri(runs, run_id, "plan", "actions.parquet"))
    return pq.read_table(pa.BufferReader(content), columns=list(_PLANNED))


def dataset_of(
    datasets: Sequence[DatasetSettings], stores: Sequence[StoreSettings]
) -> Callable[[str], str | None]:
    """Finds the declared dataset of a URI: the one with the longest prefix that holds it."""
    prefixes = sorted(
        (
            (normalise_uri(prefix, stores).rstrip("/"), entry.name)
            for entry in datasets
            for prefix in entry.prefixes
        ),
        key=lambda found: -len(found[0]),
    )

    def find(uri: str) -> str | None:
        return next(
            (name for prefix, name in prefixes if uri == prefix or uri.startswith(f"{prefix}/")),
            None,
        )

    return find


def run_rows(
    state: RunState, actions: pa.Table, find_dataset: Callable[[str], str | None]
) -> tuple[Row, list[Row]]:
    """The rows of ``runs`` and of ``outcomes``, by the columns of their schemas."""
    planned = actions.to_pylist()
    outcomes = []
    for action in planned:
        part, outcome = _standing(state, action["action_id"])
        if outcome is not None:
            outcomes.append(_outcome_row(state, action, part, outcome, find_dataset))
    return _run_row(state, planned, outcomes), outcomes


def _standing(state: RunState, action_id: str) -> tuple[str, Outcome | None]:
    """What holds of an action, and the part that did it.

    A purge or undo that did not succeed changes nothing of it; its words are added. Nor does the
    purge of what was copied of an object that others replaced then: that saves nothing.
    """
    purged, undone = state.purged.get(action_id), state.undone.get(action_id)
    applied = state.outcomes.get(action_id)
    if purged is not None and purged.status is Status.DONE:
        if applied is None or applied.status is not Status.SKIPPED:
            return "purge", purged
        return "apply", replace(_with_words(applied, "its copy was purged"), after={})
    if undone is not None and undone.status in (Status.DONE, Status.PENDING):
        return "undo", undone
    for part, tried in (("undo", undone), ("purge", purged)):
        if applied is not None and tried is not None:
            words = f"{part} {tried.status}: {tried.reason}: {tried.detail}"
            applied = _with_words(applied, words)
    return "apply", applied


def _with_words(outcome: Outcome, words: str) -> Outcome:
    detail = f"{outcome.detail}; {words}" if outcome.detail else words
    return replace(outcome, detail=detail)


def _outcome_row(
    state: RunState,
    action: Mapping[str, Any],
    part: str,
    outcome: Outcome,
    find_dataset: Callable[[str], str | None],
) -> Row:
    waiting: Mapping[str, Any] = {}
    if part == "apply":
        waiting = outcome.after.get("quarantine") or {}
    purge_after = waiting.get("purge_after")
    found = (
        dict(action)
        | {
            "run_id": state.run_id,
            "dataset": find_dataset(action["uri"]),
            "status": outcome.status.value,
            "reason": outcome.reason,
            "detail": _encodable(outcome.detail),
            "at": state.outcomes_at[part][action["action_id"]],
            "due_at": outcome.due_at,
            "purge_after": datetime.fromisoformat(purge_after) if purge_after else None,
            "quarantine_uri": waiting.get("held_uri"),
            "part": part,
            "catalog_sequence": 0,
            "tags": sorted(json.loads(action["to"])["tag"].items())
            if action["kind"] == "tag"
            else None,
            "readable_until": _time(outcome.after.get("readable_until"))
            if part == "apply"
            else None,
            "survivors": [
                {"store_id": store_id, "uri": uri} for store_id, uri in survivors_of(waiting)
            ]
            or None,
        }
        | _left(state, action, outcome if part == "undo" else None)
    )
    return {name: found[name] for name in SCHEMAS["outcomes"].names}


def survivors_of(waiting: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Store and URI of what is pinned for something in quarantine, as its journal tells of it.

    The version that a tier action made stands for the one before without a pin.
    """
    if waiting.get("cause") == "tier":
        return
    one = [waiting["survivor"]] if "survivor" in waiting else []
    for survivor in waiting.get("survivors", one):
        yield survivor["store_id"], survivor["uri"]


def _left(state: RunState, action: Mapping[str, Any], undone: Outcome | None) -> Row:
    """The version that a tier action, or its undo, made of the object: S3 writes it anew."""
    outcome = undone or state.outcomes.get(action["action_id"])
    now = outcome.after.get("object") if outcome is not None and action["kind"] == "tier" else None
    is_other = now is not None and (
        (now["version_id"], now["etag"]) != (action["version_id"], action["etag"])
        or action["uri"].startswith("s3:")
    )
    return {
        "left_version_id": now["version_id"] if now is not None and is_other else None,
        "left_etag": now["etag"] if now is not None and is_other else None,
    }


def _run_row(state: RunState, planned: Sequence[Row], outcomes: Sequence[Row]) -> Row:
    header = state.header or {}
    finish = state.undo_finish if state.undo_intents or state.undone else state.finish
    owner = "@".join(str(header[name]) for name in ("owner", "host") if header.get(name))
    return {
        "run_id": state.run_id,
        "plan_id": header.get("plan_id"),
        "attempt": int(state.run_id.rpartition("-")[2]),
        "state": _state_word(state, outcomes),
        # where the journal's first segment is damaged, no later than what came of it
        "started_at": _time(header.get("started_at"))
        or min((row["at"] for row in outcomes), default=None),
        "finished_at": _time((finish or {}).get("at")),
        "owner": _encodable(owner),
        "policy_digest": header.get("policy_digest"),
        "catalog_sequence": 0,
        "totals": json.dumps(_totals(state, planned, outcomes), sort_keys=True),
        "reasons": json.dumps(_reasons(outcomes), sort_keys=True),
    }


def _state_word(state: RunState, outcomes: Sequence[Row]) -> str:
    """``purged``: something of it was purged, and nothing of it waits for that any more."""
    if state.undo_intents or state.undone:
        return "running" if state.undo_finish is None else "undone"
    if state.finish is None:
        return "running"
    is_waiting = any(row["purge_after"] for row in outcomes)
    if not is_waiting and any(row["part"] == "purge" for row in outcomes):
        return "purged"
    return str(state.finish.get("state", "finished"))


def _totals(state: RunState, planned: Sequence[Row], outcomes: Sequence[Row]) -> Row:
    """Counts of actions by how they stand; sums are of those done, undone ones not among them."""
    done = [row for row in outcomes if row["status"] == "done" and row["part"] != "undo"]
    realised = [
        row for row in done if is_realised(status=row["status"], part=row["part"], kind=row["kind"])
    ]
    waiting = [row for row in outcomes if row["purge_after"]]
    known = {row["action_id"] for row in outcomes}
    return {
        "actions": len(planned),
        "done": len(done),
        **{
            word: sum(row["status"] == word for row in outcomes)
            for word in ("pending", "skipped", "failed")
        },
        "undone": sum(row["status"] == "done" and row["part"] == "undo" for row in outcomes),
        "purged": sum(row["part"] == "purge" for row in outcomes),
        "unsettled": len(state.intents.keys() - known),
        "left": sum(
            row["action_id"] not in known and row["action_id"] not in state.intents
            for row in planned
        ),
        "moved_bytes": sum(
            outcome.moved_bytes
            for part in (state.outcomes, state.undone, state.purged)
            for outcome in part.values()
        ),
        "size_bytes": sum(row["size_bytes"] or 0 for row in done),
        "fees_usd": _sum(done, "fees_usd"),
        "monthly_saving_usd": _sum(done, "monthly_saving_usd"),
        "unknown_savings": sum(row["monthly_saving_usd"] is None for row in done),
        "realised_monthly_saving_usd": _sum(realised, "monthly_saving_usd"),
        "carbon_kgco2e": _carbon(done),
        "unknown_carbon": sum(row[_CARBON[0]] is None for row in done),
        "realised_carbon_kgco2e": _carbon(realised),
        "waiting": len(waiting),
        "waiting_bytes": sum(row["size_bytes"] or 0 for row in waiting),
        "own": sum_of_records(state.own),
    }


def _sum(rows: Iterable[Row], name: str) -> str:
    return str(sum((row[name] or Decimal(0) for row in rows), Decimal(0)))


def _carbon(rows: Sequence[Row]) -> list[float] | None:
    """Low, central, high of those whose carbon is known; None where it is of none of them."""
    known = [row for row in rows if row[_CARBON[0]] is not None]
    if rows and not known:
        return None
    return [sum((row[name] for row in known), 0.0) for name in _CARBON]


def _reasons(outcomes: Iterable[Row]) -> dict[str, int]:
    return dict(Counter(row["reason"] for row in outcomes if row["reason"]))


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _encodable(text: str) -> str:
    """Surrogates, of names that are not UTF-8, as escapes: Arrow's texts are UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
