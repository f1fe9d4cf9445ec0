"""Accuracy of a scan against exact truth: precision, and recall per Jaccard bin beside the curve.

    python scripts/bench/accuracy.py --python-sources
    python scripts/bench/accuracy.py FILE.parquet…

Truth is every pair of distinct texts whose sets of 5-token shingles reach the threshold, without
sampling: two sets of Jaccard t or more share one of their first |S| - ceil(t |S|) + 1 shingles in
any one order of all shingles (here: rarest first; Chaudhuri et al., "A primitive operator for
similarity joins", 2006), so an index of those prefixes yields all pairs, and each is compared by
its sets. Tokens and shingle hashes are made here, not by the program: ASCII texts by a regular
expression, others by the readable twin of the kernel's tokenizer; a shingle is the exclusive or of
64-bit random numbers drawn for (place, token).

A document is found when it stands in the scan's near duplicates, redundant or kept. It counts in
the bin of its best partner. The curve expects 1 - product of 1 - p(J) over its partners, p being
the probability that two signatures share a band. Two tables are told:

* ``kept_stars``, which has the verdict: the documents that the keep decision over the whole truth
  makes redundant or keeps for one, each with the partners that decision gives it;
* ``any_partner``: all documents with a partner. A document whose partners are all redundant for
  third ones that are unlike it stays alone by design (stars, not chains), however good the bands
  are; ``alone`` counts them.

Standard errors take documents as independent. They are not (both documents of a lost pair are
lost), so that the verdict is stricter than three standard errors of the number found.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from greendata.dedup.lsh import Banding, choose_banding
from greendata.dedup.tokens import tokens
from scripts.bench import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHINGLE_SIZE = 5
NUM_PERM = 128
BINS = ((0.8, 0.85), (0.85, 0.9), (0.9, 0.95), (0.95, 1.0))
STANDARD_ERRORS = 3
LARGEST_SOURCE_BYTES = 1_000_000
"""Larger Python sources are tables, not code that somebody wrote."""
TRUTH_FILE = "truth_pairs.csv"
"""Pairs that came with the data: ``id_a, id_b, kind, jaccard_5word`` of words between blanks."""

_ASCII_WORDS = re.compile(r"[a-z0-9]+")

Pair = tuple[int, int]
Place = tuple[str, int]
"""URI and row of a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Documents by place, and their distinct texts in the order in which they are kept."""

    documents: dict[Place, int]
    texts: list[str]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Every pair of texts that reaches the threshold, lower (kept first) number first."""

    jaccards: dict[Pair, float]
    shared: dict[Pair, int]
    sizes: NDArray[np.int64]

    @cached_property
    def partners(self) -> dict[int, dict[int, float]]:
        """The partners of each text, with their Jaccard."""
        found: dict[int, dict[int, float]] = defaultdict(dict)
        for (a, b), jaccard in self.jaccards.items():
            found[a][b] = found[b][a] = jaccard
        return found

    @cached_property
    def best(self) -> dict[int, float]:
        """The Jaccard of each text's best partner."""
        return {text: max(found.values()) for text, found in self.partners.items()}

    @cached_property
    def stars(self) -> dict[int, list[float]]:
        """Texts that are redundant or kept for one, with the Jaccards that can bring that about."""
        kept: set[int] = set()
        found: dict[int, list[float]] = defaultdict(list)
        for text in sorted(self.partners):
            keepers = {p: j for p, j in self.partners[text].items() if p < text and p in kept}
            if not keepers:
                kept.add(text)
                continue
            found[text] = list(keepers.values())
            found[min(keepers)].append(keepers[min(keepers)])
        return found


@dataclass(slots=True, kw_only=True)
class Found:
    """What the scan reported, held against the truth."""

    texts: set[int] = field(default_factory=set)
    near: int = 0
    exact: int = 0
    wrong_pairs: int = 0
    wrong_numbers: int = 0
    wrong_texts: int = 0


