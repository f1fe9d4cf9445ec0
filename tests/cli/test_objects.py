from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run
from tests.jobs.made_inventory import row, take

Capture = pytest.CaptureFixture[str]

ROWS = [
    row("b/large.parquet", size_bytes=5_000_000),
    row("b/small.jsonl", size_bytes=10, storage_class="GLACIER"),
    row("b/<script>alert(1)</script>", size_bytes=20),
    row("b/=cmd|' /C calc'!A0", size_bytes=30),
    row("b/new\nline\x1b[31m", size_bytes=40),
    row("b/old", size_bytes=50, is_latest=False, version_id="1"),
    row("b/upload", size_bytes=None, format="upload", version_id="u"),
    row("b/marker", size_bytes=0, is_latest=True, is_delete_marker=True, version_id="2"),
]


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    take(tmp_path / ".greendata", ROWS, "s3://b/", has_versions=True, has_uploads=True)
    return str(tmp_path / ".greendata")


def shown(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert run(["objects", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def keys(found: dict[str, Any]) -> list[str]:
    return [entry["uri"].removeprefix("s3://b/") for entry in found["objects"]]


def test_current_objects_are_shown_the_largest_first(catalog: str, capsys: Capture) -> None:
    found = shown(capsys)
    assert keys(found)[0] == "large.parquet"
    assert (found["total_objects"], found["total_bytes"]) == (5, 5_000_100)
    assert keys(shown(capsys, "--limit", "1", "--sort", "uri")) == ["<script>alert(1)</script>"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tier", "archive"], ["small.jsonl"]),
        (["--uri", "s3://b/*.parquet"], ["large.parquet"]),
        (["--state", "noncurrent"], ["old"]),
        (["--state", "upload"], ["upload"]),
        (["--state", "delete-marker"], ["marker"]),
        (["--dataset", "none"], []),
    ],
)
def test_filters(catalog: str, capsys: Capture, arguments: list[str], expected: list[str]) -> None:
    assert keys(shown(capsys, *arguments)) == expected


def test_for_people_control_characters_are_shown_not_sent(catalog: str, capsys: Capture) -> None:
    assert run(["objects"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "5 objects, 5.0 MB" in text


def test_a_csv_starts_no_formula_and_keeps_odd_names_whole(catalog: str, capsys: Capture) -> None:
    assert run(["objects", "--format", "csv", "--columns", "key,size_bytes", "--sort", "uri"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {entry["key"] for entry in rows} >= {"'=cmd|' /C calc'!A0", "new\nline\x1b[31m"}


def test_all_columns_go_to_parquet(catalog: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from greendata.catalog.inventory import INVENTORY_COLUMNS

    assert run(["objects", "--state", "all", "-o", "o.parquet"]) == 0
    table = pq.read_table(tmp_path / "o.parquet")
    assert tuple(table.column_names) == INVENTORY_COLUMNS
    assert len(table) == len(ROWS)


def test_every_column_can_be_shown(catalog: str, capsys: Capture) -> None:
    from greendata.catalog.inventory import INVENTORY_COLUMNS

    found = shown(capsys, "--columns", ",".join(INVENTORY_COLUMNS))
    assert tuple(found["objects"][0]) == INVENTORY_COLUMNS
    assert run(["objects", "--columns", ",".join(INVENTORY_COLUMNS)]) == 0


def test_an_unknown_column_is_named_with_the_nearest(catalog: str, capsys: Capture) -> None:
    assert run(["objects", "--columns", "uri,size_byte"]) == 2
    assert "Did you mean 'size_bytes'?" in capsys.readouterr().err


def test_an_old_inventory_is_told_of(catalog: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "greendata.yaml").write_text("inventory: {max_age: 36h}\n")
    (warning,) = shown(capsys)["warnings"]
    assert warning.startswith("s3://b/: the inventory is ")
    (tmp_path / "greendata.yaml").write_text("inventory: {max_age: 99999d}\n")
    assert shown(capsys)["warnings"] == []


def test_nothing_listed_is_said(tmp_path: Path, monkeypatch: Any, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["objects"]) == 22
    assert "greendata scan" in capsys.readouterr().err
