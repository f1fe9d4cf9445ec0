"""Ten million short documents: linear time, bounded memory, recall at the curve, precision.

Recall is that of a sample of the planted groups (a text and its near copies), all of whose exact
Jaccards are computed, counted as accuracy.py counts it: documents that the keep decision over the
truth makes redundant or keeps for one. Precision is counted on a sample of the reported pairs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

MOST_BYTES = 2 * measure.GIBIBYTE
TIMES = 10
MOST_RATIO = 11.0
"""Of the times for ten times the documents."""

THRESHOLD = 0.8
SHINGLE_SIZE = 5


def scan(folder: Path, documents: int, given: Any) -> tuple[dict[str, Any], Path, dict[str, Any]]:
    """Make a corpus, scan it; the figures, the exported duplicates and what was made."""
    data = folder / f"documents-{documents}"
    made = measure.make_corpus(
        data,
        megabytes=documents * given.mean_bytes / measure.MEGABYTE,
        mean_bytes=given.mean_bytes,
        exact_share=0.0,
        near_share=given.near_share,
        edit_rate=0.008,
        files=max(4, documents // 1_000_000),
    )
    catalog = measure.new_catalog(folder)
    finished, summary = measure.scan(data, catalog, workers=given.workers)
    target = catalog.parent / "duplicates.parquet"
    measure.run(measure.greendata("--catalog", catalog, "duplicates", "-o", target))
    startup = summary["startup_cpu_seconds"]
    figures = finished.figures() | {
        "documents": summary["documents"],
        "near_duplicate_documents": summary["near_duplicate_documents"],
        "cpu_seconds_a_million": round(
            (finished.cpu_seconds - startup) / summary["documents"] * 1e6, 3
        ),
        "after_startup_cpu_seconds": round(finished.cpu_seconds - startup, 3),
        "after_startup_wall_seconds": round(finished.wall_seconds - summary["startup_seconds"], 3),
        "stage_wall_seconds": {name: round(s, 2) for name, s in summary["stages"].items()},
        "capped_comparisons": summary["capped_comparisons"],
    }
    return figures, target, made


def recall(data: Path, duplicates: Path, copies: int) -> list[dict[str, Any]]:
    """Documents of a sample of the planted groups, as accuracy.py tells them: by exact Jaccard."""
    import duckdb

    from greendata.dedup.lsh import choose_banding
    from scripts.bench import truth

    files = f"'{data}/*.parquet', filename = true, file_row_number = true"
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '4GB'")
        connection.execute(
            "CREATE TEMP TABLE found AS SELECT document_uri AS uri, document_row AS row"
            f" FROM read_parquet('{duplicates}') WHERE kind = 'near'"
            f" UNION SELECT kept_uri, kept_row FROM read_parquet('{duplicates}')"
            " WHERE kind = 'near'"
        )
        connection.execute(
            "CREATE TEMP TABLE groups AS SELECT DISTINCT origin AS id FROM (SELECT origin FROM"
            f" read_parquet({files}) WHERE kind = 'near'"
            f" USING SAMPLE reservoir({copies} ROWS) REPEATABLE (1))"
        )
        members = connection.execute(
            f"SELECT d.text, f.uri IS NOT NULL FROM read_parquet({files}) d"
            " JOIN groups g ON g.id = coalesce(d.origin, d.id)"
            " LEFT JOIN found f ON f.uri = 'file://' || d.filename AND f.row = d.file_row_number"
        ).fetchall()
    is_found = dict(members)
    texts = sorted(is_found, key=truth.keep_order)
    exact = truth.all_pairs(truth.rarest_first(truth.shingle_sets(texts)), THRESHOLD)
    hits = {number for number, text in enumerate(texts) if is_found[text]}
    banding = choose_banding(THRESHOLD, 128)
    return truth.table(exact.stars, exact.best, hits, banding.recall)


def shingles(text: str) -> set[tuple[str, ...]]:
    """The shingles of a text, by the tokenizer's readable twin."""
    from greendata.dedup.tokens import tokens

    words = tokens(text)
    width = min(SHINGLE_SIZE, len(words))
    return {tuple(words[i : i + width]) for i in range(len(words) - width + 1)}


