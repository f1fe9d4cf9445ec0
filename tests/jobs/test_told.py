"""A scan that asks the inventory just taken finds what one that lists finds, without a listing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from greendata.jobs.inventory import InventoryRequest, take_inventory
from greendata.jobs.metering import OwnMeter
from greendata.jobs.request import ScanRequest
from greendata.jobs.scan import scan
from greendata.model import Dataset, ScanSummary
from greendata.operating.records import CarbonSettings
from greendata.progress import Progress
from greendata.stores.local import path_to_uri
from tests.jobs.made_scans import text, write_lines

NOT_THE_RESULT = {
    "scan_id", "catalog", "seconds", "cpu_seconds", "startup_seconds", "startup_cpu_seconds",
    "peak_rss_bytes", "stages",
}  # fmt: skip


def told_scan(request: ScanRequest) -> ScanSummary:
    """As a pass does it."""
    now = datetime.now(UTC)
    taken = take_inventory(
        InventoryRequest(uris=request.uris, catalog=request.catalog, with_versions=True),
        progress=Progress(),
        now=now,
    )
    return scan(request, progress=Progress(), now=now, denied=taken.denied)


def listed_scan(request: ScanRequest) -> ScanSummary:
    return scan(request, progress=Progress(), now=datetime.now(UTC))


def result(summary: ScanSummary) -> dict[str, Any]:
    return {key: value for key, value in summary.as_dict().items() if key not in NOT_THE_RESULT}


def both(place: Path, uris: Sequence[str], datasets: Sequence[Dataset] = ()) -> ScanSummary:
    """The next scan in two catalogs, one of each kind; they must say the same."""
    request = ScanRequest(uris=tuple(uris), datasets=tuple(datasets), workers=1)
    listed = listed_scan(replace(request, catalog=str(place / "listed")))
    told = told_scan(replace(request, catalog=str(place / "told")))
    assert result(told) == result(listed)
    return told


def test_it_says_the_same_as_a_listing_whatever_changed(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    for number in range(4):
        write_lines(data / f"sub {number % 2}" / f"{number}.jsonl", [text(number), text(9)])
    write_lines(data / "one.json", [text(20)])
    write_lines(data / ".hidden" / "h.jsonl", [text(21)])
    write_lines(other / "o.jsonl", [text(30)])
    os.link(data / "sub 0" / "0.jsonl", other / "again.jsonl")
    (data / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    (data / "table.csv").write_text("a,b\n1,2\n")
    uris = [path_to_uri(str(folder)) for folder in (data, other)]
    assert both(tmp_path, uris).objects_read == 5
    assert both(tmp_path, uris).objects_unchanged == 5

    write_lines(data / "sub 1" / "1.jsonl", [text(40)])
    (data / "sub 1" / "3.jsonl").unlink()
    write_lines(data / "new.jsonl", [text(41)])
    changed = both(tmp_path, uris)
    assert (changed.objects_read, changed.objects_removed) == (2, 1)

    moved = Dataset(name="moved", prefixes=(path_to_uri(str(data / "sub 0")),), priority=3)
    found = both(tmp_path, uris, [moved])
    assert {entry.name for entry in found.datasets} >= {"moved"}
    assert found.objects_read == 0

    named = path_to_uri(str(data / ".hidden" / "h.jsonl"))
    assert both(tmp_path, [*uris, named]).objects_read == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_keeps_what_is_known_of_it(tmp_path: Path) -> None:
    write_lines(tmp_path / "data" / "a.jsonl", [text(1)])
    write_lines(tmp_path / "data" / "shut" / "b.jsonl", [text(2)])
    uris = [path_to_uri(str(tmp_path / "data"))]
    both(tmp_path, uris)
    (tmp_path / "data" / "shut").chmod(0)
    try:
        assert both(tmp_path, uris).objects_removed == 0
    finally:
        (tmp_path / "data" / "shut").chmod(0o755)


def test_a_bucket_is_listed_once(s3: Any, bucket: str, tmp_path: Path) -> None:
    status = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
    s3.put_object(Bucket=bucket, Key="data/", Body=b"")
    for number in range(3):
        body = write_lines(tmp_path / "x.jsonl", [text(number)]).read_bytes()
        s3.put_object(Bucket=bucket, Key=f"data/{number}.jsonl", Body=b"earlier")
        s3.put_object(Bucket=bucket, Key=f"data/{number}.jsonl", Body=body)
    s3.delete_object(Bucket=bucket, Key="data/2.jsonl")
    request = ScanRequest(uris=(f"s3://{bucket}/data/",), catalog=str(tmp_path / "c"), workers=1)
    first = told_scan(request)
    assert (first.objects_read, first.skipped) == (2, ())
    with OwnMeter(CarbonSettings(region="us-east-1")) as meter:
        second = told_scan(request)
    own = meter.footprint()
    assert (second.objects_read, second.objects_unchanged) == (0, 2)
    assert dict(own.requests) == {"list_folder": 1, "uploads": 1}
    assert own.cost_usd.central > 0
