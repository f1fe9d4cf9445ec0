"""The same scan by threads of one process and by tasks of a local Ray cluster of two workers.

Processor time counts all processes: the command and everything below it (Ray's head, its agents,
its workers), read from /proc while they live. What the same command takes for a corpus of a few
documents is start-up (the interpreter, the cluster, a kernel in each worker) and does not count.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

MOST_TIMES_LOCAL = 1.5
"""Processor seconds of the Ray runner over those of the local one."""

SAMPLE_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
COUNTED = (
    "documents",
    "exact_duplicate_documents",
    "near_duplicate_documents",
    "candidate_pairs",
    "verified_pairs",
)


class ProcessTree:
    """Processor time and memory of a process and all that it started, however they ended."""

    def __init__(self, root: int) -> None:
        self._known = {root}
        self._seconds: dict[tuple[int, str], float] = {}
        self.peak_rss_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        """Of all, as last seen; what a process did in its last tenth of a second is missed."""
        return sum(self._seconds.values())

    def sample(self) -> None:
        """Look at all processes once."""
        found = dict(_processes())
        grown = True
        while grown:  # a child may come before its parent
            children = {pid for pid, (parent, *_) in found.items() if parent in self._known}
            grown = not children <= self._known
            self._known |= children
        rss = 0
        for pid in self._known & set(found):
            _, born, seconds, resident = found[pid]
            self._seconds[pid, born] = seconds
            rss += resident
        self.peak_rss_bytes = max(self.peak_rss_bytes, rss)


def _processes() -> list[tuple[int, tuple[int, str, float, int]]]:
    """Each process: its parent, start, processor seconds and resident bytes (shared ones too)."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / _TICKS
            resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
            found.append((int(entry), (int(fields[1]), fields[19], seconds, resident)))
    return found


def scan(data: Path, catalog: Path, workers: int, runner: str) -> dict[str, Any]:
    """One scan into a new catalog: what all its processes took, and what it found."""
    command = measure.greendata(
        "scan", data, "--catalog", catalog, "--workers", str(workers), "--runner", runner, "--json"
    )
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        environment = {**os.environ, **measure.child_environment()}
        with subprocess.Popen(command, stdout=output, stderr=errors, env=environment) as child:
            tree = ProcessTree(child.pid)
            while child.poll() is None:
                tree.sample()
                time.sleep(SAMPLE_SECONDS)
        wall = time.perf_counter() - started
        if child.returncode != 0:
            errors.seek(0)
            raise measure.BenchmarkError(errors.read()[-4000:].decode("utf-8", "replace"))
        output.seek(0)
        summary = json.load(output)
    return {
        "wall_seconds": round(wall, 3),
        "cpu_seconds": round(tree.cpu_seconds, 3),
        "peak_rss_bytes_of_all": tree.peak_rss_bytes,
        "summary_cpu_seconds": round(summary["cpu_seconds"], 3),
        "stage_wall_seconds": {name: round(s, 3) for name, s in summary["stages"].items()},
        "text_bytes": summary["text_bytes"],
        "found": {name: summary[name] for name in COUNTED},
    }


def measure_runner(
    data: Path, small: Path, folder: Path, workers: int, runner: str
) -> dict[str, Any]:
    """A scan of the corpus, less what a scan of a few documents takes."""
    startup = scan(small, measure.new_catalog(folder), workers, runner)
    whole = scan(data, measure.new_catalog(folder), workers, runner)
    counted = max(whole["cpu_seconds"] - startup["cpu_seconds"], SAMPLE_SECONDS)
    return whole | {
        "startup_cpu_seconds": startup["cpu_seconds"],
        "startup_wall_seconds": startup["wall_seconds"],
        "counted_cpu_seconds": round(counted, 3),
        "megabytes_a_cpu_second": round(whole["text_bytes"] / measure.MEGABYTE / counted, 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("A scan by Ray tasks beside the same scan by threads.")
    parser.add_argument("--megabytes", type=float, default=5000, help="of text")
    parser.add_argument("--mean-bytes", type=int, default=1024)
    parser.add_argument("--near-share", type=float, default=0.2)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    measure.load_kernel()
    with measure.working_folder(given.folder) as folder:
        data = measure.make_corpus(
            folder / "corpus",
            megabytes=given.megabytes,
            mean_bytes=given.mean_bytes,
            near_share=given.near_share,
            files=given.files,
        )
        measure.make_corpus(folder / "small", megabytes=0.1, files=2)
        measured = {
            runner: measure_runner(
                folder / "corpus", folder / "small", folder, given.workers, runner
            )
            for runner in ("local", "ray")
        }
    times = measured["ray"]["counted_cpu_seconds"] / measured["local"]["counted_cpu_seconds"]
    is_same = measured["ray"]["found"] == measured["local"]["found"]
    result = measure.document(
        "ray_runner",
        data=data,
        parameters={"workers": given.workers, "threshold": 0.8},
        measured=measured | {"ray_version": importlib.metadata.version("ray")},
        budgets={
            "cpu_times_local": measure.at_most(times, MOST_TIMES_LOCAL),
            "same_found": measure.at_least(float(is_same), 1.0),
        },
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
