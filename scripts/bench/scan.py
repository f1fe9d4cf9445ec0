"""``greendata scan`` from zstd Parquet to verified duplicates in the catalog, beside Daft.

The budget counts what the kernel's accounts say of the whole process, without start-up: the
interpreter with the command's imports (measured by a child that does nothing else) and what the
scan itself reports as start-up. What the summary calls ``cpu_seconds`` ends before the commit, so
the rate by it is given too, but does not decide.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure
from scripts.bench.peers import launch

DAFT_BANDING = launch.Ask(bands=9, rows=13)
"""What datasketch would choose; the bench of the peers has more."""

LEAST_MEGABYTES_A_CPU_SECOND = {"4096": 80.0, "1024": 50.0}
LEAST_RATIO = 3.0
"""ARCHITECTURE.md, section 8."""

NOTES = (
    "Daft makes distinct candidate pairs and does not verify them.",
    "greendata verifies every pair, counts overlaps and commits, within its time.",
    "Daft's time begins after its imports, greendata's after its start-up.",
)


def megabytes_a_second(text_bytes: int, seconds: float) -> float:
    """10**6 bytes of text a second."""
    return text_bytes / measure.MEGABYTE / seconds


def measure_greendata(data: Path, workers: int, repeats: int) -> dict[str, Any]:
    """The best of some scans into new catalogs."""
    measure.load_kernel()
    runs = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="greendata-bench-") as folder:
            runs.append(scan_once(data, Path(folder) / "catalog", workers=workers))
    return best_of(runs)


def best_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run of the least CPU time, and the CPU times of all."""
    best = min(runs, key=lambda entry: float(entry["cpu_seconds"]))
    return best | {"all_cpu_seconds": [entry["cpu_seconds"] for entry in runs]}


def scan_once(data: Path, catalog: Path, *, workers: int, seed: int = 1) -> dict[str, Any]:
    """One scan into a new catalog, without its start-up."""
    interpreter = measure.run([sys.executable, "-c", measure.SCAN_IMPORTS])
    finished, summary = measure.scan(data, catalog, workers=workers, seed=seed)
    startup = interpreter.cpu_seconds + summary["startup_cpu_seconds"]
    startup_wall = interpreter.wall_seconds + summary["startup_seconds"]
    counted = max(finished.cpu_seconds - startup, summary["cpu_seconds"])
    text_bytes = summary["text_bytes"]
    return {
        "megabytes_a_cpu_second": round(megabytes_a_second(text_bytes, counted), 2),
        "megabytes_a_cpu_second_by_summary": round(
            megabytes_a_second(text_bytes, summary["cpu_seconds"]), 2
        ),
        "cpu_seconds": round(counted, 3),
        "wall_seconds": round(finished.wall_seconds - startup_wall, 3),
        "startup_cpu_seconds": {
            "interpreter_and_imports": round(interpreter.cpu_seconds, 3),
            "scan": round(summary["startup_cpu_seconds"], 3),
        },
        "summary_cpu_seconds": round(summary["cpu_seconds"], 3),
        "process": finished.figures(),
        "stage_wall_seconds": {name: round(s, 3) for name, s in summary["stages"].items()},
        "text_bytes": text_bytes,
        "found": {
            name: summary[name]
            for name in (
                "documents",
                "exact_duplicate_documents",
                "near_duplicate_documents",
                "candidate_pairs",
                "verified_pairs",
            )
        },
    }


def measure_daft(python: Path, data: Path, repeats: int) -> dict[str, Any]:
    """The best of some runs of Daft on the same files."""
    files = sorted(data.glob("*.parquet"))
    return best_of([launch.run("daft", python, files, DAFT_BANDING) for _ in range(repeats)])


def measure_corpus(
    data: Path, name: str, given: Any, daft: Path | None
) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]:
    """greendata's figures, Daft's and the budgets for a folder of Parquet files."""
    ours = measure_greendata(data, given.workers, given.repeats)
    budgets = {}
    rate = ours["megabytes_a_cpu_second"]
    if name in LEAST_MEGABYTES_A_CPU_SECOND:
        least = LEAST_MEGABYTES_A_CPU_SECOND[name]
        budgets[f"megabytes_a_cpu_second_at_{name}"] = measure.at_least(rate, least)
    peer = None
    if daft is not None:
        peer = measure_daft(daft, data, given.repeats)
        theirs = megabytes_a_second(ours["text_bytes"], peer["cpu_seconds"])
        peer["megabytes_a_cpu_second"] = round(theirs, 2)
        ours["ratio_to_daft"] = round(rate / theirs, 2)
        budgets[f"ratio_to_daft_at_{name}"] = measure.at_least(rate / theirs, LEAST_RATIO)
    return ours, peer, budgets


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Speed of a scan, beside Daft on the same files.")
    parser.add_argument("--megabytes", type=float, default=500, help="of text, for each size")
    parser.add_argument("--mean-bytes", type=int, nargs="*", default=[4096, 1024])
    parser.add_argument(
        "--data", type=Path, nargs="*", default=[], help="folders of Parquet files, measured too"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2, help="of which the best counts")
    parser.add_argument("--peer-venv", type=Path, help="environment with Daft; made when missing")
    given = parser.parse_args(arguments)
    daft, why_not = None, "not asked for: no --peer-venv"
    if given.peer_venv is not None:
        try:
            daft = launch.prepare("daft", given.peer_venv)
        except measure.BenchmarkError as error:
            why_not = str(error)
    data, measured, peers, budgets = {}, {}, {}, {}
    with measure.working_folder(given.folder) as folder:
        folders = {str(size): folder / f"mean-{size}" for size in given.mean_bytes}
        for name, target in folders.items():
            data[name] = measure.make_corpus(target, megabytes=given.megabytes, mean_bytes=name)
        for target in given.data:
            data[target.name] = {"made_by": "given files"}
            folders[target.name] = target
        for name, target in folders.items():
            measured[name], peers[name], found = measure_corpus(target, name, given, daft)
            budgets.update(found)
    result = measure.document(
        "scan",
        data=data,
        parameters={
            "workers": given.workers,
            "repeats": given.repeats,
            "threshold": 0.8,
            "shingle_size": 5,
            "num_perm": 128,
        },
        measured=measured,
        peer={
            "name": "daft",
            "is_measured": daft is not None,
            "why_not": why_not if daft is None else None,
            "runs": peers,
        },
        budgets=budgets,
        notes=NOTES,
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
