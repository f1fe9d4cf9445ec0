from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from greendata.jobs.textcache import TextCache
from greendata.shards.base import TextBatch


def batch(*rows: int) -> TextBatch:
    texts = pa.array([None if row == 7 else f"text {row}" for row in rows], pa.large_string())
    return TextBatch(texts=texts, rows=np.array(rows), row_group=0, source_bytes=9)


def found(cache: TextCache, object_id: int, *rows: int) -> dict[int, str | None]:
    return {
        int(row): text.as_py()
        for held in cache.find(object_id, np.array(rows, np.int64))
        for row, text in zip(held.rows, held.texts, strict=True)
    }


def test_rows_are_found_where_they_are_held() -> None:
    cache = TextCache(1 << 20)
    cache.keep(1, batch(0, 1, 2, 5))
    cache.keep(1, batch(6, 7, 9))
    cache.keep(2, batch(0))
    assert found(cache, 1, 1, 5, 7, 9) == {1: "text 1", 5: "text 5", 7: None, 9: "text 9"}
    assert found(cache, 1, 3, 4, 8, 10) == {}
    assert found(cache, 1, 3, 9, 100) == {9: "text 9"}
    assert found(cache, 2, 0, 1) == {0: "text 0"}
    assert found(cache, 3, 0) == {}
    assert found(cache, 1) == {}


@pytest.mark.parametrize("capacity", [0, 100])
def test_a_batch_that_is_large_for_the_room_is_not_held(capacity: int) -> None:
    cache = TextCache(capacity)
    cache.keep(1, batch(0))
    assert found(cache, 1, 0) == {}


def test_no_more_is_held_than_there_is_room_for() -> None:
    rows = range(10, 30)
    size = batch(rows[0]).texts.get_total_buffer_size() + 8
    cache = TextCache(8 * size)
    for row in rows:
        cache.keep(1, batch(row))
    assert found(cache, 1, *rows) == {row: f"text {row}" for row in rows[:8]}


def test_a_slice_counts_with_the_memory_it_keeps_alive() -> None:
    whole = batch(*range(1000))
    part = TextBatch(texts=whole.texts[:1], rows=whole.rows[:1], row_group=0, source_bytes=0)
    cache = TextCache(8 * 1000)
    cache.keep(1, part)
    assert found(cache, 1, 0) == {}
