from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from greendata.sql import open_duckdb


def test_open_duckdb_applies_and_locks_its_settings(tmp_path: Path) -> None:
    spill = tmp_path / "it's a folder"
    connection = open_duckdb(memory_bytes=100 * 2**20, spill_directory=spill, threads=2)
    found = dict(
        connection.execute(
            "SELECT name, value FROM duckdb_settings() WHERE name IN"
            " ('memory_limit', 'temp_directory', 'threads', 'preserve_insertion_order',"
            " 'autoload_known_extensions', 'autoinstall_known_extensions', 'TimeZone')"
        ).fetchall()
    )
    assert found == {
        "memory_limit": "100.0 MiB",
        "temp_directory": str(spill),
        "threads": "2",
        "preserve_insertion_order": "false",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "TimeZone": "UTC",
    }
    with pytest.raises(duckdb.Error, match="locked"):
        connection.execute("SET threads = 1")


def test_open_duckdb_spills_beyond_its_memory(tmp_path: Path) -> None:
    connection = open_duckdb(memory_bytes=64 * 2**20, spill_directory=tmp_path, threads=1)
    ((distinct,),) = connection.execute(
        "SELECT count(*) FROM (SELECT DISTINCT hash(i) AS h, i::VARCHAR AS t"
        " FROM range(2000000) r(i))"
    ).fetchall()
    assert distinct == 2_000_000


def test_open_duckdb_gives_separate_databases(tmp_path: Path) -> None:
    first = open_duckdb(memory_bytes=2**26, spill_directory=tmp_path, threads=1)
    second = open_duckdb(memory_bytes=2**26, spill_directory=tmp_path, threads=1)
    first.execute("CREATE TABLE t (i INTEGER)")
    with pytest.raises(duckdb.CatalogException):
        second.execute("SELECT * FROM t")


def test_open_duckdb_raises_limits_that_are_too_small_to_work(tmp_path: Path) -> None:
    connection = open_duckdb(memory_bytes=1, spill_directory=tmp_path, threads=0)
    assert connection.execute("SELECT sum(i)::BIGINT FROM range(1000) r(i)").fetchall() == [
        (499500,)
    ]
