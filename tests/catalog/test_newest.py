from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from greendata.catalog.newest import NewestTables


def append(folder: Path, number: int) -> None:
    write_deltalake(folder, pa.table({"number": [number]}), mode="append")


def files(table: DeltaTable) -> int:
    return len(table.file_uris())


@pytest.fixture
def opened() -> list[Path]:
    return []


@pytest.fixture
def tables(opened: list[Path]) -> NewestTables[DeltaTable]:
    def opening(folder: Path) -> DeltaTable:
        opened.append(folder)
        return DeltaTable(folder)

    return NewestTables(opening)


def test_a_table_is_opened_again_only_after_a_commit(
    tables: NewestTables[DeltaTable], opened: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "table"
    append(folder, 1)
    assert [files(tables.open(folder)) for _ in range(3)] == [1, 1, 1]
    assert len(opened) == 1
    append(folder, 2)
    assert [files(tables.open(folder)) for _ in range(3)] == [2, 2, 2]
    assert len(opened) == 2


def test_a_table_that_was_made_anew_is_another(
    tables: NewestTables[DeltaTable], tmp_path: Path
) -> None:
    folder, other = tmp_path / "table", tmp_path / "other"
    append(folder, 1)
    before = tables.open(folder).file_uris()
    append(other, 2)
    folder.rename(tmp_path / "aside")
    shutil.copytree(other, folder)
    after = tables.open(folder)
    assert after.version() == 0
    assert after.file_uris() != before


def test_a_log_that_lacks_its_last_commit_is_not_trusted(
    tables: NewestTables[DeltaTable], opened: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "table"
    append(folder, 1)
    append(folder, 2)
    tables.open(folder)
    (folder / "_delta_log" / f"{1:020}.json").unlink()
    assert files(tables.open(folder)) == 1
    assert len(opened) == 2
