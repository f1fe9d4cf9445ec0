"""What a plan's table says of each action, and what plans and journals of before say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.errors import PlanError
from greendata.execute.quarantine import Quarantined
from greendata.execute.records import Survivor
from greendata.execute.units import read_actions
from greendata.plan.actions import ACTIONS
from tests.execute.made_context import NOW

STAYS: dict[str, Any] = {
    "uri": "s3://b/stays",
    "store_id": "s3:aws",
    "version_id": None,
    "etag": "e",
}
KNOWN = Survivor(**STAYS, basis="sha256:0")
BASE: dict[str, Any] = {field.name: None for field in ACTIONS} | {
    "action_id": "a", "group_id": "a", "kind": "quarantine", "uri": "s3://b/goes",
    "store_id": "s3:aws", "etag": "e", "policy": "p", "reason": "r", "survivor_basis": "sha256:0",
    "reversibility": "costly",
}  # fmt: skip


def test_survivors_are_read_in_their_order(tmp_path: Path) -> None:
    rows = [BASE | {"survivors": [STAYS, STAYS | {"uri": "s3://b/too"}]}, BASE]
    pq.write_table(pa.Table.from_pylist(rows, schema=ACTIONS), tmp_path / "a")
    several, none = read_actions(tmp_path / "a")
    assert [entry.uri for entry in several.survivors] == ["s3://b/stays", "s3://b/too"]
    assert several.survivors[0] == KNOWN
    assert none.survivors == ()


def test_a_run_of_a_former_plan_is_still_read(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([BASE, BASE], schema=ACTIONS).drop_columns(["survivors"])
    for name, value in STAYS.items():
        column = pa.array([value, None], pa.string())
        table = table.append_column(f"survivor_{name}", column)
    pq.write_table(table, tmp_path / "a")
    one, none = read_actions(tmp_path / "a")
    assert (one.survivors, none.survivors) == ((KNOWN,), ())
    pq.write_table(table.drop_columns(["survivor_etag"]), tmp_path / "a")
    with pytest.raises(PlanError, match="lacks survivor_etag"):
        list(read_actions(tmp_path / "a"))


def test_a_former_journal_is_still_read() -> None:
    held = Quarantined(
        form="moved", uri="s3://b/goes", store_id="s3:aws", etag="e", size_bytes=1, held_uri="h",
        held_version_id=None, held_etag="e", quarantined_at=NOW, purge_after=NOW,
        cause="quarantine", survivors=(KNOWN,),
    )  # fmt: skip
    document = held.as_dict()
    assert Quarantined.from_dict(document) == held
    (survivor,) = document.pop("survivors")
    assert Quarantined.from_dict(document | {"survivor": survivor}) == held
    assert Quarantined.from_dict(document).survivors == ()
