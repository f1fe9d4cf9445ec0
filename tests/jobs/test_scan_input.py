"""What bad input gets: a message with the URI and what to do, an exit code, the others read."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from greendata.cli.boundary import run
from greendata.errors import StoreUnreachableError
from greendata.model import StoredObject
from greendata.shards.parquet import ParquetShard
from greendata.stores.local import LocalStore
from tests.jobs.made_scans import (
    duplicates,
    environment,
    query,
    run_scan,
    text,
    uri,
    variant,
    write_lines,
    write_parquet,
)

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one good shard of two documents, one of them redundant."""
    monkeypatch.chdir(tmp_path)
    for name in ("CATALOG", "CONFIG", "WORKERS", "MEMORY"):
        monkeypatch.delenv(f"GREENDATA_{name}", raising=False)
    write_lines(tmp_path / "data" / "good.jsonl", [text(1), text(1)])
    return tmp_path / "data"


def _scan(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["scan", "--json", *arguments]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def _skipped(capsys: Capture, *arguments: str) -> dict[str, tuple[str, str]]:
    """Name, reason and detail of what was skipped; the good shard was scanned all the same."""
    document = _scan(capsys, *arguments, code=3)
    assert (document["documents"], document["exact_duplicate_documents"]) == (2, 1)
    return {
        entry["uri"].rpartition("/")[2]: (entry["reason"], entry["detail"])
        for entry in document["skipped"]
    }


def _fails(capsys: Capture, *arguments: str, code: int) -> str:
    assert run(["scan", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert "hint: " in captured.err
    return captured.err


def test_an_empty_folder_is_said_to_be_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run(["scan", "empty"]) == 0
    captured = capsys.readouterr()
    assert f"{uri(tmp_path / 'empty')}: there is no file with documents" in captured.out


def test_a_missing_path_and_a_glob_without_match_are_not_found(data: Path, capsys: Capture) -> None:
    assert "data/nowhere: not found" in _fails(capsys, "data/nowhere", code=22)
    assert "data/*.parquet: nothing matches" in _fails(capsys, "data/*.parquet", code=22)
    _fails(capsys, "data", "data/nowhere", code=22)


def test_a_file_that_cannot_be_opened_is_skipped(
    data: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(data / "broken.jsonl", [text(2)])
    original = LocalStore.open

    def failing(self: LocalStore, item: StoredObject) -> Any:
        if item.uri.endswith("broken.jsonl"):
            raise StoreUnreachableError(f"{item.uri}: the device failed", hint="Check the disk.")
        return original(self, item)

    monkeypatch.setattr(LocalStore, "open", failing)
    found = _skipped(capsys, "data")
    assert found["broken.jsonl"] == ("unreadable", "the device failed Check the disk.")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_files_and_folders_of_somebody_else_are_skipped_and_named() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        _scan_as_somebody_else(Path(folder))


def _scan_as_somebody_else(root: Path) -> None:
    root.chmod(0o777)
    write_lines(root / "data" / "good.jsonl", [text(1), text(1)])
    write_lines(root / "data" / "mine.jsonl", [text(1)]).chmod(0)
    write_lines(root / "data" / "locked" / "a.jsonl", [text(1)]).parent.chmod(0)
    code = (
        "import os, sys\nfrom greendata.cli.boundary import run\n"
        "run(['-q', 'scan', '--catalog', sys.argv[2] + '/0', sys.argv[1] + '/good.jsonl'])\n"
        "os.setgid(65534), os.setuid(65534)  # all that is imported is imported by now\n"
        "sys.exit(run(['scan', '--json', '--catalog', sys.argv[2] + '/1', sys.argv[1]]))"
    )
    (root / "catalogs").mkdir(mode=0o777)
    (root / "catalogs").chmod(0o777)
    arguments = [str(root / "data"), str(root / "catalogs")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout[done.stdout.index("{") :])
    assert document["documents"] == 2
    assert {(e["uri"].rpartition("/")[2], e["reason"]) for e in document["skipped"]} == {
        ("mine.jsonl", "denied"),
        ("locked", "denied"),
    }


def test_a_folder_named_like_a_file_is_a_folder(data: Path, capsys: Capture) -> None:
    (data / "x.parquet").mkdir()
    write_parquet(data / "x.parquet" / "part-0.parquet", [text(1)])
    assert _scan(capsys, "data")["documents"] == 3
    assert _scan(capsys, "data/x.parquet")["documents"] == 1


def test_what_is_cut_short_is_skipped_as_truncated(data: Path, capsys: Capture) -> None:
    lines = (data / "good.jsonl").read_bytes() * 50
    (data / "a.jsonl.gz").write_bytes(gzip.compress(lines)[:-30])
    (data / "b.jsonl.zst").write_bytes(zstandard.compress(lines)[:-30])
    whole = write_parquet(data / "c.parquet", [text(n) for n in range(9)]).read_bytes()
    (data / "c.parquet").write_bytes(whole[:-30])
    (data / "d.parquet").write_bytes(b"")
    found = _skipped(capsys, "data")
    assert {name: reason for name, (reason, _) in found.items()} == {
        "a.jsonl.gz": "truncated",
        "b.jsonl.zst": "truncated",
        "c.parquet": "truncated",
        "d.parquet": "truncated",
    }
    assert query(data.parent / ".greendata", "SELECT count(*) FROM documents") == [(2,)]


def test_invalid_utf8_is_a_skipped_document_with_its_row(data: Path, capsys: Capture) -> None:
    (data / "bad.jsonl").write_bytes(b'{"text": "fine"}\n{"text": "b\xff\xfed"}\n')
    table = pa.table({"text": pa.array([b"fine too", b"\xed\xa0\x80"], pa.binary()).view("string")})
    pq.write_table(table, data / "bad.parquet")
    document = _scan(capsys, "data")
    assert (document["documents"], document["skipped_documents"]) == (4, 2)
    told = {
        (entry["uri"].rpartition("/")[2], entry["row"])
        for entry in document["skipped_document_examples"]
    }
    assert told == {("bad.jsonl", 1), ("bad.parquet", 1)}


def test_no_text_column_is_named_with_the_columns_there_are(data: Path, capsys: Capture) -> None:
    pq.write_table(pa.table({"number": [1, 2], "other": [0.5, 1]}), data / "numbers.parquet")
    reason, detail = _skipped(capsys, "data")["numbers.parquet"]
    assert reason == "no-text-column"
    assert "number" in detail
    assert "--rows" in detail or "--text-column" in detail


def test_a_text_column_that_is_missing_or_no_text_is_refused(data: Path, capsys: Capture) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), data / "b.parquet")
    document = _scan(capsys, "data/b.parquet", "--text-column", "absent", code=3)
    assert document["skipped"][0]["reason"] == "no-text-column"
    document = _scan(capsys, "data/b.parquet", "--text-column", "n", code=3)
    assert document["skipped"][0]["reason"] == "no-text-column"


def test_a_record_above_the_limit_is_skipped_with_its_row(data: Path, capsys: Capture) -> None:
    write_lines(data / "long.jsonl", ["short", "x " * 5_000, text(1)])
    write_parquet(data / "long.parquet", ["short", "x " * 5_000])
    document = _scan(capsys, "data", "--max-record-bytes", "4KiB")
    assert (document["documents"], document["skipped_documents"]) == (5, 2)
    rows = {(e["uri"].rpartition("/")[2], e["row"]) for e in document["skipped_document_examples"]}
    assert rows == {("long.jsonl", 1), ("long.parquet", 1)}
    assert document["exact_duplicate_documents"] == 3


def test_shards_of_other_schemas_each_give_their_texts(data: Path, capsys: Capture) -> None:
    pq.write_table(pa.table({"content": [text(1)], "n": [1]}), data / "a.parquet")
    pq.write_table(pa.table({"body": pa.array([text(1)], pa.large_string())}), data / "b.parquet")
    document = _scan(capsys, "data")
    assert document["exact_duplicate_documents"] == 3
    assert set(document["datasets"][0]["text_columns"]) == {"text", "content", "body"}


def test_files_without_rows_and_texts_that_are_empty_are_fine(data: Path, capsys: Capture) -> None:
    write_parquet(data / "none.parquet", [])
    write_lines(data / "none.jsonl", [])
    write_parquet(data / "empty.parquet", ["", "", None])
    document = _scan(capsys, "data")
    assert (document["documents"], document["null_documents"]) == (4, 1)
    assert document["exact_duplicate_documents"] == 2
    assert document["skipped"] == []


def test_only_nulls_and_empty_texts(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "a.parquet", [None, None])
    write_parquet(tmp_path / "data" / "b.parquet", ["", "", ""])
    summary = run_scan(tmp_path / "data", catalog=tmp_path / "catalog")
    assert (summary.documents, summary.null_documents, summary.redundant_documents) == (3, 2, 2)


def test_a_file_that_changes_while_it_is_read_is_skipped_and_read_by_the_next(
    data: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(data / "moving.parquet", [text(2), text(3)])
    original = ParquetShard.read

    def touching(self: ParquetShard, part: Any) -> Any:
        yield from original(self, part)
        os.utime(path, ns=(1, 1))

    monkeypatch.setattr(ParquetShard, "read", touching)
    reason, detail = _skipped(capsys, "data")["moving.parquet"]
    assert reason == "changed"
    assert "Scan again" in detail
    monkeypatch.undo()
    monkeypatch.chdir(data.parent)
    assert _scan(capsys, "data")["documents"] == 4


def test_a_file_that_vanishes_between_listing_and_reading_is_skipped_as_gone(
    data: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines(data / "brief.jsonl", [text(2)])
    original = LocalStore.identity

    def removing(self: LocalStore, item: StoredObject) -> Any:
        path.unlink(missing_ok=True)
        return original(self, item)

    monkeypatch.setattr(LocalStore, "identity", removing)
    assert _skipped(capsys, "data")["brief.jsonl"][0] == "gone"


@pytest.mark.parametrize("catalog", ["data/.greendata", "data/results", "link/results"])
def test_a_folder_that_holds_its_own_catalog_is_scanned_without_it(
    data: Path, capsys: Capture, catalog: str
) -> None:
    Path("link").symlink_to(data)
    for _ in range(2):
        document = _scan(capsys, "data", "--catalog", catalog)
        assert (document["objects"], document["documents"]) == (1, 2)
        assert document["ignored"] == []
    assert _scan(capsys, "link", "--catalog", catalog)["objects"] == 1
    assert _scan(capsys, "data/*", "--catalog", catalog)["objects"] == 1


def test_links_are_ignored_unless_named(data: Path, capsys: Capture, tmp_path: Path) -> None:
    outside = write_lines(tmp_path / "outside" / "o.jsonl", [text(1)])
    (data / "file.jsonl").symlink_to(outside)
    (data / "folder").symlink_to(outside.parent)
    (data / "loop").symlink_to(data)
    (data / "dangling.jsonl").symlink_to(data / "nowhere")
    os.mkfifo(data / "pipe.jsonl")
    document = _scan(capsys, "data")
    assert (document["documents"], document["skipped"]) == (2, [])
    names = {entry["uri"].rpartition("/")[2] for entry in document["ignored"]}
    assert names == {"file.jsonl", "folder", "loop", "dangling.jsonl", "pipe.jsonl"}
    assert _scan(capsys, "data/file.jsonl")["documents"] == 1


NAMES = [
    "with space",
    "new\nline",
    "<script>alert(1)<",
    "100%",
    "%41",
    "#frag?q",
    "[1]*",
    "'quote'",
]


def test_odd_names_are_scanned_shown_and_read_back(data: Path, capsys: Capture) -> None:
    for name in [*NAMES, os.fsdecode(b"latin-\xe9")]:
        write_lines(data / name / f"{name}.jsonl", [variant(text(1), 1)])
    document = _scan(capsys, "data")
    assert document["documents"] == 2 + len(NAMES) + 1
    assert _scan(capsys, "data")["objects_read"] == 0
    catalog = data.parent / ".greendata"
    found = {row[0] for row in duplicates(catalog)} | {row[2] for row in duplicates(catalog)}
    assert {uri(data / name / f"{name}.jsonl") for name in NAMES} <= found
    assert run(["duplicates", "--members", "20"]) == 0
    shown = capsys.readouterr().out
    assert "new\\nline" in shown or "new%0Aline" in shown
    assert "new\nline" not in shown
    assert run(["duplicates", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert all(group["text_problem"] is None for group in groups)


def test_a_name_with_glob_characters_means_itself_when_it_is_there(
    data: Path, capsys: Capture
) -> None:
    write_lines(data / "[1].jsonl", [text(4)])
    write_lines(data / "1.jsonl", [text(5), text(6)])
    assert _scan(capsys, "data/[1].jsonl")["documents"] == 1


def _bombs(data: Path) -> None:
    zeros = b'{"text": "' + b"a" * (300 << 20)
    (data / "a.jsonl.zst").write_bytes(zstandard.compress(zeros))
    (data / "b.jsonl.gz").write_bytes(gzip.compress(zeros, 1))
    bomb = pa.table({"text": pa.array(["b" * (300 << 20)])})
    options = {"use_dictionary": False, "write_statistics": False}  # these take seconds
    pq.write_table(bomb, data / "c.parquet", compression="zstd", **options)
    indices = pa.array([0] * 2_000, pa.int32())
    wide = pa.table({"text": pa.DictionaryArray.from_arrays(indices, ["c" * (40 << 20)])})
    pq.write_table(wide, data / "d.parquet", compression="zstd")


def _peak(data: Path, *options: str) -> tuple[dict[str, Any], int]:
    arguments = ["scan", "--json", "--catalog", str(data / ".greendata"), str(data), *options]
    done = subprocess.run(
        [sys.executable, "-m", "greendata", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
    )
    document = json.loads(done.stdout)
    return document, document["peak_rss_bytes"]


@pytest.mark.slow
def test_bombs_are_bounded_in_memory(data: Path) -> None:
    _bombs(data)
    document, peak = _peak(data, "--workers", "2")
    assert peak < 2 << 30
    assert document["exact_duplicate_documents"] >= 1
    told = {e["uri"].rpartition("/")[2] for e in document["skipped"]}
    told |= {e["uri"].rpartition("/")[2] for e in document["skipped_document_examples"]}
    assert {"a.jsonl.zst", "b.jsonl.gz", "c.parquet"} <= told


@pytest.mark.slow
def test_a_line_of_300_megabytes_costs_no_such_memory(data: Path) -> None:
    with (data / "long.jsonl").open("wb") as stream:
        stream.write(b'{"text": "')
        for _ in range(300):
            stream.write(b"word " * 200_000)
        stream.write(b'"}\n{"text": "after it"}\n')
    document, peak = _peak(data, "--workers", "2")
    assert peak < 1 << 30
    assert (document["documents"], document["skipped_documents"]) == (3, 1)
    allowed, peak = _peak(data, "--workers", "2", "--max-record-bytes", "400MiB")
    assert (allowed["documents"], allowed["skipped_documents"]) == (4, 0)
    assert peak < 2 << 30


@pytest.mark.slow
def test_a_million_copies_of_a_document(data: Path) -> None:
    once = pa.array([text(7)] * 250_000)
    for number in range(4):
        pq.write_table(pa.table({"text": once}), data / f"{number}.parquet")
    document, peak = _peak(data, "--workers", "2")
    assert document["exact_duplicate_documents"] == 1_000_000
    assert peak < 2 << 30


@pytest.mark.slow
def test_a_hundred_thousand_variants_of_a_document(data: Path) -> None:
    words, draw = text(7, 200).split(), random.Random(1)
    texts = []
    for number in range(100_000):
        changed = list(words)
        changed[draw.randrange(200)] = f"n{number}"
        texts.append(" ".join(changed))
    write_parquet(data / "v.parquet", texts, 20_000)
    document, peak = _peak(data, "--workers", "2")
    assert document["near_duplicate_documents"] > 95_000
    assert peak < 2 << 30
