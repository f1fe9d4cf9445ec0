from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run
from tests.cli.conftest import text, write_shard
from tests.jobs.made_inventory import row, take

Capture = pytest.CaptureFixture[str]

CONFIG = "datasets:\n  - {name: crawl, prefixes: ['s3://b/crawl'], region: us-east-1}\n"


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "greendata.yaml").write_text(CONFIG)
    rows = [
        row("b/crawl/a", size_bytes=40 * 10**12),
        row("b/crawl/u", size_bytes=None, format="upload", version_id="u"),
        row("b/else", size_bytes=5, storage_class="\x1b[31mSNOW"),
    ]
    take(tmp_path / ".greendata", rows, "s3://b/", has_uploads=True)
    return tmp_path


def document(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert run(["footprint", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.usefixtures("catalog")
def test_the_document_names_units_bounds_model_and_sources(capsys: Capture) -> None:
    found = document(capsys)
    assert found["schema_version"] == 1
    assert found["by"] == "dataset"
    assert found["model_version"]
    assert found["sources"]
    assert found["assumptions"]
    crawl, unknown = found["groups"]
    assert crawl["name"] == "crawl"
    assert crawl["cost_usd"]["central"].startswith("856.8")
    assert 60 < crawl["energy_kwh"]["central"] < 70
    for quantity in ("energy_kwh", "operational_kgco2e", "embodied_kgco2e", "carbon_kgco2e"):
        bounds = crawl[quantity]
        assert bounds["low"] < bounds["central"] < bounds["high"]
    assert crawl["unsized_objects"] == 1
    assert unknown["name"] is unknown["cost_usd"] is unknown["energy_kwh"] is None
    assert [entry["size_bytes"] for entry in unknown["missing"]] == [5, 5]


@pytest.mark.usefixtures("catalog")
def test_for_people_amounts_stand_between_their_bounds(capsys: Capture) -> None:
    assert run(["footprint"]) == 0
    shown = capsys.readouterr().out
    assert "857 (782 to 857)" in shown
    assert "65.5 (24.6 to 182)" in shown
    assert "incomplete uploads, of unknown size and not counted: 1." in shown
    assert "price of s3 \\x1b[31mSNOW in an unknown region: 1 object, 5 bytes" in shown
    assert "\x1b" not in shown
    assert "sources: -v lists them" in shown
    assert run(["footprint", "-v"]) == 0
    assert "- Ember (CC BY 4.0)" in capsys.readouterr().out


@pytest.mark.usefixtures("catalog")
def test_intensities_are_shown_when_asked_for(capsys: Capture) -> None:
    assert run(["footprint", "--sci"]) == 0
    shown = capsys.readouterr().out
    assert "ISO/IEC 21031" in shown
    assert "dataset-month" in shown
    units = {entry["unit"] for entry in document(capsys, "--sci")["intensities"]}
    assert units == {"dataset-month", "million unique documents, month"}
    assert document(capsys)["intensities"] == []


@pytest.mark.usefixtures("catalog")
def test_groups_are_those_asked_for(capsys: Capture) -> None:
    tiers = [group["name"] for group in document(capsys, "--by", "tier")["groups"]]
    assert tiers == ["hot", "unknown"]
    regions = [group["name"] for group in document(capsys, "--by", "region")["groups"]]
    assert regions == ["us-east-1", None]
    assert run(["footprint", "--by", "owner"]) == 2


def test_local_files_are_named_as_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shard(tmp_path / "data" / "a.jsonl", [text(1)])
    assert run(["-q", "inventory", "data"]) == 0
    capsys.readouterr()
    found = document(capsys)["total"]
    assert found["cost_usd"] is found["energy_kwh"] is None
    (missing,) = found["missing"]
    assert missing["what"] == "price, energy and carbon of local files"


def test_without_a_catalog_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["footprint"]) == 22
    assert "greendata" in capsys.readouterr().err
