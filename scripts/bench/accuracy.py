"""Accuracy of a scan against exact truth: precision, and recall per Jaccard bin beside the curve.

    python scripts/bench/accuracy.py --python-sources
    python scripts/bench/accuracy.py FILE.parquet…

Truth is every pair of distinct texts whose 5-token shingle sets reach the threshold. It is found
without sampling or hashing tricks: two sets of Jaccard t or more must share one of their first
|S| - ceil(t |S|) + 1 shingles in any one order of all shingles (here: rarest first; Chaudhuri et
al., "A primitive operator for similarity joins", 2006), so an index of those prefixes yields all
pairs, and each is compared as Python sets of the tokens' readable twin.

Two recalls are told. ``kept stars``: of the documents that the keep decision over the whole truth
makes redundant, or keeps for a redundant one, how many the scan did; a document counts with the
partners that decision gives it. ``any partner``: of all documents with a partner, how many stand in
the scan's duplicates at all; this one cannot reach the curve where a document's only partner is
itself redundant for a third one that is unlike it (stars, not chains), so it has no verdict.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from greendata.dedup.lsh import choose_banding
from greendata.dedup.tokens import tokens

SIZE = 5
EDGES = (0.8, 0.85, 0.9, 0.95, 1.0000001)
LARGEST_SOURCE_BYTES = 1_000_000

Pair = tuple[int, int]


def python_sources(folder: Path) -> list[Path]:
    """The sources of the running Python, as one Parquet shard."""
    paths = sysconfig.get_paths()
    names = sorted({p for key in ("stdlib", "purelib") for p in Path(paths[key]).rglob("*.py")})
    texts = []
    for name in names:
        data = name.read_bytes()
        if 0 < len(data) <= LARGEST_SOURCE_BYTES:
            texts.append(data.decode("utf-8", "replace"))
    target = folder / "sources.parquet"
    pq.write_table(pa.table({"text": texts}), target, compression="zstd")
    return [target]


def shingle_ids(texts: list[str]) -> tuple[list[list[int]], int]:
    """Distinct shingles of each text as numbers, rarest first."""
    numbers: dict[tuple[str, ...], int] = {}
    sets: list[list[int]] = []
    counts: Counter[int] = Counter()
    for text in texts:
        words = tokens(text)
        size = min(SIZE, len(words))
        found = {tuple(words[i : i + size]) for i in range(len(words) - size + 1)} if words else ()
        held = [numbers.setdefault(shingle, len(numbers)) for shingle in found]
        counts.update(held)
        sets.append(held)
    for held in sets:
        held.sort(key=lambda number: (counts[number], number))
    return sets, len(numbers)


def all_pairs(sets: list[list[int]], threshold: float) -> dict[Pair, float]:
    """Every pair of sets whose Jaccard reaches the threshold."""
    index: dict[int, list[int]] = defaultdict(list)
    found: dict[Pair, float] = {}
    frozen = [frozenset(held) for held in sets]
    for document in sorted(range(len(sets)), key=lambda d: (len(sets[d]), d)):
        held, others = sets[document], set()
        prefix = held[: len(held) - math.ceil(threshold * len(held)) + 1] if held else []
        for shingle in prefix:
            others.update(index[shingle])
            index[shingle].append(document)
        for other in others:
            if len(sets[other]) >= threshold * len(held):
                shared = len(frozen[document] & frozen[other])
                jaccard = shared / (len(held) + len(sets[other]) - shared)
                if jaccard >= threshold:
                    found[min(document, other), max(document, other)] = jaccard
    return found


def scan(files: list[Path], threshold: float, folder: Path) -> tuple[dict[str, Any], pa.Table]:
    """The scan's summary and its duplicates."""
    command = [sys.executable, "-m", "greendata", "--catalog", str(folder / "catalog")]
    options = ["--threshold", str(threshold), "--json"]
    told = subprocess.run(
        [*command, "scan", *map(str, files), *options], check=True, capture_output=True
    )
    target = folder / "duplicates.parquet"
    subprocess.run([*command, "duplicates", "-o", str(target)], check=True, capture_output=True)
    return json.loads(told.stdout), pq.read_table(target)


def read_texts(files: list[Path], column: str) -> dict[tuple[str, int], str]:
    """Text of each document, by URI and row."""
    return {
        (file.absolute().as_uri(), row): text
        for file in files
        for row, text in enumerate(pq.read_table(file, columns=[column])[column].to_pylist())
        if text is not None
    }


def rank_order(distinct: list[str]) -> list[int]:
    """Documents in keep order: longest first, then by digest as the catalog's signed numbers."""

    def key(document: int) -> tuple[int, int, int]:
        raw = distinct[document].encode()
        digest = hashlib.blake2b(raw, digest_size=16).digest()
        high, low = (int.from_bytes(half, "big", signed=True) for half in (digest[:8], digest[8:]))
        return -len(raw), high, low

    return sorted(range(len(distinct)), key=key)


