"""The benchmarks run and say what they must; no timing is asserted here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.forking import run_forked

pytestmark = pytest.mark.xdist_group("benchmarks")  # one process has their results

BENCHMARKS = Path(__file__).resolve().parents[2] / "scripts" / "bench"
REQUIRED = {
    "schema_version",
    "benchmark",
    "machine",
    "data",
    "parameters",
    "measured",
    "peer",
    "budgets",
    "within_budget",
}
TINY = {
    "startup": ["--runs", "1", "--help-only"],
    "kernel": ["--megabytes", "0.3", "--peer-megabytes", "0.05", "--repeats", "1"],
    "rescan": ["--gigabytes", "0.001", "--files", "2"],
    "linear": ["--megabytes", "0.5", "--repeats", "1", "--row-group-megabytes", "0.25"],
    "memory": ["--gigabytes", "0.001", "--shape-megabytes", "1"],
    "growth": ["--documents", "3000"],
    "inventory": ["--rows", "3000", "--csv-rows", "2000", "--repeats", "1"],
    "listing": ["--objects", "3000"],
    "plan": ["--rows", "3000", "--repeats", "2", "--sample", "0"],
    "policies": ["--rows", "3000", "--repeats", "1"],
    "report": ["--rows", "3000", "--repeats", "1"],
    "apply": ["--actions", "300"],
    "scheduled": ["--rows", "2000", "--repeats", "1"],
    "reading": ["--megabytes", "0.5", "--repeats", "1"],
    "sources": ["--megabytes", "0.3", "--repeats", "1"],
    "scale": ["--documents", "4000", "--sample-copies", "200"],
    "scan": ["--megabytes", "1", "--mean-bytes", "1024", "--repeats", "1"],
}
ALONE = ("kernel", "ray_runner", "scan", "startup")
"""Run as they are; of the others the measured processes begin with the libraries loaded."""

NO_FOLDER = ("apply", "kernel", "startup", "listing")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return load("generate")


@pytest.fixture(scope="module")
def measure() -> ModuleType:
    return load("measure")


def run(name: str, *arguments: str) -> dict[str, Any]:
    script = BENCHMARKS / f"{name}.py"
    if name in ALONE:
        done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)
    else:
        done = run_forked("tests.scripts.forked_bench", script, *arguments, environment=os.environ)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each benchmark prints at its smallest."""
    found = {}
    for name, arguments in TINY.items():
        folder = [] if name in NO_FOLDER else ["--folder", str(tmp_path_factory.mktemp(name))]
        found[name] = run(name, *arguments, *folder)
    return found


@pytest.mark.parametrize("name", TINY)
def test_benchmark_prints_one_complete_document(
    results: dict[str, dict[str, Any]], name: str
) -> None:
    result = results[name]
    assert result.keys() >= REQUIRED
    assert result["benchmark"] == name
    assert result["machine"].keys() >= {"cpu", "cores", "python", "packages"}
    assert result["measured"]
    assert result["budgets"]
    verdicts = [entry["within_budget"] for entry in result["budgets"].values()]
    assert result["within_budget"] is all(verdicts)


def test_memory_reads_every_document_of_every_shape(results: dict[str, dict[str, Any]]) -> None:
    result = results["memory"]
    missing = {
        name: entry["measured"]
        for name, entry in result["budgets"].items()
        if name.startswith("documents_not_read")
    }
    assert set(missing.values()) == {0}
    assert len(missing) == 4
    copies = result["measured"]["copies"]
    assert copies["redundant_documents"] == copies["documents"] - 1


def test_inventories_lose_no_row(results: dict[str, dict[str, Any]]) -> None:
    lost = {
        name: entry["measured"]
        for benchmark in ("inventory", "listing")
        for name, entry in results[benchmark]["budgets"].items()
        if "lost" in name
    }
    assert lost == {"rows_lost_parquet": 0, "rows_lost_csv": 0, "objects_lost": 0}


def test_both_ways_of_reading_read_the_same(results: dict[str, dict[str, Any]]) -> None:
    assert len(results["reading"]["measured"]["reading"]) == 4


def test_rescan_reads_nothing_again(results: dict[str, dict[str, Any]]) -> None:
    assert results["rescan"]["measured"]["objects"] > 0
    assert results["rescan"]["measured"]["objects_read_again"] == 0


def test_scan_with_daft_when_it_is_installed(tmp_path: Path) -> None:
    environment = os.environ.get("GREENDATA_PEER_VENV")
    if environment is None:
        pytest.skip("GREENDATA_PEER_VENV names no environment with Daft")
    arguments = [*TINY["scan"], "--folder", str(tmp_path), "--peer-venv", environment]
    result = run("scan", *arguments)
    assert result["peer"]["is_measured"]
    assert result["peer"]["runs"]["1024"]["candidate_pairs"] > 0
    assert "ratio_to_daft_at_1024" in result["budgets"]


@pytest.mark.slow
def test_ray_finds_what_threads_find(tmp_path: Path) -> None:
    result = run("ray_runner", "--megabytes", "1", "--folder", str(tmp_path))
    assert result.keys() >= REQUIRED
    assert result["budgets"]["same_found"]["within_budget"]
    found = result["measured"]["ray"]["found"]
    assert found == result["measured"]["local"]["found"]
    assert found["near_duplicate_documents"] > 10


