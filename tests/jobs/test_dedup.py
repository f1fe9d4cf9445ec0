from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.cli.boundary import run
from greendata.errors import (
    LimitExceededError,
    ObjectChangedError,
    ObjectNotFoundError,
    UsageError,
)
from greendata.jobs import dedup as job
from greendata.jobs.dedup import DedupRequest, DedupSummary
from greendata.jobs.request import keep_order
from greendata.progress import Progress
from greendata.recompress.publishing import Destination
from greendata.stores.local import path_to_uri
from tests.dedup.reference import jaccard
from tests.jobs.made_scans import run_scan, text, variant, write_lines

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NEAR = variant(text(3), 5)


def write_table(path: Path, texts: list[str | None], **columns: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"text": pa.array(texts, pa.string())} | columns)
    pq.write_table(table.replace_schema_metadata({"made": "by hand"}), path, row_group_size=2)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_table(
        tmp_path / "data" / "deep" / "a.parquet",
        [text(1), text(2), text(1), None, text(3)],
        score=[1.0, 2.0, 9.0, None, 4.0],
        id=[10, 11, 12, 13, 14],
    )
    lines = [
        {"text": text(2), "score": 7, "tags": ["x"]},
        {"text": NEAR, "score": 1.5, "tags": None},
        {"text": text(4), "score": 2, "tags": {"a": 1}, "extra": True},
    ]
    (tmp_path / "data" / "b.jsonl").write_text(
        "\n".join(json.dumps(line) for line in lines[:2]) + "\n\n" + json.dumps(lines[2]) + "\n"
    )
    (tmp_path / "data" / "notes.png").write_bytes(b"\x89PNG")
    run_scan(tmp_path / "data", catalog=tmp_path / "c")
    return tmp_path


def dedup(world: Path, *sources: str, **options: Any) -> DedupSummary:
    request = DedupRequest(
        uris=tuple(path_to_uri(str(world / name)) for name in sources or ("data",)),
        destination=options.pop("destination", path_to_uri(str(world / "out"))),
        catalog=str(world / "c"),
        **options,
    )
    return job.dedup(request, progress=Progress(), now=NOW)


def texts(world: Path) -> Counter[str | None]:
    return Counter(
        value
        for path in (world / "out").rglob("*.parquet")
        if "_greendata" not in path.parts
        for value in pq.read_table(path)["text"].to_pylist()
    )


def test_each_text_stays_once_and_every_row_is_accounted_for(world: Path) -> None:
    found = dedup(world)
    longest = max(text(3), NEAR, key=lambda t: len(t.encode()))
    assert texts(world) == Counter([text(1), text(2), longest, text(4), None])
    assert (found.rows_in, found.rows_out) == (8, 5)
    assert (found.left_out_exact, found.left_out_near) == (2, 1)
    left = pq.read_table(world / "out" / "_greendata" / "left_out.parquet").to_pylist()
    assert len(left) == 3
    near = next(row for row in left if row["kind"] == "near")
    assert near["jaccard"] == pytest.approx(jaccard(text(3), NEAR))
    assert [Path(o.uri).name for o in found.not_copied] == ["notes.png"]
    manifest = json.loads((world / "out" / "_greendata" / "manifest.json").read_text())
    assert manifest["rows_in"] == manifest["rows_out"] + manifest["left_out"]["rows"]
    assert {Path(o["uri"]).name for o in manifest["objects"]} == {"a.parquet", "b.parquet"}


def test_parquet_keeps_its_schema_and_metadata(world: Path) -> None:
    dedup(world)
    copy = pq.read_table(world / "out" / "deep" / "a.parquet")
    source = pq.read_table(world / "data" / "deep" / "a.parquet")
    assert copy.schema.equals(source.schema, check_metadata=True)
    metadata = pq.read_metadata(world / "out" / "deep" / "a.parquet")
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_json_lines_become_typed_columns(world: Path) -> None:
    dedup(world, is_exact_only=True)
    copy = pq.read_table(world / "out" / "b.parquet")
    assert copy.schema.names == ["text", "score", "tags", "extra"]
    assert copy.schema.field("extra").type == pa.bool_()
    assert copy.schema.field("score").type == pa.float64()
    assert copy.schema.field("tags").type == pa.json_()
    assert set(copy["tags"].to_pylist()) <= {'["x"]', None, '{"a": 1}'}


