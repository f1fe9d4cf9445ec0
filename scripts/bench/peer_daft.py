"""The peer of scan.py, run by the Python of an environment that has Daft: candidate pairs.

Parquet files to lower-cased runs of letters and digits, MinHash of word 5-grams with 128 slots by
Daft's own function, and bands by explode and group-by. Candidates are not verified.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import resource
import sys
import time
from typing import Any

NUM_PERM = 128
BANDS = 9
ROWS_PER_BAND = 13
SHINGLE_SIZE = 5


def cpu_seconds() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def candidates(daft: Any, files: list[str]) -> tuple[int, int]:
    """How many buckets hold several documents, and the distinct candidate pairs in them."""
    functions = importlib.import_module("daft.functions")
    column = daft.col
    words = functions.regexp_replace(column("text").lower(), r"[^\p{L}\p{N}]+", " ")
    hashes = words.minhash(
        num_hashes=NUM_PERM, ngram_size=SHINGLE_SIZE, seed=1, hash_function="xxhash3_64"
    )
    bands = functions.chunk(hashes.cast(daft.DataType.list(daft.DataType.uint32())), ROWS_PER_BAND)
    numbers = daft.lit(list(range(BANDS)))
    rows = daft.read_parquet(files)
    if "id" not in rows.column_names:
        rows = rows.with_column("id", functions.monotonically_increasing_id())
    rows = rows.select(column("id"), bands.alias("band")).with_column("number", numbers)
    members = column("id").list_agg().alias("members")
    buckets = rows.explode("band", "number").groupby("number", "band").agg(members)
    groups = buckets.where(column("members").list_count() > 1).to_pydict()["members"]
    pairs = {pair for group in groups for pair in itertools.combinations(sorted(group), 2)}
    return len(groups), len(pairs)


def main(files: list[str]) -> int:
    """Measure after the imports; print JSON."""
    daft = importlib.import_module("daft")
    importlib.import_module("daft.functions")
    imported_cpu, started = cpu_seconds(), time.perf_counter()
    buckets, pairs = candidates(daft, files)
    document = {
        "cpu_seconds": round(cpu_seconds() - imported_cpu, 3),
        "wall_seconds": round(time.perf_counter() - started, 3),
        "import_cpu_seconds": round(imported_cpu, 3),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "buckets": buckets,
        "candidate_pairs": pairs,
        "version": daft.__version__,
    }
    print(json.dumps(document), flush=True)
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # Daft 0.7.26 at times aborts while the interpreter is torn down
