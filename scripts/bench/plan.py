"""`greendata plan`: ten policies over ten million objects, beside Cloud Custodian's value filter.

The inventory is a synthetic report (generate_report.py) taken into a catalog. The peer gets the
rows of a sample as Python objects and the same conditions, in an environment of its own; it only
filters, while the plan also prices, proves and writes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import inventory, measure

MOST_SECONDS = 20.0
MOST_BYTES = 4 * measure.GIBIBYTE
AS_OF = "2026-03-01T00:00:00"
"""Objects of ten million rows are 676 to 790 days old then; about a quarter is acted on."""
CUSTODIAN = "c7n==0.9.51"

CONFIG = """\
datasets:
  - {name: crawl, prefixes: ["s3://made/"], region: us-east-1, readers: none}
"""

_CURRENT = {"type": "value", "key": "is_latest", "value": True}


def _class(name: str) -> dict[str, Any]:
    return {"type": "value", "key": "storage_class", "value": name}


def _age(days: int) -> dict[str, Any]:
    return {"type": "value", "key": "modified_at", "value_type": "age", "op": "ge", "value": days}


def _size(size_bytes: int) -> dict[str, Any]:
    return {"type": "value", "key": "size_bytes", "op": "ge", "value": size_bytes}


def _week(number: int) -> str:
    return f"s3://made/crawl/2024-{number:02}/"


POLICIES: tuple[tuple[dict[str, Any], list[dict[str, Any]]], ...] = (
    (
        {"name": "archive-old", "where": "age_days >= 775 and size_bytes >= mib(64)",
         "action": {"tier": "archive"}, "priority": 50, "guard": {"max_payback_days": 120}},
        [_CURRENT, _age(775), _size(64 * 2**20)],
    ),
    (
        {"name": "deep-archive-oldest", "where": "age_days >= 785 and size_bytes >= mib(512)",
         "action": {"tier": "deep_archive"}, "priority": 60, "guard": {"max_payback_days": 200}},
        [_CURRENT, _age(785), _size(512 * 2**20)],
    ),
    (
        {"name": "cold", "where": "age_days >= 760 and size_bytes >= mib(1) and tier = 'hot'",
         "action": {"tier": "cold"}, "priority": 40},
        [_CURRENT, _age(760), _size(2**20), _class("STANDARD")],
    ),
    (
        {"name": "cool", "where": "age_days >= 755 and tier = 'hot'", "action": {"tier": "cool"},
         "priority": 30, "guard": {"max_payback_days": 180}},
        [_CURRENT, _age(755), _class("STANDARD")],
    ),
    (
        {"name": "expire-earlier", "scope": {"state": "noncurrent"}, "where": "age_days >= 750",
         "action": {"expire": {"grace_days": 14}}},
        [{"type": "value", "key": "is_latest", "value": False}, _age(750)],
    ),
    (
        {"name": "abort-uploads", "all": True, "action": {"abort_uploads": {"older_than_days": 7}}},
        [{"type": "value", "key": "format", "value": "upload"}, _age(7)],
    ),
    (
        {"name": "scratch", "scope": {"prefixes": [_week(0)]}, "where": "age_days >= 30",
         "action": {"expire": {}}, "guard": {"max_one_off_usd": 1000}},
        [_CURRENT, _age(30), {"type": "value", "key": "uri", "op": "regex", "value": _week(0)}],
    ),
    (
        {"name": "tag-large", "where": "size_bytes >= mib(900)", "action": {"tag": {"large": "1"}}},
        [_CURRENT, _size(900 * 2**20)],
    ),
    (
        {"name": "protect-week", "scope": {"prefixes": [_week(7)]}, "action": {"protect": {}}},
        [{"type": "value", "key": "uri", "op": "regex", "value": _week(7)}],
    ),
    (
        {"name": "thaw", "scope": {"prefixes": [_week(9)]},
         "where": "size_bytes >= mib(800) and tier = 'archive'", "action": {"restore": {"days": 7}},
        },
        [_CURRENT, _size(800 * 2**20), _class("GLACIER")],
    ),
)  # fmt: skip
"""Each policy with the value filters that say its condition."""

SAMPLE = """
import json, sys
from datetime import datetime, timezone
from greendata.jobs.view import open_inventory
columns = ("uri", "size_bytes", "storage_class", "modified_at", "is_latest", "format")
with open_inventory(sys.argv[1], stores=(), datasets=(), as_of=datetime.now(timezone.utc),
                    columns=columns) as opened:
    rows = opened.connection.sql(
        f"SELECT * REPLACE (strftime(modified_at, '%Y-%m-%dT%H:%M:%S+00:00') AS modified_at)"
        f" FROM inventory ORDER BY hash(uri) LIMIT {sys.argv[2]}").to_arrow_table().to_pylist()
