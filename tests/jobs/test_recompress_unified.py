"""Shards of JSON Lines that differ in what is missing, null or whole are put in one order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from greendata.jobs import export_jsonl, recompress
from greendata.jobs.recompress_records import RecompressRequest
from greendata.progress import Progress
from greendata.recompress.sources import Grade
from greendata.stores.local import path_to_uri
from tests.jobs.made_scans import text

NOW = datetime(2026, 3, 1, tzinfo=UTC)

SHARDS: dict[str, list[dict[str, Any]]] = {
    "a": [{"text": text(n), "score": n} for n in range(40)],
    "b": [{"text": text(n), "score": n / 4, "license": None} for n in range(20, 60)],
    "c": [{"text": text(n), "score": None, "license": "CC0"} for n in range(40, 80)],
}


@pytest.mark.parametrize("grade", Grade)
def test_shards_of_a_dataset_are_ordered_together(tmp_path: Path, grade: Grade) -> None:
    (tmp_path / "data").mkdir()
    for name, records in SHARDS.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / "data" / f"{name}.jsonl").write_text(lines)
    found = recompress.recompress(
        RecompressRequest(
            uris=(path_to_uri(str(tmp_path / "data")),),
            destination=path_to_uri(str(tmp_path / "out")),
            catalog=str(tmp_path / "c"),
            min_saving=0.0,
            profile="archive",
            grade=grade,
        ),
        progress=Progress(),
        now=NOW,
    )
    assert not found.skipped
    assert [path.name for path in (tmp_path / "out").glob("*.parquet")] == ["part-00000.parquet"]
    table = pq.read_table(tmp_path / "out" / "part-00000.parquet")
    assert table.num_rows == 120
    request = export_jsonl.ExportJsonlRequest(
        place=path_to_uri(str(tmp_path / "out")),
        destination=path_to_uri(str(tmp_path / "back")),
    )
    export_jsonl.export_jsonl(request, progress=Progress())
    for name, records in SHARDS.items():
        raw = (tmp_path / "back" / f"{name}.jsonl").read_bytes()
        assert [json.loads(line) for line in raw.splitlines()] == records
        if grade is Grade.EXACT:
            assert raw == (tmp_path / "data" / f"{name}.jsonl").read_bytes()
