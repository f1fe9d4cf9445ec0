"""A hundred thousand tier actions against a stub: what the engine, journal and lease cost."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

LEAST_ACTIONS_A_SECOND = 1000
MOST_BYTES = measure.GIBIBYTE
MOST_JOURNAL_BYTES = 1024
BUCKET_SECONDS = 0.02
"""What a PUT of a few kilobytes to a store in the same region takes."""

_PLACES = ("folder", "bucket")


def carry_out(place: str, count: int, folder: Path) -> dict[str, Any]:
    """In this process: plan, journal, lease, engine; the objects are in memory."""
    from greendata.execute.engine import Engine, EngineSettings
    from greendata.execute.handlers import all_handlers
    from greendata.execute.handlers.base import Context, Way
    from greendata.execute.journal import Journal, below
    from greendata.execute.lease import FencedStore, Leases
    from greendata.execute.records import Status
    from greendata.execute.runstate import RunState
    from greendata.execute.units import units
    from greendata.progress import Progress
    from greendata.stores.local import LocalStore, path_to_uri
    from greendata.stores.memory import MemoryStore
    from greendata.stores.wrappers.base import Call, StoreWrapper

    class Bucket(StoreWrapper):
        """Takes as long as a request."""

        def _around(self, call: Call) -> Any:
            time.sleep(BUCKET_SECONDS)
            return call.make()

    objects = MemoryStore()
    root = "mem://bucket/"
    plan = folder / "actions.parquet"
    _write_plan(objects, root, count, plan)
    run_id = "0123456789abcdef-1"
    is_local = place == "folder"
    journals = LocalStore() if is_local else Bucket(MemoryStore())
    runs = path_to_uri(str(folder)) if is_local else "mem://journals/.greendata"
    started, cpu = time.perf_counter(), time.process_time()
    with Leases(objects, [root], run_id=run_id) as leases:
        way = Way(root=root)
        ended = Engine(
            all_handlers(),
            Context(
                store=FencedStore(objects, leases, call_timeout_seconds=1),
                run_id=run_id,
                now=_now,
                way_of=lambda uri: way,
            ),
            Journal(
                journals,
                f"{runs}/runs/{run_id}/apply/",
                run_id=run_id,
                part="apply",
                epoch=leases.epoch,
                previous=None,
            ),
            RunState(run_id=run_id),
            EngineSettings(),
            Progress(),
        ).run(units(plan))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    sizes = [journals.head(uri).size_bytes for uri in below(journals, f"{runs}/runs/{run_id}/")]
    return {
        "done": ended.statuses[Status.DONE],
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "actions_a_second": round(count / seconds),
        "segments": len(sizes),
        "journal_bytes_an_action": round(sum(sizes) / count),
    }


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _write_plan(store: Any, root: str, count: int, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from greendata.plan.actions import ACTIONS

    rows = []
    for number in range(count):
        uri = f"{root}crawl/2026/{number % 100:03}/part-{number:010}.parquet"
        written = store.put(uri, b"x" * 100)
        rows.append(
            dict.fromkeys(ACTIONS.names)
            | {
                "action_id": f"{number:032x}",
                "group_id": f"{number:032x}",
                "kind": "tier",
                "uri": uri,
                "store_id": "mem",
                "etag": written.etag,
                "size_bytes": written.size_bytes,
                "from_": json.dumps({"storage_class": "HOT", "is_latest": True}),
                "to": json.dumps({"tier": "cool", "storage_class": "COOL"}),
                "policy": "cool",
                "reason": "age_days > 90",
                "reversibility": "reversible",
            }
        )
    pq.write_table(pa.Table.from_pylist(rows, schema=ACTIONS), path)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Carrying out tier actions against a stub.")
    parser.add_argument("--actions", type=int, default=100_000)
    parser.add_argument("--place", choices=_PLACES, help="only measure, in this process")
    given = parser.parse_args(arguments)
    if given.place is not None:
        with tempfile.TemporaryDirectory(prefix="greendata-bench-") as folder:
            print(json.dumps(carry_out(given.place, given.actions, Path(folder))))
        return 0
    measured: dict[str, Any] = {}
    budgets: dict[str, Any] = {}
    for place in _PLACES:
        finished = measure.run(
            [sys.executable, __file__, "--actions", str(given.actions), "--place", place]
        )
        found = json.loads(finished.stdout)
        measured[place] = found | {"peak_rss_bytes": finished.peak_rss_bytes}
        budgets |= {
            f"{place}_actions_a_second": measure.at_least(
                found["actions_a_second"], LEAST_ACTIONS_A_SECOND
            ),
            f"{place}_peak_rss_bytes": measure.at_most(finished.peak_rss_bytes, MOST_BYTES),
            f"{place}_journal_bytes_an_action": measure.at_most(
                found["journal_bytes_an_action"], MOST_JOURNAL_BYTES
            ),
            f"{place}_actions_lost": measure.at_most(given.actions - found["done"], 0),
        }
    result = measure.document(
        "apply",
        data={"actions": given.actions, "kind": "tier"},
        parameters={"bucket_seconds": BUCKET_SECONDS},
        measured=measured,
        budgets=budgets,
        notes=["Peak memory holds the stub's objects and the plan's making too."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
