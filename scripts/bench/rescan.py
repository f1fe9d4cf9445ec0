"""A scan, and the same scan again with nothing changed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

MOST_SHARE_OF_FIRST = 0.05
MOST_SECONDS_MORE = 1.5
"""ARCHITECTURE.md, section 8."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Rescan with nothing changed.")
    parser.add_argument("--gigabytes", type=float, default=2, help="of text, 10**9 bytes")
    parser.add_argument("--mean-bytes", type=int, default=4096)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    with measure.working_folder(given.folder) as folder:
        data = measure.make_corpus(
            folder / "data",
            megabytes=given.gigabytes * 1000,
            mean_bytes=given.mean_bytes,
            files=given.files,
        )
        measure.load_kernel()
        catalog = measure.new_catalog(folder)
        first, summary = measure.scan(folder / "data", catalog, workers=given.workers)
        again, unchanged = measure.scan(folder / "data", catalog, workers=given.workers)
    limit = MOST_SHARE_OF_FIRST * first.wall_seconds + MOST_SECONDS_MORE
    result = measure.document(
        "rescan",
        data=data,
        parameters={"workers": given.workers},
        measured={
            "first": first.figures(),
            "second": again.figures(),
            "objects": summary["objects"],
            "objects_read_again": unchanged["objects_read"],
            "second_to_first_wall": round(again.wall_seconds / first.wall_seconds, 4),
        },
        budgets={
            "second_wall_seconds": measure.at_most(again.wall_seconds, limit),
            "objects_read_again": measure.at_most(unchanged["objects_read"], 0),
        },
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
