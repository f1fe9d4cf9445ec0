"""The task of the peers, and how they are measured; run in their environments.

Documents are the rows of Parquet files in order. A token is a lower-cased run of letters or digits;
a shingle is five consecutive ones, with blanks between; a shorter document is one shingle; one
without tokens is left out. Only the standard library and pyarrow are there.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NUM_PERM = 128
SHINGLE_SIZE = 5
THRESHOLD = 0.8
BATCH_ROWS = 1024

Pair = tuple[int, int]
Answer = set[Pair] | list[int]
"""Pairs of document numbers, lower first; or the numbers of documents that have a partner."""

_words = re.compile(r"[^\W_]+").findall


def shingles(text: str) -> list[str]:
    """The shingles of a text, with repetitions."""
    words = _words(text.lower())
    if len(words) < SHINGLE_SIZE:
        return [" ".join(words)] if words else []
    return list(map(" ".join, zip(*(words[place:] for place in range(SHINGLE_SIZE)), strict=False)))


def documents(files: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The number and the shingles of each document that has any."""
    import pyarrow.parquet as pq

    first = 0
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(BATCH_ROWS, columns=["text"]):
                for number, text in enumerate(batch["text"].to_pylist(), first):
                    found = shingles(text) if text is not None else []
                    if found:
                        yield number, found
                first += batch.num_rows


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line of a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bands", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flags", action="store_true", help="documents with a partner, not pairs")
    parser.add_argument("--answer", type=Path, help="Parquet file for the pairs or flags")
    parser.add_argument("files", nargs="+")
    return parser.parse_args(arguments)


def cpu_seconds() -> float:
    """User and system time of this process and its children."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(version: str, given: argparse.Namespace, find: Callable[[], Answer]) -> int:
    """Measure ``find`` after the imports; write its answer; print JSON."""
    imported_cpu, started = cpu_seconds(), time.perf_counter()
    found = find()
    document = {
        "cpu_seconds": round(cpu_seconds() - imported_cpu, 3),
        "wall_seconds": round(time.perf_counter() - started, 3),
        "import_cpu_seconds": round(imported_cpu, 3),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "candidate_pairs": len(found) if isinstance(found, set) else None,
        "version": version,
    }
    if given.answer is not None:
        write(found, given.answer)
    print(json.dumps(document), flush=True)
    return 0


def write(found: Answer, target: Path) -> None:
    """Pairs as columns ``a`` and ``b``, flags as column ``document``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"document": found}
    if isinstance(found, set):
        columns = {name: [pair[side] for pair in found] for side, name in enumerate("ab")}
    schema = pa.schema([(name, pa.int64()) for name in columns])
    pq.write_table(pa.table(columns, schema=schema), target)
