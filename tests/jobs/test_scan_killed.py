from __future__ import annotations

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.examples import examples
from tests.forking import Forked, start_forked
from tests.jobs.made_scans import (
    DUPLICATES,
    KEPT_DIGESTS,
    Row,
    duplicates,
    environment,
    left_over,
    queries,
    query,
    run_cli,
    run_new_cli,
    run_scan,
    shown,
    start_cli,
    text,
    uri,
    variant,
    write_lines,
    write_parquet,
)

STAGING, TABLES = "greendata.catalog.staging", "greendata.catalog.tables"


def _grow(data: Path) -> None:
    """Two more objects beside those of ``world``, and one that is another now."""
    write_parquet(data / "a.parquet", [text(1), "changed", variant(text(3), 1)])
    write_lines(data / "c.jsonl", [variant(text(5), 1), text(40), ""])
    write_lines(data / "d.jsonl", [f"{text(1)} longer", text(41)])


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data``, and in ``first`` the catalog that was made of it."""
    root = tmp_path_factory.mktemp("killed")
    write_parquet(root / "data" / "a.parquet", [text(1), variant(text(1), 1), text(2)])
    write_lines(root / "data" / "b.jsonl", [text(3), text(2), text(5)])
    run_scan(root / "data", catalog=root / "catalog")
    (root / "catalog").rename(root / "first")
    return root


@pytest.fixture
def world(scanned: Path) -> Iterator[Path]:
    """``data`` that grew since ``catalog`` was made of it."""
    data, catalog = scanned / "data", scanned / "catalog"
    shutil.copytree(scanned / "first", catalog)
    _grow(data)
    yield scanned
    shutil.rmtree(catalog)
    for path in data.iterdir():
        if path.name not in ("a.parquet", "b.jsonl"):
            path.unlink()


_FOUND = (KEPT_DIGESTS, DUPLICATES, "SELECT uri, row, digest_low FROM documents ORDER BY ALL")
_found_at_once: dict[tuple[tuple[str, bytes], ...], list[list[Row]]] = {}


def _wanted(data: Path) -> list[list[Row]]:
    """What a scan finds that nothing happened before, made once for the same files."""
    files = tuple((str(path), path.read_bytes()) for path in sorted(data.iterdir()))
    if files not in _found_at_once:
        with tempfile.TemporaryDirectory() as folder:
            run_scan(data, catalog=Path(folder) / "clean")
            _found_at_once[files] = queries(Path(folder) / "clean", *_FOUND)
    return _found_at_once[files]


def _check_recovery(world: Path) -> None:
    """The next scan ends as one that nothing happened before, and tidies up."""
    run_scan(world / "data", catalog=world / "catalog")
    assert queries(world / "catalog", *_FOUND) == _wanted(world / "data")
    assert left_over(world / "catalog") == []


def _start_dying(world: Path, point: str, count: int, *options: str) -> Forked:
    scan = map(str, ["--catalog", world / "catalog", "scan", world / "data", *options])
    return start_forked(
        "tests.jobs.dying_scan", point, str(count), *scan, environment=environment()
    )


def _scan_and_die(world: Path, point: str, count: int) -> None:
    child = _start_dying(world, point, count)
    _, told = child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL, told


@pytest.mark.parametrize(
    ("point", "count"),
    [
        (f"{STAGING}:SegmentWriter.finish", 2),
        pytest.param(f"{STAGING}:filter_segment", 1, marks=pytest.mark.slow),
        pytest.param("greendata.jobs.scan:resolve", 1, marks=pytest.mark.slow),
        pytest.param("greendata.jobs.resolve:decide_kept", 1, marks=pytest.mark.slow),
        pytest.param(f"{TABLES}:Catalog.add_files", 1, marks=pytest.mark.slow),
        pytest.param(f"{TABLES}:Catalog.add_files", 2, marks=pytest.mark.slow),
        pytest.param(f"{TABLES}:Catalog.add_files", 4, marks=pytest.mark.slow),
        (f"{TABLES}:Catalog.commit_scan", 1),
    ],
)
def test_killed_before_the_commit_the_catalog_shows_what_it_showed(
    world: Path, point: str, count: int
) -> None:
    before = shown(world / "catalog")
    if point.endswith("filter_segment"):  # called where an earlier scan died
        _scan_and_die(world, "greendata.jobs.scan:resolve", 1)
    _scan_and_die(world, point, count)
    assert shown(world / "catalog") == before
    _check_recovery(world)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(f"{TABLES}:Catalog.drop_results_before", marks=pytest.mark.slow),
        f"{STAGING}:_sweep",
    ],
)
def test_killed_after_the_commit_the_catalog_shows_the_scan(world: Path, point: str) -> None:
    _scan_and_die(world, point, 1)
    assert len(query(world / "catalog", "SELECT scan_id FROM scans")) == 2
    after = duplicates(world / "catalog")
    _check_recovery(world)
    assert duplicates(world / "catalog") == after


@pytest.mark.slow
def test_killed_first_scan_leaves_a_catalog_that_says_it_has_nothing(tmp_path: Path) -> None:
    write_lines(tmp_path / "data" / "a.jsonl", [text(1), text(1)])
    _scan_and_die(tmp_path, f"{TABLES}:Catalog.commit_scan", 1)
    looked = run_cli("--catalog", tmp_path / "catalog", "duplicates", "--json")
    assert looked.returncode == 22
    assert "nothing was scanned" in looked.stderr
    _check_recovery(tmp_path)


@pytest.mark.slow
def test_killed_while_the_catalog_is_made_it_is_made_by_the_next(tmp_path: Path) -> None:
    write_lines(tmp_path / "data" / "a.jsonl", [text(1), text(1)])
    _scan_and_die(tmp_path, f"{TABLES}:_partition_field", 2)
    _check_recovery(tmp_path)


@pytest.mark.slow
def test_next_scan_goes_on_from_finished_objects(world: Path) -> None:
    _scan_and_die(world, "greendata.jobs.scan:resolve", 1)
    again = run_cli("--catalog", world / "catalog", "scan", world / "data")
    assert again.returncode == 0
    assert "Going on from 3 objects" in again.stderr
    assert left_over(world / "catalog") == []


@pytest.mark.slow
def test_work_of_two_dead_scans_is_taken_over_by_a_third_that_dies_too(world: Path) -> None:
    _scan_and_die(world, "greendata.jobs.scan:resolve", 1)
    _scan_and_die(world, "greendata.jobs.scan:resolve", 1)
    write_lines(world / "data" / "e.jsonl", [text(60)])
    _scan_and_die(world, "greendata.jobs.scan:resolve", 1)
    again = run_cli("--catalog", world / "catalog", "scan", world / "data")
    assert "Going on from 4 objects" in again.stderr
    _check_recovery(world)


@pytest.mark.slow
def test_finished_object_that_changed_since_is_read_again(world: Path) -> None:
    _scan_and_die(world, "greendata.jobs.scan:resolve", 1)
    write_lines(world / "data" / "d.jsonl", [text(5), text(77)])
    again = run_cli("--catalog", world / "catalog", "scan", world / "data")
    assert "Going on from 2 objects" in again.stderr
    _check_recovery(world)


@pytest.mark.slow
def test_finished_objects_are_of_no_use_under_other_parameters(tmp_path: Path) -> None:
    write_lines(tmp_path / "data" / "a.jsonl", [text(1), text(1)])
    _scan_and_die(tmp_path, "greendata.jobs.scan:resolve", 1)
    catalog, data = tmp_path / "catalog", tmp_path / "data"
    again = run_cli("--catalog", catalog, "scan", data, "--shingle", "3", "--json")
    assert again.returncode == 0
    assert "Going on" not in again.stderr
    assert left_over(catalog) == []


def _kill_at_random(world: Path, seed: int) -> None:
    """SIGKILL at any moment: the catalog shows either what it showed or the whole scan."""
    before = shown(world / "catalog")
    child = start_cli("--catalog", world / "catalog", "scan", world / "data", "--workers", "2")
    time.sleep(random.Random(seed).uniform(0.05, 1.0))
    child.kill()
    child.communicate()
    after = shown(world / "catalog")
    if len(after["scans"]) == len(before["scans"]):
        assert after == before
    _check_recovery(world)


@pytest.mark.parametrize("seed", [1])
def test_killed_at_any_moment_nothing_is_lost(world: Path, seed: int) -> None:
    _kill_at_random(world, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 10 + examples(10)))
def test_killed_at_any_of_many_moments_nothing_is_lost(world: Path, seed: int) -> None:
    _kill_at_random(world, seed)


def _wait_for(is_there: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not is_there():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_the_scan_with_a_message_and_keeps_what_is_finished(
    world: Path, number: int, code: int, word: str
) -> None:
    before = shown(world / "catalog")
    point = "sleep:greendata.jobs.reading:ShardsReader._fingerprint"
    child = _start_dying(world, point, 5, "--workers", "1")
    staged = world / "catalog" / "scans"
    _wait_for(lambda: list(staged.glob("*/finished-*.json")))
    child.send_signal(number)
    _, told = child.communicate(timeout=60)
    assert child.returncode == code
    assert word in told
    assert "goes on from" in told
    assert "Traceback" not in told
    assert shown(world / "catalog") == before
    assert list(staged.glob("*/inflight-*")) == []  # nobody crashed
    again = run_cli("--catalog", world / "catalog", "scan", world / "data")
    assert "Going on from" in again.stderr
    _check_recovery(world)


def test_a_second_ctrl_c_ends_the_scan_at_once(world: Path) -> None:
    point = "sleep:greendata.jobs.reading:ShardsReader._fingerprint"
    child = _start_dying(world, point, 10, "--workers", "1")
    try:
        _wait_for(lambda: list((world / "catalog" / "scans").glob("*/finished-*.json")))
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)  # less than a batch takes, which is waited for
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 130
    assert "goes on from" in told
    again = run_cli("--catalog", world / "catalog", "scan", world / "data")
    assert "Going on from" in again.stderr


CRASHING = """
import os, signal, threading
from greendata.shards import parquet
original = parquet.ParquetShard.read
def read(self, part):
    is_child = not threading.current_thread().name.startswith("reader-")
    if self.item.uri.endswith("bad.parquet") and (not is_child or "CHILD_DIES" in os.environ):
        signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)  # this thread, at once
    return original(self, part)
