"""Scans of object stores, against real servers."""

from __future__ import annotations

import json
import os
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.cli.boundary import run
from greendata.footprint.classes import read_cost, tier_of
from tests.jobs.made_scans import query, text
from tests.stores.servers import ACCOUNT

Capture = pytest.CaptureFixture[str]


def shard(*texts: str) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": list(texts)}), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


@pytest.fixture
def stocked(s3: Any, bucket: str, container: str) -> tuple[str, str]:
    """The same two shards in an S3 bucket and an Azure container, one more object in Azure."""
    from azure.storage.blob import BlobServiceClient

    shards = {"a 1.parquet": shard(text(1), text(2)), "b/é.parquet": shard(text(3), text(4))}
    with BlobServiceClient.from_connection_string(
        os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    ) as service:
        for name, content in shards.items():
            s3.put_object(Bucket=bucket, Key=f"data/{name}", Body=content)
            service.get_blob_client(container.partition("@")[0], f"copy/{name}").upload_blob(
                content
            )
        lines = "".join(json.dumps({"text": text(n)}) + "\n" for n in (5, 6)).encode()
        s3.put_object(Bucket=bucket, Key="lines/part.jsonl", Body=lines)
    return f"s3://{bucket}/data/", f"az://{container}/copy/"


def scan(catalog: Path, *arguments: str, capsys: Capture, code: int = 0) -> dict[str, Any]:
    assert run(["--catalog", str(catalog), "scan", *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_copy_in_another_cloud_is_wholly_inside(
    stocked: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    catalog = tmp_path / "catalog"
    summary = scan(catalog, *stocked, capsys=capsys)
    assert (summary["objects"], summary["documents"]) == (4, 8)
    assert summary["exact_duplicate_documents"] == 4
    assert summary["redundant_documents"] == 4
    shares = "SELECT a_in_b_documents, b_in_a_documents FROM \"overlaps\" WHERE level = 'dataset'"
    assert query(catalog, shares) == [(1.0, 1.0)]
    stores = query(catalog, "SELECT DISTINCT store_id FROM objects ORDER BY ALL")
    assert [name.partition(":")[0] for (name,) in stores] == ["az", "s3"]


def test_json_lines_of_a_bucket_are_scanned_as_a_stream(
    stocked: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    bucket = stocked[0].removesuffix("data/")
    summary = scan(tmp_path / "catalog", f"{bucket}lines/", capsys=capsys)
    assert summary["documents"] == 2


def test_an_unchanged_bucket_is_not_read_again(
    stocked: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    catalog = tmp_path / "catalog"
    scan(catalog, *stocked, capsys=capsys)
    again = scan(catalog, *stocked, capsys=capsys)
    assert (again["objects_read"], again["objects_unchanged"]) == (0, 4)


def test_an_account_is_filled_in_from_the_environment(
    stocked: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    short = stocked[1].replace(f"@{ACCOUNT}", "")
    catalog = tmp_path / "catalog"
    scan(catalog, short, capsys=capsys)
    assert {uri.partition("/copy")[0] for (uri,) in query(catalog, "SELECT uri FROM objects")} == {
        stocked[1].partition("/copy")[0]
    }


def test_cool_and_archived_objects_are_left_alone(
    s3: Any, bucket: str, tmp_path: Path, capsys: Capture
) -> None:
    for name in ("STANDARD", "STANDARD_IA", "GLACIER", "INTELLIGENT_TIERING"):
        s3.put_object(
            Bucket=bucket, Key=f"{name}.parquet", Body=shard(text(len(name))), StorageClass=name
        )
    summary = scan(tmp_path / "one", f"s3://{bucket}", capsys=capsys)
    assert summary["objects_read"] == 1
    told = {entry["uri"].rpartition("/")[2]: entry["detail"] for entry in summary["ignored"]}
    assert "never thawed" in told["GLACIER.parquet"]
    assert "--read-tiers" in told["STANDARD_IA.parquet"]
    every = scan(
        tmp_path / "two", f"s3://{bucket}", "--read-tiers", "hot,cool,intelligent", capsys=capsys
    )
    assert every["objects_read"] == 3
    assert run(["scan", f"s3://{bucket}", "--read-tiers", "archive"]) == 2
    assert "never thawed" in capsys.readouterr().err


def test_an_estimate_reads_and_writes_nothing(
    stocked: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    catalog = tmp_path / "catalog"
    found = scan(catalog, *stocked, "--estimate", capsys=capsys)
    assert (found["objects"], found["unchanged_objects"]) == (4, 0)
    assert Decimal(found["egress_usd_high"]) > Decimal(found["egress_usd_low"]) == 0
    assert not catalog.exists()
    scan(catalog, *stocked, capsys=capsys)
    assert scan(catalog, *stocked, "--estimate", capsys=capsys)["unchanged_objects"] == 4


def test_a_scan_dearer_than_allowed_is_refused(
    stocked: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    arguments = ["--catalog", str(tmp_path / "c"), "scan", *stocked, "--max-cost-usd", "0"]
    assert run(arguments) == 32
    assert "--max-cost-usd" in capsys.readouterr().err


def test_reading_costs_are_list_prices() -> None:
    found = read_cost([("s3://b/k", "STANDARD_IA", 2**30, 1000), ("/local", None, 5, 7)])
    assert (found.request_usd, found.retrieval_usd) == (Decimal("0.001"), Decimal("0.01"))
    egress = Decimal("0.09") * 2**30 / 10**9  # transfer is billed by 10**9 bytes
    assert (found.egress_usd_low, found.egress_usd_high) == (Decimal(0), egress)
    assert tier_of("s3://b/k", "SNOW") == "unknown"
    assert tier_of("s3://b/k", "GLACIER_IR") == "cold"
    assert tier_of("az://c@a/k", "Archive") == "archive"
    assert tier_of("file:///a", None) == "hot"


def test_a_missing_bucket_ends_with_not_found(s3: Any, tmp_path: Path, capsys: Capture) -> None:
    name = f"s3://none-{uuid.uuid4().hex}"
    assert run(["--catalog", str(tmp_path / "c"), "scan", name]) == 22
    assert name in capsys.readouterr().err


def test_an_object_deleted_after_the_listing_is_skipped_by_name(
    s3: Any, bucket: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greendata.jobs import scan as job

    for number in (1, 2):
        s3.put_object(Bucket=bucket, Key=f"{number}.parquet", Body=shard(text(number)))
    read = job.Scanning._read

    def delete_and_read(self: Any, staging: Any, changes: Any) -> Any:
        s3.delete_object(Bucket=bucket, Key="1.parquet")
        return read(self, staging, changes)

    monkeypatch.setattr(job.Scanning, "_read", delete_and_read)
    summary = scan(tmp_path / "c", f"s3://{bucket}", capsys=capsys, code=3)
    assert [entry["uri"] for entry in summary["skipped"]] == [f"s3://{bucket}/1.parquet"]
    assert summary["documents"] == 1


def test_doctor_finds_what_a_server_ignores(
    stocked: tuple[str, str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("greendata.jobs.doctor.LARGE_ROUNDS", 1)
    assert run(["doctor", stocked[1], "--json"]) == 0
    azurite = json.loads(capsys.readouterr().out)
    assert {f["name"] for f in azurite["findings"] if f["verdict"] == "ignored"} == set()
    run(["doctor", stocked[0], "--json"])
    moto = json.loads(capsys.readouterr().out)
    ignored = {f["name"] for f in moto["findings"] if f["verdict"] == "ignored"}
    known = {"copy-if-absent", "copy-if-match", "copy-source-if-match", "multipart-if-match"}
    assert known <= ignored
    assert moto["leftovers"] == azurite["leftovers"] == []
