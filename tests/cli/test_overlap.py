from __future__ import annotations

import json
from pathlib import Path

import pytest

from greendata.cli.boundary import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def scanned(data: Path, capsys: Capture) -> Path:
    assert run(["scan", "--dataset", "old=data/old", "--dataset", "new=data/new"]) == 0
    capsys.readouterr()
    return data


@pytest.mark.usefixtures("scanned")
def test_overlap_says_both_ways_how_much_is_inside(capsys: Capture) -> None:
    assert run(["overlap", "--level", "dataset"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Datasets:\n")
    assert "new is 50.0 % inside old (45.0 % exactly, of 20 documents;" in out
    assert "old is 50.0 % inside new (45.0 % exactly, of 20 documents;" in out


@pytest.mark.usefixtures("scanned")
def test_overlap_names_objects_by_their_paths(capsys: Capture) -> None:
    assert run(["overlap", "--level", "object"]) == 0
    assert "data/new/b.jsonl is 50.0 % inside data/old/a.jsonl" in capsys.readouterr().out


@pytest.mark.usefixtures("scanned")
def test_overlap_json_has_shares_in_0_to_1(capsys: Capture) -> None:
    assert run(["overlap", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert [o["level"] for o in document["overlaps"]] == ["dataset", "object"]
    assert document["overlaps"][0]["a_in_b_documents"] == 0.5


@pytest.mark.usefixtures("scanned")
def test_overlap_file_begins_with_the_promised_columns(capsys: Capture) -> None:
    assert run(["overlap", "-o", "out.csv"]) == 0
    assert capsys.readouterr().err == "out.csv: 2 rows written\n"
    assert (
        Path("out.csv")
        .read_text()
        .startswith(
            "level,a,b,a_in_b_documents,a_in_b_text_bytes,b_in_a_documents,b_in_a_text_bytes,"
        )
    )


@pytest.mark.usefixtures("scanned")
def test_overlap_says_when_nothing_is_shared_so_much(capsys: Capture) -> None:
    assert run(["overlap", "--min-share", "0.9"]) == 0
    assert capsys.readouterr().out.startswith("No two objects or datasets share")
