from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run
from greendata.errors import LimitExceededError
from greendata.jobs import parts
from greendata.jobs.purge import PurgeRequest, PurgeSummary, carry_out_purge, prepare_purge
from greendata.progress import Progress
from greendata.stores.local import LocalStore
from tests.cli.made_runs import POLICY, answer, made_folder, state

Capture = pytest.CaptureFixture[str]
Purge = Callable[..., PurgeSummary]

EXPIRE = """\
version: 1
policies:
  - name: old
    where: size_bytes > 100
    action: {expire: {grace_days: 30}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    made = made_folder(tmp_path, monkeypatch)
    answer(capsys, "apply", "plan", "--yes")
    return made


@pytest.fixture
def purge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Purge:
    """``purge`` so many days from now."""

    def purge(days: float = 31, **named: Any) -> PurgeSummary:
        now = datetime.now(UTC) + timedelta(days=days)
        monkeypatch.setattr(parts, "now_utc", lambda: now)
        request = PurgeRequest(catalog=str(tmp_path / ".greendata"), **named)
        prepared = prepare_purge(request, now=now, progress=Progress())
        return carry_out_purge(prepared, progress=Progress())

    return purge


def held(folder: Path) -> list[str]:
    found = (folder / "data/.greendata/quarantine").rglob("*.jsonl")
    return sorted(path.name for path in found)


def test_nothing_goes_before_its_time(folder: Path, capsys: Capture, purge: Purge) -> None:
    found = answer(capsys, "purge", "--yes")
    assert (found["purged"], found["kept"]) == (0, {"early": 2})
    assert found["next_at"]
    assert purge(days=29.9).kept == {"early": 2}
    assert purge(days=31, older_than=timedelta(days=45)).kept == {"early": 2}
    assert held(folder) == ["b.jsonl", "c.jsonl"]


def test_what_is_due_goes_once_and_leaves_tombstones(
    folder: Path, capsys: Capture, purge: Purge
) -> None:
    before = state(folder)
    found = purge()
    assert (found.purged, found.kept, found.is_partial) == (2, {}, False)
    assert held(folder) == []
    assert state(folder) == before
    assert purge().purged == 0
    journal = (folder / ".greendata/runs").rglob("purge/*.jsonl")
    lines = [json.loads(line[9:]) for path in journal for line in path.read_text().splitlines()]
    stones = [line["after"]["tombstone"] for line in lines if line["type"] == "outcome"]
    assert len(stones) == 2
    assert {stays["uri"] for stone in stones for stays in stone["survivors"]} == {
        (folder / "data/a.jsonl").as_uri()
    }
    assert all(len(stone["sha256"]) == 64 for stone in stones)
    (name,) = found.runs
    undone = answer(capsys, "undo", name, "--yes", code=3)
    assert undone["reasons"] == {"irreversible": 2}
    assert answer(capsys, "audit")["findings"] == []


def test_what_changed_keeps_what_it_stood_for(folder: Path, purge: Purge) -> None:
    (folder / "data/a.jsonl").write_text("other\n")
    found = purge()
    assert (found.purged, found.kept, found.is_partial) == (0, {"no-survivor": 2}, True)
    assert held(folder) == ["b.jsonl", "c.jsonl"]


def test_limits_hold_before_the_first_removal(folder: Path, purge: Purge) -> None:
    for named in ({"most_objects": 1}, {"most_bytes": 10}):
        with pytest.raises(LimitExceededError, match="are due"):
            purge(**named)
    assert held(folder) == ["b.jsonl", "c.jsonl"]


def test_what_was_taken_back_is_not_purged(folder: Path, capsys: Capture, purge: Purge) -> None:
    (folder / "data/b.jsonl").write_text("theirs\n")
    (name,) = [path.name for path in (folder / ".greendata/runs").iterdir()]
    answer(capsys, "undo", name, "--yes", code=3)
    before = state(folder)
    found = purge()
    assert (found.purged, found.kept) == (0, {"undone": 1})
    assert held(folder) == ["b.jsonl"]
    assert state(folder) == before


def test_killed_between_two_it_goes_on(
    folder: Path, purge: Purge, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LocalStore.delete
    calls: list[str] = []

    def delete(self: LocalStore, uri: str, **named: Any) -> Any:
        if not calls:
            whole(self, uri, **named)
        if calls or "/quarantine/" in uri:
            calls.append(uri)
            raise SystemExit  # no error of a store: the process ends here

    monkeypatch.setattr(LocalStore, "delete", delete)
    with pytest.raises(SystemExit):
        purge(pace=parts.Pace(workers=1))
    monkeypatch.setattr(LocalStore, "delete", whole)
    assert len(held(folder)) == 1
    assert purge().purged == 2
    assert held(folder) == []
    assert (folder / "data/a.jsonl").exists()


def test_what_expired_goes_only_with_its_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, purge: Purge
) -> None:
    folder = made_folder(tmp_path, monkeypatch, EXPIRE)
    assert answer(capsys, "apply", "plan", "--yes", "--allow-irreversible")["done"] == 3
    assert purge().kept == {"policy": 3}
    (folder / "p.yaml").write_text(EXPIRE.replace("30", "31"))
    assert purge(policies=("p.yaml",)).kept == {"policy": 3}
    (folder / "p.yaml").write_text(EXPIRE + "# a comment\n")
    assert purge(policies=("p.yaml",)).purged == 3
    assert held(folder) == []


def test_errors_are_told_before_anything_is_removed(tmp_path: Path, folder: Path) -> None:
    assert run(["purge", "--run", "0123456789abcdef-1", "--yes"]) == 22
    assert run(["purge", "--older-than", "soon", "--yes"]) == 2
    assert run(["purge", "--policies", "none.yaml", "--yes"]) == 22
    assert run(["--catalog", str(tmp_path / "none"), "purge", "--yes"]) == 22


# --- what rows prove of local files, whose ETag is their size, time and inode


@pytest.fixture
def cut_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """``left/all.jsonl`` in quarantine, its rows in two files of ``right``."""
    monkeypatch.chdir(tmp_path)
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    lines = [
        json.dumps({"id": number, "text": " ".join(f"{word}{number + 10}" for word in words)})
        for number in range(10)
    ]
    for name, some in (("left/all", lines), ("right/a", lines[:5]), ("right/b", lines[5:])):
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in some))
    (tmp_path / "greendata.yaml").write_text("limits: {max_percent: 100}\n")
    policy = POLICY.replace("all: true", "where: documents == 10")
    (tmp_path / "p.yaml").write_text(policy)
    assert run(["scan", "left", "right"]) == 0
    assert run(["inventory", "left", "right", "--verify-rows"]) == 0
    assert run(["plan", "p.yaml", "-o", "plan"]) == 0
    assert answer(capsys, "apply", "plan", "--yes")["done"] == 1
    return tmp_path


def changed_unseen(path: Path, old: str, new: str) -> None:
    """As an archive is unpacked again that gives each file the same time."""
    was = path.stat()
    with path.open("r+") as file:
        content = file.read().replace(old, new)
        file.seek(0)
        file.write(content)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert path.stat().st_size == was.st_size


def test_rows_are_compared_again_before_any_goes(cut_anew: Path, purge: Purge) -> None:
    (waits,) = held_in(cut_anew / "left")
    for changed in (cut_anew / "right/b.jsonl", waits):
        changed_unseen(changed, "seven17", "SEVEN17")
        assert purge().kept == {"no-survivor": 1}
        changed_unseen(changed, "SEVEN17", "seven17")
    assert waits.exists()
    assert purge().purged == 1
    assert not held_in(cut_anew / "left")


def held_in(folder: Path) -> list[Path]:
    return list(folder.rglob(".greendata/quarantine/**/*.jsonl"))
