from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.cli.boundary import run
from greendata.errors import (
    CatalogTooNewError,
    IntegrityError,
    ObjectNotFoundError,
    UsageError,
)
from greendata.jobs.index import _METADATA, export_index, import_index
from greendata.jobs.request import ScanRequest
from greendata.model import ScanSummary
from greendata.progress import Progress
from tests.jobs.made_scans import query, run_scan, text, variant, write_lines

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "secretword"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Of a dataset whose data is gone."""
    data = tmp_path / "there"
    write_lines(data / "a.jsonl", [text(1), text(2), f"{SECRET} {text(3)}"])
    write_lines(data / "b.jsonl", [text(1), text(9)])
    dataset = run_scan(data, catalog=tmp_path / "far").datasets[0].name
    path = tmp_path / "there.index"
    found = export_index(dataset, path, catalog=str(tmp_path / "far"), now=NOW)
    assert (found.objects, found.documents) == (2, 5)
    for file in data.iterdir():
        file.unlink()
    return path


def take_in(path: Path, catalog: Path, **options: Any) -> ScanSummary:
    request = ScanRequest(uris=(), catalog=str(catalog))
    return import_index(path, request, progress=Progress(), now=NOW, **options)


def shares(catalog: Path) -> dict[tuple[str, str], tuple[float, float]]:
    rows = query(
        catalog,
        'SELECT a, b, a_in_b_exact_documents, b_in_a_exact_documents FROM "overlaps"'
        " WHERE level = 'dataset'",
    )
    return {(a, b): (forth, back) for a, b, forth, back in rows}


def test_a_dataset_is_compared_by_its_index_alone(tmp_path: Path, index: Path) -> None:
    mine = write_lines(tmp_path / "here" / "x.jsonl", [text(1), text(2), text(50)])
    run_scan(mine.parent, catalog=tmp_path / "c")
    take_in(index, tmp_path / "c", name="public")
    ((pair, (forth, back)),) = shares(tmp_path / "c").items()
    assert "public" in pair
    by_name = dict(zip(pair, (forth, back), strict=True))
    assert by_name["public"] == pytest.approx(3 / 5)


def test_what_is_here_is_kept_not_what_an_index_tells_of(tmp_path: Path, index: Path) -> None:
    run_scan(write_lines(tmp_path / "x.jsonl", [text(1)]), catalog=tmp_path / "c")
    take_in(index, tmp_path / "c", name="public")
    kept = query(
        tmp_path / "c", "SELECT DISTINCT kept_dataset FROM duplicates WHERE kind = 'exact'"
    )
    assert all("public" not in name for (name,) in kept)


def test_near_duplicates_of_an_index_stay_candidates(tmp_path: Path, index: Path) -> None:
    run_scan(write_lines(tmp_path / "x.jsonl", [variant(text(9), 4)]), catalog=tmp_path / "c")
    take_in(index, tmp_path / "c", name="public")
    rows = query(tmp_path / "c", "SELECT kind, jaccard FROM duplicates WHERE kind <> 'exact'")
    assert rows == [("candidate", None)]


def test_a_later_scan_is_compared_with_the_index(tmp_path: Path, index: Path) -> None:
    take_in(index, tmp_path / "c", name="public")
    run_scan(write_lines(tmp_path / "x.jsonl", [text(2), text(77)]), catalog=tmp_path / "c")
    assert len(shares(tmp_path / "c")) == 1
    assert query(tmp_path / "c", "SELECT count(*) FROM objects WHERE format = 'index'") == [(2,)]


def test_an_index_imported_again_replaces_itself(tmp_path: Path, index: Path) -> None:
    take_in(index, tmp_path / "c", name="public")
    more = tmp_path / "there"
    write_lines(more / "new.jsonl", [text(60)])
    run_scan(more, catalog=tmp_path / "far")
    (name,) = {n for (n,) in query(tmp_path / "far", "SELECT DISTINCT dataset FROM objects")}
    export_index(name, index, catalog=str(tmp_path / "far"), overwrite=True, now=NOW)
    take_in(index, tmp_path / "c", name="public")
    rows = query(tmp_path / "c", "SELECT uri, documents FROM objects ORDER BY uri")
    assert [(Path(uri).name, documents) for uri, documents in rows] == [("new.jsonl", 1)]


def test_no_text_is_in_an_index(index: Path) -> None:
    assert SECRET.encode() not in index.read_bytes()
    assert SECRET not in str(pq.read_table(index).to_pylist())


def test_an_index_of_other_parameters_is_refused_and_both_are_named(
    tmp_path: Path, index: Path
) -> None:
    path = write_lines(tmp_path / "x.jsonl", [text(1)])
    run_scan(path, catalog=tmp_path / "c", shingle_size=3)
    with pytest.raises(UsageError, match=r"there\.index.*shingle_size 3, not 5"):
        take_in(index, tmp_path / "c")


def test_an_index_under_the_name_of_data_is_refused(tmp_path: Path, index: Path) -> None:
    write_lines(tmp_path / "there" / "x.jsonl", [text(1)])
    run_scan(tmp_path / "there", catalog=tmp_path / "c")
    with pytest.raises(UsageError, match="has data of its own in dataset"):
        take_in(index, tmp_path / "c")
    take_in(index, tmp_path / "c", name="public")
    assert len(shares(tmp_path / "c")) == 1


def test_a_raised_threshold_of_the_catalog_stays(tmp_path: Path, index: Path) -> None:
    run_scan(write_lines(tmp_path / "x.jsonl", [text(1)]), catalog=tmp_path / "c")
    run_scan(tmp_path / "x.jsonl", catalog=tmp_path / "c", threshold=0.9)
    take_in(index, tmp_path / "c")
    assert (
        '"threshold": 0.9'
        in query(tmp_path / "c", "SELECT parameters FROM scans ORDER BY sequence DESC LIMIT 1")[0][
            0
        ]
    )


def rewritten(path: Path, **changes: Any) -> None:
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[_METADATA]) | changes
    pq.write_table(table.replace_schema_metadata({_METADATA: json.dumps(header)}), path)


def test_files_that_are_no_index_are_refused(tmp_path: Path, index: Path) -> None:
    with pytest.raises(ObjectNotFoundError):
        take_in(tmp_path / "none", tmp_path / "c")
    (tmp_path / "text").write_text("no index")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "table")
    for name in ("text", "table"):
        with pytest.raises(IntegrityError, match="no index"):
            take_in(tmp_path / name, tmp_path / "c")
    rewritten(index, format_version=2)
    with pytest.raises(CatalogTooNewError):
        take_in(index, tmp_path / "c")


def test_an_index_that_lacks_rows_is_refused(tmp_path: Path, index: Path) -> None:
    table = pq.read_table(index)
    pq.write_table(table.slice(0, 3), index)
    with pytest.raises(IntegrityError, match="has 3 documents, its header says 5"):
        take_in(index, tmp_path / "c")
    assert query_is_empty(tmp_path / "c")


def query_is_empty(catalog: Path) -> bool:
    return run(["--catalog", str(catalog), "duplicates"]) == 22


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_lines(tmp_path / "x.jsonl", [text(1)])
    catalog, file = ["--catalog", str(tmp_path / "c")], str(tmp_path / "d.index")
    assert run([*catalog, "scan", "--dataset", f"d={data}"]) == 0
    assert run([*catalog, "index", "export", "d", "-o", file]) == 0
    assert "1 documents of 1 objects" in capsys.readouterr().out
    assert run([*catalog, "index", "export", "d", "-o", file]) == 2
    assert run([*catalog, "index", "export", "e", "-o", file, "--force"]) == 22
    assert "It has 'd'" in capsys.readouterr().err
    other = ["--catalog", str(tmp_path / "other"), "index", "import", file, "--json"]
    assert run(other) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 1
    assert run([*other[:2], "overlap"]) == 0
    assert "d is known by its index only" in capsys.readouterr().out
    assert run([*other[:2], "overlap", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["index_only_datasets"] == ["d"]
