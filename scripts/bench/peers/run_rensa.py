"""rensa: full-set R-MinHash (not rho, which samples) and its own LSH index.

Pairs are what its index answers for each signature; flags are its shortest way, which makes no
objects and names no partner. Candidates are not verified.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scripts.bench.peers import task


def find(rensa: Any, given: argparse.Namespace) -> task.Answer:
    """Documents that share a band. All slots are in bands, so that 9 x 13 has 117 of them."""
    slots = given.bands * given.rows
    numbers: list[int] = []

    def sets() -> Iterator[list[str]]:
        for number, shingles in task.documents(given.files):
            numbers.append(number)
            yield shingles

    index = rensa.RMinHashLSH(task.THRESHOLD, slots, given.bands)
    if given.flags:
        matrix = rensa.RMinHash.digest_matrix_from_token_sets(sets(), slots, given.seed)
        flags = index.query_duplicate_flags_matrix_one_shot(matrix)
        return [number for number, flag in zip(numbers, flags, strict=True) if flag]
    signatures = rensa.RMinHash.from_token_sets(sets(), slots, given.seed)
    index.insert_many(signatures)
    return {
        (numbers[place], numbers[other])
        for place, others in enumerate(index.query_all(signatures))
        for other in others
        if place < other
    }


def main() -> int:
    """Measure after the imports."""
    rensa = importlib.import_module("rensa")
    given = task.parse()
    return task.measure(importlib.metadata.version("rensa"), given, lambda: find(rensa, given))


if __name__ == "__main__":
    sys.exit(main())
