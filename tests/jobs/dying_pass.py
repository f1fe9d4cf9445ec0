"""One night of ``greendata run`` at a time of its own, in a process that may end itself.

``python -m tests.jobs.dying_pass NOW POINT COUNT REQUEST``

NOW is the time in ISO 8601; POINT is ``module:name`` of a function whose COUNT-th call sends
SIGKILL. REQUEST is JSON: the catalog, the URIs and the policies.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from typing import Any

from greendata.config import LimitSettings
from greendata.jobs import parts
from greendata.jobs.purge import PurgeRequest, carry_out_purge, prepare_purge
from greendata.jobs.schedule import ScheduledRequest
from greendata.jobs.scheduled import run_scheduled
from greendata.operating.records import CarbonSettings, Operating, SignalSettings
from greendata.progress import Progress
from tests.jobs.dying_scan import patch


def night(started: datetime, asked: dict[str, Any]) -> dict[str, Any]:
    """The pass, then a purge of what is due, at a time that passes only by waiting."""
    passed = [timedelta()]

    def now() -> datetime:
        return started + passed[0]

    def sleep(seconds: float) -> None:
        passed[0] += timedelta(seconds=seconds)

    parts.now_utc = now
    carbon = CarbonSettings(
        region="eu-central-1",
        best_seconds=3600,
        deadline="4h",
        signal=SignalSettings(provider="csv", path=asked["forecast"], max_age_seconds=1e9),
    )
    found = run_scheduled(
        ScheduledRequest(
            policies=tuple(asked["policies"]),
            catalog=asked["catalog"],
            operating=Operating(carbon=carbon),
            uris=tuple(asked["uris"]),
            limits=LimitSettings(max_percent=100),
            with_scan=False,
            clock=now,
            sleep=sleep,
        ),
        progress=Progress(),
    )
    purged: Any = None
    if asked["purges"]:
        request = PurgeRequest(catalog=asked["catalog"], policies=tuple(asked["policies"]))
        prepared = prepare_purge(request, now=now(), progress=Progress())
        purged = carry_out_purge(prepared, progress=Progress()).purged if prepared.objects else 0
    return {
        "outcome": found.outcome,
        "settled": found.settled,
        "waited_seconds": passed[0].total_seconds(),
        "done": found.run.done if found.run else 0,
        "purged": purged,
    }


if __name__ == "__main__":
    text, point, count, raw = sys.argv[1:]
    patch(point, int(count))
    night(datetime.fromisoformat(text), json.loads(raw))