parquet.ParquetShard.read = read
"""


@pytest.fixture
def crashing(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``bad.parquet`` is deadly."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CRASHING)
    write_parquet(tmp_path / "data" / "bad.parquet", [text(1), text(2)])
    write_lines(tmp_path / "data" / "good.jsonl", [text(1), text(3)])
    write_parquet(tmp_path / "data" / "other.parquet", [text(4), text(3)])
    return {"PYTHONPATH": str(folder)}


def _crash_twice(tmp_path: Path, environment: dict[str, str]) -> None:
    for _ in range(2):
        done = run_new_cli(
            "--catalog",
            tmp_path / "c",
            "scan",
            tmp_path / "data",
            "--workers",
            "2",
            more=environment,
        )
        assert done.returncode == -signal.SIGSEGV


@pytest.mark.slow
def test_an_object_that_kills_its_reader_is_read_in_a_child_after_two_crashes(
    tmp_path: Path, crashing: dict[str, str]
) -> None:
    _crash_twice(tmp_path, crashing)
    done = run_new_cli("--catalog", tmp_path / "c", "scan", tmp_path / "data", more=crashing)
    assert done.returncode == 0
    assert f"{uri(tmp_path / 'data' / 'bad.parquet')}: the process died twice" in done.stderr
    run_scan(tmp_path / "data", catalog=tmp_path / "clean")
    assert duplicates(tmp_path / "c") == duplicates(tmp_path / "clean")


def test_an_object_that_kills_the_child_too_is_skipped_by_name_from_then_on(
    tmp_path: Path, crashing: dict[str, str]
) -> None:
    crashing["CHILD_DIES"] = "yes"
    _crash_twice(tmp_path, crashing)
    for _ in range(2):
        done = run_new_cli("--catalog", tmp_path / "c", "scan", tmp_path / "data", more=crashing)
        assert done.returncode == 3
        assert "bad.parquet: crashed: its reader died (signal 11)" in done.stdout
    rows = query(tmp_path / "c", "SELECT uri, reason FROM objects WHERE status = 'skipped'")
    assert rows == [(uri(tmp_path / "data" / "bad.parquet"), "crashed")]
    assert query(tmp_path / "c", "SELECT count(*) FROM documents") == [(4,)]
    assert len(duplicates(tmp_path / "c")) == 1
    write_parquet(tmp_path / "data" / "bad.parquet", [text(1), text(3)])
    assert run_scan(tmp_path / "data", catalog=tmp_path / "c").skipped == ()