def write_python_sources(folder: Path) -> Path:
    """The sources of the running Python as one Parquet shard."""
    paths = sysconfig.get_paths()
    names = sorted({p for key in ("stdlib", "purelib") for p in Path(paths[key]).rglob("*.py")})
    held = [data for name in names if 0 < len(data := name.read_bytes()) <= LARGEST_SOURCE_BYTES]
    target = folder / "sources.parquet"
    texts = [data.decode("utf-8", "replace") for data in held]
    pq.write_table(pa.table({"text": texts}), target, compression="zstd")
    return target


def keep_order(text: str) -> tuple[int, int, int]:
    """Longest first, then by digest as the catalog's signed numbers."""
    raw = text.encode()
    digest = hashlib.blake2b(raw, digest_size=16).digest()
    high, low = (int.from_bytes(half, "big", signed=True) for half in (digest[:8], digest[8:]))
    return -len(raw), high, low


def load_corpus(files: Sequence[Path], column: str) -> Corpus:
    """The documents of Parquet files."""
    held = {
        (file.absolute().as_uri(), row): text
        for file in files
        for row, text in enumerate(pq.read_table(file, columns=[column])[column].to_pylist())
        if text is not None
    }
    texts = sorted(set(held.values()), key=keep_order)
    number = {text: place for place, text in enumerate(texts)}
    return Corpus(documents={place: number[text] for place, text in held.items()}, texts=texts)


def words_of(text: str) -> list[str]:
    """The tokens of a text."""
    return _ASCII_WORDS.findall(text.lower()) if text.isascii() else tokens(text)


def shingle_sets(texts: Iterable[str]) -> list[NDArray[np.uint64]]:
    """The distinct shingles of each text, as 64-bit numbers in order."""
    vocabulary: dict[str, int] = defaultdict(itertools.count().__next__)
    coded = [np.array([vocabulary[word] for word in words_of(text)], np.int64) for text in texts]
    generator = np.random.Generator(np.random.PCG64(0))
    drawn = generator.integers(0, 1 << 64, (SHINGLE_SIZE, len(vocabulary) + 1), dtype=np.uint64)
    sets = []
    for words in coded:
        size = min(SHINGLE_SIZE, len(words))
        mixed = np.zeros(len(words) - size + 1 if size else 0, np.uint64)
        for place in range(size):
            mixed ^= drawn[place][words[place : place + len(mixed)]]
        sets.append(np.unique(mixed))
    return sets


def rarest_first(sets: list[NDArray[np.uint64]]) -> list[NDArray[np.int64]]:
    """The sets with shingles as numbers that are the lower, the rarer a shingle is."""
    everything = np.concatenate([*sets, np.empty(0, np.uint64)])
    _, place, count = np.unique(everything, return_inverse=True, return_counts=True)
    number = np.empty(len(count), np.int64)
    number[np.argsort(count, kind="stable")] = np.arange(len(count))
    parts = np.split(number[place], np.cumsum([len(held) for held in sets])[:-1])
    return [np.sort(part) for part in parts]


def all_pairs(sets: list[NDArray[np.int64]], threshold: float) -> Truth:
    """Every pair of sets whose Jaccard reaches the threshold."""
    index: dict[int, list[int]] = defaultdict(list)
    members = [frozenset(held.tolist()) for held in sets]
    jaccards: dict[Pair, float] = {}
    shared: dict[Pair, int] = {}
    sizes = np.array([len(held) for held in sets], np.int64)
    for text in np.argsort(sizes, kind="stable").tolist():
        size, others = len(members[text]), set[int]()
        prefix = sets[text][: size - math.ceil(threshold * size) + 1] if size else sets[text]
        for shingle in prefix.tolist():
            others.update(index[shingle])
            index[shingle].append(text)
        for other in others:
            if len(members[other]) >= threshold * size:
                both = len(members[text] & members[other])
                jaccard = both / (size + len(members[other]) - both)
                if jaccard >= threshold:
                    pair = min(text, other), max(text, other)
                    jaccards[pair], shared[pair] = jaccard, both
    return Truth(jaccards=jaccards, shared=shared, sizes=sizes)