def test_exact_only_leaves_near_duplicates(world: Path) -> None:
    found = dedup(world, is_exact_only=True)
    assert (found.left_out_exact, found.left_out_near) == (2, 0)
    assert texts(world)[NEAR] == texts(world)[text(3)] == 1


def test_a_threshold_above_keeps_what_is_less_alike(world: Path) -> None:
    with pytest.raises(UsageError, match="index finds pairs"):
        dedup(world, threshold=0.3)
    assert dedup(world, threshold=0.95).left_out_near == 0


def test_mark_keeps_all_rows_and_says_what_they_are(world: Path) -> None:
    found = dedup(world, is_mark=True)
    assert found.rows_in == found.rows_out == 8
    a = pq.read_table(world / "out" / "deep" / "a.parquet").to_pylist()
    b = pq.read_table(world / "out" / "b.parquet").to_pylist()
    assert sum(row["copies"] for row in [*a, *b]) == 8
    assert a[0]["duplicate_of"] is None or a[2]["duplicate_of"] is None
    named = [row["duplicate_of"] for row in [*a, *b] if row["copies"] == 0]
    assert len(named) == 3
    assert all(name.rpartition("#")[2].isdigit() for name in named)
    assert a[3]["copies"] == 1  # a row without text is alone


@pytest.mark.parametrize(
    ("keep", "kept_id"), [("longest", 10), ("first", 10), ("column:score", 12)]
)
def test_the_keep_order_chooses(world: Path, keep: str, kept_id: int) -> None:
    order, column = keep_order(keep)
    dedup(world, keep=order, score_column=column, is_exact_only=True)
    rows = pq.read_table(world / "out" / "deep" / "a.parquet").to_pylist()
    assert kept_id in {row["id"] for row in rows if row["text"] == text(1)}
    if column:  # the copy in b.jsonl has 7, the one in a.parquet 2
        assert text(2) not in {row["text"] for row in rows}


@pytest.mark.parametrize("keep", ["newest", "oldest"])
def test_the_age_of_objects_chooses(world: Path, keep: str) -> None:
    import os

    os.utime(world / "data" / "b.jsonl", (1_000_000_000, 1_000_000_000))
    run_scan(world / "data", catalog=world / "c")
    dedup(world, keep=keep_order(keep)[0])
    a = pq.read_table(world / "out" / "deep" / "a.parquet")["text"].to_pylist()
    assert (text(2) in a) is (keep == "newest")


@pytest.mark.parametrize("keep", ["", "column:", "best", "score"])
def test_an_order_that_is_none_is_refused(keep: str) -> None:
    with pytest.raises(UsageError, match="--keep"):
        keep_order(keep)


def test_what_is_kept_elsewhere_stays_in_the_copy(world: Path) -> None:
    """A text whose kept partner is not copied must not be lost."""
    write_lines(world / "more" / "x.jsonl", [text(50), text(2), text(1)])
    write_lines(world / "zmore" / "x.jsonl", [text(50)])
    run_scan(world / "data", world / "more", world / "zmore", catalog=world / "c")
    dedup(world, "zmore")
    assert texts(world) == Counter([text(50)])


def test_several_sources_are_one_corpus(world: Path) -> None:
    write_lines(world / "more" / "x.jsonl", [text(2), text(60)])
    run_scan(world / "data", world / "more", catalog=world / "c")
    dedup(world, "data", "more")
    assert texts(world)[text(2)] == texts(world)[text(60)] == 1
    assert {path.name for path in (world / "out").iterdir()} >= {"data", "more"}


# What is refused


def test_a_destination_that_is_not_empty_or_in_a_source_is_refused(world: Path) -> None:
    (world / "link").symlink_to(world / "data")
    for place in ("data/out", "data", ".", "link/out"):
        with pytest.raises(UsageError, match="is in"):
            dedup(world, destination=path_to_uri(os.path.normpath(world / place)))
    (world / "out").mkdir()
    (world / "out" / "x").write_bytes(b"1")
    with pytest.raises(UsageError, match="not empty"):
        dedup(world)


@pytest.mark.parametrize("change", ["changed", "new"])
def test_a_source_that_is_not_as_it_was_scanned_is_refused(world: Path, change: str) -> None:
    name = "b.jsonl" if change == "changed" else "new.jsonl"
    write_lines(world / "data" / name, [text(70)])
    with pytest.raises(ObjectChangedError, match=name):
        dedup(world)
    assert not (world / "out" / "_greendata" / "manifest.json").exists()


