from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from greendata.dedup.tokens import tokens
from tests.jobs.made_scans import (
    datasets,
    duplicates,
    kept_digests,
    query,
    run_scan,
    text,
    uri,
    variant,
    write_lines,
    write_parquet,
)

Shingles = frozenset[tuple[str, ...]]


def shingles(document: str, size: int = 5) -> Shingles:
    found = tokens(document)
    if not found:
        return frozenset()
    return frozenset(tuple(found[i : i + size]) for i in range(max(1, len(found) - size + 1)))


def jaccard(a: Shingles, b: Shingles) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def corpus(seed: int, count: int = 60) -> list[str]:
    """Families of texts that were edited again and again, copies, and odd ones."""
    draw = random.Random(seed)
    found = ["", "", "?!", "short text", "Short, text", text(seed, 300)]
    while len(found) < count:
        parent = draw.choice(found[5:])
        kind = draw.randrange(6)
        if kind == 0:
            found.append(text(draw.randrange(10**6), draw.randrange(20, 90)))
        elif kind == 1:
            found.append(parent)
        elif kind == 2:
            found.append(f"{parent} {text(draw.randrange(10**6), draw.randrange(1, 15))}")
        elif kind == 3 and len(parent.split()) > 30:
            words = parent.split()
            cut = draw.randrange(len(words) - 4)
            found.append(" ".join(words[:cut] + words[cut + 3 :]))
        elif len(parent.split()) > 10:
            found.append(variant(parent, draw.randrange(10**6), draw.randrange(1, 4)))
    draw.shuffle(found)
    return found


def _documents(data: Path, texts: list[str], shards: int) -> dict[tuple[str, int], str]:
    """Write the texts over some shards of both formats; where each stands."""
    places: dict[tuple[str, int], str] = {}
    for number in range(shards):
        part = texts[number::shards]
        name = f"{number}.jsonl" if number % 2 else f"{number}.parquet"
        path = (write_lines if number % 2 else write_parquet)(data / name, part)
        places |= {(uri(path), row): document for row, document in enumerate(part)}
    return places


@pytest.mark.parametrize(("seed", "threshold"), [(1, 0.8), (2, 0.8), (3, 0.5), (4, 0.9)])
def test_every_duplicate_is_what_it_is_said_to_be(
    tmp_path: Path, seed: int, threshold: float
) -> None:
    texts = corpus(seed)
    at = _documents(tmp_path / "data", texts, 3)
    summary = run_scan(tmp_path / "data", catalog=tmp_path / "catalog", threshold=threshold)
    rows = duplicates(tmp_path / "catalog")
    assert summary.redundant_documents == len(rows)
    redundant = {(row[0], row[1]) for row in rows}
    assert len(redundant) == len(rows)
    for document_uri, row, kept_uri, kept_row, kind, similarity, containment in rows:
        assert (kept_uri, kept_row) not in redundant  # stars, not chains
        document, kept = at[document_uri, row], at[kept_uri, kept_row]
        mine, other = shingles(document), shingles(kept)
        if kind == "exact":
            assert document == kept
            assert (similarity, containment) == (1.0, 1.0)
        else:
            assert document != kept
            assert similarity >= threshold
            assert similarity == pytest.approx(jaccard(mine, other), abs=1e-12)
            assert containment == pytest.approx(len(mine & other) / len(mine), abs=1e-12)
        assert len(kept.encode()) >= len(document.encode())
    kept_texts = [document for place, document in at.items() if place not in redundant]
    assert len(set(kept_texts)) == len(kept_texts)
    assert set(texts) >= set(kept_texts)


@pytest.mark.parametrize("seed", [1, 2])
def test_few_similar_texts_are_both_kept(tmp_path: Path, seed: int) -> None:
    """Pairs far above the threshold must not be missed: at 0.95 the banding finds all but 1e-7."""
    at = _documents(tmp_path / "data", corpus(seed), 3)
    run_scan(tmp_path / "data", catalog=tmp_path / "catalog")
    redundant = {(row[0], row[1]) for row in duplicates(tmp_path / "catalog")}
    kept = [shingles(document) for place, document in at.items() if place not in redundant]
    assert [j for a, b in combinations(kept, 2) if (j := jaccard(a, b)) >= 0.95] == []


