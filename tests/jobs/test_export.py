from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.errors import GreendataError, ObjectNotFoundError, UsageError
from greendata.jobs.export import Destination, choose_destination, write_rows

SCHEMA = pa.schema([("uri", pa.string()), ("row", pa.int64()), ("share", pa.float64())])
ROWS: list[dict[str, Any]] = [
    {"uri": "file:///a,b", "row": 1, "share": 0.5},
    {"uri": 'file:///"q"\nline', "row": -2, "share": None},
]


def reader(rows: list[dict[str, Any]]) -> pa.RecordBatchReader:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return pa.RecordBatchReader.from_batches(SCHEMA, table.to_batches(max_chunksize=1))


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".partial")]


def test_json_export_is_one_document_under_the_plural_name(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    assert write_rows(reader(ROWS), "overlaps", Destination(file_format="json", path=path)) == 2
    assert json.loads(path.read_text()) == {"schema_version": 1, "overlaps": ROWS}
    write_rows(reader([]), "overlaps", Destination(file_format="json", path=tmp_path / "none.json"))
    assert json.loads((tmp_path / "none.json").read_text())["overlaps"] == []


def test_csv_export_reads_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    assert write_rows(reader(ROWS), "overlaps", Destination(file_format="csv", path=path)) == 2
    with path.open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [
            {"uri": "file:///a,b", "row": "1", "share": "0.5"},
            {"uri": 'file:///"q"\nline', "row": "-2", "share": ""},
        ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_export_never_lets_text_start_a_formula(tmp_path: Path, start: str) -> None:
    path = tmp_path / "out.csv"
    rows = [{"uri": f"{start}1+cmd", "row": -7, "share": -0.25}]
    write_rows(reader(rows), "overlaps", Destination(file_format="csv", path=path))
    with path.open(newline="") as stream:
        assert list(csv.reader(stream))[1] == [f"'{start}1+cmd", "-7", "-0.25"]


def test_parquet_export_keeps_types(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    assert write_rows(reader(ROWS), "overlaps", Destination(file_format="parquet", path=path)) == 2
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == ROWS


def test_export_to_stdout_writes_nothing_else(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_rows(reader(ROWS[:1]), "overlaps", Destination(file_format="csv"))
    assert capfdbinary.readouterr().out == b'uri,row,share\r\n"file:///a,b",1,0.5\r\n'


def test_failed_export_leaves_the_old_file_and_no_partial_one(tmp_path: Path) -> None:
    def batches() -> Any:
        yield pa.RecordBatch.from_pylist(ROWS, schema=SCHEMA)
        raise MemoryError

    path = tmp_path / "out.csv"
    path.write_text("old")
    broken = pa.RecordBatchReader.from_batches(SCHEMA, batches())
    with pytest.raises(MemoryError):
        write_rows(broken, "overlaps", Destination(file_format="csv", path=path, overwrite=True))
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_export_does_not_replace_a_file_that_came_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    destination = choose_destination("csv", str(path))
    assert destination is not None
    path.write_text("came meanwhile")
    with pytest.raises(UsageError, match="is there already"):
        write_rows(reader(ROWS), "overlaps", destination)
    assert path.read_text() == "came meanwhile"
    assert leftovers(tmp_path) == []


def test_export_replaces_a_file_when_told_to(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    destination = choose_destination(None, str(path), overwrite=True)
    assert destination == Destination(file_format="csv", path=path, overwrite=True)
    write_rows(reader(ROWS), "overlaps", destination)
    assert path.read_text().startswith("uri,row,share")


def test_choose_destination_takes_the_format_from_the_ending(tmp_path: Path) -> None:
    assert choose_destination(None, None) is None
    for ending in ("json", "csv", "parquet"):
        destination = choose_destination(None, str(tmp_path / f"x.{ending.upper()}"))
        assert destination is not None
        assert destination.file_format == ending
    named = choose_destination("json", str(tmp_path / "x.csv"))
    assert named is not None
    assert named.file_format == "json"


@pytest.mark.parametrize(
    ("file_format", "output", "error"),
    [
        (None, "out.txt", UsageError),
        (None, "out", UsageError),
        ("parquet", None, UsageError),
        ("csv", "there.csv", UsageError),
        ("csv", ".", UsageError),
        ("csv", "none/out.csv", ObjectNotFoundError),
    ],
)
def test_choose_destination_refuses_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file_format: str | None,
    output: str | None,
    error: type[GreendataError],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").touch()
    with pytest.raises(error):
        choose_destination(file_format, output)
