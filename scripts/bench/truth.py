"""Exact truth: every pair of distinct texts whose sets of 5-token shingles reach a threshold.

Nothing is sampled: two sets of Jaccard t or more share one of their first |S| - ceil(t |S|) + 1
shingles in any one order of all shingles (here: rarest first; Chaudhuri et al., "A primitive
operator for similarity joins", 2006), so an index of those prefixes yields all pairs, and each is
compared by its sets. Tokens and shingle hashes are made here, not by the program: ASCII texts by a
regular expression, others by the readable twin of the kernel's tokenizer; a shingle is the
exclusive or of 64-bit random numbers drawn for (place, token).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import sysconfig
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from greendata.dedup.tokens import tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHINGLE_SIZE = 5
BINS = ((0.8, 0.85), (0.85, 0.9), (0.9, 0.95), (0.95, 1.0))
STANDARD_ERRORS = 3
LARGEST_SOURCE_BYTES = 1_000_000
"""Larger Python sources are tables, not code that somebody wrote."""

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


def table(
    chances: Mapping[int, Iterable[float]],
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