@pytest.mark.parametrize("keep", ["longest", "column:score"])
def test_a_text_that_is_not_the_one_that_was_scanned_stops_the_copy(world: Path, keep: str) -> None:
    """The ETag says nothing changed, the bytes do: of a text that is left out, or that stays for
    others, which would be lost with them."""
    import os

    path = world / "data" / "b.jsonl"
    status, raw = path.stat(), path.read_bytes()
    words = text(2).encode().split()
    changed = raw.replace(b" ".join(words[:2]), b" ".join(words[1::-1]), 1)
    changed = changed if len(changed) == len(raw) else raw
    assert changed != raw
    with path.open("r+b") as stream:
        stream.write(changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    order, column = keep_order(keep)
    with pytest.raises(ObjectChangedError, match="is not the text that was scanned"):
        dedup(world, keep=order, score_column=column, is_exact_only=True)
    assert not (world / "out" / "_greendata" / "manifest.json").exists()


def test_what_was_never_scanned_is_refused(world: Path) -> None:
    (world / "fresh").mkdir()
    (world / "fresh" / "x.png").write_bytes(b"\x89PNG")
    with pytest.raises(ObjectNotFoundError, match="no scanned object"):
        dedup(world, "fresh")


def test_other_formats_are_refused_by_name(world: Path) -> None:
    (world / "table").mkdir()
    (world / "table" / "t.csv").write_text("text\n" + text(1) + "\n" + text(2) + "\n")
    run_scan(world / "table", catalog=world / "c")
    with pytest.raises(UsageError, match="csv cannot be copied"):
        dedup(world, "table")


def test_an_alarm_stops_until_somebody_confirms(world: Path) -> None:
    with pytest.raises(LimitExceededError, match="more than --max-removal-share"):
        dedup(world, max_removal_share=0.1)
    assert not (world / "out").exists()
    write_lines(world / "many" / "m.jsonl", [text(80)] * 3)
    run_scan(world / "many", catalog=world / "c")
    with pytest.raises(LimitExceededError, match="--max-group 1"):
        dedup(world, "many", max_group=1)
    found = dedup(world, max_removal_share=0.1, is_confirmed=True)
    assert [alarm.name for alarm in found.alarms] == ["large-removal"]
    assert found.alarms[0].examples


def test_another_copy_to_the_same_place_is_not_written_over(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began after this one found the place empty, and was first."""
    look, others = Destination._content, iter([True])

    def look_and_be_overtaken(place: Destination) -> str | None:
        found = look(place)
        if next(others, False):
            dedup(world, is_mark=True)
        return found

    monkeypatch.setattr(Destination, "_content", look_and_be_overtaken)
    with pytest.raises(UsageError, match="is there already, with other content"):
        dedup(world)
    manifest = json.loads((world / "out" / "_greendata" / "manifest.json").read_text())
    for entry in manifest["objects"]:
        content = Path(entry["uri"].removeprefix("file://")).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def test_the_command_says_what_it_did(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--catalog", str(world / "c"), "dedup", str(world / "data")]
    assert run([*arguments, "-o", str(world / "out")]) == 0
    assert "5 of 8 rows of 2 objects are in" in capsys.readouterr().out
    assert run([*arguments, "-o", str(world / "out")]) == 2
    assert run([*arguments, "-o", str(world / "out2"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows_out"] == 5


def test_the_copy_is_clean_when_it_is_scanned_again(world: Path) -> None:
    dedup(world)
    summary = run_scan(world / "out", catalog=world / "c2")
    assert summary.redundant_documents == 0
    assert summary.documents == 4  # those with text


def test_a_copy_goes_to_a_bucket(world: Path, s3: Any, bucket: str) -> None:
    found = dedup(world, destination=f"s3://{bucket}/clean")
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys == {
        "clean/deep/a.parquet",
        "clean/b.parquet",
        "clean/_greendata/left_out.parquet",
        "clean/_greendata/manifest.json",
    }
    assert found.rows_out == 5


def test_a_copy_is_verified_by_its_manifest(world: Path) -> None:
    assert dedup(world, profile="archive").rows_out == 5
    assert run(["verify", str(world / "out"), "--full"]) == 0
    path = world / "out" / "_greendata" / "left_out.parquet"
    raw = bytearray(path.read_bytes())
    raw[30] ^= 1
    path.write_bytes(raw)
    assert run(["verify", str(world / "out")]) == 0
    assert run(["verify", str(world / "out"), "--full"]) == 31
