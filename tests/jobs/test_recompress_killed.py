"""A run that is killed, and stores that fail: nothing half is ever seen under a final name."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from greendata.cli.boundary import run
from greendata.errors import StoreUnreachableError
from greendata.jobs import recompress
from greendata.jobs.recompress_records import RecompressRequest
from greendata.progress import Progress
from greendata.stores.local import path_to_uri
from greendata.stores.opening import Stores
from greendata.stores.wrappers import FaultyStore
from tests.jobs.made_scans import ROOT, text
from tests.jobs.test_recompress import NOW, files, write_parquet

POINTS = (
    ("greendata.recompress.rolling:RollingWriter.write", 2),
    ("greendata.recompress.publishing:Destination.stage", 2),
    ("greendata.recompress.columnar:StoredRows.batches", 1),
    ("greendata.stores.files:_give_name", 4),
    ("greendata.recompress.publishing:Destination.publish", 2),
    ("greendata.recompress.publishing:Destination.drop", 1),
    ("greendata.jobs.recompress:write_manifest", 1),
    ("greendata.recompress.publishing:Destination.close", 1),
)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    for number in range(3):
        texts = [text(number * 100 + row) for row in range(60)]
        write_parquet(tmp_path / "data" / f"{number}.parquet", list(texts))
    return tmp_path


def rows(folder: Path) -> list[Any]:
    return [pq.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))]


def kill(entries: list[tuple[str, int, list[str]]]) -> list[int]:
    """How each of these command lines ended."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.jobs.dying_recompress", json.dumps(entries)],
        cwd=ROOT,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: list[int] = json.loads(done.stdout.splitlines()[-1])
    return found


def command(world: Path, place: str, profile: str = "stream") -> list[str]:
    arguments = ["recompress", str(world / "data"), "-o", str(world / place), "--workers", "1"]
    return [*arguments, "--profile", profile, "--min-saving", "0", "--json"]


@pytest.mark.parametrize("profile", ["stream", "archive"])
def test_a_killed_run_leaves_whole_objects_and_the_next_one_finishes(
    world: Path, profile: str
) -> None:
    entries = []
    for number, (point, count) in enumerate(POINTS):
        # an archive of so few rows is one object
        count = count if profile == "stream" or "_give_name" in point else 1
        entries.append((point, count, command(world, f"out{number}", profile)))
    ends = kill(entries)
    assert dict(zip(POINTS, ends, strict=True)) == dict.fromkeys(POINTS, -signal.SIGKILL)
    assert run(command(world, "fresh", profile)) == 0
    for number, (point, _) in enumerate(POINTS):
        out = world / f"out{number}"
        for path in out.rglob("*.parquet"):
            if ".greendata" not in path.parts:
                pq.ParquetFile(path, page_checksum_verification=True).read()
        is_finished = point.endswith("close")
        assert run(entries[number][2]) == (2 if is_finished else 0)
        assert run(["verify", str(out), "--full"]) == 0
        assert rows(out) == rows(world / "fresh")
        left = files(out) - files(world / "fresh")
        assert left <= ({"_greendata/run.json"} if is_finished else set()), point


def test_a_place_of_another_unfinished_run_is_refused(world: Path) -> None:
    arguments = command(world, "out")
    kill([("greendata.recompress.publishing:Destination.publish", 2, arguments)])
    assert len(list((world / "out").glob("*.parquet"))) == 1
    assert run([*arguments, "--level", "5"]) == 2
    assert run(arguments) == 0


def request(world: Path) -> RecompressRequest:
    return RecompressRequest(
        uris=(path_to_uri(str(world / "data")),),
        destination=path_to_uri(str(world / "out")),
        catalog=str(world / "c"),
        min_saving=0.0,
        workers=1,
    )


@pytest.mark.parametrize("call", ["put", "copy", "head", "read", "delete"])
def test_a_store_that_fails_stops_the_run_which_can_be_repeated(
    world: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The retries that stores have of their own are over by then."""
    before = Stores.store_of

    def faulty(stores: Stores, uri: str) -> Any:
        inner = before(stores, uri)
        return stores._once("faulty", lambda: FaultyStore(inner, "ok 503*9", only=[call]))

    monkeypatch.setattr(Stores, "store_of", faulty)
    with pytest.raises(StoreUnreachableError):
        recompress.recompress(request(world), progress=Progress(), now=NOW)
    monkeypatch.setattr(Stores, "store_of", before)
    assert not (world / "out" / "_greendata" / "manifest.json").exists()
    recompress.recompress(request(world), progress=Progress(), now=NOW)
    assert run(["verify", str(world / "out"), "--full"]) == 0


def test_from_and_to_buckets(
    world: Path, s3: Any, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (world / "data" / "0.parquet").rename(world / "data" / "0 %41é.parquet")
    for path in (world / "data").glob("*.parquet"):
        s3.upload_file(str(path), bucket, f"raw/{path.name}")
    source, target = f"s3://{bucket}/raw/", f"s3://{bucket}/cold"
    for profile in ("stream", "archive"):
        place = f"{target}/{profile}"
        arguments = ["recompress", source, "-o", place, "--profile", profile, "--json"]
        assert run(arguments) == 0, capsys.readouterr().err
        assert json.loads(capsys.readouterr().out)["size_bytes_out"] > 0
        assert run(["verify", place, "--full"]) == 0
        assert run(["verify", place]) == 0
        capsys.readouterr()
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert not any("staging" in key or "run.json" in key for key in keys)
    assert "cold/stream/0 %41é.parquet" in keys
    assert run(["restore-order", f"{target}/archive", "-o", str(world / "back")]) == 0
    assert rows(world / "back") == rows(world / "data")
    assert {p.name for p in (world / "back").glob("*.parquet")} == {
        p.name for p in (world / "data").glob("*.parquet")
    }
    assert run(["recompress", str(world / "data"), "-o", f"{target}/local"]) == 0
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert "cold/local/0 %41é.parquet" in keys


def test_to_a_container_of_azure(world: Path, container: str) -> None:
    place = f"az://{container}/cold"
    assert run(["recompress", str(world / "data"), "-o", place, "--profile", "archive"]) == 0
    assert run(["verify", place, "--full"]) == 0
    assert run(["restore-order", place, "-o", str(world / "back")]) == 0
    assert rows(world / "back") == rows(world / "data")
