"""Journals of a hundred thousand actions: bytes an action, and what writing and reading cost."""

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
"""What a request for a few kilobytes to a store in the same region takes."""

GROUP = 128
"""Actions whose intents, and then outcomes, share a segment: the engine's window."""

PLACES = ("folder", "memory", "bucket")


def write_and_read(place: str, count: int, folder: Path) -> dict[str, Any]:
    """In this process: intents and outcomes as of tier changes with a quarantined version."""
    from datetime import UTC, datetime

    from greendata.execute.journal import Journal, below
    from greendata.execute.records import done
    from greendata.execute.runstate import intent_record, outcome_record, read_run
    from greendata.stores.local import LocalStore, path_to_uri
    from greendata.stores.memory import MemoryStore
    from greendata.stores.wrappers.base import Call, StoreWrapper

    class Bucket(StoreWrapper):
        """Takes as long as a request."""

        def _around(self, call: Call) -> Any:
            time.sleep(BUCKET_SECONDS)
            return call.make()

    stores: dict[str, Any] = {
        "folder": LocalStore,
        "memory": MemoryStore,
        "bucket": lambda: Bucket(MemoryStore()),
    }
    store: Any = stores[place]()
    runs = f"{path_to_uri(str(folder)) if place == 'folder' else 'mem://b'}/.greendata/runs"
    run_id = "0123456789abcdef-1"
    at = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
    started, cpu = time.perf_counter(), time.process_time()
    journal = Journal(
        store, f"{runs}/{run_id}/apply/", run_id=run_id, part="apply", epoch=1, previous=None
    )
    for start in range(0, count, GROUP):
        actions = [_action(number) for number in range(start, min(start + GROUP, count))]
        journal.append([intent_record(name, before) for name, before, _ in actions])
        journal.append([outcome_record(name, done(**after), at) for name, _, after in actions])
    written, written_cpu = time.perf_counter() - started, time.process_time() - cpu
    sizes = [store.head(uri).size_bytes for uri in below(store, f"{runs}/{run_id}/apply/")]
    started = time.perf_counter()
    state = read_run(store, runs, run_id)
    read = time.perf_counter() - started
    return {
        "outcomes": len(state.outcomes) if not state.damaged else 0,
        "segments": sum(size > 0 for size in sizes),  # a folder has a lock file too
        "journal_bytes_an_action": round(sum(sizes) / count),
        "write_seconds": round(written, 3),
        "write_cpu_seconds": round(written_cpu, 3),
        "actions_a_second": round(count / written),
        "overhead_microseconds_an_action": round(written_cpu / count * 1e6, 1),
        "read_seconds": round(read, 3),
    }


def _action(number: int) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Id, what was before, what was left: a version in quarantine, as for a versioned bucket."""
    uri = f"s3://corp-train/crawl/2026/{number % 100:03}/part-{number:010}.parquet"
    etag = f"{number:032x}"
    held = {
        "form": "version",
        "uri": uri,
        "store_id": "s3.us-east-1.amazonaws.com",
        "etag": etag,
        "size_bytes": 1 << 30,
        "held_uri": uri,
        "held_version_id": f"{number:032x}",
        "held_etag": etag,
        "quarantined_at": "2026-11-21T12:00:00.123456+00:00",
        "purge_after": "2026-12-21T12:00:00.123456+00:00",
        "cause": "tier",
    }
    before = {"storage_class": "STANDARD", "version_id": f"{number:032x}", "tags": {"a": "b"}}
    after = {"etag": etag, "storage_class": "STANDARD_IA", "quarantine": held}
    return f"{number:032x}", before, after


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Writing and reading the journal of a run.")
    parser.add_argument("--actions", type=int, default=100_000)
    parser.add_argument("--place", choices=PLACES, help="only measure, in this process")
    given = parser.parse_args(arguments)
    if given.place is not None:
        with tempfile.TemporaryDirectory(prefix="greendata-bench-") as folder:
            print(json.dumps(write_and_read(given.place, given.actions, Path(folder))))
        return 0
    measured: dict[str, Any] = {}
    budgets: dict[str, Any] = {}
    for place in PLACES:
        finished = measure.run(
            [sys.executable, __file__, "--actions", str(given.actions), "--place", place]
        )
        found = json.loads(finished.stdout)
        measured[place] = found | {"peak_rss_bytes": finished.peak_rss_bytes}
        budgets |= {
            f"{place}_actions_a_second": measure.at_least(
                found["actions_a_second"], LEAST_ACTIONS_A_SECOND
            ),
            f"{place}_journal_bytes_an_action": measure.at_most(
                found["journal_bytes_an_action"], MOST_JOURNAL_BYTES
            ),
            f"{place}_peak_rss_bytes": measure.at_most(finished.peak_rss_bytes, MOST_BYTES),
            f"{place}_outcomes_lost": measure.at_most(given.actions - found["outcomes"], 0),
        }
    result = measure.document(
        "journal",
        data={"actions": given.actions, "kind": "tier, with an earlier version in quarantine"},
        parameters={"group": GROUP, "bucket_seconds": BUCKET_SECONDS},
        measured=measured,
        budgets=budgets,
        notes=["Peak memory holds the whole run as it was read back, and the stub's objects."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
