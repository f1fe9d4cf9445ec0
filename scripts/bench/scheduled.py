"""A scheduled pass with nothing to do over a million objects, told by an inventory report."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

MOST_SECONDS = 60
MOST_BYTES = 2 * measure.GIBIBYTE
POLICY = """\
version: 1
policies:
  - name: nothing-is-so-old
    where: age_days >= 30000 and size_bytes >= mib(8)
    action: {tier: cool}
  - name: nothing-is-so-large
    where: size_bytes >= tib(4000)
    action: {expire: {grace_days: 30}}
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("A scheduled pass with nothing to do.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args(arguments)
    with measure.working_folder(given.folder) as folder:
        script = measure.BENCHMARKS / "generate_report.py"
        report = folder / "report"
        wanted = ("--rows", str(given.rows), "--format", "parquet")
        measure.run([sys.executable, script, report, *wanted])
        policies = folder / "policies"
        policies.mkdir(exist_ok=True)
        (policies / "nothing.yaml").write_text(POLICY)
        runs = []
        with tempfile.TemporaryDirectory(prefix="greendata-bench-") as place:
            for _ in range(given.repeats):
                finished = measure.run(
                    measure.greendata(
                        *("run", policies, "--from-reports", report),
                        *("--catalog", Path(place) / "catalog"),
                    )
                )
                found = json.loads(finished.stdout)
                runs.append(finished.figures() | {"objects": found["objects"]})
                if found["actions"]:
                    raise measure.BenchmarkError(f"there was something to do: {found}")
    last = runs[-1]
    result = measure.document(
        "scheduled",
        data={"objects": given.rows},
        parameters={},
        measured={"passes": runs},
        budgets={
            "wall_seconds": measure.at_most(last["wall_seconds"], MOST_SECONDS),
            "peak_rss_bytes": measure.at_most(
                max(run["peak_rss_bytes"] for run in runs), MOST_BYTES
            ),
            "objects_lost": measure.at_most(given.rows - last["objects"], 0),
        },
        notes=["The last pass counts: the catalog has it all, and nothing changed."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
