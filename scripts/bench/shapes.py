"""Parquet files of hostile shapes, for memory.py."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scripts.bench import generate

HUGE_DOCUMENT_BYTES = 50_000_000
COPIED_DOCUMENT_BYTES = 300
_COPIES_A_ROW_GROUP = 250_000


def blocks(megabytes: float) -> Iterator[pa.Table]:
    """Documents of 4 KB in the mean, of the shares of duplicates that the others have."""
    return generate.make_blocks(generate.Corpus(total_bytes=round(megabytes * 1e6)))


def one_row_group(path: Path, megabytes: float) -> int:
    """All documents in one row group; how many."""
    rows = pa.concat_tables(blocks(megabytes)).select(["id", "text"])
    pq.write_table(rows, path, compression="zstd", row_group_size=max(1, len(rows)))
    return len(rows)


def huge_documents(path: Path, megabytes: float) -> int:
    """Documents of 50 MB in one row group; every second is the one before with a word more."""
    size = min(HUGE_DOCUMENT_BYTES, round(megabytes * 1e6 / 2))
    texts: list[str] = []
    rest = b""
    for block in blocks(megabytes):
        rest += b"".join(text.encode() for text in block["text"].to_pylist())
        while len(rest) >= size and len(texts) * size < megabytes * 1e6:
            text = rest[: size - 10].decode("utf-8", "ignore")
            texts += [text, f"{text} appendix"]
            rest = rest[size:]
    schema = pa.schema([("text", pa.large_string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        writer.write_table(pa.table({"text": texts}, schema=schema), row_group_size=len(texts))
    return len(texts)


def copies(path: Path, megabytes: float) -> int:
    """One document again and again, as plain and compressed pages."""
    text = next(blocks(1))["text"][0].as_py()[:COPIED_DOCUMENT_BYTES]
    count = round(megabytes * 1e6 / len(text.encode()))
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=False) as writer:
        for start in range(0, count, _COPIES_A_ROW_GROUP):
            places = np.zeros(min(_COPIES_A_ROW_GROUP, count - start), np.int32)
            writer.write_table(pa.table({"text": pa.array([text]).take(pa.array(places))}))
    return count


SHAPES: dict[str, Callable[[Path, float], int]] = {
    "one_row_group": one_row_group,
    "huge_documents": huge_documents,
    "copies": copies,
}


def main(arguments: list[str] | None = None) -> int:
    """Write a file of a shape and print what was written."""
    parser = argparse.ArgumentParser(description="Make a Parquet file of a hostile shape.")
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, required=True)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / "part-0.parquet"
    documents = SHAPES[given.shape](path, given.megabytes)
    written = {
        "made_by": f"scripts/bench/shapes.py {given.shape}",
        "documents": documents,
        "text_megabytes": given.megabytes,
        "file_bytes": path.stat().st_size,
        "row_groups": pq.ParquetFile(path).num_row_groups,
    }
    print(json.dumps(written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
