"""Inventory reports into the catalog, beside pyarrow and DuckDB only reading the same files.

Rates are rows by wall time of the whole command on this machine's cores, checksums and commit
included, less what the interpreter takes to import the same modules.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

LEAST_ROWS_A_SECOND = {"parquet": 500_000, "csv": 150_000}
MOST_BYTES = 2 * measure.GIBIBYTE
IMPORTS = (
    "import os, greendata.cli, greendata.jobs.inventory, greendata.inventory.s3_report,"
    " greendata.catalog.tables, pyarrow.parquet, pyarrow.csv, deltalake, duckdb; os._exit(0)"
)
LIMITS = {
    "parquet": (
        "import sys, glob, pyarrow.parquet as pq\n"
        "print(sum(len(pq.read_table(f)) for f in glob.glob(sys.argv[1] + '/**/*.parquet',"
        " recursive=True)))"
    ),
    "csv": (
        "import sys, duckdb\n"
        "print(duckdb.sql(f\"SELECT count(DISTINCT column01) FROM read_csv('{sys.argv[1]}"
        "/**/*.csv.gz', header=false, all_varchar=true)\").fetchall()[0][0])"
    ),
}
"""The least anybody can do with the files: have all their rows in memory once."""


def make(folder: Path, kind: str, rows: int) -> dict[str, Any]:
    """Write a report, in a child."""
    script = measure.BENCHMARKS / "generate_report.py"
    made = measure.run([sys.executable, script, folder, "--rows", str(rows), "--format", kind])
    document: dict[str, Any] = json.loads(made.stdout)
    return document


def take(folder: Path, workers: int) -> tuple[measure.Run, dict[str, Any]]:
    """``greendata inventory --from-reports`` into a new catalog."""
    with tempfile.TemporaryDirectory(prefix="greendata-bench-") as place:
        finished = measure.run(
            measure.greendata(
                *("inventory", folder, "--from-reports", "--catalog", Path(place) / "catalog"),
                *("--workers", str(workers), "--json"),
            )
        )
    summary: dict[str, Any] = json.loads(finished.stdout)
    return finished, summary


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Inventory reports into the catalog.")
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the Parquet report")
    parser.add_argument("--csv-rows", type=int, default=3_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args(arguments)
    data, measured, budgets, limits = {}, {}, {}, {}
    with measure.working_folder(given.folder) as folder:
        startup = measure.run([sys.executable, "-c", IMPORTS]).wall_seconds
        for kind, rows in (("parquet", given.rows), ("csv", given.csv_rows)):
            data[kind] = make(folder / kind, kind, rows)
            runs = [take(folder / kind, given.workers) for _ in range(given.repeats)]
            finished, summary = min(runs, key=lambda entry: entry[0].wall_seconds)
            limit = measure.run([sys.executable, "-c", LIMITS[kind], folder / kind])
            rate = rows / max(finished.wall_seconds - startup, 1e-6)
            limits[kind] = limit.figures()
            measured[kind] = finished.figures() | {
                "rows": summary["objects"],
                "rows_a_second": round(rate),
                "all_wall_seconds": [round(entry[0].wall_seconds, 2) for entry in runs],
                "times_the_limit": round(finished.wall_seconds / limit.wall_seconds, 2),
            }
            budgets[f"rows_a_second_{kind}"] = measure.at_least(rate, LEAST_ROWS_A_SECOND[kind])
            budgets[f"peak_rss_bytes_{kind}"] = measure.at_most(finished.peak_rss_bytes, MOST_BYTES)
            budgets[f"rows_lost_{kind}"] = measure.at_most(rows - summary["objects"], 0)
    result = measure.document(
        "inventory",
        data=data,
        parameters={"workers": given.workers, "startup_seconds": round(startup, 3)},
        measured=measured,
        budgets=budgets,
        peer={"reading alone": limits},
        notes=["The limits read all columns (Parquet) or all rows (CSV), without any checksum."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