def _pairs(catalog: Path) -> list[Any]:
    return query(catalog, "SELECT jaccard, a_shingles, b_shingles, shared_shingles FROM pairs")


def test_every_compared_pair_is_kept_with_its_numbers(tmp_path: Path) -> None:
    texts = corpus(5)
    _documents(tmp_path / "data", texts, 2)
    run_scan(tmp_path / "data", catalog=tmp_path / "catalog")
    wanted = {
        (jaccard(a, b), *sorted((len(a), len(b))), len(a & b))
        for a, b in combinations(map(shingles, set(texts)), 2)
    }
    rows = _pairs(tmp_path / "catalog")
    assert len(rows) > 10
    assert min(row[0] for row in rows) < 0.8  # failures are kept too
    assert {(row[0], *sorted(row[1:3]), row[3]) for row in rows} <= wanted


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Any]:
    root = tmp_path_factory.mktemp("reference")
    texts = corpus(7, 120)
    _documents(root / "data", texts, 4)
    run_scan(root / "data", catalog=root / "catalog")
    return root, texts, kept_digests(root / "catalog")


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_result_is_the_same_for_any_number_of_workers(
    reference: tuple[Path, list[str], Any], tmp_path: Path, workers: int
) -> None:
    root, _, kept = reference
    run_scan(root / "data", catalog=tmp_path / "catalog", workers=workers)
    assert kept_digests(tmp_path / "catalog") == kept
    assert duplicates(tmp_path / "catalog") == duplicates(root / "catalog")
    assert _pairs(tmp_path / "catalog") == _pairs(root / "catalog")


def test_result_is_the_same_for_any_order_of_arguments(
    reference: tuple[Path, list[str], Any], tmp_path: Path
) -> None:
    root, _, kept = reference
    paths = sorted((root / "data").iterdir(), reverse=True)
    run_scan(*paths, catalog=tmp_path / "catalog")
    assert kept_digests(tmp_path / "catalog") == kept
    whole = [row[:4] for row in duplicates(root / "catalog")]
    assert [row[:4] for row in duplicates(tmp_path / "catalog")] == whole


@pytest.mark.parametrize("seed", [1, 2])
def test_result_is_the_same_when_documents_are_shuffled_into_other_shards(
    reference: tuple[Path, list[str], Any], tmp_path: Path, seed: int
) -> None:
    _, texts, kept = reference
    shuffled = random.Random(seed).sample(texts, len(texts))
    _documents(tmp_path / "data", shuffled, 2 + 5 * seed)
    run_scan(tmp_path / "data", catalog=tmp_path / "catalog", workers=2)
    assert kept_digests(tmp_path / "catalog") == kept


def test_priority_of_a_dataset_goes_before_length(tmp_path: Path) -> None:
    data, base = tmp_path / "data", text(1)
    write_lines(data / "a" / "1.jsonl", [f"{base} and longer"])
    write_lines(data / "b" / "1.jsonl", [base])
    run_scan(data, catalog=tmp_path / "c", datasets=datasets({data / "a": 0, data / "b": 1}))
    assert [row[0] for row in duplicates(tmp_path / "c")] == [uri(data / "a" / "1.jsonl")]


def _chain(length: int) -> list[str]:
    """Each text is near to its neighbours only."""
    words = text(1, 60).split()
    found = []
    for number in range(length):
        found.append(" ".join(words))
        words[number * 7 % 55] = f"changed{number}"
    return found


def test_a_chain_of_similar_texts_is_cut_into_stars(tmp_path: Path) -> None:
    at = _documents(tmp_path / "data", _chain(12), 2)
    run_scan(tmp_path / "data", catalog=tmp_path / "catalog")
    rows = duplicates(tmp_path / "catalog")
    assert rows
    for row in rows:
        found = jaccard(shingles(at[row[0], row[1]]), shingles(at[row[2], row[3]]))
        assert found >= 0.8
    assert len(at) - len(rows) > 1


Write = Callable[[Path, list[str]], Path]


@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_texts_without_words_are_exact_duplicates_only(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "data" / "a.x", ["", "", "...", "---", "..."])
    summary = run_scan(tmp_path / "data", catalog=tmp_path / "catalog")
    assert (summary.exact_duplicate_documents, summary.near_duplicate_documents) == (2, 0)
