"""What comes later: one percent more documents, and a thousand that are only asked about.

About half a CPU-second of a later scan does not depend on the catalog's size: beside a million
documents that alone is more than the budget, beside ten million it is not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

MOST_SHARE = 0.03
MOST_MATCH_SECONDS = 3.0
ASKED = 1000


def write_lines(source: Path, target: Path, count: int) -> None:
    """The first documents of a Parquet file as JSON Lines, each with a word changed."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file, target.open("w", encoding="utf-8") as stream:
        batch = next(file.iter_batches(count, columns=["text"]))
        for text in batch["text"].to_pylist():
            words = text.split(" ")
            words[len(words) // 2] = "changed"
            stream.write(json.dumps({"text": " ".join(words)}) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Growing a catalog, and matching against it.")
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--mean-bytes", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    measure.load_kernel()
    startup = measure.run([sys.executable, "-c", measure.SCAN_IMPORTS]).cpu_seconds
    with measure.working_folder(given.folder) as folder:
        data, more, catalog = folder / "data", folder / "more", measure.new_catalog(folder)
        made = measure.make_corpus(
            data,
            megabytes=given.documents * given.mean_bytes / measure.MEGABYTE,
            mean_bytes=given.mean_bytes,
        )
        measure.make_corpus(
            more,
            megabytes=given.documents * given.mean_bytes / measure.MEGABYTE / 100,
            mean_bytes=given.mean_bytes,
            row_group_megabytes=max(0.1, given.documents / 1e6),
            files=1,
            seed=2,
        )
        first, summary = measure.scan(data, catalog, workers=given.workers)
        (part,) = more.glob("*.parquet")
        part.rename(data / "added.parquet")
        second, grown = measure.scan(data, catalog, workers=given.workers)
        asked = folder / "asked.jsonl"
        write_lines(next(iter(sorted(data.glob("*.parquet")))), asked, ASKED)
        matched = measure.run(
            measure.greendata("--catalog", catalog, "match", asked, "--json"), accepted=(4,)
        )
    found = json.loads(matched.stdout)
    costs = [
        run.cpu_seconds - startup - told["startup_cpu_seconds"]
        for run, told in ((first, summary), (second, grown))
    ]
    added = grown["documents"] - summary["documents"]
    share = costs[1] / costs[0] * (summary["documents"] / 100) / max(1, added)
    result = measure.document(
        "growth",
        data=made | {"added_documents": added},
        parameters={"workers": given.workers},
        measured={
            "first": first.figures() | {"cpu_seconds_after_startup": round(costs[0], 3)},
            "added": second.figures() | {"cpu_seconds_after_startup": round(costs[1], 3)},
            "stages_of_added": {name: round(s, 3) for name, s in grown["stages"].items()},
            "match": matched.figures()
            | {name: found[name] for name in ("documents", "candidates", "left_out")}
            | {"matches": len(found["matches"])},
        },
        budgets={
            "cost_of_one_percent": measure.at_most(share, MOST_SHARE),
            "match_seconds": measure.at_most(matched.wall_seconds, MOST_MATCH_SECONDS),
        },
        notes=["Cost is CPU time after start-up, for exactly one percent more documents."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
