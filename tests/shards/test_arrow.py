"""Arrow IPC files and streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from greendata.errors import GreendataError
from greendata.model import SkipReason
from greendata.shards import arrow
from greendata.shards.base import NoTextColumnError, ShardError, ShardLimitError
from tests.shards.made_shards import batches, found, open_path, picked, skipped, texts

NEW: dict[str, Callable[..., Any]] = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}
KINDS = pytest.mark.parametrize("kind", list(NEW))


def write(
    folder: Path, columns: Any, kind: str = "file", rows: int | None = None, **o: Any
) -> Path:
    path = folder / "a.arrow"
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    options = pa.ipc.IpcWriteOptions(**o)
    with NEW[kind](str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


@KINDS
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_record_batches_are_numbered(tmp_path: Path, kind: str, compression: str | None) -> None:
    values = [None if n % 7 == 0 else f"text {n}" for n in range(1000)]
    columns = {"n": range(1000), "text": values}
    path = write(tmp_path, columns, kind, 300, compression=compression)
    shard = open_path(path, batch_bytes=500)
    assert (shard.format, shard.text_column) == ("arrow", "text")
    assert len(shard.parts()) == (4 if kind == "file" else 1)
    assert texts(shard) == values
    assert {batch.row_group for batch in batches(shard)} == {0, 1, 2, 3}
    everything = found(shard)
    for rows in ([0], [5, 299, 300, 999, 1000], [], list(range(1000))):
        assert picked(shard, rows) == {row: everything[row] for row in rows if row < 1000}


@KINDS
def test_string_types_nested_columns_and_rows(tmp_path: Path, kind: str) -> None:
    strings = ["a", None, "é" * 20, ""]
    for array in (
        pa.array(strings, pa.large_string()),
        pa.array(strings, pa.string_view()),
        pa.array(strings).dictionary_encode(),
    ):
        assert texts(open_path(write(tmp_path, {"x": array}, kind))) == strings
    nested = write(tmp_path, {"a": [{"b": "x"}, None], "n": [1, 2]}, kind)
    assert texts(open_path(nested, text_column="a.b")) == ["x", None]
    assert texts(open_path(nested, whole_rows=True)) == [
        '{"a":{"b":"x"},"n":1}', '{"a":null,"n":2}'
    ]  # fmt: skip
    with pytest.raises(NoTextColumnError, match="n: int64"):
        open_path(nested)


@KINDS
def test_longest_column_of_the_first_batch_is_the_text(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, {"a": ["x", "y" * 999], "b": ["long", "z"]}, kind, 1)
    assert open_path(path).text_column == "b"


@KINDS
def test_zero_rows(tmp_path: Path, kind: str) -> None:
    shard = open_path(write(tmp_path, {"text": pa.array([], pa.string())}, kind))
    assert found(shard) == {}
    schema = pa.schema([("text", pa.string())])
    with NEW[kind](str(tmp_path / "b.arrow"), schema):
        pass
    assert found(open_path(tmp_path / "b.arrow")) == {}


@KINDS
def test_truncated_object_is_named_so(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, {"text": [f"text {n}" for n in range(300)]}, kind, 100)
    data = path.read_bytes()
    for cut in (6, 9, 20, len(data) // 3, len(data) // 2, len(data) - 8, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(ShardError, match=r"a\.arrow: ") as caught:
            batches(open_path(path))
        assert caught.value.reason is SkipReason.TRUNCATED


@KINDS
def test_damaged_object_raises_only_errors_of_this_program(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, {"text": [f"text {n}" for n in range(50)]}, kind, 25)
    data = path.read_bytes()
    rng = np.random.default_rng(3)
    errors = 0
    for place in rng.integers(8, len(data), 60).tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x81]) + data[place + 1 :])
        try:
            batches(open_path(path))
        except GreendataError:
            errors += 1
    assert errors


@KINDS
def test_buffer_that_expands_beyond_measure_is_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {"text": ["x" * 2**22]}, kind, compression="zstd")
    assert len(found(open_path(path))) == 1
    monkeypatch.setattr(arrow, "PAGE_ALLOWANCE_BYTES", 2**20)
    with pytest.raises(ShardLimitError, match=r"a buffer of .* bytes decodes to"):
        open_path(path, max_record_bytes=2**20)


@KINDS
def test_repeated_long_value_is_read_in_bounded_batches(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "MAX_REPEATED_BYTES", 2**22)
    long = pa.array(["x" * 2**20, "y"])
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), long)
    shard = open_path(write(tmp_path, {"text": repeated}, kind))
    sizes = [batch.texts.nbytes for batch in batches(shard)]
    assert sum(sizes) >= 100 * 2**20
    assert max(sizes) < 10 * 2**20


@KINDS
def test_text_above_the_limit_is_skipped_by_row(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, {"text": ["a", "x" * 101, "b"]}, kind, 2)
    shard = open_path(path, max_record_bytes=100)
    assert found(shard) == {0: b"a", 2: b"b"}
    assert list(skipped(shard)) == [1]
