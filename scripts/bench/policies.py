"""Deciding ten policies over an inventory: one query, from the set to decisions in a table.

The inventory is a table of made rows, so that what is measured is the deciding; reading the view of
a catalog and pricing come on top, in a plan.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

MOST_CPU_SECONDS = 10.0
"""Of the 20 s wall on two cores that a plan over ten million objects may take."""
ROWS = 10_000_000
POLICIES: list[dict[str, Any]] = [
    {"name": "archive", "scope": {"prefixes": ["s3://corp/raw/"], "exclude": ["**/_delta_log/**"]},
     "unknown_access": "modified", "where": "idle_days >= 180 and size_bytes >= mib(8)",
     "action": {"tier": "archive"}, "guard": {"readers": "none"}, "priority": 2},
    {"name": "cool", "where": "idle_days >= 60 and size_bytes >= kib(256) and store = 's3'",
     "action": {"tier": "cool"}},
    {"name": "old", "where": "age_days >= 400 and contains(key, '/old/')",
     "action": {"tier": "cold"}, "priority": 1},
    {"name": "recompress", "action": {"recompress": {"profile": "archive"}},
     "where": "format in ('jsonl', 'csv') and size_bytes >= mib(4) and tier = 'hot'"},
    {"name": "copies", "where": "verified_copies >= 1 and identical_to is not null",
     "action": {"quarantine": {}}},
    {"name": "scratch", "scope": {"prefixes": ["s3://corp/tmp/"]}, "where": "age_days >= 90",
     "action": {"expire": {}}},
    {"name": "gold", "scope": {"datasets": ["gold"]}, "action": {"protect": {}}},
    {"name": "retain", "scope": {"datasets": ["crawl"]},
     "action": {"protect": {"retain_days": 365}}},
    {"name": "owners", "where": "owner is null", "action": {"tag": {"review": "wanted"}}},
    {"name": "uploads", "all": True, "action": {"abort_uploads": {}}},
]  # fmt: skip
MADE = {
    "uri": "CASE WHEN i % 20 = 0 THEN 's3://corp/tmp/' ELSE 's3://corp/raw/d' || (i % 1000) END"
    " || '/old/part-' || lpad(i::VARCHAR, 9, '0') || '.jsonl'",
    "key": "'raw/d' || (i % 1000) || '/old/part-' || lpad(i::VARCHAR, 9, '0') || '.jsonl'",
    "store_id": "'s3:aws'",
    "store": "'s3'",
    "is_latest": "true",
    "is_delete_marker": "false",
    "format": "CASE i % 7 WHEN 0 THEN 'jsonl' WHEN 1 THEN 'upload' ELSE 'parquet' END",
    "size_bytes": "(hash(i) % 50000000)::BIGINT",
    "idle_days": "CASE WHEN i % 3 > 0 THEN (hash(i + 1) % 700)::BIGINT END",
    "age_days": "(hash(i + 2) % 900)::BIGINT",
    "tier": "'hot'",
    "dataset": "CASE i % 5 WHEN 0 THEN 'gold' ELSE 'crawl' END",
    "etag": "hash(i)::VARCHAR",
    "verified_copies": "CASE WHEN i % 50 = 0 THEN 1 ELSE 0 END",
    "identical_to": "CASE WHEN i % 50 = 0 THEN 's3://corp/other' END",
    "owner": "CASE WHEN i % 2 = 0 THEN 'somebody' END",
    "known_tags": "NULL::MAP(VARCHAR, VARCHAR)",
}


def decide(rows: int, folder: Path, memory_gib: int, threads: int) -> dict[str, Any]:
    """Make the inventory and decide; times are of the deciding."""
    from greendata.policy.cases import inventory_schema
    from greendata.policy.document import read_policies
    from greendata.policy.evaluate import compile_policies
    from greendata.policy.verdicts import Surroundings
    from greendata.sql import open_duckdb

    text = json.dumps({"version": 1, "policies": POLICIES}).encode()
    started = time.perf_counter()
    compiled = compile_policies(
        read_policies([("bench", text)]),
        Surroundings(as_of=datetime(2026, 11, 1, tzinfo=UTC)),
        carry=("size_bytes", "etag", "tier"),
    )
    compile_seconds = time.perf_counter() - started
    with open_duckdb(
        memory_bytes=memory_gib * 2**30, spill_directory=folder, threads=threads
    ) as connection:
        connection.register("shape", inventory_schema().empty_table())
        listed = ", ".join(
            f"{MADE[name]} AS {name}"
            if name in MADE
            else f"(SELECT any_value({name}) FROM shape) AS {name}"
            for name in compiled.columns
        )
        connection.execute(f"CREATE TABLE inventory AS SELECT {listed} FROM range({rows}) t(i)")
        cpu, wall = time.process_time(), time.perf_counter()
        connection.execute(f"CREATE TEMP TABLE decided AS {compiled.sql}")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        found = connection.execute(
            "SELECT count(*), count(*) FILTER (is_decided) FROM decided"
        ).fetchone()
    return {
        "compile_seconds": round(compile_seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "wall_seconds": round(wall, 3),
        "objects_in_scope": found[0] if found else 0,
        "objects_decided": found[1] if found else 0,
        "columns": len(compiled.columns),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Ten policies decided over an inventory.")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-gib", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2, help="of which the best counts")
    given = parser.parse_args(arguments)
    with measure.working_folder(given.folder) as folder:
        runs = [
            decide(given.rows, folder, given.memory_gib, given.threads)
            for _ in range(given.repeats)
        ]
    best = min(runs, key=lambda run: float(run["cpu_seconds"]))
    scaled = best["cpu_seconds"] * ROWS / given.rows
    result = measure.document(
        "policies",
        data={"objects": given.rows, "policies": len(POLICIES)},
        parameters={"threads": given.threads, "memory_gib": given.memory_gib},
        measured=best,
        budgets={"cpu_seconds_of_ten_million": measure.at_most(scaled, MOST_CPU_SECONDS)},
        notes=["Made rows in a table of DuckDB; a plan also reads the view and prices."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
