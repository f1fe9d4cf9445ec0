"""From files to a plan: which rows stand elsewhere, and what a quarantine is proved by."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.config import DatasetSettings
from greendata.errors import LimitExceededError
from greendata.jobs.inventory import InventoryRequest, take_inventory
from greendata.jobs.plan import PlanRequest, make_plan
from greendata.jobs.scan import scan
from greendata.jobs.show import read_plan
from greendata.jobs.whole_rows import RowsSummary
from greendata.plan.render import markdown
from greendata.progress import Progress
from greendata.stores.local import path_to_uri
from tests.jobs.made_inventory import NOW
from tests.jobs.made_scans import request

POLICY = """
version: 1
policies:
  - name: contained
    scope: {datasets: [left]}
    where: documents >= 1
    action: {quarantine: {}}
"""

Rows = Sequence[Mapping[str, Any]]


def rows(first: int, last: int, **changed: Any) -> list[dict[str, Any]]:
    """Texts of their own, with columns beside them."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    return [
        {
            "id": number,
            "text": " ".join(f"{word}{number * 7 + place}" for place, word in enumerate(words)),
            "score": number / 8,
        }
        | changed
        for number in range(first, last)
    ]


class World:
    """Files in two folders that are two datasets, and a catalog."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.catalog = folder, str(folder / "catalog")
        for name in ("left", "right"):
            (folder / name).mkdir(parents=True)

    def lines(self, name: str, content: Rows) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in content)
        (self.folder / name).write_text(lines)

    def parquet(self, name: str, content: Rows) -> None:
        pq.write_table(pa.Table.from_pylist(list(content)), self.folder / name)

    def verified(self, *, scans: bool = True, **options: Any) -> RowsSummary:
        uris = tuple(path_to_uri(str(self.folder / name)) for name in ("left", "right"))
        if scans:
            scan(request(*uris, catalog=self.catalog), progress=Progress(), now=NOW)
        found = take_inventory(
            InventoryRequest(uris=uris, catalog=self.catalog, verify_rows=True, **options),
            progress=Progress(),
            now=NOW,
        )
        assert found.contained is not None
        return found.contained

    def planned(self) -> tuple[dict[str, str], dict[str, str]]:
        """Names of what is to be quarantined with its survivor; the others with the reason."""
        (self.folder / "policy.yaml").write_text(POLICY)
        plan = self.folder / "plan"
        make_plan(
            PlanRequest(
                paths=(str(self.folder / "policy.yaml"),),
                directory=plan,
                catalog=self.catalog,
                as_of=NOW + timedelta(hours=1),
                datasets=tuple(
                    DatasetSettings(name=name, prefixes=(path_to_uri(str(self.folder / name)),))
                    for name in ("left", "right")
                ),
            )
        )
        actions = {}
        for row in pq.read_table(plan / "actions.parquet").to_pylist():
            assert row["survivor_basis"].startswith("rows:blake2b-128:")
            survivors = sorted(Path(stays["uri"]).name for stays in row["survivors"])
            actions[Path(row["uri"]).name] = " ".join(survivors)
        stays = pq.read_table(plan / "decisions.parquet").to_pylist()
        return actions, {Path(row["uri"]).name: row["reason"] for row in stays}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_lines_leave_for_their_parquet_copy(world: World) -> None:
    world.lines("left/a.jsonl", rows(0, 9))
    world.parquet("right/a.parquet", rows(0, 9))
    found = world.verified()
    assert (found.objects, found.rows, found.contained) == (2, 18, 2)
    assert world.planned() == ({"a.jsonl": "a.parquet"}, {})


def test_subset_leaves_for_its_parent_and_the_parent_stays(world: World) -> None:
    world.parquet("left/some.parquet", rows(3, 6))
    world.parquet("left/all.parquet", rows(0, 9))
    world.parquet("right/other.parquet", rows(50, 60))
    found = world.verified()
    assert (found.objects, found.contained) == (2, 1)
    actions, stays = world.planned()
    assert actions == {"some.parquet": "all.parquet"}
    assert stays == {"all.parquet": "survivor"}


def test_object_leaves_for_the_few_others_that_have_all_its_rows(world: World) -> None:
    world.parquet("left/whole.parquet", rows(0, 9))
    world.parquet("right/first.parquet", rows(0, 5))
    world.lines("right/second.jsonl", rows(4, 7))
    world.parquet("right/third.parquet", rows(5, 12))
    world.verified()
    assert world.planned() == ({"whole.parquet": "first.parquet third.parquet"}, {})
    shown = markdown(read_plan(world.folder / "plan"))
    assert "All rows of 1 object stand only in several others together, in up to 2" in shown


@pytest.mark.parametrize("changed", [{"score": 0.5}, {"id": 8.0}])
def test_object_stays_when_a_column_beside_the_text_differs(
    world: World, changed: dict[str, Any]
) -> None:
    world.lines("left/a.jsonl", [*rows(0, 8), *rows(8, 9, **changed)])
    world.parquet("right/a.parquet", rows(0, 9))
    assert world.verified().contained == 0
    assert world.planned() == ({}, {"a.jsonl": "no-proof"})


def test_of_two_that_hold_each_other_one_stays(world: World) -> None:
    world.lines("left/a.jsonl", rows(0, 9))
    world.parquet("left/a.parquet", rows(0, 9))
    world.verified()
    actions, stays = world.planned()
    assert len(actions) == 1
    assert set(stays.values()) == {"survivor"}


def test_what_changed_after_it_was_read_proves_nothing(world: World) -> None:
    world.lines("left/a.jsonl", rows(0, 9))
    world.parquet("right/a.parquet", rows(0, 9))
    assert world.verified().objects == 2
    assert world.verified().objects == 0  # versions that were read are not read again
    world.parquet("right/a.parquet", rows(1, 9))
    found = world.verified(scans=False)
    assert [entry.reason for entry in found.skipped] == []
    assert world.planned() == ({}, {"a.jsonl": "no-proof"})


def test_object_that_cannot_be_read_is_skipped_and_the_rest_is_proved(world: World) -> None:
    world.lines("left/a.jsonl", rows(0, 9))
    world.parquet("right/a.parquet", rows(0, 9))
    world.parquet("right/b.parquet", rows(0, 9))
    with pytest.raises(LimitExceededError):
        world.verified(max_cost_usd=Decimal(-1))
    path = world.folder / "right/b.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[4:40] = bytes(36)
    kept = path.stat()
    path.write_bytes(damaged)
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    found = world.verified(scans=False)
    assert [Path(entry.uri).name for entry in found.skipped] == ["b.parquet"]
    assert world.planned()[0] == {"a.jsonl": "a.parquet"}
