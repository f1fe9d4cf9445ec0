from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import greendata
from greendata.cli.boundary import run
from greendata.jobs.plan_folder import plan_folder
from greendata.plan.actions import ACTIONS, DECISIONS
from tests.jobs.made_inventory import NOW, row, take

Capture = pytest.CaptureFixture[str]

CONFIG = "datasets:\n  - {name: crawl, prefixes: ['s3://b/crawl'], region: us-east-1}\n"
POLICY = """\
version: 1
policies:
  - name: cool
    scope: {datasets: [crawl]}
    where: age_days >= 100 and size_bytes >= mib(1)
    action: {tier: cool}
  - name: uploads
    all: true
    action: {abort_uploads: {older_than_days: 7}}
"""
AS_OF = ("--as-of", "2026-03-01T12:00:00")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "greendata.yaml").write_text(CONFIG)
    (tmp_path / "p.yaml").write_text(POLICY)
    rows = [
        row("b/crawl/a", size_bytes=2**30),
        row("b/crawl/b", size_bytes=2**30, storage_class="STANDARD_IA"),
        row("b/crawl/small", size_bytes=5),
        row("b/crawl/u", size_bytes=None, format="upload", version_id="u"),
    ]
    take(tmp_path / ".greendata", rows, "s3://b/", has_uploads=True)
    return tmp_path


def plan(*arguments: str, to: str = "plan") -> int:
    return run(["plan", "p.yaml", "-o", to, *AS_OF, *arguments])


def test_a_plan_is_three_files_that_say_the_same(folder: Path, capsys: Capture) -> None:
    assert plan("--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document == json.loads((folder / "plan" / "plan.json").read_text())
    assert document["schema_version"] == 2
    assert document["totals"]["actions"] == 2
    actions = pq.read_table(folder / "plan" / "actions.parquet")
    decisions = pq.read_table(folder / "plan" / "decisions.parquet")
    assert actions.schema.names == ACTIONS.names
    assert decisions.schema.names == DECISIONS.names
    assert actions["uri"].to_pylist() == ["s3://b/crawl/a", "s3://b/crawl/u"]
    assert decisions["reason"].to_pylist() == ["unchanged", "condition"]
    assert [entry["rows"] for entry in document["files"]] == [2, 2]


@pytest.mark.usefixtures("folder")
def test_the_same_inputs_give_the_same_bytes(folder: Path) -> None:
    assert plan(to="one") == plan(to="two") == 0
    for name in ("plan.json", "actions.parquet", "decisions.parquet"):
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()


@pytest.mark.usefixtures("folder")
def test_the_detailed_exit_code_tells_of_actions() -> None:
    assert plan("--detailed-exitcode") == 4
    Path("p.yaml").write_text(
        POLICY.replace(">= 100", ">= 9000").replace("older_than_days: 7", "older_than_days: 9000")
    )
    assert plan("--detailed-exitcode", to="none") == 0


def test_a_directory_that_holds_something_is_left_alone(folder: Path, capsys: Capture) -> None:
    (folder / "plan").mkdir()
    (folder / "plan" / "mine").write_text("x")
    assert plan() == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in (folder / "plan").iterdir()] == ["mine"]
    (folder / "plan" / "mine").unlink()
    assert plan() == 0
    assert not [path for path in folder.iterdir() if path.name.startswith(".plan-")]


def test_a_stale_inventory_is_refused_with_the_command(folder: Path, capsys: Capture) -> None:
    (folder / "greendata.yaml").write_text(CONFIG + "inventory: {max_age: 36h}\n")
    assert plan() == 0
    assert run(["plan", "p.yaml", "-o", "late", "--as-of", "2026-03-09T12:00:00"]) == 12
    told = capsys.readouterr().err
    assert "192 hours old" in told
    assert "greendata inventory s3://b/" in told
    assert not (folder / "late").exists()


