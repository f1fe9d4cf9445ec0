"""The comparison with peers: what is pure in it, and a run without peers; no timing, no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.dedup.lsh import Banding
from scripts.bench import measure, truth
from scripts.bench.peers import compare, corpora, launch, score, task

pytestmark = pytest.mark.xdist_group("benchmarks")

PEERS = Path(launch.__file__).parent
BANDING = Banding(bands=16, rows=8)


def write_texts(path: Path, texts: list[str | None]) -> Path:
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path)
    return path


def test_shingles_are_five_lower_cased_runs_of_letters_and_digits() -> None:
    assert task.shingles("One, TWO three_four 5-Six") == [
        "one two three four 5",
        "two three four 5 six",
    ]
    assert task.shingles("Straße — Ünïcode") == ["straße ünïcode"]
    assert task.shingles(" .,_ ") == []


def test_shingles_are_those_of_the_truth() -> None:
    texts = ["Some words, and some more words; and some words and some more words!", "a b"]
    for text, held in zip(texts, truth.shingle_sets(texts), strict=True):
        assert len(set(task.shingles(text))) == len(held)


def test_documents_keep_their_number_when_others_have_no_tokens(tmp_path: Path) -> None:
    files = [
        write_texts(tmp_path / "a", ["one", None, "..."]),
        write_texts(tmp_path / "b", []),
        write_texts(tmp_path / "c", ["two"]),
    ]
    assert list(task.documents([str(file) for file in files])) == [(0, ["one"]), (3, ["two"])]


def test_answers_are_read_as_they_were_written(tmp_path: Path) -> None:
    task.write({(0, 1), (1, 3), (2, 3)}, tmp_path / "pairs")
    answer = score.read_pairs(tmp_path / "pairs", [5, 5, 7, 6])
    assert answer.pairs == {(5, 6), (6, 7)}
    assert answer.texts == {5, 6, 7}
    assert answer.alike == {0, 1}
    task.write(set(), tmp_path / "none")
    assert score.read_pairs(tmp_path / "none", []).pairs == set()


@pytest.mark.parametrize("peer", compare.PEERS)
def test_each_peer_has_a_script_and_pinned_versions(peer: str) -> None:
    assert (PEERS / f"run_{peer}.py").is_file()
    lines = launch.requirements(peer).read_text().splitlines()
    assert lines
    assert all(line.count("==") == 1 for line in lines)


def fake_environment(folder: Path, script: str) -> Path:
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return python


def test_a_complete_environment_is_used_again(tmp_path: Path) -> None:
    python = fake_environment(tmp_path, f'echo "$@" >>{tmp_path}/said')
    assert launch.prepare("rensa", tmp_path) == python
    assert launch.prepare("rensa", tmp_path) == python
    said = (tmp_path / "said").read_text().splitlines()
    assert len(said) == 1
    assert said[0].endswith(str(launch.requirements("rensa")))
    launch.prepare("daft", tmp_path)
    assert len((tmp_path / "said").read_text().splitlines()) == 2


def test_an_environment_that_fails_says_why_and_is_not_taken_for_complete(tmp_path: Path) -> None:
    fake_environment(tmp_path, "echo no such version >&2; exit 1")
    for _ in range(2):
        with pytest.raises(measure.BenchmarkError, match=r"daft could not .*no such version"):
            launch.prepare("daft", tmp_path)


def test_environments_are_outside_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert not launch.cache_folder().is_relative_to(measure.REPOSITORY)
    assert len({launch.environment_name(peer) for peer in compare.PEERS}) == len(compare.PEERS)


def test_corpora_number_their_documents_over_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "GROUP_BYTES", 4)
    monkeypatch.setattr(corpora, "PART_BYTES", 8)
    first = write_texts(tmp_path / "first", ["aa", None, "bb", "cc", "dd", "ee"])
    second = write_texts(tmp_path / "second", ["ff", "gg"])
    made = corpora.write([first, second], tmp_path / "out", float("inf"))
    files = sorted((tmp_path / "out").iterdir())
    rows = pa.concat_tables(map(pq.read_table, files))
    assert rows["text"].to_pylist() == ["aa", "bb", "cc", "dd", "ee", "ff", "gg"]
    assert rows["id"].to_pylist() == list(range(7))
    assert made == {
        "documents": 7,
        "text_bytes": 14,
        "text_megabytes": 0.0,
        "files": len(files),
    }
    assert len(files) == 3


def test_a_limited_corpus_has_the_start_of_every_file(tmp_path: Path) -> None:
    first = write_texts(tmp_path / "first", ["aa", "bb", "cc", "xx"])
    second = write_texts(tmp_path / "second", ["dd", "ee"])
    corpora.write([first, second], tmp_path / "out", 6)
    files = sorted((tmp_path / "out").iterdir())
    assert pa.concat_tables(map(pq.read_table, files))["text"].to_pylist() == [
        "aa",
        "bb",
        "dd",
    ]


@pytest.fixture
def exact() -> truth.Truth:
    """Texts 0 and 1 of Jaccard .82, 2 and 3 of .97; 4 has no partner."""
    return truth.Truth(
        jaccards={(0, 1): 0.82, (2, 3): 0.97},
        shared={(0, 1): 90, (2, 3): 97},
        sizes=np.full(5, 100, np.int64),
    )


def test_a_score_tells_recall_by_bin_and_precision_of_all_repetitions(exact: truth.Truth) -> None:
    all_and_wrong = score.Answer(texts={0, 1, 2, 3, 4}, pairs={(0, 1), (2, 3), (0, 4)}, alike={7})
    half = score.Answer(texts={2, 3}, pairs={(2, 3)}, alike={7, 8})
    told = score.score([all_and_wrong, half], exact, {7, 8}, False, BANDING)
    recall = [row["recall"] for row in told["kept_stars"] if row["documents"]]
    assert recall == [0.5, 1.0]
    assert [row["recall"] for row in told["any_partner"] if row["documents"]] == [0.5, 1.0]
    assert [row["recall"] for row in told["pair_recall"] if row["pairs"]] == [0.5, 1.0]
    assert told["pair_precision"] == 3 / 4
    assert told["document_precision"] == 6 / 7
    assert told["exact_copies_missed"] == 1


def test_a_tool_that_names_no_pairs_has_no_pair_precision(exact: truth.Truth) -> None:
    told = score.score([score.Answer(texts={0, 1})], exact, set(), False, BANDING)
    assert not told.keys() & {"pair_precision", "pair_recall", "exact_copies_missed"}
    assert told["document_precision"] == 1.0


def test_a_flag_for_an_exact_copy_is_not_wrong(exact: truth.Truth, tmp_path: Path) -> None:
    texts = [0, 1, 2, 3, 4, 4, 0]
    task.write([0, 4, 5], tmp_path / "flags")
    answer = score.read_flags(tmp_path / "flags", texts, Counter(texts), exact)
    assert answer.texts == {0}
    assert answer.pairs is None


def tool(rate: float, recall: float | None) -> dict[str, Any]:
    """What run_all tells, with one bin."""
    bins = [
        {
            "jaccard": [0.8, 0.85],
            "documents": 100,
            "recall": recall,
            "three_standard_errors": 0.02,
        }
    ]
    scored = {
        "kept_stars": bins,
        "pair_precision": 1.0,
        "wrong_numbers": 0,
        "exact_copies_missed": 0,
    }
    return {
        "megabytes_a_cpu_second": rate,
        "wall_seconds": 1.25,
        "peak_rss_bytes": 2_000_000,
        "score": None if recall is None else scored,
    }


def test_ratios_are_to_the_same_banding_and_to_the_fastest() -> None:
    tools = {
        "greendata": tool(80.0, 0.9),
        "daft 16x8": tool(16.0, 0.9),
        "daft 9x13": tool(20.0, 0.5),
        "rensa 16x8": tool(10.0, 0.9),
        "rensa 8x16": tool(8.0, 0.3),
        "reading and shingling in Python": tool(40.0, None),
    }
    assert compare.ratios(tools) == {
        "daft": {"to_the_fastest": 4.0, "at_the_same_banding": 5.0},
        "rensa": {"to_the_fastest": 8.0, "at_the_same_banding": 8.0},
    }


@pytest.mark.parametrize(("ours", "is_within"), [(0.945, True), (0.935, False)])
def test_a_peer_that_finds_more_than_chance_explains_fails_the_budget(
    ours: float, is_within: bool
) -> None:
    tools = {
        "greendata": tool(80.0, ours),
        "rensa 16x8": tool(8.0, 0.96),
        "daft 9x13": tool(9.0, 0.5),
    }
    budget = compare.budgets_of(tools, repeats=2)["recall_from_0.8_to_0.85"]
    assert budget["best_peer"] == "rensa 16x8"
    assert budget["at_least"] == pytest.approx(0.94)  # one tolerance of .02 * sqrt(2 / 2)
    assert budget["within_budget"] is is_within


def test_markdown_has_a_row_for_each_tool_and_a_dash_for_what_is_not_told() -> None:
    tools = {"greendata": tool(80.0, 0.9), "floor": tool(40.0, None)}
    told = compare.markdown({"books": {"tools": tools}}, {"books": {"text_megabytes": 99.7}})
    lines = told.splitlines()
    assert lines[2:] == [
        "| books, 100 MB | greendata | 80.0 | 1.2 | 2 | 0.900 | 1.000 |",
        "| books, 100 MB | floor | 40.0 | 1.2 | 2 | – | – | – | – | – |",
    ]
    assert lines[0].count("|") == lines[1].count("|") == len(compare.COLUMNS) + 1


def run(*arguments: str | Path) -> dict[str, Any]:
    size = ("--megabytes", "0.4", "--mean-bytes", "1024", "--repeats", "1", "--no-python-sources")
    command = [sys.executable, PEERS / "compare.py", *size, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_comparison_runs_without_peers(tmp_path: Path) -> None:
    result = run("--folder", tmp_path, "--peers")
    (entry,) = result["measured"].values()
    ours = entry["tools"]["greendata"]["score"]
    assert entry["truth"]["true_pairs"] > 10
    assert ours["pair_precision"] == 1.0
    assert ours["exact_copies_missed"] == 0
    assert sum(row["found"] for row in ours["kept_stars"]) > 20
    assert result["budgets"]["generated-1024: precision"]["within_budget"]


def test_comparison_with_all_peers_when_asked(tmp_path: Path) -> None:
    if "GREENDATA_PEERS" not in os.environ:
        pytest.skip("GREENDATA_PEERS is not set: it would download the peers")
    result = run("--folder", tmp_path, "--slow-megabytes", "0.2")
    assert result["peer"]["failures"] == {}
    tools = [label for entry in result["measured"].values() for label in entry["tools"]]
    assert {variant.label for variant in compare.VARIANTS} <= set(tools)
    for entry in result["measured"].values():
        for label, tool in entry["tools"].items():
            if tool["score"] is not None:
                highest = tool["score"]["kept_stars"][-1]
                assert highest["found"] == highest["documents"], label
