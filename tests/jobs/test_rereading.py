from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from greendata.jobs import rereading
from greendata.jobs.rereading import KnownObject, TextReader
from greendata.jobs.textcache import TextCache
from greendata.progress import Progress
from greendata.shards.base import ReadOptions
from greendata.shards.jsonl import JsonLinesShard
from greendata.shards.parquet import ParquetShard
from greendata.stores.opening import Stores
from tests.jobs.made_scans import text, uri, write_lines, write_parquet


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each stream, and each row group, was read."""
    counts: Counter[str] = Counter()
    streaming: Callable[..., Iterator[Any]] = JsonLinesShard.read
    reading: Callable[..., Iterator[Any]] = ParquetShard._batches

    def stream_and_count(self: JsonLinesShard, part: Any) -> Iterator[Any]:
        counts[self.item.uri.rpartition("/")[2]] += 1
        return streaming(self, part)

    def read_and_count(self: ParquetShard, group: int, *rest: Any) -> Iterator[Any]:
        counts[f"group {group}"] += 1
        return reading(self, group, *rest)

    monkeypatch.setattr(JsonLinesShard, "read", stream_and_count)
    monkeypatch.setattr(ParquetShard, "_batches", read_and_count)
    return counts


def read(path: Path, rows: list[int], row_groups: list[int]) -> dict[int, str]:
    """The texts of these rows of one file."""
    kind = "parquet" if path.suffix == ".parquet" else "jsonl"
    item = Stores().head(uri(path))
    known = KnownObject(
        item=item, options=ReadOptions(text_column="text"), format=kind, codec="none"
    )
    reader = TextReader(
        store=Stores(),
        objects={7: known},
        texts=TextCache(0),
        orders=np.full(len(rows), 7),
        rows=np.array(rows, np.int64),
        row_groups=np.array(row_groups, np.int64),
        workers=2,
        progress=Progress(),
    )
    found: dict[int, str] = {}

    def consume(ranks: Any, texts: pa.Array) -> None:
        found.update(zip((rows[rank] for rank in ranks), texts.to_pylist(), strict=True))

    reader.read(np.arange(len(rows)), consume)
    return found


def test_a_stream_is_read_once_however_many_of_its_documents(
    tmp_path: Path, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "_ROWS_A_TASK", 2)
    path = write_lines(tmp_path / "a.jsonl", [text(number) for number in range(20)])
    rows = [0, 1, 5, 9, 13, 19]
    assert read(path, rows, [-1] * 6) == {row: text(row) for row in rows}
    assert reads == {"a.jsonl": 1}


def test_a_row_group_is_read_once_and_others_not(
    tmp_path: Path, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "_ROWS_A_TASK", 2)
    texts = [text(number) for number in range(20)]
    path = write_parquet(tmp_path / "a.parquet", texts, group_rows=5)
    rows = [0, 1, 2, 3, 6, 15, 19]
    assert read(path, rows, [row // 5 for row in rows]) == {row: texts[row] for row in rows}
    assert reads == {"group 0": 1, "group 1": 1, "group 3": 1}


def test_nothing_is_read_for_no_rows(tmp_path: Path, reads: Counter[str]) -> None:
    assert read(write_lines(tmp_path / "a.jsonl", ["one"]), [], []) == {}
    assert reads == {}
