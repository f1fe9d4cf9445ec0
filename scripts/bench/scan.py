"""``greendata scan`` from zstd Parquet to verified duplicates in the catalog, beside Daft.

The budget counts what the kernel's accounts say of the whole process, without start-up: the
interpreter with the command's imports (measured by a child that does nothing else) and what the
scan itself reports as start-up. What the summary calls ``cpu_seconds`` ends before the commit, so
the rate by it is given too, but does not decide.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

DAFT = "daft==0.7.26"
"""What the peer's environment gets; the newest that installs where this one is not offered."""

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
    runs = [_scan_once(data, workers) for _ in range(repeats)]
    best = min(runs, key=lambda entry: float(entry["cpu_seconds"]))
    best["all_cpu_seconds"] = [entry["cpu_seconds"] for entry in runs]
    return best


def _scan_once(data: Path, workers: int) -> dict[str, Any]:
    interpreter = measure.run([sys.executable, "-c", measure.SCAN_IMPORTS]).cpu_seconds
    with tempfile.TemporaryDirectory(prefix="greendata-bench-") as folder:
        finished, summary = measure.scan(data, Path(folder) / "catalog", workers=workers)
    startup = interpreter + summary["startup_cpu_seconds"]
    counted = max(finished.cpu_seconds - startup, summary["cpu_seconds"])
    text_bytes = summary["text_bytes"]
    return {
        "megabytes_a_cpu_second": round(megabytes_a_second(text_bytes, counted), 2),
        "megabytes_a_cpu_second_by_summary": round(
            megabytes_a_second(text_bytes, summary["cpu_seconds"]), 2
        ),
        "cpu_seconds": round(counted, 3),
        "startup_cpu_seconds": {
            "interpreter_and_imports": round(interpreter, 3),
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


def prepare_daft(folder: Path) -> tuple[Path | None, str]:
    """Python of an environment with Daft and its version, made when missing; else None and why."""
    python = folder / "bin" / "python"
    version = _daft_version(python)
    if version is None:
        venv.create(folder, with_pip=True)
        failure = ""
        for requirement in (DAFT, "daft"):
            installed = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", requirement],
                capture_output=True,
                text=True,
                check=False,
            )
            version = _daft_version(python) if installed.returncode == 0 else None
            if version is not None:
                break
            failure = installed.stderr[-500:]
        if version is None:
            return None, f"Daft could not be installed: {failure.strip()}"
    return python, version


def _daft_version(python: Path) -> str | None:
    if not python.exists():
        return None
    code = "import importlib.metadata as m; print(m.version('daft'))"
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else None


def measure_daft(python: Path, data: Path, repeats: int) -> dict[str, Any]:
    """The best of some runs of peer_daft.py on the same files."""
    command = [python, measure.BENCHMARKS / "peer_daft.py", *sorted(data.glob("*.parquet"))]
    quiet = {"DAFT_PROGRESS_BAR": "0", "DAFT_ANALYTICS_ENABLED": "0", "DO_NOT_TRACK": "1"}
    runs: list[dict[str, Any]] = []
    for _ in range(repeats):
        finished = measure.run(command, environment=quiet)
        runs.append(json.loads(finished.stdout) | {"process": finished.figures()})
    best = min(runs, key=lambda entry: float(entry["cpu_seconds"]))
    best["all_cpu_seconds"] = [entry["cpu_seconds"] for entry in runs]
    return best


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
    daft, version = None, "not asked for: no --peer-venv"
    if given.peer_venv is not None:
        daft, version = prepare_daft(given.peer_venv.absolute())
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
        peer={"name": "daft", "version": version, "is_measured": daft is not None, "runs": peers},
        budgets=budgets,
        notes=NOTES,
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