def scan(
    files: Sequence[Path], folder: Path, *, threshold: float, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The scan's summary and its duplicates."""
    catalog = measure.new_catalog(folder)
    parameters = ("--threshold", str(threshold), "--seed", str(seed), "--json")
    command = measure.greendata("--catalog", catalog, "scan", *files, *parameters)
    summary: dict[str, Any] = json.loads(measure.run(command).stdout)
    target = catalog.parent / "duplicates.parquet"
    measure.run(measure.greendata("--catalog", catalog, "duplicates", "-o", target))
    rows: list[dict[str, Any]] = pq.read_table(target).to_pylist()
    return summary, rows


def judge(rows: Iterable[dict[str, Any]], corpus: Corpus, truth: Truth) -> Found:
    """Hold each reported duplicate against the truth."""
    found = Found()
    for row in rows:
        text = corpus.documents[row["document_uri"], row["document_row"]]
        kept = corpus.documents[row["kept_uri"], row["kept_row"]]
        if row["kind"] == "exact":
            found.exact += 1
            found.wrong_texts += text != kept
            continue
        found.near += 1
        found.texts |= {text, kept}
        jaccard = truth.jaccards.get((kept, text))  # what is kept has the lower number
        if jaccard is None:
            found.wrong_pairs += 1
            continue
        containment = truth.shared[kept, text] / truth.sizes[text]
        distance = max(abs(jaccard - row["jaccard"]), abs(containment - row["containment"]))
        found.wrong_numbers += bool(distance > 1e-12)
    return found


def table(
    chances: dict[int, Iterable[float]],
    best: dict[int, float],
    found: set[int],
    recall: Callable[[float], float],
) -> list[dict[str, Any]]:
    """Texts of ``chances`` by their best partner's Jaccard: found, and expected by the curve."""
    rows = []
    for low, high in BINS:
        inside = [t for t in chances if low <= best[t] < high or best[t] == high == 1.0]
        hopes = [1 - math.prod(1 - recall(jaccard) for jaccard in chances[t]) for t in inside]
        error = math.sqrt(sum(hope * (1 - hope) for hope in hopes))
        hits, count = sum(text in found for text in inside), max(1, len(inside))
        rows.append(
            {
                "jaccard": [low, high],
                "documents": len(inside),
                "found": hits,
                "recall": hits / count,
                "expected": sum(hopes) / count,
                "three_standard_errors": STANDARD_ERRORS * error / count,
                "is_at_the_curve": hits >= sum(hopes) - STANDARD_ERRORS * error,
            }
        )
    return rows


def held_against_file(
    files: Sequence[Path], corpus: Corpus, truth: Truth, found: set[int], threshold: float
) -> dict[str, int] | None:
    """Pairs of the file of pairs that came with the data, if it did, and what became of them."""
    path = files[0].parent / TRUTH_FILE
    if not path.is_file():
        return None
    place: dict[str, int] = {}
    for file in files:
        for row, name in enumerate(pq.read_table(file, columns=["id"])["id"].to_pylist()):
            place[name] = corpus.documents[file.absolute().as_uri(), row]
    counts = dict.fromkeys(
        ("pairs", "same_text", "also_by_our_tokens", "of_these_found", "not_by_our_tokens"), 0
    )
    for row in pyarrow.csv.read_csv(path).to_pylist():
        if row["jaccard_5word"] < threshold:
            continue
        counts["pairs"] += 1
        a, b = sorted((place[row["id_a"]], place[row["id_b"]]))
        if a == b:
            counts["same_text"] += 1
        elif (a, b) in truth.jaccards:
            counts["also_by_our_tokens"] += 1
            counts["of_these_found"] += {a, b} <= found
        else:
            counts["not_by_our_tokens"] += 1
    return counts


def budgets_of(stars: Iterable[dict[str, Any]], found: Found) -> dict[str, dict[str, Any]]:
    """Precision of every kind, and recall of each bin."""
    precision = 1 - found.wrong_pairs / max(1, found.near)
    budgets = {
        "precision": measure.at_least(precision, 1.0),
        "wrong_jaccards_or_containments": measure.at_most(found.wrong_numbers, 0),
        "exact_duplicates_with_another_text": measure.at_most(found.wrong_texts, 0),
    }
    for row in stars:
        if row["documents"]:
            low, high = row["jaccard"]
            limit = row["expected"] - row["three_standard_errors"]
            budgets[f"recall_from_{low}_to_{high}"] = measure.at_least(row["recall"], limit)
    return budgets


def benchmark(
    files: Sequence[Path], folder: Path, *, threshold: float, seed: int
) -> dict[str, Any]:
    """Scan the files, find the truth, and hold one against the other."""
    summary, rows = scan(files, folder, threshold=threshold, seed=seed)
    corpus = load_corpus(files, summary["datasets"][0]["text_columns"][0])
    truth = all_pairs(rarest_first(shingle_sets(corpus.texts)), threshold)
    found = judge(rows, corpus, truth)
    banding: Banding = choose_banding(threshold, NUM_PERM)
    stars = table(dict(truth.stars), truth.best, found.texts, banding.recall)
    partners = {text: held.values() for text, held in truth.partners.items()}
    anyone = table(dict(partners), truth.best, found.texts, banding.recall)
    for row, star in zip(anyone, stars, strict=True):
        row["alone"] = row["documents"] - star["documents"]
    measured = {
        "kept_stars": stars,
        "any_partner": anyone,
        "near_duplicates": found.near,
        "wrong_pairs": found.wrong_pairs,
        "exact_duplicates": found.exact,
        "candidate_pairs": summary["candidate_pairs"],
        "verified_pairs": summary["verified_pairs"],
        "capped_comparisons": summary["capped_comparisons"],
        TRUTH_FILE: held_against_file(files, corpus, truth, found.texts, threshold),
    }
    return measure.document(
        "accuracy",
        data={
            "documents": len(corpus.documents),
            "distinct_texts": len(corpus.texts),
            "true_pairs": len(truth.jaccards),
        },
        parameters={
            "threshold": threshold,
            "seed": seed,
            "bands": banding.bands,
            "rows_per_band": banding.rows,
        },
        measured=measured,
        budgets=budgets_of(stars, found),
    )


def show(result: dict[str, Any]) -> None:
    """The bins as tables, on standard error."""
    for name in ("kept_stars", "any_partner"):
        sys.stderr.write(f"{name:13} documents  found  recall  expected  3 s.e.\n")
        for row in result["measured"][name]:
            verdict = "at the curve" if row["is_at_the_curve"] else "below the curve"
            alone = f", {row['alone']} alone by design" if row.get("alone") else ""
            sys.stderr.write(
                f"{row['jaccard'][0]:.2f} to {row['jaccard'][1]:.2f} {row['documents']:10}"
                f" {row['found']:6}  {row['recall']:.4f}    {row['expected']:.4f}"
                f"  {row['three_standard_errors']:.4f}  {verdict}{alone}\n"
            )


def main() -> int:
    """Print one JSON document on standard output and the tables on standard error."""
    parser = measure.parser((__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="Parquet shards")
    parser.add_argument("--python-sources", action="store_true", help="use this Python's sources")
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=1, help="of the permutations")
    arguments = parser.parse_args()
    if bool(arguments.files) == arguments.python_sources:
        parser.error("name Parquet files, or --python-sources")
    with measure.working_folder(arguments.folder) as folder:
        files = [file.resolve() for file in arguments.files] or [write_python_sources(folder)]
        result = benchmark(files, folder, threshold=arguments.threshold, seed=arguments.seed)
    show(result)
    return measure.conclude(result, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())
