"""What a person waits for before anything happens: ``--help``, and compiling the kernel once."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

MOST_HELP_SECONDS = 0.3
MOST_COMPILE_SECONDS = 15.0

_LOAD = "from greendata.dedup.kernel import digest, fingerprint, nominate"


def load_twice() -> list[measure.Run]:
    """Import the kernel into an empty cache, then from it."""
    with tempfile.TemporaryDirectory(prefix="greendata-bench-") as cache:
        return [
            measure.run([sys.executable, "-c", _LOAD], environment={"NUMBA_CACHE_DIR": cache})
            for _ in range(2)
        ]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Start-up of the command line and of the kernel.")
    parser.add_argument("--runs", type=int, default=10, help="of --help")
    parser.add_argument("--help-only", action="store_true", help="leave the kernel out")
    given = parser.parse_args(arguments)
    helps = [measure.run(measure.greendata("--help")).wall_seconds for _ in range(given.runs)]
    bare = [measure.run([sys.executable, "-c", ""]).wall_seconds for _ in range(given.runs)]
    loads = [] if given.help_only else load_twice()
    median = statistics.median(helps)
    budgets = {"help_median_wall_seconds": measure.at_most(median, MOST_HELP_SECONDS)}
    if loads:
        budgets["kernel_first_use_wall_seconds"] = measure.at_most(
            loads[0].wall_seconds, MOST_COMPILE_SECONDS
        )
    result = measure.document(
        "startup",
        data={"made_by": "none is needed"},
        parameters={"runs": given.runs},
        measured={
            "help_wall_seconds": {"min": round(min(helps), 3), "median": round(median, 3)},
            "bare_interpreter_wall_seconds": {
                "min": round(min(bare), 3),
                "median": round(statistics.median(bare), 3),
            },
            "kernel_first_and_second_use": [load.figures() for load in loads],
        },
        budgets=budgets,
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
