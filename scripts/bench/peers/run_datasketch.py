"""datasketch: MinHash with its default hash, and MinHashLSH; candidates are not verified."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scripts.bench.peers import task


def find(datasketch: Any, given: argparse.Namespace) -> task.Answer:
    """Pairs of each document with those that its index already has."""
    numbers: list[int] = []

    def sets() -> Iterator[list[bytes]]:
        for number, shingles in task.documents(given.files):
            numbers.append(number)
            yield [shingle.encode() for shingle in shingles]

    index = datasketch.MinHashLSH(num_perm=task.NUM_PERM, params=(given.bands, given.rows))
    made = datasketch.MinHash.generator(sets(), num_perm=task.NUM_PERM, seed=given.seed)
    pairs: set[task.Pair] = set()
    for place, signature in enumerate(made):
        number = numbers[place]
        pairs.update((other, number) for other in index.query(signature))
        index.insert(number, signature, check_duplication=False)
    return pairs


def main() -> int:
    """Measure after the imports."""
    datasketch = importlib.import_module("datasketch")
    given = task.parse()
    return task.measure(datasketch.__version__, given, lambda: find(datasketch, given))


if __name__ == "__main__":
    sys.exit(main())
