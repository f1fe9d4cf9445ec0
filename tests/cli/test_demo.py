from __future__ import annotations

import json
from pathlib import Path

import pytest

from greendata.cli.boundary import run

Capture = pytest.CaptureFixture[str]
SMALL = ["--max-bytes", "1MB"]


def test_demo_prints_summary_groups_overlap_and_where_to_look(
    tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "demo"
    assert run(["demo", "--directory", str(folder), *SMALL]) == 0
    out = capsys.readouterr().out
    assert "Redundant: " in out
    assert "1. " in out
    assert "v2 is " in out or "v1 is " in out
    assert f"greendata duplicates --catalog {folder}/.greendata" in out
    assert f"are in {folder}" in out
    assert sorted(path.name for path in folder.iterdir()) == [".greendata", "v1", "v2"]


def test_demo_json_is_one_document_for_a_relative_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["demo", "--json", "--directory", "demo", *SMALL]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["directory"] == "demo"
    assert document["scan"]["redundant_documents"] > 0
    assert document["overlaps"][0]["level"] == "dataset"
    assert document["groups"]
    (kind,) = {d["kind"] for group in document["near_groups"] for d in group["duplicates"]}
    assert kind == "near"


def test_demo_makes_a_temporary_folder_and_names_it(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(["demo", "--json", *SMALL]) == 0
    made = Path(json.loads(capsys.readouterr().out)["directory"])
    assert made.parent == tmp_path
    assert (made / "v1").is_dir()


def test_demo_refuses_a_folder_in_use(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "mine").touch()
    assert run(["demo", "--directory", str(tmp_path)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
