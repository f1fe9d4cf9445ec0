"""A scheduled pass with nothing to do over a million objects: by inventory report, by listing."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import listing, measure

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


def passes(
    folder: Path, policies: Path, report: Path, repeats: int
) -> Iterator[tuple[measure.Run, dict[str, Any]]]:
    """Passes by inventory report over one catalog."""
    for _ in range(repeats):
        finished = measure.run(
            measure.greendata(
                *("run", policies, "--from-reports", report, "--catalog", folder / "catalog")
            )
        )
        yield finished, json.loads(finished.stdout)


def listed_passes(
    folder: Path, policies: Path, objects: int, repeats: int
) -> Iterator[tuple[measure.Run, dict[str, Any]]]:
    """Passes that list a bucket and scan what changed in it, which is nothing."""
    catalog = folder / "listed"
    seed: list[str | Path] = [
        sys.executable,
        measure.BENCHMARKS / "known_objects.py",
        catalog,
        str(objects),
    ]
    with listing.bucket(objects) as environment:
        measure.run(seed, environment=environment)
        for _ in range(repeats):
            finished = measure.run(
                measure.greendata("run", policies, "--uri", "s3://bucket/", "--catalog", catalog),
                environment=environment,
            )
            yield finished, json.loads(finished.stdout)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("A scheduled pass with nothing to do.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args(arguments)
    measured: dict[str, list[dict[str, Any]]] = {}
    budgets = {}
    with (
        measure.working_folder(given.folder) as folder,
        tempfile.TemporaryDirectory(prefix="greendata-bench-") as place,
    ):
        script = measure.BENCHMARKS / "generate_report.py"
        report = folder / "report"
        wanted = ("--rows", str(given.rows), "--format", "parquet")
        measure.run([sys.executable, script, report, *wanted])
        policies = folder / "policies"
        policies.mkdir(exist_ok=True)
        (policies / "nothing.yaml").write_text(POLICY)
        ways = {
            "report": passes(Path(place), policies, report, given.repeats),
            "listing": listed_passes(Path(place), policies, given.rows, given.repeats),
        }
        for way, finished in ways.items():
            runs = []
            for run, found in finished:
                runs.append(run.figures() | {"objects": found["objects"]})
                if found["actions"]:
                    raise measure.BenchmarkError(f"there was something to do: {found}")
            last = runs[-1]
            peak = max(run["peak_rss_bytes"] for run in runs)
            measured[way] = runs
            budgets[f"wall_seconds_{way}"] = measure.at_most(last["wall_seconds"], MOST_SECONDS)
            budgets[f"peak_rss_bytes_{way}"] = measure.at_most(peak, MOST_BYTES)
            budgets[f"objects_lost_{way}"] = measure.at_most(given.rows - last["objects"], 0)
    result = measure.document(
        "scheduled",
        data={"objects": given.rows},
        parameters={},
        measured=measured,
        budgets=budgets,
        notes=[
            "The last pass counts: the catalog has it all, and nothing changed.",
            "The bucket is a process of its own on the same cores: it adds to wall_seconds alone.",
        ],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