with open(sys.argv[3], "w") as stream:
    stream.writelines(json.dumps(row) + "\\n" for row in rows)
"""


def plan_once(folder: Path, number: int) -> tuple[measure.Run, dict[str, Any]]:
    """One plan into a new directory, on two cores."""
    directory = folder / f"plan-{number}"
    finished = measure.run(
        measure.greendata(
            *("--config", folder / "greendata.yaml", "--catalog", folder / "catalog", "--json"),
            *("plan", folder / "policies.yaml", "-o", directory, "--as-of", AS_OF),
        )
    )
    document: dict[str, Any] = json.loads(finished.stdout)
    return finished, document


def custodian(folder: Path, rows: int) -> dict[str, Any]:
    """The peer over a sample of the same rows, in an environment that is made for it."""
    place = folder / "custodian"
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", CUSTODIAN], check=True)
    sample, filters = folder / "sample.jsonl", folder / "filters.json"
    measure.run([sys.executable, "-c", SAMPLE, folder / "catalog", str(rows), sample])
    filters.write_text(json.dumps([entry for _, entry in POLICIES]))
    script = measure.BENCHMARKS / "peer_custodian.py"
    finished = measure.run([python, script, sample, filters], environment={"PYTHONPATH": ""})
    found: dict[str, Any] = json.loads(finished.stdout)
    found["objects_a_second"] = round(found["rows"] / found["cpu_seconds"])
    found["seconds_for_all"] = None
    return {"version": CUSTODIAN} | found


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("A plan of ten policies.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--sample", type=int, default=50_000, help="rows for the peer; 0: none")
    given = parser.parse_args(arguments)
    with measure.working_folder(given.folder) as folder:
        (folder / "greendata.yaml").write_text(CONFIG)
        policies = {"version": 1, "policies": [policy for policy, _ in POLICIES]}
        (folder / "policies.yaml").write_text(json.dumps(policies))
        if not (folder / "catalog").exists():
            inventory.make(folder / "report", "parquet", given.rows)
            measure.run(
                measure.greendata(
                    *("inventory", folder / "report", "--from-reports", "--json"),
                    *("--catalog", folder / "catalog", "--workers", "2"),
                )
            )
        start = 0 if given.folder is None else len(list(folder.glob("plan-*")))
        runs = [plan_once(folder, start + number) for number in range(given.repeats)]
        finished, document = min(runs, key=lambda entry: entry[0].wall_seconds)
        peer = custodian(folder, given.sample) if given.sample else None
    wall, totals = finished.wall_seconds, document["totals"]
    if peer is not None:
        peer["seconds_for_all"] = round(given.rows / peer["objects_a_second"], 1)
    result = measure.document(
        "plan",
        data={"rows": given.rows, "policies": len(POLICIES)},
        parameters={"as_of": AS_OF},
        measured=finished.figures()
        | {
            "all_wall_seconds": [round(run.wall_seconds, 2) for run, _ in runs],
            "objects_a_second": round(given.rows / wall),
            "scope_objects": document["scope_objects"],
            "actions": totals["actions"],
            "is_same_plan": len({entry["plan_id"] for _, entry in runs}) == 1,
        },
        budgets={
            "wall_seconds": measure.at_most(wall, MOST_SECONDS),
            "peak_rss_bytes": measure.at_most(finished.peak_rss_bytes, MOST_BYTES),
        },
        peer=peer,
        notes=[
            "The peer's figure is CPU of its filters alone, over Python objects made before.",
            "Its ages are up to now.",
        ],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
