from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.jobs import writing
from tests.jobs.made_scans import datasets, run_scan, text, variant, write_lines


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object with many redundant rows, and several of few; one dataset comes first."""
    folder = tmp_path_factory.mktemp("data")
    texts = [text(number) for number in range(12)]
    write_lines(folder / "b" / "large.jsonl", [*texts, *texts, variant(texts[3], 1)])
    for number in range(5):
        write_lines(
            folder / "a" / f"{number}.jsonl", [texts[number], variant(texts[number], number + 2)]
        )
    write_lines(folder / "c" / "z.jsonl", texts[:4])
    return folder


def parts(data: Path, catalog: Path, name: str) -> list[pa.Table]:
    """The files of a table, in the order of their rows."""
    run_scan(data, catalog=catalog, datasets=datasets({data / "c": 5, data / "b": 1}))
    files = Catalog.open(LocalPlace(catalog), create=False).files(name, None)
    tables = [pq.ParquetFile(file).read() for file in files]
    keys = {"duplicates": ["document_uri", "document_row"], "groups": ["text_group"]}.get(
        name, ["a_digest_high"]
    )
    return sorted(tables, key=lambda table: [table[key][0].as_py() for key in keys])


@pytest.mark.parametrize("name", ["duplicates", "pairs", "groups"])
def test_results_in_several_files_are_those_of_one(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = parts(data, tmp_path / "whole", name)
    monkeypatch.setattr(writing, "ROW_BYTES", 2**29)  # one row in 512 MiB
    several = parts(data, tmp_path / "parts", name)
    assert len(several) > 2
    assert pa.concat_tables(several).equals(whole)
    assert max(table.num_rows for table in several) <= (1 if name == "duplicates" else 6)


def test_objects_in_one_condition_are_bounded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = parts(data, tmp_path / "whole", "duplicates")
    monkeypatch.setattr(writing, "_MOST_RANGES", 1)
    monkeypatch.setattr(writing, "ROW_BYTES", 2**29 // (whole.num_rows - 1))
    several = parts(data, tmp_path / "parts", "duplicates")
    assert pa.concat_tables(several).equals(whole)
