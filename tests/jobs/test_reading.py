from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from greendata.catalog.staging import SegmentWriter, Staging
from greendata.dedup.fingerprint import Fingerprinter
from greendata.jobs import reading
from greendata.jobs.reading import MAX_CRASHES, ShardsReader
from greendata.jobs.request import fingerprint_parameters
from greendata.jobs.textcache import TextCache
from greendata.model import SkipReason
from greendata.progress import Progress
from greendata.shards.base import ReadOptions, TextBatch
from greendata.shards.choosing import ChosenShard
from greendata.stores.opening import Stores
from tests.jobs.made_scans import request, text, uri, write_lines, write_parquet


class _Noting(Progress):
    def __init__(self) -> None:
        self.bytes = 0
        self.lock = threading.Lock()

    def advance(self, size_bytes: int) -> None:
        with self.lock:
            self.bytes += size_bytes


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[Staging]:
    made = Staging.create(tmp_path / "scans", "one", {})
    yield made
    made.release()


def reader(staging: Staging, progress: Progress | None = None, workers: int = 2) -> ShardsReader:
    from greendata.catalog.commits import Snapshot

    parameters = fingerprint_parameters(request(catalog="unused"), Snapshot(version=0, scans=()))
    return ShardsReader(
        store=Stores(),
        options=ReadOptions(),
        fingerprinter=Fingerprinter(parameters),
        staging=staging,
        texts=TextCache(0),
        workers=workers,
        progress=progress or Progress(),
    )


def chosen(path: Path) -> ChosenShard:
    kind = "parquet" if path.suffix == ".parquet" else "jsonl"
    return ChosenShard(item=Stores().head(uri(path)), format=kind, codec="none")


def test_finished_objects_are_recorded_with_what_they_hold(
    tmp_path: Path, staging: Staging
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "ab"}\n{"text": null}\n{broken\n{"text": "c"}\n')
    write_parquet(tmp_path / "b.parquet", [text(n) for n in range(20)])
    write_parquet(tmp_path / "c.parquet", [])
    paths = [tmp_path / name for name in ("a.jsonl", "b.parquet", "c.parquet")]
    progress = _Noting()
    assert reader(staging, progress).read(map(chosen, paths)) == []
    first = next(r for r in staging.finished.values() if r.uri.endswith("a.jsonl"))
    assert (first.documents, first.text_bytes) == (2, 3)
    assert (first.null_documents, first.skipped_documents) == (1, 1)
    assert first.skipped_examples[0][0] == 2
    assert sorted(record.documents for record in staging.finished.values()) == [0, 2, 20]
    sizes = [path.stat().st_size for path in paths[:2]]
    assert sum(sizes) <= progress.bytes <= sum(sizes) + paths[2].stat().st_size


def test_a_failing_object_does_not_stop_the_others(tmp_path: Path, staging: Staging) -> None:
    good = [write_lines(tmp_path / f"{n}.jsonl", [text(n)]) for n in range(5)]
    bad = write_parquet(tmp_path / "bad.parquet", [text(n) for n in range(9)])
    data = bytearray(bad.read_bytes())
    data[40:200] = b"\xff" * 160
    bad.write_bytes(data)
    (skipped,) = reader(staging).read(map(chosen, [*good[:2], bad, *good[2:]]))
    assert (skipped.uri, skipped.reason) == (uri(bad), SkipReason.UNREADABLE)
    assert len(staging.finished) == 5


def test_a_disk_that_is_full_ends_the_reading(
    tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: SegmentWriter, rows: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SegmentWriter, "add", full)
    paths = [write_lines(tmp_path / f"{n}.jsonl", [text(n)]) for n in range(50)]
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="No space"):
        reader(staging).read(map(chosen, paths))
    assert staging.finished == {}
    assert set(threading.enumerate()) <= before


def test_an_interruption_in_the_middle_of_an_object_does_not_finish_it(
    tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a child reads, nothing but the stop itself ends the reading of an object."""
    path = write_lines(tmp_path / "a.jsonl", [text(1), text(2)])
    staging.crashes = {chosen(path).item.object_id: MAX_CRASHES}
    reading_it = reader(staging, workers=1)

    def interrupted(request: Any) -> Iterator[TextBatch]:
        for row in range(2):
            texts = pa.array([text(row)], pa.large_binary())
            yield TextBatch(texts=texts, rows=np.array([row]), row_group=-1, source_bytes=1)
            reading_it._stop.set()

    monkeypatch.setattr(reading, "read_isolated", interrupted)
    reading_it.read([chosen(path)])
    assert staging.finished == {}


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_rows_of_an_object_are_all_there_whatever_the_threads(
    tmp_path: Path, staging: Staging, workers: int
) -> None:
    import pyarrow.parquet as pq

    path = write_parquet(tmp_path / "a.parquet", [text(n) for n in range(200)], 7)
    reader(staging, workers=workers).read([chosen(path)])
    rows = [row for s in staging.segments for row in pq.ParquetFile(s).read().to_pylist()]
    assert sorted(row["row"] for row in rows) == list(range(200))
    assert {row["row_group"] for row in rows} == set(range(29))
    assert len({row["digest_low"] for row in rows}) == 200
