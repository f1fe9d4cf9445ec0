from __future__ import annotations

from pathlib import Path

import pytest

from greendata.cli.boundary import run
from tests.cli.made_runs import answer, made_folder, state

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return made_folder(tmp_path, monkeypatch)


def test_a_plan_is_carried_out_and_nothing_is_lost(folder: Path, capsys: Capture) -> None:
    before = state(folder)
    found = answer(capsys, "apply", "plan", "--yes")
    assert (found["state"], found["done"], found["failed"]) == ("finished", 2, 0)
    after = state(folder)
    assert set(after) == {"a.jsonl", "other.jsonl"}
    held = [p for p in (folder / "data/.greendata/quarantine").rglob("*") if p.is_file()]
    assert sorted(path.name for path in held) == ["b.jsonl", "c.jsonl"]
    for path in held:
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before[path.name]


def test_applied_again_there_is_nothing_to_do(folder: Path, capsys: Capture) -> None:
    first = answer(capsys, "apply", "plan", "--yes")
    again = answer(capsys, "apply", "plan", "--yes")
    anew = {"seconds": 0, "moved_bytes": 0, "own": None}
    assert {**again, **anew} == {**first, **anew}


def test_what_changed_since_is_left_alone_and_named(folder: Path, capsys: Capture) -> None:
    (folder / "data/b.jsonl").write_text("new\n")
    found = answer(capsys, "apply", "plan", "--yes", code=3)
    assert (found["state"], found["done"], found["reasons"]) == ("partial", 1, {"changed": 1})
    assert (folder / "data/b.jsonl").read_text() == "new\n"


def test_nobody_to_ask_means_no_change(folder: Path, capsys: Capture) -> None:
    before = state(folder)
    assert run(["apply", "plan"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert state(folder) == before


def test_an_edited_plan_is_refused(folder: Path) -> None:
    path = folder / "plan/plan.json"
    path.write_text(path.read_text().replace('"grace_days": 30', '"grace_days": 0'))
    assert run(["apply", "plan", "--yes"]) == 12


def test_a_plan_of_another_catalog_is_refused(folder: Path, capsys: Capture) -> None:
    assert run(["--catalog", "other", "inventory", "data"]) == 0
    assert run(["--catalog", "other", "apply", "plan", "--yes"]) == 12
    assert "another catalog" in capsys.readouterr().err


def test_limits_hold_before_the_first_action(folder: Path, capsys: Capture) -> None:
    before = state(folder)
    (folder / "greendata.yaml").write_text("limits: {max_objects: 1, max_percent: 100}\n")
    assert run(["apply", "plan", "--yes"]) == 32
    assert "max_objects" in capsys.readouterr().err
    assert state(folder) == before


def test_a_run_goes_on_without_the_folder_of_its_plan(folder: Path, capsys: Capture) -> None:
    found = answer(capsys, "apply", "plan", "--yes")
    (folder / "plan").rename(folder / "elsewhere")
    again = answer(capsys, "resume", found["run_id"], "--yes")
    assert (again["run_id"], again["done"]) == (found["run_id"], 2)
    assert run(["resume", "nothing-1", "--yes"]) == 22


def test_what_another_apply_did_since_the_run_was_read_is_not_overwritten(
    folder: Path, capsys: Capture
) -> None:
    from datetime import UTC, datetime

    from greendata.config import LimitSettings
    from greendata.errors import LockedError
    from greendata.jobs.apply import ApplyRequest, carry_out, prepare_apply
    from greendata.progress import Progress

    request = ApplyRequest(
        catalog=".greendata", directory=Path("plan"), limits=LimitSettings(max_percent=100)
    )
    now = datetime.now(UTC)
    first, second = (prepare_apply(request, now=now, progress=Progress()) for _ in range(2))
    assert carry_out(first, progress=Progress()).done == 2
    with pytest.raises(LockedError, match="since it was read"):
        carry_out(second, progress=Progress())
    found = answer(capsys, "apply", "plan", "--yes")
    assert (found["state"], found["done"]) == ("finished", 2)
