"""Lays out a corpus for all tools alike: Parquet with a running number ``id`` and ``text``.

    python scripts/bench/peers/corpora.py TARGET [--megabytes N] --python-sources | FILE…

A process of its own, so that the one which starts the measured ones stays small.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import pyarrow as pa
import pyarrow.parquet as pq

from scripts.bench import measure
from scripts.bench.truth import write_python_sources

PART_BYTES = 25_000_000
"""Of the text of a file, about; several files are what a scan with several workers gets."""
GROUP_BYTES = 8_000_000
LEVEL = 3

_SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.large_string())])


def texts_of(file: Path, most_bytes: float) -> Iterator[str]:
    """The texts of a file, from its start, as far as they stay within ``most_bytes``."""
    taken = 0
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(1024, columns=["text"]):
            for text in batch["text"].to_pylist():
                if text is None:
                    continue
                taken += len(text.encode())
                if taken > most_bytes:
                    return
                yield text


def chunks(texts: Iterable[str], most_bytes: int) -> Iterator[tuple[list[str], int]]:
    """Runs of texts that reach ``most_bytes`` together, and their bytes."""
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text.encode())
        if size >= most_bytes:
            yield held, size
            held, size = [], 0
    if held:
        yield held, size


def write(sources: list[Path], target: Path, most_bytes: float) -> dict[str, Any]:
    """Write the start of each source, in proportion to its rows, into files of the target."""
    target.mkdir(parents=True, exist_ok=True)
    number, size, parts = 0, 0, 0
    rows_of = {source: pq.read_metadata(source).num_rows for source in sources}
    for source in sources:
        writer, in_part = None, 0
        share = rows_of[source] / max(1, sum(rows_of.values()))
        most = most_bytes * share if share else 0.0
        for texts, added in chunks(texts_of(source, most), GROUP_BYTES):
            if writer is None:
                path = target / f"part-{parts:05d}.parquet"
                options = {"compression": "zstd", "compression_level": LEVEL}
                writer, in_part, parts = pq.ParquetWriter(path, _SCHEMA, **options), 0, parts + 1
            ids = range(number, number + len(texts))
            rows = pa.table({"id": list(ids), "text": texts}, schema=_SCHEMA)
            writer.write_table(rows, row_group_size=len(texts))
            number, size, in_part = number + len(texts), size + added, in_part + added
            if in_part >= PART_BYTES:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()
    return {
        "documents": number,
        "text_bytes": size,
        "text_megabytes": round(size / measure.MEGABYTE, 1),
        "files": parts,
    }


def main(arguments: list[str] | None = None) -> int:
    """Write, and print what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("sources", nargs="*", type=Path, help="Parquet files with a column text")
    parser.add_argument("--python-sources", action="store_true", help="use this Python's sources")
    parser.add_argument("--megabytes", type=float, default=float("inf"), help="of text, at most")
    given = parser.parse_args(arguments)
    sources = given.sources
    if given.python_sources:
        given.target.mkdir(parents=True, exist_ok=True)
        sources = [write_python_sources(given.target)]
    made = write(sources, given.target, given.megabytes * measure.MEGABYTE)
    if given.python_sources:
        sources[0].unlink()
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
