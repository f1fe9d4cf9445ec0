"""Time and memory of a scan at one and at four times the data.

Start-up, the same for both, is taken off: with it a small corpus would hide a curve.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

TIMES = 4
MOST_RATIO = 4.4


def scan_of(folder: Path, megabytes: float, given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Data of one size and the best of its scans."""
    data = folder / f"{megabytes:g}"
    made = measure.make_corpus(
        data,
        megabytes=megabytes,
        mean_bytes=given.mean_bytes,
        row_group_megabytes=given.row_group_megabytes,
    )
    runs = []
    for _ in range(given.repeats):
        finished, summary = measure.scan(data, measure.new_catalog(folder), workers=given.workers)
        cpu = finished.cpu_seconds - summary["startup_cpu_seconds"] - given.startup_cpu_seconds
        wall = finished.wall_seconds - summary["startup_seconds"] - given.startup_wall_seconds
        figures = {"cpu_seconds_after_startup": cpu, "wall_seconds_after_startup": wall}
        runs.append(finished.figures() | {name: round(s, 3) for name, s in figures.items()})
    return made, min(runs, key=lambda run: float(run["cpu_seconds_after_startup"]))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Cost of a scan at 1x and 4x the data.")
    parser.add_argument("--megabytes", type=float, default=500, help="of text, at 1x")
    parser.add_argument("--mean-bytes", type=int, default=4096)
    parser.add_argument("--row-group-megabytes", type=float, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2, help="of which the best counts")
    given = parser.parse_args(arguments)
    measure.load_kernel()
    imports = measure.run([sys.executable, "-c", measure.SCAN_IMPORTS])
    given.startup_cpu_seconds = imports.cpu_seconds
    given.startup_wall_seconds = imports.wall_seconds
    with measure.working_folder(given.folder) as folder:
        small_data, small = scan_of(folder, given.megabytes, given)
        large_data, large = scan_of(folder, given.megabytes * TIMES, given)
    size = large_data["text_bytes"] / small_data["text_bytes"]
    ratios = {
        clock: large[f"{clock}_seconds_after_startup"] / small[f"{clock}_seconds_after_startup"]
        for clock in ("cpu", "wall")
    }
    result = measure.document(
        "linear",
        data={"1x": small_data, "4x": large_data},
        parameters={"workers": given.workers, "repeats": given.repeats},
        measured={
            "1x": small,
            "4x": large,
            "text_ratio": round(size, 3),
            "wall_ratio": round(ratios["wall"], 3),
        },
        budgets={
            f"{clock}_ratio": measure.at_most(ratio * TIMES / size, MOST_RATIO)
            for clock, ratio in ratios.items()
        },
        notes=["The ratios that count are for exactly four times the text."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