def test_check_fails_only_outside_the_budget(
    measure: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = measure.document(
        "x", data={}, parameters={}, measured={}, budgets={"a": measure.at_most(2.0, 1.0)}
    )
    inside = measure.document(
        "x", data={}, parameters={}, measured={}, budgets={"a": measure.at_least(2.0, 1.0)}
    )
    assert measure.conclude(outside, check=True) == 1
    assert measure.conclude(outside, check=False) == 0
    assert measure.conclude(inside, check=True) == 0
    assert len(capsys.readouterr().out) > 0


def test_a_failing_child_is_an_error_with_what_it_said(measure: ModuleType) -> None:
    with pytest.raises(measure.BenchmarkError, match="broken on purpose"):
        measure.run([sys.executable, "-c", "raise SystemExit('broken on purpose')"])


def test_a_child_is_measured(measure: ModuleType) -> None:
    work = "b = bytearray(300_000_000); import time\nwhile time.process_time() < 0.3: pass"
    done = measure.run([sys.executable, "-c", work])
    assert done.cpu_seconds >= 0.3
    assert done.peak_rss_bytes >= 300_000_000


@pytest.fixture(scope="module")
def corpus(generate: ModuleType) -> Any:
    return generate.Corpus(
        total_bytes=1_600_000,
        block_bytes=400_000,
        mean_bytes=2048,
        exact_share=0.1,
        near_share=0.1,
        edit_rate=0.02,
        seed=7,
    )


@pytest.fixture(scope="module")
def rows(generate: ModuleType, corpus: Any) -> pa.Table:
    return pa.concat_tables(generate.make_blocks(corpus))


def test_generator_is_a_function_of_seed_and_options(
    generate: ModuleType, corpus: Any, rows: pa.Table
) -> None:
    assert pa.concat_tables(generate.make_blocks(corpus)).equals(rows)
    other = generate.Corpus(total_bytes=1_600_000, block_bytes=400_000, mean_bytes=2048, seed=8)
    assert not set(rows["text"].to_pylist()) & set(
        pa.concat_tables(generate.make_blocks(other))["text"].to_pylist()
    )


def test_generator_makes_a_block_without_those_before(
    generate: ModuleType, corpus: Any, rows: pa.Table
) -> None:
    (last,) = generate.make_blocks(corpus, 3, 4)
    assert last.equals(rows.slice(3 * corpus.documents_a_block).combine_chunks())


def test_generator_keeps_to_the_sizes_and_shares_asked_for(rows: pa.Table) -> None:
    size = sum(len(text.encode()) for text in rows["text"].to_pylist())
    assert size == pytest.approx(1_600_000, rel=0.1)
    assert size / len(rows) == pytest.approx(2048, rel=0.1)
    assert rows["id"].to_pylist() == list(range(len(rows)))
    kinds = rows["kind"].to_pylist()
    assert kinds.count("exact") / len(rows) == pytest.approx(0.1, abs=0.01)
    assert kinds.count("near") / len(rows) == pytest.approx(0.1, abs=0.01)


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(a: str, b: str) -> float:
    left, right = shingles(a), shingles(b)
    return len(left & right) / len(left | right)


def test_planted_duplicates_are_as_alike_as_they_say(generate: ModuleType, rows: pa.Table) -> None:
    texts = rows["text"].to_pylist()
    near = []
    for row in rows.select(["id", "kind", "origin", "edits", "tokens"]).to_pylist():
        if row["kind"] == "original":
            assert row["origin"] is None
            continue
        assert rows["kind"][row["origin"]].as_py() == "original"
        found = jaccard(texts[row["id"]], texts[row["origin"]])
        if row["kind"] == "exact":
            assert texts[row["id"]] == texts[row["origin"]]
            continue
        least = generate.planted_jaccard(row["tokens"], row["edits"])
        assert row["edits"] == max(1, round(row["tokens"] * 0.02))
        assert least - 0.01 <= found < 1
        near.append(found - least)
    assert len(near) > 50
    assert sum(near) / len(near) < 0.03  # the bound is near what is planted


def test_files_hold_the_same_documents_in_every_format(
    generate: ModuleType, corpus: Any, rows: pa.Table, tmp_path: Path
) -> None:
    for codec in ("zstd", "snappy"):
        made = generate.write_corpus(tmp_path / codec, corpus, files=3, codec=codec)
        paths = sorted((tmp_path / codec).iterdir())
        assert made["files"] == len(paths) == 3
        assert pa.concat_tables(map(pq.read_table, paths))["text"].equals(rows["text"])
        assert pq.ParquetFile(paths[0]).metadata.row_group(0).column(1).compression == codec.upper()
    made = generate.write_corpus(tmp_path / "jsonl", corpus, files=2, file_format="jsonl")
    lines: list[str] = []
    for path in sorted((tmp_path / "jsonl").iterdir()):
        with zstandard.open(path, "rt", encoding="utf-8") as stream:
            lines += stream.read().splitlines()
    assert [json.loads(line)["text"] for line in lines] == rows["text"].to_pylist()
    assert made["text_bytes"] == sum(len(text.encode()) for text in rows["text"].to_pylist())
