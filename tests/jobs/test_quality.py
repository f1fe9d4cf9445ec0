from __future__ import annotations

import json
from pathlib import Path

import pytest

from greendata.cli.boundary import run
from tests.jobs.made_scans import run_scan, text, write_lines

COOKIES = "This site uses cookies to improve your experience."


def page(number: int) -> str:
    return f"{text(number)}\n{COOKIES}\nMenu\n{text(number + 1000)}\n{COOKIES}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_lines(
        tmp_path / "data" / "a.jsonl", [page(1), page(2), "", "...", "two words", text(5), None]
    )
    raw = b'{"text": "bad \xff"}\n' + json.dumps({"text": page(3)}).encode() + b"\n"
    (tmp_path / "data" / "b.jsonl").write_bytes(raw)
    return tmp_path / "data"


def test_documents_that_train_nothing_are_counted(data: Path, tmp_path: Path) -> None:
    for _ in range(2):  # read, then unchanged
        (found,) = run_scan(data, catalog=tmp_path / "c").datasets
        hints = found.quality
        assert (hints.empty_documents, hints.short_documents) == (2, 1)
        assert hints.sampled_documents >= 5
        assert [(line.line, line.documents) for line in hints.repeated_lines] == [(COOKIES, 2)]


def test_they_are_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["--catalog", str(tmp_path / "c"), "scan", str(data)])
    told = capsys.readouterr().out
    assert "2 empty; 1 of fewer words than a shingle" in told
    assert COOKIES in told


def test_good_texts_are_not_talked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lines(tmp_path / "a.jsonl", [text(1), text(2)])
    assert run(["--catalog", str(tmp_path / "c"), "scan", str(path)]) == 0
    assert "Quality" not in capsys.readouterr().out


def test_an_alarm_names_what_is_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_lines(tmp_path / "a.jsonl", [text(1)] * 20 + [text(2)])
    arguments = ["--catalog", str(tmp_path / "c"), "scan", str(path), "--max-group", "10"]
    assert run([*arguments, "--json"]) == 0
    alarms = json.loads(capsys.readouterr().out)["alarms"]
    assert {alarm["name"] for alarm in alarms} == {"large-group", "large-removal"}
    assert all(len(alarm["examples"]) == 3 for alarm in alarms)
    assert run([*arguments, "--max-removal-share", "1"]) == 0
    told = capsys.readouterr().out
    assert "19 documents are redundant because of it" in told
    assert "large-removal" not in told
