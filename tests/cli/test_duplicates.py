from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from greendata.cli.boundary import run
from greendata.cli.show_duplicates import show_difference
from greendata.jobs.difference import compare_words

PROMISED = [
    "document_uri",
    "document_row",
    "kept_uri",
    "kept_row",
    "kind",
    "jaccard",
    "containment",
]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def scanned(data: Path, capsys: Capture) -> Path:
    assert run(["scan", "--dataset", "old=data/old", "--dataset", "new=data/new"]) == 0
    capsys.readouterr()
    return data


@pytest.mark.usefixtures("scanned")
def test_duplicates_shows_groups_and_the_difference_of_a_near_one(capsys: Capture) -> None:
    assert run(["duplicates", "--kind", "near"]) == 0
    out = capsys.readouterr().out
    assert "1 group of 1; in all 1 redundant document" in out
    assert "near 0.8" in out
    assert "[CHANGED]" in out
    assert "   begins       word" in out
    assert "data/new/b.jsonl row 9" in out


@pytest.mark.usefixtures("scanned")
def test_duplicates_json_is_one_document(capsys: Capture) -> None:
    assert run(["duplicates", "--json", "--limit", "100"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert len(document["groups"]) == 10
    assert document["total_redundant_documents"] == 10


@pytest.mark.usefixtures("scanned")
def test_duplicates_uri_filter_takes_paths_and_globs(capsys: Capture) -> None:
    def count(pattern: str) -> int:
        assert run(["duplicates", "--json", "--no-text", "--uri", pattern]) == 0
        total: int = json.loads(capsys.readouterr().out)["total_redundant_documents"]
        return total

    found = {pattern: count(pattern) for pattern in ("data/*", "*.jsonl", "data/n*", "none/*")}
    assert found["data/*"] == found["*.jsonl"] == 10
    assert found["none/*"] == 0
    assert count("data/new/b.jsonl") + count("data/old/a.jsonl") == 10


@pytest.mark.usefixtures("scanned")
@pytest.mark.parametrize("ending", ["json", "csv", "parquet"])
def test_duplicates_file_begins_with_the_promised_columns(ending: str, capsys: Capture) -> None:
    path = Path(f"out.{ending}")
    assert run(["duplicates", "-o", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"{path}: 10 rows written\n"
    if ending == "json":
        columns = list(json.loads(path.read_text())["duplicates"][0])
    elif ending == "csv":
        columns = path.read_text().splitlines()[0].split(",")
    else:
        columns = pq.read_table(path).column_names
    assert columns[:7] == PROMISED


@pytest.mark.usefixtures("scanned")
def test_duplicates_writes_only_csv_to_stdout(capsys: Capture) -> None:
    assert run(["duplicates", "--format", "csv"]) == 0
    captured = capsys.readouterr()
    assert len(list(csv.reader(captured.out.splitlines()))) == 11
    assert captured.err == ""


@pytest.mark.usefixtures("scanned")
def test_duplicates_does_not_overwrite_without_force(capsys: Capture) -> None:
    Path("out.csv").write_text("mine")
    assert run(["duplicates", "-o", "out.csv"]) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert Path("out.csv").read_text() == "mine"
    assert run(["duplicates", "-o", "out.csv", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 10


def test_duplicates_says_when_an_object_changed_since(scanned: Path, capsys: Capture) -> None:
    (scanned / "old" / "a.jsonl").write_text('{"text": "something else"}\n')
    assert run(["duplicates", "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert "no texts: " in out
    assert "something else" not in out


def test_duplicates_without_a_catalog_says_what_to_do(data: Path, capsys: Capture) -> None:
    assert run(["duplicates"]) not in (0, 1)
    assert "greendata scan" in capsys.readouterr().err


def test_duplicates_says_when_there_are_none(data: Path, capsys: Capture) -> None:
    assert run(["scan", "data/old"]) == 0
    capsys.readouterr()
    assert run(["duplicates"]) == 0
    assert capsys.readouterr().out == "No duplicates.\n"


def test_difference_stands_side_by_side_and_cannot_steer_the_terminal(capsys: Capture) -> None:
    kept = "same words before \x1b[31mred\x07 and after " + "漢字" * 40
    show_difference(compare_words(kept, kept.replace("red", "blue")))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[\\x1b[31mred\\x07]" in out
    assert "[\\x1b[31mblue\\x07]" in out
    assert all(line.count(" | ") == 1 for line in out.splitlines())