def test_without_an_inventory_there_is_no_plan(folder: Path) -> None:
    shutil.rmtree(folder / ".greendata")
    assert plan() == 22


@pytest.mark.usefixtures("folder")
def test_limits_of_the_configuration_are_told(capsys: Capture) -> None:
    Path("greendata.yaml").write_text(CONFIG + "limits: {max_bytes: 1MiB, max_percent: 90}\n")
    assert plan("--json") == 0
    (exceeded,) = json.loads(capsys.readouterr().out)["limits"]["exceeded"]
    assert exceeded["limit"] == "max_bytes"
    Path("greendata.yaml").write_text(CONFIG + "limits: {max_bytes: many}\n")
    assert plan(to="other") == 10
    assert "greendata.yaml:3:10: 'many' is not a size" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_show_says_it_for_people_requests_and_programs(capsys: Capture) -> None:
    assert plan() == 0
    capsys.readouterr()
    assert run(["show", "plan"]) == 0
    assert "2 of 4 objects in scope" in capsys.readouterr().out
    assert run(["show", "plan", "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("## greendata plan\n")
    assert run(["show", "plan", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan_id"]


@pytest.mark.parametrize("name", ["actions.parquet", "decisions.parquet", "plan.json"])
def test_show_refuses_what_was_changed(folder: Path, name: str, capsys: Capture) -> None:
    assert plan() == 0
    path = folder / "plan" / name
    raw = path.read_bytes()
    path.write_bytes(raw[:-9] + b"x" + raw[-8:])
    assert run(["show", "plan"]) == 12
    path.unlink()
    assert run(["show", "plan"]) == (22 if name == "plan.json" else 12)
    assert "lan again" in capsys.readouterr().err


def test_show_against_tells_the_difference(folder: Path, capsys: Capture) -> None:
    assert plan(to="base") == 0
    Path("p.yaml").write_text(POLICY.replace("mib(1)", "1").replace("cool}", "cold}"))
    assert plan(to="changed") == 0
    capsys.readouterr()
    assert run(["show", "changed", "--against", "base", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["added"], found["removed"], found["same"]) == (2, 1, 1)
    assert run(["show", "changed", "--against", "base", "--format", "markdown"]) == 0
    assert "what changes" in capsys.readouterr().out
    assert run(["show", "base", "--against", "base"]) == 0
    assert "0 actions more, 0 fewer, 0 otherwise, 2 the same" in capsys.readouterr().out
    take(folder / ".greendata", [row("b/crawl/a")], "s3://b/", now=NOW)
    assert plan(to="later") == 0
    assert run(["show", "later", "--against", "base"]) == 12
    assert "different inventories" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_day_before_all_prices_is_refused_with_the_first_that_has_them(capsys: Capture) -> None:
    assert run(["plan", "p.yaml", "-o", "plan", "--as-of", "2025-12-31"]) == 12
    assert "2026-01-01" in capsys.readouterr().err


def test_what_a_killed_plan_left_is_swept_and_one_at_work_is_not(folder: Path) -> None:
    with plan_folder(folder / "plan") as at_work:
        (at_work / "plan.json").touch()
        dead = folder / f"{at_work.name}x"
        dead.mkdir()
        (dead / "actions.parquet").touch()
        foreign = folder / ".plan-plan-mine"
        foreign.mkdir()
        (foreign / "notes.txt").touch()
        assert plan() == 0
        assert at_work.exists()
        assert not dead.exists()
        assert foreign.exists()
    assert not at_work.exists()


def test_the_library_plans_and_measures_as_the_commands_do(folder: Path) -> None:
    document = greendata.make_plan("p.yaml", directory="there", config="greendata.yaml", as_of=NOW)
    assert plan() == 0
    assert document.plan_id == json.loads((folder / "plan" / "plan.json").read_text())["plan_id"]
    found = greendata.measure_footprint(config="greendata.yaml", as_of=NOW, by="tier")
    assert {entry["name"] for entry in found["groups"]} == {"hot", "cool"}
