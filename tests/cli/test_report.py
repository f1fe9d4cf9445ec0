from __future__ import annotations

import json
from pathlib import Path

import pytest

from greendata.cli.boundary import run
from tests.jobs.made_inventory import row, take

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    take(tmp_path / ".greendata", [row("b/a")], "s3://b/")
    return tmp_path


def test_the_name_of_the_file_tells_the_format(catalog: Path, capsys: Capture) -> None:
    for name, start in (("r.html", "<!DOCTYPE"), ("r.md", "# greendata"), ("r.json", "{")):
        assert run(["report", "-o", name]) == 0
        assert (catalog / name).read_text().lstrip().startswith(start)
        shown = capsys.readouterr()
        assert shown.out == ""
        assert f"{name}: " in shown.err
        assert run(["report", "-o", name]) == 2
        assert "--force" in capsys.readouterr().err
        assert run(["-q", "report", "-o", name, "--force"]) == 0
        assert capsys.readouterr().err == ""


def test_json_is_the_report_itself_or_tells_of_the_file(capsys: Capture) -> None:
    assert run(["report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stored"]["total"]["footprint"]["objects"] == 1
    assert run(["report", "-o", "r.html", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["format"] == "html"
    assert told["size_bytes"] == Path("r.html").stat().st_size


def test_markdown_goes_to_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["report", "--format", "markdown"]) == 0
    assert b"## What is stored" in capfdbinary.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "-o report.html"),
        (["-o", "r.pdf"], 2, "does not say which format"),
        (["-o", "no/such/r.html"], 22, "no such folder"),
        (["-o", "r.html", "--plan", "nowhere"], 22, "no plan there"),
        (["-o", "r.html", "--since", "yesterday"], 2, "does not match"),
        (["-o", "r.html", "--top", "0"], 2, "range"),
        (["-o", "r.html", "--catalog", "elsewhere"], 22, "there is none"),
    ],
)
def test_what_is_wrong_is_told(
    arguments: list[str], code: int, words: str, capsys: Capture
) -> None:
    assert run(["report", *arguments]) == code
    assert words in capsys.readouterr().err
    assert not Path("r.html").exists()
