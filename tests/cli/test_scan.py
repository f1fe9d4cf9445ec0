from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run
from greendata.cli.scan import _request
from greendata.cli.settings import Settings
from greendata.model import Dataset

Capture = pytest.CaptureFixture[str]
OPTIONS: dict[str, Any] = {"text_column": None, "whole_rows": False}


def scan_json(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["scan", "--json", *arguments]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_scan_json_is_one_document_with_the_promised_keys(data: Path, capsys: Capture) -> None:
    document = scan_json(capsys, "--dataset", "old=data/old", "--dataset", "new=data/new")
    assert document["schema_version"] == 1
    promised = {
        "scan_id",
        "objects",
        "object_bytes",
        "documents",
        "text_bytes",
        "exact_duplicate_documents",
        "near_duplicate_documents",
        "redundant_documents",
        "redundant_text_bytes",
        "skipped",
        "datasets",
        "parameters",
        "seconds",
        "cpu_seconds",
        "peak_rss_bytes",
    }
    assert promised <= set(document)
    assert document["documents"] == 40
    assert document["exact_duplicate_documents"] == 9
    assert document["near_duplicate_documents"] == 1
    assert document["redundant_documents"] == 10
    assert [dataset["name"] for dataset in document["datasets"]] == ["new", "old"]


def test_scan_shows_datasets_findings_cost_and_what_is_next(data: Path, capsys: Capture) -> None:
    assert run(["scan", "--dataset", "old=data/old", "data/new", "--catalog", "found here"]) == 0
    captured = capsys.readouterr()
    header, *rows = captured.out.splitlines()
    assert header.split()[:4] == ["dataset", "objects", "stored", "documents"]
    assert [row.split()[0] for row in rows[:3]] == ["data/new", "old", "total"]
    assert "Redundant: 10 of 40 documents (25.0 %)" in captured.out
    assert "Text column: text (--text-column names another)" in captured.out
    assert "peak memory" in captured.out
    assert "greendata duplicates --catalog 'found here'" in captured.out
    assert "Traceback" not in captured.err


def test_scan_exits_3_and_names_what_could_not_be_read(data: Path, capsys: Capture) -> None:
    (data / "old" / "broken.parquet").write_bytes(b"PAR1 but cut")
    assert run(["scan", "data"]) == 3
    out = capsys.readouterr().out
    assert "Skipped 1 object that could not be read:" in out
    assert "data/old/broken.parquet: " in out
    assert "Redundant: 10 of 40 documents" in out
    document = scan_json(capsys, "data", code=3)
    assert [item["uri"].rpartition("/")[2] for item in document["skipped"]] == ["broken.parquet"]


def test_scan_counts_ignored_files_and_names_them_when_asked(data: Path, capsys: Capture) -> None:
    (data / "old" / "_SUCCESS").touch()
    (data / "old" / "notes.txt").write_text("not a shard")
    assert run(["scan", "data"]) == 0
    out = capsys.readouterr().out
    assert "that hold no documents (-v names them)" in out
    assert "notes.txt" not in out
    assert run(["scan", "data", "-v"]) == 0
    assert "data/old/notes.txt: " in capsys.readouterr().out


def test_scan_names_a_skipped_document(data: Path, capsys: Capture) -> None:
    with (data / "old" / "a.jsonl").open("a") as stream:
        stream.write("{broken\n")
    assert run(["scan", "data"]) == 0
    out = capsys.readouterr().out
    assert "Skipped 1 document:" in out
    assert "data/old/a.jsonl row 20: " in out


def test_scan_again_says_that_nothing_was_read(data: Path, capsys: Capture) -> None:
    assert run(["scan", "data"]) == 0
    capsys.readouterr()
    assert run(["scan", "data"]) == 0
    assert "Unchanged since the last scan and not read again: 2 objects." in capsys.readouterr().out


def test_scan_quiet_leaves_stderr_empty(data: Path, capsys: Capture) -> None:
    assert run(["-q", "scan", "data", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_scan_writes_events_with_log_json(data: Path, capsys: Capture) -> None:
    assert run(["scan", "data", "--json", "--log-json"]) == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    events = [json.loads(line) for line in captured.err.splitlines()]
    assert "stage" in {event["type"] for event in events}


def test_scan_refuses_what_makes_no_sense(data: Path, capsys: Capture) -> None:
    assert run(["scan"]) == 2
    assert "nothing to scan" in capsys.readouterr().err
    assert run(["scan", "data", "--rows", "--text-column", "text"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert run(["scan", "gs://bucket/x"]) == 2
    assert run(["scan", "nowhere"]) == 22
    assert "nowhere" in capsys.readouterr().err


def test_scan_refuses_other_parameters_until_told_to_rebuild(data: Path, capsys: Capture) -> None:
    scan_json(capsys, "data")
    assert run(["scan", "data", "--shingle", "3"]) == 2
    assert "--rebuild" in capsys.readouterr().err
    document = scan_json(capsys, "data", "--shingle", "3", "--rebuild")
    assert document["parameters"]["shingle_size"] == 3


def test_request_takes_declared_datasets_and_lets_flags_win(data: Path) -> None:
    Path("greendata.yaml").write_text(
        "catalog: here\n"
        "datasets:\n"
        "  - {name: old, prefixes: [data/old], priority: 7}\n"
        "  - {name: far, prefixes: ['s3://bucket/far/'], priority: 1}\n"
    )
    root = data.parent.as_uri()
    request = _request(Settings(), ("data",), (("old", "data/new"),), OPTIONS)
    assert request.uris == (f"{root}/data", f"{root}/data/new")
    assert request.catalog == f"{data.parent}/here"
    assert request.datasets == (
        Dataset(name="old", prefixes=(f"{root}/data/old",), priority=7),
        Dataset(name="far", prefixes=("s3://bucket/far/",), priority=1),
        Dataset(name="old", prefixes=(f"{root}/data/new",), priority=7),
    )


def test_one_place_as_two_datasets_is_refused(data: Path, capsys: Capture) -> None:
    assert run(["scan", "--dataset", "old=data/old", "--dataset", "new=data/old/"]) == 2
    assert "data/old/ cannot be of both 'old' and 'new'" in capsys.readouterr().err


def test_scan_names_a_mistake_in_the_configuration(data: Path, capsys: Capture) -> None:
    Path("greendata.yaml").write_text("catalogue: here\n")
    assert run(["scan", "data"]) == 10
    assert "greendata.yaml:1:1: unknown key 'catalogue'" in capsys.readouterr().err
