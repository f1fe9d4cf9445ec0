"""What the benchmarks share: measured child processes, and the JSON document.

This module and the benchmarks that measure memory import nothing heavy: on Linux the peak RSS of a
child starts at what its parent held when it was started.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
BENCHMARKS = Path(__file__).resolve().parent
MEGABYTE = 10**6
GIGABYTE = 10**9
GIBIBYTE = 2**30
SCHEMA_VERSION = 1
EXIT_SOME_SKIPPED = 3
PACKAGES = ("numpy", "numba", "pyarrow", "duckdb", "deltalake", "datasketch")

SCAN_IMPORTS = "import os, greendata.cli, greendata.jobs.scan; os._exit(0)"  # as the command ends
"""What a scan loads before its own clock starts."""


class BenchmarkError(RuntimeError):
    """A measured process failed; the message carries the end of what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished child process, its own children included."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    stdout: str

    def figures(self) -> dict[str, Any]:
        """What the kernel counted, for the JSON document."""
        return {
            "wall_seconds": round(self.wall_seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_rss_bytes": self.peak_rss_bytes,
        }


def run(
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    accepted: Sequence[int] = (0,),
) -> Run:
    """Run a command to its end and measure it by ``wait4``.

    Raises:
        BenchmarkError: an exit code that is not ``accepted``.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        child = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={**os.environ, **child_environment(), **(environment or {})},
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in accepted:
            raise BenchmarkError(
                f"{' '.join(map(str, arguments))}: exit code {child.returncode}\n{_tail(errors)}"
            )
        output.seek(0)
        return Run(
            wall_seconds=wall,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            peak_rss_bytes=usage.ru_maxrss * 1024,
            stdout=output.read().decode(),
        )


def _tail(stream: Any, length: int = 4000) -> str:
    stream.seek(0)
    text: str = stream.read().decode("utf-8", "replace")
    return text[-length:]


def child_environment() -> dict[str, str]:
    """Children import this checkout."""
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def greendata(*arguments: str | Path) -> list[str]:
    """A command line of this checkout's program."""
    return [sys.executable, "-m", "greendata", *map(str, arguments)]


def scan(
    data: Path, catalog: Path, *, workers: int, may_skip: bool = False, seed: int = 1
) -> tuple[Run, dict[str, Any]]:
    """``greendata scan --json`` of a folder: what the kernel counted and what the scan said."""
    numbers = ("--workers", str(workers), "--seed", str(seed))
    finished = run(
        greendata("scan", data, "--catalog", catalog, *numbers, "--json"),
        accepted=(0, EXIT_SOME_SKIPPED) if may_skip else (0,),
    )
    summary: dict[str, Any] = json.loads(finished.stdout)
    return finished, summary


def new_catalog(folder: Path) -> Path:
    """Where no catalog is yet."""
    return Path(tempfile.mkdtemp(prefix="catalog-", dir=folder)) / "catalog"


def make_corpus(folder: Path, **options: Any) -> dict[str, Any]:
    """Run generate.py as a child, so that this process stays small; what it wrote.

    ``options`` are those of its command line, with underscores.
    """
    arguments: list[str | Path] = [sys.executable, BENCHMARKS / "generate.py", folder]
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    document: dict[str, Any] = json.loads(run(arguments).stdout)
    return document


def load_kernel() -> None:
    """Have the kernel compiled and cached, so that the first measured scan does not pay for it."""
    run(
        [
            sys.executable,
            "-c",
            "from greendata.dedup.kernel import digest, fingerprint, nominate",
        ]
    )


def machine() -> dict[str, Any]:
    """The processor, the cores this process may use, Python and the packages."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "packages": dict(_versions(PACKAGES)),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _versions(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)


def at_least(measured: float, budget: float) -> dict[str, Any]:
    """A figure that must not be smaller than its budget."""
    return {
        "measured": round(measured, 4),
        "at_least": budget,
        "within_budget": measured >= budget,
    }


def at_most(measured: float, budget: float) -> dict[str, Any]:
    """A figure that must not be larger than its budget."""
    return {
        "measured": round(measured, 4),
        "at_most": round(budget, 4),
        "within_budget": measured <= budget,
    }


def document(
    benchmark: str,
    *,
    data: Any,
    parameters: Mapping[str, Any],
    measured: Mapping[str, Any],
    budgets: Mapping[str, Mapping[str, Any]],
    peer: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The JSON document of a benchmark; ``budgets`` are made by ``at_least`` and ``at_most``."""
    return {
        "schema_version": SCHEMA_VERSION,
        "benchmark": benchmark,
        "machine": machine(),
        "data": data,
        "parameters": dict(parameters),
        "measured": dict(measured),
        "peer": dict(peer) if peer is not None else None,
        "budgets": dict(budgets),
        "within_budget": all(entry["within_budget"] for entry in budgets.values()),
        "notes": list(notes),
    }


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--check", action="store_true", help="exit with 1 when outside the budget")
    made.add_argument("--folder", type=Path, help="where data goes and stays; else temporary")
    return made


@contextlib.contextmanager
def working_folder(given: Path | None) -> Iterator[Path]:
    """The folder asked for, or one that is removed afterwards."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="greendata-bench-") as name:
        yield Path(name)


def conclude(result: Mapping[str, Any], *, check: bool) -> int:
    """Print the document; the exit code."""
    print(json.dumps(result, indent=2))
    return 1 if check and not result["within_budget"] else 0
