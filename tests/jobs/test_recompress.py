from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.cli.boundary import run
from greendata.errors import (
    IntegrityError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreUnreachableError,
    UnsupportedError,
    UsageError,
)
from greendata.jobs import export_jsonl, recompress, restore_order, rewriting, verify
from greendata.jobs.recompress_records import RecompressRequest, RecompressSummary
from greendata.progress import Progress
from greendata.recompress import columnar
from greendata.recompress.publishing import Destination
from greendata.recompress.sources import Grade
from greendata.stores.local import path_to_uri
from tests.jobs.made_scans import run_scan, text, variant

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def write_arrow(path: Path, table: pa.Table) -> None:
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=30)


def uri(path: Path) -> str:
    return path_to_uri(str(path))


def write_parquet(path: Path, texts: list[str | None], **options: Any) -> pa.Table:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": list(range(len(texts))), "text": pa.array(texts, pa.string())})
    table = table.replace_schema_metadata({"huggingface": '{"info": 1}'})
    pq.write_table(table, path, **{"compression": "none", "row_group_size": 50} | options)
    return table


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Documents of which every third is like the one of the same number in another file."""
    shuffled = random.Random(5).sample(range(300), 300)
    texts = {n: text(n) if n % 3 else variant(text(n % 30), n) for n in shuffled}
    names = list(texts)
    write_parquet(tmp_path / "data" / "deep" / "a.parquet", [texts[n] for n in names[:120]])
    table = write_parquet(tmp_path / "b.parquet", [texts[n] for n in names[120:200]])
    (tmp_path / "b.parquet").unlink()
    write_arrow(tmp_path / "data" / "b.arrow", table)
    lines = "".join(json.dumps({"id": n, "text": texts[n]}) + "\n" for n in names[200:])
    (tmp_path / "data" / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode(), 0))
    (tmp_path / "data" / "d.csv").write_text(
        "id,text\n" + "".join(f'{n},"{texts[n]}"\n' for n in names[:90])
    )
    (tmp_path / "data" / "notes.png").write_bytes(b"\x89PNG")
    return tmp_path


def rewrite(
    world: Path, *sources: str, to: str | None = "out", **options: Any
) -> RecompressSummary:
    request = RecompressRequest(
        uris=tuple(uri(world / name) for name in sources or ("data",)),
        destination=None if to is None else uri(world / to),
        catalog=str(world / "c"),
        **{"min_saving": 0.0} | options,
    )
    return recompress.recompress(request, progress=Progress(), now=NOW)


def check(world: Path, place: str = "out", *, is_full: bool = True) -> verify.VerifySummary:
    request = verify.VerifyRequest(place=uri(world / place), is_full=is_full)
    return verify.verify(request, progress=Progress())


def manifest(world: Path, place: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world / place / "_greendata" / "manifest.json").read_text())
    return found


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name != "write.lock"
    }


def test_every_format_becomes_the_same_rows(world: Path) -> None:
    found = rewrite(world)
    assert files(world / "out") == {
        "deep/a.parquet", "b.parquet", "c.parquet", "d.parquet", "_greendata/manifest.json"
    }  # fmt: skip
    assert pq.read_table(world / "out/deep/a.parquet").equals(
        pq.read_table(world / "data/deep/a.parquet")
    )
    assert pq.read_table(world / "out/b.parquet").equals(
        pa.ipc.open_file(world / "data/b.arrow").read_all()
    )
    lines = gzip.decompress((world / "data/c.jsonl.gz").read_bytes()).splitlines()
    assert pq.read_table(world / "out/c.parquet").to_pylist() == [json.loads(x) for x in lines]
    assert pq.read_table(world / "out/d.parquet").num_rows == 90
    assert found.size_bytes_out < found.size_bytes_in
    assert not found.skipped
    assert [Path(entry.uri).name for entry in found.ignored] == ["notes.png"]
    assert check(world).damaged == ()


def test_the_manifest_says_what_proves_it(world: Path) -> None:
    rewrite(world)
    found = manifest(world)
    assert found["schema_version"] == found["generation"] == 1
    assert found["command"] == "recompress"
    for entry in found["objects"]:
        path = Path(entry["uri"].removeprefix("file://"))
        raw = path.read_bytes()
        assert hashlib.sha256(raw).hexdigest() == entry["sha256"]
        assert (len(raw), pq.read_metadata(path).num_rows) == (entry["bytes"], entry["rows"])
    by_name = {Path(entry["uri"]).name: entry for entry in found["sources"]}
    source = by_name["c.jsonl.gz"]
    assert source["sha256"] == hashlib.sha256((world / "data/c.jsonl.gz").read_bytes()).hexdigest()
    made = next(e for e in found["objects"] if e["uri"] == source["outputs"][0])
    assert (source["row_digest"], source["row_set_digest"]) == (
        made["row_digest"],
        made["row_set_digest"],
    )
    assert found["writer"]["pyarrow"] == pa.__version__


def test_metadata_of_a_file_is_carried_over(world: Path) -> None:
    rewrite(world)
    for name in ("deep/a.parquet", "b.parquet"):
        found = pq.read_schema(world / "out" / name).metadata
        assert found[b"huggingface"] == b'{"info": 1}'
        assert json.loads(found[b"greendata:writer"])["level"] == 6


def test_the_same_request_gives_the_same_bytes(world: Path) -> None:
    for profile in ("stream", "archive"):
        rewrite(world, to=f"{profile}1", profile=profile, workers=1)
        rewrite(world, to=f"{profile}2", profile=profile, workers=2)
        for name in files(world / f"{profile}1") - {"_greendata/manifest.json"}:
            first = (world / f"{profile}1" / name).read_bytes()
            assert first == (world / f"{profile}2" / name).read_bytes()


def test_what_would_save_too_little_is_left_alone(world: Path) -> None:
    rewrite(world, "data/deep", to="small", profile="archive", order="keep")
    found = rewrite(world, "small", to="again", min_saving=0.15)
    assert [Path(entry.uri).name for entry in found.left_alone] == ["a.parquet"]
    assert not found.left_alone[0].is_measured
    assert found.left_alone[0].would_be_bytes > 0.85 * found.left_alone[0].size_bytes
    assert not (world / "again").exists()


def test_a_result_that_misses_the_gate_is_discarded(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greendata.recompress.gate import Prediction

    monkeypatch.setattr(Prediction, "saving", 0.99)
    rewrite(world, "data/deep", to="small", profile="archive", order="keep")
    found = rewrite(world, "small", to="again", min_saving=0.15)
    assert found.left_alone[0].is_measured
    assert found.objects == ()
    assert files(world / "again") == set()


def test_a_request_that_cannot_be_leaves_nothing_behind(world: Path) -> None:
    (world / "data" / "deep" / "a.csv").write_text("id,text\n" + "1,some text\n" * 99)
    with pytest.raises(UsageError, match="two objects would be copied"):
        rewrite(world, "data/deep")
    assert not (world / "out").exists()


def test_what_only_an_order_can_save_is_not_refused_by_the_sample(world: Path) -> None:
    """It is tried, and what comes of it is measured."""
    texts: list[str | None] = [text(row) for row in range(2_000)]
    path = world / "small" / "a.parquet"
    write_parquet(path, texts, compression="zstd", compression_level=9, row_group_size=2_000)
    kept = rewrite(world, "small", to="kept", profile="archive", order="keep", min_saving=0.1)
    assert not kept.left_alone[0].is_measured
    ordered = rewrite(world, "small", to="ordered", profile="archive", min_saving=0.1)
    assert all(entry.is_measured for entry in ordered.left_alone)


def test_a_dry_run_predicts_and_writes_nothing(world: Path) -> None:
    before = files(world)
    predicted = rewrite(world, to=None, is_dry_run=True)
    assert files(world) == before
    (dataset,) = predicted.predicted
    assert dataset.objects == 4
    written = rewrite(world)
    assert dataset.size_bytes == written.size_bytes_in
    assert dataset.predicted_bytes == pytest.approx(written.size_bytes_out, rel=0.35)


def test_similar_rows_stand_together_and_their_order_comes_back(world: Path) -> None:
    run_scan(world / "data", catalog=world / "c")
    found = rewrite(world, profile="archive", row_group_bytes=200_000)
    kept = rewrite(world, to="kept", profile="archive", order="keep")
    assert found.size_bytes_out < kept.size_bytes_out
    assert check(world).damaged == ()
    restored = restore_order.restore_order(
        restore_order.RestoreRequest(place=uri(world / "out"), destination=uri(world / "back")),
        progress=Progress(),
        now=NOW,
    )
    assert restored.rows == found.sources[0].rows + sum(s.rows for s in found.sources[1:])
    for name in ("deep/a.parquet", "b.parquet", "c.parquet", "d.parquet"):
        assert pq.read_table(world / "back" / name).equals(pq.read_table(world / "kept" / name)), (
            name
        )
        assert "_gd_pos" not in pq.read_schema(world / "back" / name).names
    assert check(world, "back").damaged == ()


def test_members_of_a_group_follow_each_other(world: Path) -> None:
    (world / "near").mkdir()
    base = text(77)
    for number in range(4):
        texts = [text(1000 + number * 10 + row) for row in range(8)]
        texts[number] = variant(base, number) if number else base
        write_parquet(world / "near" / f"{number}.parquet", list(texts))
    run_scan(world / "near", catalog=world / "c")
    rewrite(world, "near", profile="archive")
    (path,) = (world / "out").glob("*.parquet")
    rows = pq.read_table(path)["text"].to_pylist()
    places = [
        place for place, row in enumerate(rows) if len(set(row.split()) & set(base.split())) > 40
    ]
    assert len(places) == 4
    assert places[-1] - places[0] == 3


def test_without_a_scan_rows_are_ordered_by_text(world: Path) -> None:
    found = rewrite(world, "data/deep", profile="archive")
    rows = pq.read_table(world / "out" / "part-00000.parquet")["text"].to_pylist()
    assert rows == sorted(rows)
    assert "not in the catalog" in found.notes[0]


def test_rows_are_ordered_by_a_column(world: Path) -> None:
    rewrite(world, "data/deep", order="column", order_column="text")
    table = pq.read_table(world / "out" / "part-00000.parquet")
    assert table["text"].to_pylist() == sorted(table["text"].to_pylist())
    assert sorted(table["_gd_pos"].to_pylist()) == list(range(120))
    with pytest.raises(UsageError, match="no column 'size' to order by"):
        rewrite(world, "data/deep", to="other", order="column", order_column="size")


def test_many_small_buckets_give_the_same_order(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(world, "data/deep", profile="archive")
    monkeypatch.setattr("greendata.jobs.regrouping.bucket_bytes_for", lambda *_: 2_000)
    rewrite(world, "data/deep", to="bucketed", profile="archive")
    whole, cut = (
        pq.read_table(world / place / "part-00000.parquet") for place in ("out", "bucketed")
    )
    assert whole.equals(cut)


def test_large_results_are_several_files(world: Path) -> None:
    found = rewrite(world, "data/deep", file_bytes=4_000, row_group_bytes=9_000)
    names = sorted(Path(entry.uri).name for entry in found.objects)
    assert names[:2] == ["a-00001.parquet", "a-00002.parquet"]
    assert names[-1] == "a.parquet"
    tables = [pq.read_table(world / "out" / name) for name in [names[-1], *names[:-1]]]
    assert pa.concat_tables(tables).equals(pq.read_table(world / "data/deep/a.parquet"))
    assert check(world).damaged == ()


def test_json_lines_come_back_byte_for_byte(world: Path) -> None:
    lines = (
        b'{"id": 1, "text": "a\\u00e9", "x": 1.50}\r\n' * 99
        + b'{"text":"b","id":2}\n\n{"id": 3, "text": null, "x": 1e400}'
    )
    (world / "lines").mkdir()
    (world / "lines" / "odd.jsonl.gz").write_bytes(gzip.compress(lines, 0))
    (world / "lines" / "even.jsonl").write_bytes(
        (b'{"id": 1, "text": "' + b"x" * 900 + b'"}\n') * 90
    )
    for profile in ("stream", "archive"):
        rewrite(world, "lines", to=profile, grade=Grade.EXACT, profile=profile)
        request = export_jsonl.ExportJsonlRequest(
            place=uri(world / profile), destination=uri(world / f"{profile}-lines")
        )
        found = export_jsonl.export_jsonl(request, progress=Progress())
        assert all(entry.is_exact for entry in found.objects)
        assert (world / f"{profile}-lines" / "odd.jsonl").read_bytes() == lines
        assert (world / f"{profile}-lines" / "even.jsonl").read_bytes() == (
            world / "lines" / "even.jsonl"
        ).read_bytes()


def test_a_flipped_bit_anywhere_is_found(world: Path) -> None:
    rewrite(world, "data/deep", "data/c.jsonl.gz")
    assert check(world, is_full=False).damaged == ()
    chosen = random.Random(7)
    for path in [*(world / "out").rglob("*.parquet"), world / "out/_greendata/manifest.json"]:
        raw = path.read_bytes()
        status = path.stat()
        for _ in range(12):
            damaged = bytearray(raw)
            damaged[chosen.randrange(len(raw))] ^= 1 << chosen.randrange(8)
            with path.open("r+b") as stream:
                stream.write(damaged)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            try:
                assert len(check(world).damaged) == 1
            except IntegrityError:
                assert path.name == "manifest.json"
        with path.open("r+b") as stream:
            stream.write(raw)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert check(world, is_full=False).damaged == ()


def test_quick_verification_sees_what_is_gone_written_again_or_new(world: Path) -> None:
    rewrite(world, "data/deep", "data/c.jsonl.gz")
    (path,) = (world / "out").glob("**/a.parquet")
    raw = path.read_bytes()
    path.write_bytes(raw)
    found = check(world, is_full=False)
    assert "ETag differs" in (found.damaged[0].problem or "")
    assert check(world).damaged == ()
    path.write_bytes(raw[:-1])
    assert "bytes instead of" in (check(world, is_full=False).damaged[0].problem or "")
    path.unlink()
    assert "not found" in (check(world, is_full=False).damaged[0].problem or "")
    (world / "out" / "new.parquet").write_bytes(raw)
    assert [Path(u).name for u in check(world, is_full=False).unknown] == ["new.parquet"]


def test_a_moved_place_is_verified_where_it_is(world: Path) -> None:
    rewrite(world, "data/deep", "data/c.jsonl.gz")
    (world / "out").rename(world / "moved")
    found = check(world, "moved")
    assert found.is_moved
    assert found.damaged == ()
    with pytest.raises(ObjectNotFoundError, match="has no _greendata/manifest"):
        check(world, "data")


def test_rows_that_are_stored_wrongly_are_not_published(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is not what was read: one value differs on the way to the file."""
    original = columnar.to_stored

    def wrong(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        found = original(batch, schema)
        ids = pa.array([7, *found["id"].to_pylist()[1:]])
        return pa.RecordBatch.from_arrays([ids, found["text"]], schema=schema)

    monkeypatch.setattr(rewriting, "to_stored", wrong)
    for options in ({}, {"profile": "archive"}):
        with pytest.raises(IntegrityError, match="are not those of the source"):
            rewrite(world, "data/deep", to=f"out{len(options)}", **options)
        assert not [n for n in files(world / f"out{len(options)}") if n.endswith("a.parquet")]


def test_a_source_that_changes_while_it_is_read_stops_the_run(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = columnar.to_stored

    def disturb(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        path = world / "data/deep/a.parquet"
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        return original(batch, schema)

    monkeypatch.setattr(rewriting, "to_stored", disturb)
    with pytest.raises(ObjectChangedError, match="changed"):
        rewrite(world, "data/deep")
    assert run(["recompress", str(world / "data/deep"), "-o", str(world / "o2")]) == 30
    assert files(world / "out") == {"_greendata/run.json"}


def test_broken_objects_are_skipped_by_name(world: Path) -> None:
    raw = (world / "data/deep/a.parquet").read_bytes()
    (world / "data" / "cut.parquet").write_bytes(raw[:-20])
    zipped = (world / "data/c.jsonl.gz").read_bytes()
    (world / "data" / "cut.jsonl.gz").write_bytes(zipped[: len(zipped) // 2])
    (world / "data" / "twice.jsonl").write_text('{"a": 1, "a": 2}\n' * 99)
    (world / "data" / "media.tar").write_bytes(b"\0" * 2048)
    union = pa.UnionArray.from_sparse(pa.array([0] * 99, pa.int8()), [pa.array([1] * 99)])
    write_arrow(world / "data" / "union.arrow", pa.table({"u": union}))
    for profile in ("stream", "archive"):
        found = rewrite(world, to=profile, profile=profile)
        reasons = {Path(entry.uri).name: entry.reason for entry in found.skipped}
        assert reasons == {
            "cut.parquet": "truncated",
            "cut.jsonl.gz": "truncated",
            "twice.jsonl": "duplicate-keys",
            "media.tar": "unsupported-format",
            "union.arrow": "unsupported-type",
        }
        assert len(found.sources) == 4
        assert len(manifest(world, profile)["skipped"]) == 5


def test_types_that_parquet_changes_are_kept_as_values(world: Path) -> None:
    table = pa.table(
        {
            "at": pa.array([1, None, 3] * 400, pa.timestamp("s")),
            "day": pa.array([0, 86_400_000, None] * 400, pa.date64()),
            "nothing": pa.nulls(1200),
            "kind": pa.array(["a", "b", "a"] * 400).dictionary_encode(),
            "text": ["x" * 300, "y" * 300, None] * 400,
        }
    )
    (world / "odd").mkdir()
    write_arrow(world / "odd" / "t.arrow", table)
    rewrite(world, "odd")
    found = pq.read_table(world / "out" / "t.parquet")
    assert found["at"].cast(pa.timestamp("s")).equals(table["at"])
    assert found["day"].cast(pa.date64()).equals(table["day"])
    assert found["nothing"].type == pa.string()
    assert found["nothing"].null_count == 1200
    assert b"greendata:schema" in found.schema.metadata
    assert check(world).damaged == ()


def test_files_of_table_formats_are_refused(world: Path) -> None:
    for marker, name in (
        ("_delta_log/00000.json", "Delta Lake"),
        ("metadata/v1.metadata.json", "Iceberg"),
        (".hoodie/hoodie.properties", "Hudi"),
        ("_versions/1.manifest", "Lance"),
    ):
        table = world / name.split()[0]
        write_parquet(table / "data" / "p.parquet", ["a"])
        (table / marker).parent.mkdir()
        (table / marker).write_text("{}")
        for source in (table, table / "data"):
            with pytest.raises(UnsupportedError, match=f"{name} table"):
                rewrite(world, str(source.relative_to(world)), to=None, is_dry_run=True)


def test_a_place_with_something_in_it_is_refused(world: Path) -> None:
    (world / "out").mkdir()
    (world / "out" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="is not empty"):
        rewrite(world)
    assert files(world / "out") == {"mine.txt"}
    with pytest.raises(UsageError, match="is in"):
        rewrite(world, to="data/out")
    rewrite(world, to="done")
    with pytest.raises(UsageError, match="is finished already"):
        rewrite(world, to="done")
    with pytest.raises(UsageError, match="Where to is missing"):
        rewrite(world, to=None)


def test_an_object_that_appears_meanwhile_is_not_written_over(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Destination.stage

    def stage(place: Destination, path: Path, name: str) -> Any:
        (world / "out" / "a.parquet").write_text("somebody else's")
        return original(place, path, name)

    monkeypatch.setattr(Destination, "stage", stage)
    with pytest.raises(UsageError, match="is there already, with other content"):
        rewrite(world, "data/deep")
    assert (world / "out/a.parquet").read_text() == "somebody else's"


def test_a_full_disk_is_said_and_leaves_nothing(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("greendata.recompress.rolling.ShardWriter.write", full)
    with pytest.raises(StoreUnreachableError, match="No space left"):
        rewrite(world, "data/deep")
    assert files(world / "out") == {"_greendata/run.json"}


def test_the_commands_say_what_they_did(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    assert run(["recompress", "data", "--dry-run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert run(["recompress", "data", "-o", "small", "--profile", "archive", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["order"], len(found["sources"])) == (1, "similar", 4)
    assert run(["verify", "small", "--full"]) == 0
    assert "are as they were written" in capsys.readouterr().out
    assert run(["restore-order", "small", "-o", "back"]) == 0
    assert "in their first order" in capsys.readouterr().out
    assert run(["export-jsonl", "back", "-o", "lines"]) == 3
    assert "the same values" in capsys.readouterr().out
    next((world / "small").glob("**/*.parquet")).unlink()
    assert run(["verify", "small"]) == 31
    assert run(["recompress", "data", "-o", "x", "--order", "size"]) == 2
    assert run(["verify", "nowhere"]) == 22


@pytest.mark.parametrize("profile", ["stream", "archive"])
@pytest.mark.parametrize(
    "texts", [[], [None], ["x"], ["y" * 3_000_000]], ids=["none", "null", "one", "huge"]
)
def test_few_rows_are_rows_too(world: Path, profile: str, texts: list[str | None]) -> None:
    table = pa.table({"text": pa.array(texts, pa.string())})
    (world / "few").mkdir()
    pq.write_table(table, world / "few" / "a.parquet", compression="none")
    found = rewrite(world, "few", profile=profile)
    if texts == ["y" * 3_000_000]:
        assert found.size_bytes_out < 10_000
        assert check(world).damaged == ()
    else:
        assert found.left_alone[0].would_be_bytes >= found.left_alone[0].size_bytes
