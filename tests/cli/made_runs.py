"""A folder with copies, planned: what tests of apply, undo, purge and audit begin with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run

POLICY = """\
version: 1
policies:
  - name: copies
    all: true
    action: {quarantine: {grace_days: 30}}
"""
NAMES = ("a.jsonl", "b.jsonl", "c.jsonl", "other.jsonl")


def made_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str = POLICY) -> Path:
    """Three equal files and one of its own, listed, read and planned."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    for name in NAMES[:3]:
        (data / name).write_text('{"text": "the same words in every file"}\n' * 50)
    (data / NAMES[3]).write_text('{"text": "something else"}\n')
    for position, name in enumerate(NAMES):
        os.utime(data / name, (1_700_000_000 + position, 1_700_000_000 + position))
    (tmp_path / "greendata.yaml").write_text("limits: {max_percent: 100}\n")
    (tmp_path / "p.yaml").write_text(policy)
    assert run(["inventory", "data", "--verify-bytes"]) == 0
    assert run(["plan", "p.yaml", "-o", "plan"]) == 0
    return tmp_path


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Files that people see, with their times."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (folder / "data").iterdir()
        if path.is_file()
    }


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON document of a command that ends with this code."""
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code, capsys.readouterr()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found
