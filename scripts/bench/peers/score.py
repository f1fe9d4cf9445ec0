"""Holds the answers of all tools against exact truth: recall per Jaccard bin, and precision.

    python scripts/bench/peers/score.py ANSWERS.json FILE.parquet…

``ANSWERS.json`` names, for each tool, the files with its answers (one a repetition, each of another
seed), their kind and the banding. Documents of one text count once, so that exact copies neither
help nor harm; how many of those a tool missed is told apart. For each tool:

* ``kept_stars`` and ``any_partner``: recall of documents by the Jaccard of their best partner, as
  accuracy.py tells it. A document is found when the tool gives it any partner, be it a wrong one;
  greendata gives only verified ones. ``kept_stars`` are the documents that greendata's keep rule,
  applied to the whole truth, makes redundant or keeps for one; of ``any_partner`` those are missing
  for greendata that the rule leaves alone.
* ``pair_precision``: share of the pairs of different texts that reach the threshold.
* ``pair_recall``, by bin: share of the true pairs; not for greendata, which names stars, not all.
* ``document_precision``: share of the found documents that have a partner in truth.

Recall and precision are those of all repetitions together. The three standard errors are the
curve's for one repetition.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import pyarrow.parquet as pq

from greendata.dedup.lsh import Banding
from scripts.bench.accuracy import judge
from scripts.bench.truth import (
    BINS,
    Corpus,
    Pair,
    Truth,
    all_pairs,
    load_corpus,
    rarest_first,
    shingle_sets,
    table,
)

THRESHOLD = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: texts with a partner, pairs of different texts, and documents of equal text.

    ``pairs`` and ``alike`` are None where a tool does not name them.
    """

    texts: set[int]
    pairs: set[Pair] | None = None
    alike: set[int] | None = None
    wrong_numbers: int = 0


def read_pairs(path: Path, texts: list[int]) -> Answer:
    """Pairs of document numbers."""
    pairs, alike = set[Pair](), set[int]()
    for batch in pq.ParquetFile(path).iter_batches():
        for a, b in zip(batch["a"].to_pylist(), batch["b"].to_pylist(), strict=True):
            one, other = texts[a], texts[b]
            if one == other:
                alike |= {a, b}
            else:
                pairs.add((min(one, other), max(one, other)))
    return Answer(texts={text for pair in pairs for text in pair}, pairs=pairs, alike=alike)


def read_flags(path: Path, texts: list[int], copies: Counter[int], truth: Truth) -> Answer:
    """Numbers of documents; a flag of one that only has exact copies is neither right nor wrong."""
    flagged = {texts[number] for number in pq.read_table(path)["document"].to_pylist()}
    return Answer(texts={text for text in flagged if copies[text] == 1 or text in truth.best})


def read_duplicates(path: Path, corpus: Corpus, truth: Truth) -> Answer:
    """greendata's table of duplicates."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    found = judge(rows, corpus, truth)
    number = {place: position for position, place in enumerate(corpus.documents)}
    pairs, alike = set[Pair](), set[int]()
    for row in rows:
        document = row["document_uri"], row["document_row"]
        kept = row["kept_uri"], row["kept_row"]
        alike.add(
            number[document]
        )  # copies of a redundant text are near duplicates of what is kept
        if row["kind"] == "exact":
            alike.add(number[kept])
        else:
            pairs.add((corpus.documents[kept], corpus.documents[document]))
    return Answer(
        texts=found.texts,
        pairs=pairs,
        alike=alike,
        wrong_numbers=found.wrong_numbers + found.wrong_texts,
    )


def merged(tables: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The bins of all repetitions as one: found is a mean."""
    rows = []
    for bins in zip(*tables, strict=True):
        found = sum(row["found"] for row in bins) / len(bins)
        recall = sum(row["recall"] for row in bins) / len(bins)
        kept = {key: value for key, value in bins[0].items() if key != "is_at_the_curve"}
        rows.append(kept | {"found": round(found, 2), "recall": recall})
    return rows


def pair_recall(pairs: set[Pair], truth: Truth) -> list[dict[str, Any]]:
    """Of the true pairs in each bin."""
    rows = []
    for low, high in BINS:
        inside = [p for p, j in truth.jaccards.items() if low <= j < high or j == high == 1.0]
        hits = sum(pair in pairs for pair in inside)
        count = max(1, len(inside))
        row = {"jaccard": [low, high], "pairs": len(inside), "found": hits, "recall": hits / count}
        rows.append(row)
    return rows


def score(
    answers: list[Answer], truth: Truth, copies: set[int], is_star: bool, banding: Banding
) -> dict[str, Any]:
    """All that is told of a tool.

    Args:
        copies: documents whose text another one has too.
        is_star: pairs are with what is kept only.
    """
    partners = {text: held.values() for text, held in truth.partners.items()}
    everyone: dict[str, Mapping[int, Iterable[float]]]
    everyone = {"kept_stars": truth.stars, "any_partner": partners}
    told: dict[str, Any] = {}
    for name, chances in everyone.items():
        tables = [table(chances, truth.best, one.texts, banding.recall) for one in answers]
        told[name] = merged(tables)
    found = sum(len(one.texts) for one in answers)
    right = sum(len(one.texts & truth.best.keys()) for one in answers)
    told["document_precision"] = share(right, found)
    told["found_documents"] = round(found / len(answers), 1)
    told["wrong_numbers"] = sum(one.wrong_numbers for one in answers)
    named = [one.pairs for one in answers if one.pairs is not None]
    if named:
        total = sum(map(len, named))
        right = sum(len(pairs & truth.jaccards.keys()) for pairs in named)
        told["pairs"] = round(total / len(named), 1)
        told["pair_precision"] = share(right, total)
        if not is_star:
            told["pair_recall"] = merged([pair_recall(pairs, truth) for pairs in named])
    missed = [len(copies - one.alike) for one in answers if one.alike is not None]
    if missed:
        told["exact_copies_missed"] = max(missed)
    return told


def share(part: int, whole: int) -> float:
    """Of nothing, nothing is wrong."""
    return part / whole if whole else 1.0


def main(arguments: list[str]) -> int:
    """Print the truth's size and the score of each tool."""
    asked: dict[str, Any] = json.loads(Path(arguments[0]).read_text())
    corpus = load_corpus([Path(file) for file in arguments[1:]], "text")
    sets = shingle_sets(corpus.texts)
    truth = all_pairs(rarest_first(sets), THRESHOLD)
    texts = list(corpus.documents.values())
    copies = Counter(texts)
    same = {n for n, text in enumerate(texts) if copies[text] > 1 and len(sets[text])}
    readers: dict[str, Callable[[Path], Answer]] = {
        "pairs": lambda path: read_pairs(path, texts),
        "flags": lambda path: read_flags(path, texts, copies, truth),
        "duplicates": lambda path: read_duplicates(path, corpus, truth),
    }
    scores = {}
    for tool, entry in asked.items():
        answers = [readers[entry["kind"]](Path(path)) for path in entry["paths"]]
        banding = Banding(bands=entry["bands"], rows=entry["rows"])
        is_star = entry["kind"] == "duplicates"
        scores[tool] = score(answers, truth, same, is_star, banding)
    told = {
        "distinct_texts": len(corpus.texts),
        "true_pairs": len(truth.jaccards),
        "documents_with_a_partner": len(truth.best),
        "exact_copies": len(same),
    }
    print(json.dumps({"truth": told, "scores": scores}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
