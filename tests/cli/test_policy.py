from __future__ import annotations

import json
from pathlib import Path

import pytest

from greendata.cli.boundary import run
from tests.jobs.made_inventory import row, take

Capture = pytest.CaptureFixture[str]

COOL = """version: 1
policies:
  - {name: cool, where: age_days >= 60, action: {tier: cool}}
"""
CASES = """version: 1
cases:
  - name: old
    given: {uri: "s3://b/k", age_days: 90}
    expect: {decisions: {cool: {tier: cool}}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(COOL)
    (tmp_path / "p.cases.yaml").write_text(CASES)
    return tmp_path


def test_check_says_what_was_read(capsys: Capture) -> None:
    assert run(["policy", "check", "p.yaml"]) == 0
    assert "1 policies in 1 files, 1 cases: no mistake" in capsys.readouterr().out
    assert run(["policy", "check", ".", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["policies"]) == (1, ["cool"])


def test_check_exits_11_and_names_the_place(folder: Path, capsys: Capture) -> None:
    (folder / "p.yaml").write_text(COOL.replace("age_days", "aeg_days"))
    assert run(["policy", "check", "p.yaml"]) == 11
    assert "p.yaml:3:25: where: unknown column 'aeg_days'" in capsys.readouterr().err


def test_warnings_are_errors_only_when_asked_to_be(folder: Path, capsys: Capture) -> None:
    (folder / "p.yaml").write_text(COOL + "  - {name: c2, all: true, action: {tier: cold}}\n")
    assert run(["policy", "check", "p.yaml"]) == 0
    assert run(["policy", "check", "p.yaml", "--strict"]) == 11
    assert "cool contradicts c2" in capsys.readouterr().out


def test_test_exits_13_when_a_case_fails(folder: Path, capsys: Capture) -> None:
    assert run(["policy", "test", "p.yaml"]) == 0
    assert "1 of 1 cases passed." in capsys.readouterr().out
    (folder / "p.cases.yaml").write_text(CASES.replace("90", "9"))
    assert run(["policy", "test", "p.yaml"]) == 13
    out = capsys.readouterr().out
    assert "FAILED p.cases.yaml:5:5: case 'old'" in out
    assert run(["policy", "test", "p.yaml", "--json"]) == 13
    assert json.loads(capsys.readouterr().out)["failed"] == 1


def test_explain_shows_every_step(folder: Path, capsys: Capture) -> None:
    take(folder / ".greendata", [row("b/k\x1b[31m")], "s3://b/")
    uri = "s3://b/k\x1b[31m"
    assert run(["policy", "explain", uri, "-p", "p.yaml"]) == 0
    out = capsys.readouterr().out
    assert "decided by cool: tier: cool" in out
    assert "yes      age_days >= 60   [age_days = " in out
    assert "\x1b" not in out
    assert run(["policy", "explain", uri, "-p", "p.yaml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["objects"][0]["policies"][0]["verdict"] == "decides"
    assert run(["policy", "explain", "s3://b/none", "-p", "p.yaml"]) == 22


def test_schema_is_one_json_document(capsys: Capture) -> None:
    assert run(["policy", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "greendata policies"


RULES = {
    "Rules": [
        {
            "ID": "r",
            "Status": "Enabled",
            "Filter": {"Prefix": "a/"},
            "Expiration": {"Days": 9},
            "NoncurrentVersionTransitions": [{"NoncurrentDays": 3, "StorageClass": "GLACIER"}],
        }
    ]
}


def test_import_prints_or_writes_and_says_what_is_lost(folder: Path, capsys: Capture) -> None:
    (folder / "rules.json").write_text(json.dumps(RULES))
    assert run(["policy", "import", "rules.json", "--bucket", "b"]) == 0
    printed = capsys.readouterr().out
    assert run(["policy", "import", "rules.json", "--bucket", "b", "-o", "i.yaml"]) == 0
    assert "Left out: rule r: earlier versions" in capsys.readouterr().out
    assert (folder / "i.yaml").read_text() == printed
    assert run(["policy", "import", "rules.json", "-o", "i.yaml"]) == 2
    assert run(["policy", "import", "rules.json", "--json"]) == 0
    capsys.readouterr()
    (folder / "rules.json").write_text("{]")
    assert run(["policy", "import", "rules.json"]) == 11
    assert "rules.json: line 1, column 2" in capsys.readouterr().err
    assert run(["policy", "import", "none.json"]) == 22


def test_export_prints_rules_alone_and_the_rest_on_stderr(folder: Path, capsys: Capture) -> None:
    (folder / "p.yaml").write_text(COOL + "  - {name: h, where: is_held, action: {hold: legal}}\n")
    assert run(["policy", "export", "p.yaml", "--to", "s3"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["Rules"][0]["Transitions"] == [
        {"Days": 60, "StorageClass": "STANDARD_IA"}
    ]
    assert "left out: h: its condition" in shown.err
    assert run(["policy", "export", "p.yaml", "--to", "azure"]) == 0
    rules = json.loads(capsys.readouterr().out)["rules"]
    assert rules[0]["definition"]["actions"]["baseBlob"] == {
        "tierToCool": {"daysAfterModificationGreaterThan": 59}
    }
    assert run(["policy", "export", "p.yaml", "--to", "s3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exported"] == ["cool"]
