from __future__ import annotations

import os
from pathlib import Path

import pytest

from greendata.jobs.isolated import IsolatedRead, _child_error, read_isolated
from greendata.model import SkipReason
from greendata.shards.base import ReadOptions, ShardError
from greendata.stores.local import LocalStore
from tests.jobs.made_scans import ROOT, uri, write_lines, write_parquet


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def wanted(path: Path, file_format: str, **options: object) -> IsolatedRead:
    item = LocalStore().head(uri(path))
    return IsolatedRead(
        item=item,
        options=ReadOptions(**options),  # type: ignore[arg-type]
        format=file_format,
        codec="none",
    )


def test_request_survives_the_way_to_the_child(tmp_path: Path) -> None:
    name = os.fsdecode(b"odd \xe9\n%41.jsonl")
    request = wanted(write_lines(tmp_path / name, ["x"]), "jsonl", text_column="text")
    assert IsolatedRead.from_json(request.to_json()) == request


def test_a_child_reads_what_the_parent_would(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["one", None, "three", "x" * 100], 2)
    batches = list(read_isolated(wanted(path, "parquet", max_record_bytes=50)))
    found = {
        int(row): text
        for batch in batches
        for row, text in zip(batch.rows, batch.texts.to_pylist(), strict=True)
    }
    assert found == {0: b"one", 1: None, 2: b"three"}
    assert [row for batch in batches for row, _ in batch.skipped] == [3]
    assert {batch.row_group for batch in batches} == {0, 1}
    assert sum(batch.source_bytes for batch in batches) == path.stat().st_size


@pytest.mark.parametrize(
    ("content", "reason"), [(b"PAR1 no Parquet PAR1", "unreadable"), (b"PAR1", "truncated")]
)
def test_an_error_in_the_child_is_one_in_the_parent(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(ShardError, match=r"a\.parquet") as raised:
        list(read_isolated(wanted(tmp_path / "a.parquet", "parquet")))
    assert raised.value.reason in (SkipReason(reason), SkipReason.TRUNCATED)


def test_a_child_that_is_not_listened_to_is_ended(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["text " * 1_000] * 3_000, 100)
    reading = read_isolated(wanted(path, "parquet"))
    next(reading)
    reading.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("code", "told"), [(-11, "signal 11"), (1, "exit code 1"), (-9, "signal 9")]
)
def test_a_child_that_died_is_a_crash(code: int, told: str) -> None:
    error = _child_error("file:///a", code, "Fatal Python error\nnot json")
    assert error.reason is SkipReason.CRASHED
    assert told in error.message
    assert error.message.startswith("file:///a: ")
    assert error.hint
