from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

from greendata.errors import ObjectNotFoundError, UsageError
from greendata.jobs import demo
from greendata.jobs.demo import (
    LARGEST_FILE_BYTES,
    DemoDocument,
    collect_documents,
    first_version,
    second_version,
    write_versions,
)
from greendata.progress import Progress


def documents(count: int) -> list[DemoDocument]:
    return [DemoDocument(name=f"module{i}.py", text=f"text {i}\n") for i in range(count)]


def test_versions_differ_by_about_the_stated_shares() -> None:
    every = documents(5_000)
    first, second = first_version(every), second_version(every)
    first_names, second_names = {d.name for d in first}, {d.name for d in second}
    edited = {d.text for d in second} - {d.text for d in every}
    assert len(first_names - second_names) == pytest.approx(500, rel=0.2)
    assert len(second_names - first_names) == pytest.approx(400, rel=0.2)
    assert len(edited) == pytest.approx(250, rel=0.25)
    assert first == first_version(documents(5_000))


def test_fate_of_a_document_hangs_on_its_name_only() -> None:
    one, other = (DemoDocument(name="a/b.py", text=text) for text in ("x", "y"))
    assert one.fate == other.fate


def test_collect_documents_takes_readable_texts_once_in_order(tmp_path: Path) -> None:
    root = tmp_path / "lib"
    (root / "b").mkdir(parents=True)
    (root / "a.py").write_text("code")
    (root / "b" / "LICENSE").write_text("licence")
    (root / "b" / "guide.rst").write_text("guide")
    (root / "b" / "data.bin").write_text("data")
    (root / "b" / "latin.py").write_bytes(b"caf\xe9")
    (root / "b" / "blank.py").write_text(" \n")
    (root / "b" / "huge.txt").write_text("x" * (LARGEST_FILE_BYTES + 1))
    (root / "b" / "gone.py").symlink_to(root / "nowhere")
    found = list(collect_documents((root, root), max_bytes=10**9))
    assert [document.name for document in found] == ["a.py", "b/LICENSE", "b/guide.rst"]


def test_collect_documents_stops_at_its_limit(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.py").write_text("x" * 100)
    assert len(list(collect_documents((tmp_path,), max_bytes=450))) == 4


def test_write_versions_makes_zstd_json_lines_and_snappy_parquet(tmp_path: Path) -> None:
    folders = write_versions(tmp_path / "demo", max_bytes=3_000_000, progress=Progress())
    first = [
        json.loads(line)
        for path in sorted(folders["v1"].iterdir())
        for line in zstandard.open(io.BytesIO(path.read_bytes()), "rt", encoding="utf-8")
    ]
    second = pq.read_table(folders["v2"])
    assert len(list(folders["v1"].iterdir())) == len(list(folders["v2"].iterdir())) == 4
    column = pq.read_metadata(next(folders["v2"].iterdir())).row_group(0).column(1)
    assert column.compression == "SNAPPY"
    shared = {row["text"] for row in first} & set(second.column("text").to_pylist())
    assert 0.5 < len(shared) / len(first) < 1


def test_write_versions_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="not an empty folder"):
        write_versions(tmp_path, max_bytes=1_000, progress=Progress())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_write_versions_says_when_there_are_no_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_roots", lambda: (tmp_path / "none",))
    with pytest.raises(ObjectNotFoundError, match="no source files"):
        write_versions(tmp_path / "demo", max_bytes=1_000, progress=Progress())
