"""Where catalogs lie: full disks, folders that cannot be written, odd names, newer versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greendata.catalog.tables import FORMAT_VERSION, Catalog
from greendata.cli.boundary import run
from greendata.errors import DeniedError, GreendataError, LimitExceededError, UsageError
from tests.jobs.made_scans import (
    duplicates,
    kept_digests,
    left_over,
    query,
    run_cli,
    run_scan,
    shown,
    text,
    variant,
    write_lines,
    write_parquet,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_lines(tmp_path / "data" / "a.jsonl", [text(1), variant(text(1), 1), text(2)])
    return tmp_path / "data"


@pytest.mark.parametrize("name", ["with space, ünïcode, a h#sh", "qu?ery 100% a*b it's <b>"])
def test_a_catalog_may_have_an_odd_name(data: Path, name: str) -> None:
    catalog = data.parent / name / "catalog"
    run_scan(data, catalog=catalog)
    write_lines(data / "b.jsonl", [text(2)])
    assert run_scan(data, catalog=catalog).objects_read == 1
    assert run_scan(data, catalog=catalog).objects_read == 0
    assert len(duplicates(catalog)) == 2
    assert not [path for path in data.parent.iterdir() if "%2" in path.name]


def test_a_catalog_may_lie_in_folders_named_like_partitions(data: Path) -> None:
    catalog = data.parent / "row=5" / "dataset=wiki" / "scan_id=other" / "kind=near" / "catalog"
    run_scan(data, catalog=catalog)
    run_scan(data, catalog=data.parent / "plain")
    assert duplicates(catalog) == duplicates(data.parent / "plain")
    for table in ("documents", "objects"):
        columns = "EXCLUDE (documents_scan_id, scan_id, modified_at)" * (table == "objects")
        rows = f"SELECT * {columns} FROM {table} ORDER BY ALL"
        assert query(catalog, rows) == query(data.parent / "plain", rows)


@pytest.mark.parametrize("name", ["[1]", "%41", "new\nline", "back\\slash", b"latin-\xe9"])
def test_a_catalog_that_delta_tables_cannot_name_is_refused(data: Path, name: str | bytes) -> None:
    catalog = data.parent / os.fsdecode(name) / "catalog"
    with pytest.raises(UsageError, match="Delta tables") as raised:
        run_scan(data, catalog=catalog)
    assert raised.value.hint is not None
    assert "--catalog" in raised.value.hint
    assert not catalog.parent.exists()


def test_a_catalog_of_a_newer_program_is_refused_and_left_alone(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = data.parent / "catalog"
    run_scan(data, catalog=catalog)
    (catalog / "catalog.json").write_text(json.dumps({"format_version": FORMAT_VERSION + 1}))
    for arguments in (["scan", str(data)], ["duplicates"], ["overlap"]):
        assert run(["--catalog", str(catalog), *arguments]) == 41
        told = capsys.readouterr().err
        assert "newer" in told
        assert "hint: Install a newer greendata." in told
    assert left_over(catalog) == []


def test_a_damaged_marker_is_an_error_with_a_hint(data: Path) -> None:
    catalog = data.parent / "catalog"
    run_scan(data, catalog=catalog)
    for content in ("", "{", "[]", "{}", '{"format_version": "new"}'):
        (catalog / "catalog.json").write_text(content)
        with pytest.raises(GreendataError, match=r"catalog\.json is damaged") as raised:
            run_scan(data, catalog=catalog)
        assert raised.value.hint, content


def test_a_file_in_place_of_the_catalog_is_an_error_with_a_hint(data: Path) -> None:
    catalog = data.parent / "catalog"
    catalog.write_text("a file")
    for path in (catalog, catalog / "below"):
        with pytest.raises(GreendataError, match="catalog") as raised:
            run_scan(data, catalog=path)
        assert raised.value.hint


def test_a_missing_table_is_an_error_with_a_hint(data: Path) -> None:
    catalog = data.parent / "catalog"
    run_scan(data, catalog=catalog)
    shutil.rmtree(catalog / "tables" / "pairs")
    with pytest.raises(GreendataError, match="catalog") as raised:
        run_scan(write_lines(data / "b.jsonl", [text(9)]), catalog=catalog)
    assert raised.value.hint


def _mount(kind: list[str], target: Path) -> None:
    target.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *kind, str(target)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    target = tmp_path / "small"
    _mount(["-t", "tmpfs", "-o", "size=3m", "tmpfs"], target)
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


@pytest.fixture
def read_only(tmp_path: Path, data: Path) -> Iterator[Path]:
    """A folder with a catalog, mounted so that even root cannot write."""
    run_scan(data, catalog=tmp_path / "real" / "catalog")
    target = tmp_path / "fixed"
    _mount(["--bind", str(tmp_path / "real")], target)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(target)], check=True)
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_read_only_catalog_can_be_looked_at_and_not_scanned_into(
    read_only: Path, data: Path
) -> None:
    before = shown(read_only / "catalog")
    for catalog in (read_only / "catalog", read_only / "new"):
        with pytest.raises(DeniedError, match="not writable") as raised:
            run_scan(data, catalog=catalog)
        assert raised.value.exit_code == 21
        assert raised.value.hint == "Name another place with --catalog."
    assert shown(read_only / "catalog") == before
    assert run(["--catalog", str(read_only / "catalog"), "duplicates"]) == 0


def _fill(disk: Path, free_bytes: int) -> Path:
    """A file that leaves so much space."""
    usage = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(b"\0" * max(0, usage.f_bavail * usage.f_frsize - free_bytes))
    return filler


@pytest.mark.parametrize(
    "free_bytes",
    [
        64 << 10,
        *(pytest.param(k << 10, marks=pytest.mark.slow) for k in (0, 16, 32, 160, 320)),
    ],
)
def test_a_full_disk_ends_the_scan_and_the_catalog_shows_what_it_showed(
    small_disk: Path, data: Path, free_bytes: int
) -> None:
    catalog = small_disk / "catalog"
    run_scan(data, catalog=catalog)
    before = shown(catalog)
    for number in range(3):
        texts = [text(1_000 * number + row, 12) for row in range(700)]
        write_parquet(data / f"{number}.parquet", texts, 100)
    filler = _fill(small_disk, free_bytes)
    done = run_cli("--catalog", catalog, "scan", data)
    assert done.returncode == 32, done.stderr
    assert "full" in done.stderr or "space" in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert shown(catalog) == before
    filler.unlink()
    run_scan(data, catalog=catalog)
    run_scan(data, catalog=data.parent / "clean")
    assert kept_digests(catalog) == kept_digests(data.parent / "clean")
    assert left_over(catalog) == []


@pytest.mark.parametrize("method", ["write", "add_files", "adopt_files", "commit_scan"])
def test_a_disk_that_fills_up_at_the_commit(
    data: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    catalog = data.parent / "catalog"
    run_scan(data, catalog=catalog)
    before = shown(catalog)
    write_lines(data / "b.jsonl", [text(2)])

    def full(*arguments: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, method, full)
        with pytest.raises(LimitExceededError, match="full"):
            run_scan(data, catalog=catalog)
    assert shown(catalog) == before
    assert run_scan(data, catalog=catalog).redundant_documents == 2
    assert left_over(catalog) == []
