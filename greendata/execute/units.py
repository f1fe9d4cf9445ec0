"""Actions of a plan, as they are carried out: object by object, groups together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from greendata.errors import PlanError
from greendata.execute.records import Action, Survivor
from greendata.plan.actions import ACTIONS

_ROWS = 4096

_OF_ONE = ("survivor_uri", "survivor_store_id", "survivor_version_id", "survivor_etag")
_FORMER = [*(name for name in ACTIONS.names if name != "survivors"), *_OF_ONE]
"""Of plans of version 1, whose runs can still be taken back: one survivor an action."""


def read_actions(path: Path) -> Iterator[Action]:
    """The actions of a plan's table in their order, in bounded memory.

    Raises:
        PlanError: it is not such a table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            there = set(table.schema_arrow.names)
            columns = _FORMER if "survivors" not in there else ACTIONS.names
            missing = set(columns) - there
            if missing:
                raise PlanError(f"{path}: lacks {', '.join(sorted(missing))}", hint="Plan again.")
            for batch in table.iter_batches(_ROWS, columns=columns):
                yield from map(_action, batch.to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise PlanError(f"{path}: cannot be read: {error}", hint="Plan again.") from error


def units(path: Path) -> Iterator[tuple[Action, ...]]:
    """Groups that switch as one, after all else: the actions of one object in their order."""
    counts = _group_sizes(path)
    groups: dict[str, list[Action]] = {}
    unit: list[Action] = []
    for action in read_actions(path):
        if counts.get(action.group_id, 1) > 1:
            groups.setdefault(action.group_id, []).append(action)
            continue
        if unit and _object(unit[0]) != _object(action):
            yield tuple(unit)
            unit = []
        unit.append(action)
    if unit:
        yield tuple(unit)
    for group in groups.values():
        yield tuple(group)


def _group_sizes(path: Path) -> dict[str, int]:
    """Of groups of more than one action."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    column = pq.read_table(path, columns=["action_id", "group_id"])
    grouped = column.filter(pc.not_equal(column["action_id"], column["group_id"]))
    found: dict[str, int] = {}
    for entry in grouped["group_id"].value_counts().to_pylist():
        found[entry["values"]] = entry["counts"]
    return found


def _object(action: Action) -> tuple[str, str, str | None]:
    return (action.store_id, action.uri, action.version_id)


def _action(row: dict[str, Any]) -> Action:
    carbon = [row[f"carbon_kgco2e_{bound}"] for bound in ("low", "central", "high")]
    return Action(
        action_id=row["action_id"],
        group_id=row["group_id"],
        kind=row["kind"],
        uri=row["uri"],
        store_id=row["store_id"],
        version_id=row["version_id"],
        etag=row["etag"],
        size_bytes=row["size_bytes"],
        source=json.loads(row["from_"] or "{}"),
        to=json.loads(row["to"] or "{}"),
        policy=row["policy"],
        reason=row["reason"],
        survivors=tuple(_survivors(row)),
        reversibility=row["reversibility"],
        fees_usd=row["fees_usd"],
        monthly_saving_usd=row["monthly_saving_usd"],
        carbon_kgco2e=None if None in carbon else (carbon[0], carbon[1], carbon[2]),
    )


def _survivors(row: dict[str, Any]) -> Iterator[Survivor]:
    found = row.get("survivors") or []
    if row.get("survivor_uri") is not None:
        found = [{name.removeprefix("survivor_"): row[name] for name in _OF_ONE}]
    for entry in found:
        yield Survivor(**entry, basis=row["survivor_basis"] or "")
