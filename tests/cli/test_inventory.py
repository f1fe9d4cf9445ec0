from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run
from tests.inventory.test_azure_report import HEADER, write_run
from tests.inventory.test_azure_report import csv_row as azure_row
from tests.inventory.test_s3_report import csv_file, csv_row, damaged, write_report

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


def inventory(*arguments: str, capsys: Capture) -> dict[str, Any]:
    assert run(["inventory", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def states(found: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (g["storage_class"], g["state"]): (g["objects"], g["size_bytes"]) for g in found["groups"]
    }


def test_a_report_is_counted_by_class_and_state(tmp_path: Path, capsys: Capture) -> None:
    rows = [csv_row("a"), csv_row("a", "v0", latest=False), csv_row("b", "v2", marker=True)]
    write_report(tmp_path, [csv_file(rows)])
    found = inventory(str(tmp_path), "--from-reports", capsys=capsys)
    assert states(found) == {
        ("STANDARD", "current"): (1, 12),
        ("STANDARD", "noncurrent"): (1, 12),
        ("STANDARD", "delete marker"): (1, 0),
    }
    assert found["unknown_columns"] == ["novelty"]
    kept = json_of(["objects", "--state", "all", "--sort", "uri"], capsys)["objects"]
    assert [row["uri"] for row in kept] == ["s3://b/a", "s3://b/a", "s3://b/b"]


def json_of(arguments: list[str], capsys: Capture) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_damaged_report_leaves_what_was_known(tmp_path: Path, capsys: Capture) -> None:
    write_report(tmp_path, [csv_file([csv_row("a")])])
    inventory(str(tmp_path), "--from-reports", capsys=capsys)
    damaged(tmp_path / "later", "changed file")
    assert run(["inventory", str(tmp_path / "later"), "--from-reports"]) == 31
    (row,) = json_of(["objects"], capsys)["objects"]
    assert row["uri"] == "s3://b/a"
    assert list(Path().rglob("*.partial")) == []


def test_nothing_to_take_stock_of_is_a_mistake(capsys: Capture) -> None:
    assert run(["inventory"]) == 2
    assert "--access-logs" in capsys.readouterr().err


def test_a_folder_is_listed(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    found = inventory(str(tmp_path), capsys=capsys)
    assert [(g["place"], g["objects"], g["size_bytes"]) for g in found["groups"]] == [
        ("file://", 1, 5)
    ]


def test_a_bucket_shows_versions_and_uploads(s3: Any, bucket: str, capsys: Capture) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for content in (b"one", b"three"):
        s3.put_object(Bucket=bucket, Key="a", Body=content)
    s3.delete_object(Bucket=bucket, Key="a")
    s3.put_object(Bucket=bucket, Key="b", Body=b"x", StorageClass="GLACIER")
    s3.create_multipart_upload(Bucket=bucket, Key="c")
    found = inventory(f"s3://{bucket}", "--versions", capsys=capsys)
    assert states(found) == {
        ("STANDARD", "noncurrent"): (2, 8),
        ("GLACIER", "current"): (1, 1),
        (None, "delete marker"): (1, 0),
        (None, "upload"): (1, 0),
    }
    assert {g["tier"] for g in found["groups"] if g["storage_class"] == "GLACIER"} == {"archive"}
    assert states(inventory(f"s3://{bucket}", capsys=capsys)) == {
        ("GLACIER", "current"): (1, 1),
        (None, "upload"): (1, 0),
    }


def test_a_container_is_listed(container: str, azure_connection: str, capsys: Capture) -> None:
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(azure_connection) as service:
        service.get_blob_client(container.partition("@")[0], "a").upload_blob(b"123")
    found = inventory(f"az://{container}", capsys=capsys)
    assert states(found) == {("Hot", "current"): (1, 3)}
    assert [g["place"] for g in found["groups"]] == [f"az://{container}/"]


def test_an_azure_report_is_counted_too(tmp_path: Path, capsys: Capture) -> None:
    rows = [azure_row("c/a"), azure_row("c/b", deleted="true")]
    write_run(tmp_path, [(HEADER + "\n" + "".join(rows)).encode()])
    found = inventory(str(tmp_path), "--from-reports", capsys=capsys)
    assert states(found) == {("Cool", "current"): (1, 12), ("Cool", "noncurrent"): (1, 12)}
    assert {g["tier"] for g in found["groups"]} == {"cool"}