def kept_stars(order: list[int], truth: dict[Pair, float]) -> dict[int, list[float]]:
    """Jaccards that can bring each document of a star into it, by the decision over all pairs."""
    partners: dict[int, list[int]] = defaultdict(list)
    for a, b in truth:
        partners[a].append(b)
        partners[b].append(a)
    place = {document: rank for rank, document in enumerate(order)}
    kept: set[int] = set()
    stars: dict[int, list[float]] = defaultdict(list)
    for document in order:
        keepers = [p for p in partners[document] if place[p] < place[document] and p in kept]
        if not keepers:
            kept.add(document)
            continue
        stars[document] = [truth[min(document, p), max(document, p)] for p in keepers]
        best = min(keepers, key=place.__getitem__)
        stars[best].append(truth[min(document, best), max(document, best)])
    return stars


def bins(
    best: dict[int, float], chances: dict[int, list[float]], found: set[int], recall: Any
) -> Iterator[dict[str, Any]]:
    """Documents of ``chances`` by their best partner's Jaccard: found, and by the curve."""
    for low, high in pairwise(EDGES):
        inside = [document for document in chances if low <= best[document] < high]
        hopes = [1 - math.prod(1 - recall(j) for j in chances[d]) for d in inside]
        expected, spread = sum(hopes), math.sqrt(sum(c * (1 - c) for c in hopes))
        hits = sum(document in found for document in inside)
        yield {
            "jaccard": [low, min(high, 1.0)],
            "documents": len(inside),
            "found": hits,
            "recall": hits / len(inside) if inside else None,
            "expected": expected / len(inside) if inside else None,
            "three_standard_errors": 3 * spread / len(inside) if inside else None,
            "is_at_the_curve": hits >= expected - 3 * spread,
        }


def measure(files: list[Path], threshold: float, folder: Path) -> dict[str, Any]:
    """Scan the files and hold the result against the truth."""
    summary, duplicates = scan(files, threshold, folder)
    column = summary["datasets"][0]["text_columns"][0]
    texts = read_texts(files, column)
    distinct = sorted(set(texts.values()))
    number = {text: place for place, text in enumerate(distinct)}
    sets, _ = shingle_ids(distinct)
    truth = all_pairs(sets, threshold)
    best: dict[int, float] = {}
    partners: dict[int, list[float]] = defaultdict(list)
    for (a, b), jaccard in truth.items():
        for document in (a, b):
            best[document] = max(best.get(document, 0.0), jaccard)
            partners[document].append(jaccard)
    found: set[int] = set()
    wrong_pairs = wrong_texts = wrong_jaccards = near = exact = 0
    for row in duplicates.to_pylist():
        text = texts[row["document_uri"], row["document_row"]]
        kept_text = texts[row["kept_uri"], row["kept_row"]]
        if row["kind"] == "exact":
            exact += 1
            wrong_texts += text != kept_text
            continue
        near += 1
        a, b = sorted((number[text], number[kept_text]))
        found |= {a, b}
        wrong_pairs += (a, b) not in truth
        wrong_jaccards += abs(truth.get((a, b), -1) - row["jaccard"]) > 1e-12
    banding = choose_banding(threshold, 128)
    return {
        "documents": len(texts),
        "distinct_texts": len(distinct),
        "true_pairs": len(truth),
        "near_duplicates_reported": near,
        "exact_duplicates_reported": exact,
        "exact_duplicates_true": len(texts) - len(distinct),
        "near_precision": 1 - wrong_pairs / near if near else 1.0,
        "exact_with_another_text": wrong_texts,
        "wrong_jaccards": wrong_jaccards,
        "candidate_pairs": summary["candidate_pairs"],
        "banding": [banding.bands, banding.rows],
        "kept_stars": list(
            bins(best, kept_stars(rank_order(distinct), truth), found, banding.recall)
        ),
        "any_partner": list(bins(best, partners, found, banding.recall)),
    }


def _line(row: dict[str, Any]) -> str:
    return (
        f"[{row['jaccard'][0]:.2f}, {row['jaccard'][1]:.2f}]   {row['documents']:9}"
        f"  {row['found']:5}   {row['recall']:.4f}  {row['expected']:.4f}"
        f"    {row['three_standard_errors']:.4f}"
        f"  {'at the curve' if row['is_at_the_curve'] else 'below the curve'}"
    )


def show(result: dict[str, Any]) -> None:
    """The bins as tables, on standard error."""
    lines = []
    for name in ("kept_stars", "any_partner"):
        lines.append(f"{name:14} documents  found   recall  expected  +-3 s.e.")
        lines.extend(_line(row) for row in result[name] if row["documents"])
    sys.stderr.write("\n".join(lines) + "\n")


def main() -> int:
    """Print one JSON document; with ``--check`` the exit code is 1 where something is amiss."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="Parquet shards")
    parser.add_argument("--python-sources", action="store_true", help="use this Python's sources")
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = python_sources(folder) if arguments.python_sources else arguments.files
        if not files:
            parser.error("name Parquet files, or --python-sources")
        result = measure(files, arguments.threshold, folder)
    show(result)
    is_good = (
        result["near_precision"] == 1.0
        and not result["exact_with_another_text"]
        and not result["wrong_jaccards"]
        and all(row["is_at_the_curve"] for row in result["kept_stars"])
    )
    print(json.dumps({"benchmark": "accuracy", "within_budget": is_good} | result, indent=2))
    return 1 if arguments.check and not is_good else 0


if __name__ == "__main__":
    sys.exit(main())
