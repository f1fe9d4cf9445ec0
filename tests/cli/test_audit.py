from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from greendata.cli.boundary import run
from tests.cli.made_runs import answer, made_folder

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """Two copies are in quarantine, a.jsonl stands for them."""
    made = made_folder(tmp_path, monkeypatch)
    answer(capsys, "apply", "plan", "--yes")
    return made


def held(folder: Path) -> Path:
    return next((folder / "data/.greendata/quarantine").rglob("b.jsonl"))


def rewrite(path: Path, content: bytes) -> None:
    """Other bytes that size, times and inode do not tell."""
    status = path.stat()
    path.write_bytes(content.ljust(status.st_size, b" "))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def stray(folder: Path, name: str) -> None:
    path = folder / "data/.greendata" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{}")


def an_upload(folder: Path) -> None:
    from greendata.stores.local import LocalStore, path_to_uri

    target = folder / "data/.greendata/quarantine/0-1/x/y"
    LocalStore().start_upload(path_to_uri(str(target)))


def torn(folder: Path) -> None:
    path = max((folder / ".greendata/runs").rglob("apply/*.jsonl"))
    path.write_bytes(path.read_bytes()[:-20])


def unlink_pins(folder: Path) -> None:
    for path in (folder / "data/.greendata/pins").rglob("*.json"):
        path.unlink()


WRONG: dict[str, Callable[[Path], object]] = {
    "pin-stray": lambda folder: stray(folder, "pins/00/11.json"),
    "orphan": lambda folder: stray(folder, "quarantine/ff-1/00/\u202eevil"),
    "upload": an_upload,
    "pin-missing": unlink_pins,
    "quarantine-changed": lambda folder: held(folder).write_text("x"),
    "quarantine-missing": lambda folder: held(folder).unlink(),
    "survivor-changed": lambda folder: (folder / "data/a.jsonl").write_text("x"),
    "survivor-missing": lambda folder: (folder / "data/a.jsonl").unlink(),
    "journal-damaged": torn,
}


def test_after_a_run_all_is_there_and_after_an_undo_nothing(folder: Path, capsys: Capture) -> None:
    found = answer(capsys, "audit")
    assert (found["objects"], found["checked"], found["findings"]) == (3, 3, [])
    assert answer(capsys, "audit", "--full")["findings"] == []
    (name,) = os.listdir(folder / ".greendata/runs")
    answer(capsys, "undo", name, "--yes")
    found = answer(capsys, "audit")
    assert (found["objects"], found["findings"]) == (0, [])


def test_whatever_is_wrong_is_found(folder: Path, capsys: Capture) -> None:
    before: set[str] = set()
    for problem, make_wrong in WRONG.items():
        assert problem not in before
        make_wrong(folder)
        before = set(answer(capsys, "audit", code=31)["problems"])
        assert problem in before
    assert run(["audit"]) == 31
    assert "\u202e" not in capsys.readouterr().out


def test_what_only_reading_tells_is_found_by_a_full_audit(folder: Path, capsys: Capture) -> None:
    rewrite(folder / "data/a.jsonl", b"rot")
    rewrite(held(folder), b"rot")
    assert answer(capsys, "audit")["findings"] == []
    found = answer(capsys, "audit", "--full", code=31)
    assert found["problems"] == {"quarantine-changed": 1, "survivor-changed": 1}


def test_a_sample_begins_with_what_was_not_looked_at_for_longest(
    folder: Path, capsys: Capture
) -> None:
    held(folder).unlink()
    codes = [run(["audit", "--sample", "34%"]) for _ in range(2)]
    found = [run(["audit", "--sample", "1%"]) for _ in range(3)]
    assert 31 in codes  # two of three each time: the second has the one that was left
    assert sorted(found) == [0, 0, 31]


def test_only_what_is_asked_for_is_looked_at(folder: Path, capsys: Capture) -> None:
    held(folder).unlink()
    (folder / "elsewhere").mkdir()
    assert answer(capsys, "audit", "elsewhere")["objects"] == 0
    assert answer(capsys, "audit", "data", code=31)["problems"] == {"quarantine-missing": 1}


def test_manifests_are_compared_with_what_is_stored(folder: Path, capsys: Capture) -> None:
    uri = (folder / "data/other.jsonl").as_uri()
    entry = {"uri": uri, "bytes": (folder / "data/other.jsonl").stat().st_size, "sha256": "00"}
    gone = {"uri": (folder / "data/gone.jsonl").as_uri()}
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"schema_version": 1, "objects": [entry, gone]}))
    (folder / "greendata.yaml").write_text(
        f"datasets: [{{name: d, prefixes: [data/], manifest: {manifest}}}]\n"
    )
    assert answer(capsys, "audit", code=31)["problems"] == {"manifest-missing": 1}
    full = answer(capsys, "audit", "--full", code=31)
    assert full["problems"] == {"manifest-changed": 1, "manifest-missing": 1}
    manifest.write_text("[]")
    assert answer(capsys, "audit", code=31)["problems"] == {"manifest-changed": 1}


def test_no_catalog_and_no_percentage_are_errors(tmp_path: Path, capsys: Capture) -> None:
    assert run(["--catalog", str(tmp_path / "none"), "audit"]) == 22
    assert run(["audit", "--sample", "0%"]) == 2
