"""Text typed by reading every record: JSON Lines in both grades and CSV, and what the proof costs.

CPU seconds of this process, kernels loaded before. The peers read the same bytes: pyarrow's JSON
and CSV readers, single-threaded, which type as they go; Python's ``json``, the strict standard.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from greendata.recompress.digests import FileDigest, row_digests
from greendata.recompress.rendering import restore_lines
from greendata.recompress.sources import Grade, Source, open_source
from greendata.stores.local import LocalStore
from scripts.bench import measure

LEAST_MEGABYTES_A_SECOND = 30
SHAPES = {"documents": 400, "rows": 8}
"""Mean words of a text."""

VOCABULARY = 20_000
BLOCK_BYTES = 8 * 2**20
LEVEL = 9


def records(words: int, size: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Records with a text, numbers, an object, a list and a value that may be missing or null."""
    chance = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz" * 4 + "é"
    vocabulary = [
        "".join(chance.choices(letters, k=chance.randint(1, 9))) for _ in range(VOCABULARY)
    ]
    made = 0
    while made < size:
        text = " ".join(chance.choices(vocabulary, k=chance.randint(1, 2 * words)))
        record = {
            "id": chance.getrandbits(48),
            "text": text.replace("aa", "\n").replace("ee", '"'),
            "score": chance.random(),
            "meta": {"url": f"https://example.org/{chance.getrandbits(30)}", "language": "en"},
            "tags": ["a", "b"][: chance.randint(0, 2)],
        }
        if chance.random() < 0.5:
            record["license"] = chance.choice(["CC0-1.0", None])
        made += len(text) + 150
        yield record


def write(folder: Path, name: str, words: int, megabytes: float) -> tuple[Path, Path]:
    """The same records as JSON Lines and, without what is nested, as CSV."""
    lines, table = folder / f"{name}.jsonl", folder / f"{name}.csv"
    with lines.open("w") as to_lines, table.open("w", newline="") as to_table:
        writer = csv.writer(to_table)
        writer.writerow(["id", "text", "score", "url"])
        for record in records(words, int(megabytes * measure.MEGABYTE)):
            to_lines.write(json.dumps(record) + "\n")
            writer.writerow([record["id"], record["text"], record["score"], record["meta"]["url"]])
    return lines, table


def seconds(work: Callable[[], object], repeats: int) -> float:
    """CPU seconds, the best of some."""
    found = []
    for _ in range(repeats):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found)


def opened(path: Path, grade: Grade) -> Source:
    store = LocalStore()
    return open_source(store, store.head(path.as_uri()), path.suffix[1:], "none", grade)


def measure_source(path: Path, grade: Grade, repeats: int) -> dict[str, Any]:
    """Megabytes of source a CPU-second: typing and reading, digests, writing, restoring."""
    size = path.stat().st_size / measure.MEGABYTE
    source = opened(path, grade)
    batches = list(source.batches())
    table = pa.Table.from_batches(batches)
    sink = path.with_suffix(".parquet")

    def prove() -> None:
        digest = FileDigest()
        for batch in batches:
            digest.add(row_digests(batch), digest.rows)

    def store_rows() -> None:
        pq.write_table(
            table, sink, compression="zstd", compression_level=LEVEL, write_page_checksum=True
        )

    found = {
        "typed and read": size / seconds(lambda: list(opened(path, grade).batches()), repeats),
        "row digests": size / seconds(prove, repeats),
        f"written at level {LEVEL}": size / seconds(store_rows, 1),
    }
    if path.suffix == ".jsonl":
        found["restored"] = size / seconds(
            lambda: list(restore_lines(batches, source.metadata)), repeats
        )
    return {name: round(rate, 1) for name, rate in found.items()}


def measure_peers(lines: Path, table: Path, repeats: int) -> dict[str, float]:
    """Megabytes a CPU-second of other readers of the same files."""

    def arrow_json() -> None:
        options = pyarrow.json.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
        pyarrow.json.read_json(lines, read_options=options)

    def arrow_csv() -> None:
        pyarrow.csv.read_csv(
            table,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        )

    def python_json() -> None:
        with lines.open("rb") as source:
            for line in source:
                json.loads(line)

    sizes = {path: path.stat().st_size / measure.MEGABYTE for path in (lines, table)}
    return {
        "pyarrow json": round(sizes[lines] / seconds(arrow_json, repeats), 1),
        "pyarrow csv": round(sizes[table] / seconds(arrow_csv, repeats), 1),
        "python json": round(sizes[lines] / seconds(python_json, 1), 1),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Typing JSON Lines and CSV by every record.")
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    measured: dict[str, Any] = {}
    peers: dict[str, Any] = {}
    with measure.working_folder(given.folder) as folder:
        for name, words in SHAPES.items():
            lines, table = write(folder, name, words, given.megabytes)
            measured[name] = {
                "jsonl": measure_source(lines, Grade.LOGICAL, given.repeats),
                "jsonl, grade exact": measure_source(lines, Grade.EXACT, given.repeats),
                "csv": measure_source(table, Grade.LOGICAL, given.repeats),
            }
            peers[name] = measure_peers(lines, table, given.repeats)
    rates = [
        rate["typed and read"]
        for shape in measured.values()
        for name, rate in shape.items()
        if "exact" not in name
    ]
    proof = [
        rate["row digests"] / rate[f"written at level {LEVEL}"]
        for shape in measured.values()
        for rate in shape.values()
    ]
    result = measure.document(
        "sources",
        data={"seed": 1, "megabytes": given.megabytes, "mean words": SHAPES},
        parameters={"repeats": given.repeats, "level": LEVEL},
        measured=measured,
        peer=peers,
        budgets={
            "megabytes_a_cpu_second": measure.at_least(min(rates), LEAST_MEGABYTES_A_SECOND),
            "digests_to_writing": measure.at_least(min(proof), 1.0),
        },
        notes=["The peers are no equals: pyarrow's readers change values that these keep."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
