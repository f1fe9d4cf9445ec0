"""Accuracy of a scan against exact truth: precision, and recall per Jaccard bin beside the curve.

    python scripts/bench/accuracy.py --python-sources
    python scripts/bench/accuracy.py FILE.parquet…

Truth is truth.py's: every pair, without sampling.

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

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pyarrow.csv
import pyarrow.parquet as pq

from greendata.dedup.lsh import Banding, choose_banding
from scripts.bench import measure
from scripts.bench.truth import (
    Corpus,
    Truth,
    all_pairs,
    load_corpus,
    rarest_first,
    shingle_sets,
    table,
    write_python_sources,
)

NUM_PERM = 128
TRUTH_FILE = "truth_pairs.csv"
"""Pairs that came with the data: ``id_a, id_b, kind, jaccard_5word`` of words between blanks."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What the scan reported, held against the truth."""

    texts: set[int] = field(default_factory=set)
    near: int = 0
    exact: int = 0
    wrong_pairs: int = 0
    wrong_numbers: int = 0
    wrong_texts: int = 0


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
    stars = table(truth.stars, truth.best, found.texts, banding.recall)
    partners = {text: held.values() for text, held in truth.partners.items()}
    anyone = table(partners, truth.best, found.texts, banding.recall)
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
