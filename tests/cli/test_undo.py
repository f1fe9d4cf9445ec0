from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run
from greendata.stores import files
from tests.cli.made_runs import answer, made_folder, state

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return made_folder(tmp_path, monkeypatch)


def test_a_run_is_taken_back_once(folder: Path, capsys: Capture) -> None:
    before = state(folder)
    applied = answer(capsys, "apply", "plan", "--yes")
    assert state(folder) != before
    for _ in range(2):
        found = answer(capsys, "undo", applied["run_id"], "--yes")
        assert (found["state"], found["done"]) == ("undone", 2)
        assert state(folder) == before
    assert not list((folder / "data/.greendata/pins").rglob("*.json"))
    again = answer(capsys, "apply", "plan", "--yes")
    assert (again["attempt"], again["done"]) == (2, 2)
    found = answer(capsys, "undo", again["run_id"], "--yes")
    assert state(folder) == before


def test_nobody_to_ask_means_no_change(folder: Path, capsys: Capture) -> None:
    applied = answer(capsys, "apply", "plan", "--yes")
    before = state(folder)
    assert run(["undo", applied["run_id"]]) == 2
    shown = capsys.readouterr()
    assert "quarantine: 2" in shown.out
    assert "--yes" in shown.err
    assert state(folder) == before


def test_a_run_that_never_was_is_not_found(folder: Path) -> None:
    for name in ("0123456789abcdef-1", "../plan", "nothing"):
        assert run(["undo", name, "--yes"]) == 22


def test_killed_between_two_objects_it_goes_on(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(folder)
    applied = answer(capsys, "apply", "plan", "--yes")
    whole, calls = files.give_back, []

    def give_back_once(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) != 2:
            whole(*arguments)
        if len(calls) <= 2:
            raise SystemExit  # no error of a store: the process ends here

    monkeypatch.setattr(files, "give_back", give_back_once)
    with pytest.raises(SystemExit):
        run(["undo", applied["run_id"], "--yes", "--workers", "1"])
    assert state(folder) != before
    found = answer(capsys, "undo", applied["run_id"], "--yes")
    assert (found["state"], found["done"]) == ("undone", 2)
    assert state(folder) == before


def test_what_somebody_put_there_since_stays(folder: Path, capsys: Capture) -> None:
    applied = answer(capsys, "apply", "plan", "--yes")
    (folder / "data/b.jsonl").write_text("theirs\n")
    found = answer(capsys, "undo", applied["run_id"], "--yes", code=3)
    assert found["reasons"] == {"conflict": 1}
    assert (folder / "data/b.jsonl").read_text() == "theirs\n"
    (folder / "data/b.jsonl").unlink()
    assert answer(capsys, "undo", applied["run_id"], "--yes")["done"] == 2


def test_a_damaged_journal_still_brings_back_what_is_there(folder: Path, capsys: Capture) -> None:
    before = state(folder)
    applied = answer(capsys, "apply", "plan", "--yes")
    journal = folder / ".greendata/runs" / applied["run_id"] / "apply"
    for path in sorted(journal.glob("*.jsonl"))[1:]:
        os.chmod(path, 0o600)
        path.write_bytes(path.read_bytes()[:100])
    found = answer(capsys, "undo", applied["run_id"], "--yes")
    assert found["done"] == 2
    assert state(folder) == before
