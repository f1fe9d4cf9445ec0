"""Peak memory of a scan at two workers: a large corpus, and files of hostile shapes.

A shape counts as read only with all its documents: a scan that skips the file uses little memory.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

MOST_BYTES = 2 * measure.GIBIBYTE
CORPUS = "corpus"
SHAPE_SHARES = {"one_row_group": 1.0, "huge_documents": 0.4, "copies": 0.3}
"""Of --shape-megabytes: a gigabyte in a row group, 8 documents of 50 MB, a million of 300 B."""


def make(folder: Path, name: str, given: Any) -> dict[str, Any]:
    """Write the data of a case, in a child."""
    if name == CORPUS:
        return measure.make_corpus(folder, megabytes=given.gigabytes * 1000, mean_bytes=4096)
    size = given.shape_megabytes * SHAPE_SHARES[name]
    script = measure.BENCHMARKS / "shapes.py"
    made = measure.run([sys.executable, script, name, folder, "--megabytes", str(size)])
    document: dict[str, Any] = json.loads(made.stdout)
    return document


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Peak memory of a scan.")
    parser.add_argument("--gigabytes", type=float, default=2, help="of the corpus, 10**9 bytes")
    parser.add_argument("--shape-megabytes", type=float, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--cases", nargs="+", choices=[CORPUS, *SHAPE_SHARES], default=[CORPUS, *SHAPE_SHARES]
    )
    given = parser.parse_args(arguments)
    measure.load_kernel()
    data, measured, budgets = {}, {}, {}
    with measure.working_folder(given.folder) as folder:
        for name in given.cases:
            data[name] = make(folder / name, name, given)
            finished, summary = measure.scan(
                folder / name, measure.new_catalog(folder), workers=given.workers, may_skip=True
            )
            missing = data[name]["documents"] - summary["documents"]
            measured[name] = finished.figures() | {
                "documents": summary["documents"],
                "redundant_documents": summary["redundant_documents"],
                "skipped": [entry["detail"] for entry in summary["skipped"]],
                "skipped_documents": summary["skipped_documents"],
            }
            budgets[f"peak_rss_bytes_{name}"] = measure.at_most(finished.peak_rss_bytes, MOST_BYTES)
            budgets[f"documents_not_read_{name}"] = measure.at_most(missing, 0)
    result = measure.document(
        "memory",
        data=data,
        parameters={"workers": given.workers},
        measured=measured,
        budgets=budgets,
        notes=["Peak RSS is of the process as the system counts it, interpreter included."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