def jaccard(a: str, b: str) -> float:
    """Exact Jaccard of the shingle sets of two texts."""
    left, right = shingles(a), shingles(b)
    return len(left & right) / len(left | right)


def wrong_pairs(duplicates: Path, size: int) -> tuple[int, int]:
    """Of a sample of the near-duplicates: how many, and how many are not what is said."""
    import duckdb
    import pyarrow.parquet as pq

    columns = "document_uri, document_row, kept_uri, kept_row, jaccard"
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT {columns} FROM read_parquet('{duplicates}') WHERE kind = 'near'"
            f" USING SAMPLE reservoir({size} ROWS) REPEATABLE (1)"
        ).fetchall()
    wanted: dict[str, set[int]] = {}
    for document_uri, document_row, kept_uri, kept_row, _ in found:
        wanted.setdefault(document_uri, set()).add(document_row)
        wanted.setdefault(kept_uri, set()).add(kept_row)
    texts: dict[tuple[str, int], str] = {}
    for uri, rows in wanted.items():
        row = 0
        with pq.ParquetFile(uri.removeprefix("file://")) as file:
            for batch in file.iter_batches(columns=["text"]):
                inside = [r for r in rows if row <= r < row + batch.num_rows]
                texts |= {(uri, r): batch["text"][r - row].as_py() for r in inside}
                row += batch.num_rows
    wrong = 0
    for document_uri, document_row, kept_uri, kept_row, told in found:
        truth = jaccard(texts[document_uri, document_row], texts[kept_uri, kept_row])
        wrong += truth < THRESHOLD or abs(truth - told) > 1e-12
    return len(found), wrong


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Ten times the documents, up to ten million.")
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--mean-bytes", type=int, default=1000)
    parser.add_argument("--near-share", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sample", type=int, default=1000, help="pairs compared again")
    parser.add_argument("--sample-copies", type=int, default=20_000, help="for recall")
    given = parser.parse_args(arguments)
    measure.load_kernel()
    with (
        measure.working_folder(given.folder) as folder,
        tempfile.TemporaryDirectory(dir=folder) as place,
    ):
        small, _, small_data = scan(Path(place), given.documents // TIMES, given)
        large, duplicates, large_data = scan(Path(place), given.documents, given)
        bins = recall(Path(place) / f"documents-{given.documents}", duplicates, given.sample_copies)
        compared, wrong = wrong_pairs(duplicates, given.sample)
    tenfold = TIMES * small["documents"] / large["documents"]  # blocks are whole: not quite one
    ratios = {
        clock: large[f"after_startup_{clock}_seconds"]
        / small[f"after_startup_{clock}_seconds"]
        * tenfold
        for clock in ("cpu", "wall")
    }
    budgets = {
        "cpu_ratio_for_ten_times": measure.at_most(ratios["cpu"], MOST_RATIO),
        "wall_ratio_for_ten_times": measure.at_most(ratios["wall"], MOST_RATIO),
        "peak_rss_bytes": measure.at_most(large["peak_rss_bytes"], MOST_BYTES),
        "wrong_pairs_in_sample": measure.at_most(wrong, 0),
    }
    for row in bins:
        low, high = row["jaccard"]
        budgets[f"found_from_{low}_to_{high}"] = measure.at_least(
            row["recall"], row["expected"] - row["three_standard_errors"]
        )
    result = measure.document(
        "scale",
        data={"small": small_data, "large": large_data},
        parameters={"workers": given.workers, "near_share": given.near_share},
        measured={
            "small": small,
            "large": large,
            "recall": bins,
            "pairs_compared_again": compared,
        },
        budgets=budgets,
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
