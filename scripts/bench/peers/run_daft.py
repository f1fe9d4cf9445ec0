"""Daft: MinHash by its own function, bands by explode and group-by; candidates are not verified."""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scripts.bench.peers import task


def candidates(daft: Any, given: argparse.Namespace) -> task.Answer:
    """The distinct pairs of documents that share a band; ``id``, if there is one, names them."""
    functions = importlib.import_module("daft.functions")
    column = daft.col
    # Daft's minhash splits at each blank: one at an end would be a token of its own.
    words = functions.regexp_replace(column("text").lower(), r"[^\p{L}\p{N}]+", " ")
    rows = daft.read_parquet(given.files)
    if "id" not in rows.column_names:
        rows = rows.with_column("id", functions.monotonically_increasing_id())
    rows = rows.select(column("id"), functions.strip(words).alias("words"))
    hashes = column("words").minhash(
        num_hashes=task.NUM_PERM,
        ngram_size=task.SHINGLE_SIZE,
        seed=given.seed,
        hash_function="xxhash3_64",
    )
    bands = functions.chunk(hashes.cast(daft.DataType.list(daft.DataType.uint32())), given.rows)
    numbers = daft.lit(list(range(given.bands)))
    rows = rows.where(column("words") != "").select(column("id"), bands.alias("band"))
    rows = rows.with_column("number", numbers)
    members = column("id").list_agg().alias("members")
    buckets = rows.explode("band", "number").groupby("number", "band").agg(members)
    groups = buckets.where(column("members").list_count() > 1).to_pydict()["members"]
    return {pair for group in groups for pair in itertools.combinations(sorted(group), 2)}


def main() -> int:
    """Measure after the imports."""
    daft = importlib.import_module("daft")
    importlib.import_module("daft.functions")
    given = task.parse()
    return task.measure(daft.__version__, given, lambda: candidates(daft, given))


if __name__ == "__main__":
    os._exit(main())  # Daft 0.7.26 at times aborts while the interpreter is torn down
