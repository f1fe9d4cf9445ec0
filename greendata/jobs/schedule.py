"""What a scheduled pass is asked and answers, and when it may begin."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from greendata.config import DatasetSettings, LimitSettings, StoreSettings
from greendata.errors import ObjectNotFoundError
from greendata.jobs.apply import utc_now
from greendata.jobs.carbon_window import WindowRequest, has_rule, waiting_since
from greendata.jobs.holdings import cost_of_redundancy, measure_holdings
from greendata.jobs.policies import load_policies
from greendata.jobs.state import read_state
from greendata.model import SCHEMA_VERSION

if TYPE_CHECKING:
    from greendata.jobs.alerts import AlertReport
    from greendata.jobs.budgets import BudgetReview
    from greendata.jobs.carbon_window import Window
    from greendata.jobs.metering import NetSaving, OwnFootprint
    from greendata.jobs.run_summary import RunSummary
    from greendata.operating.records import Operating

Ending = Literal["success", "partial", "failed", "postponed"]

SCHEDULE_STATE = "schedule"
"""Beside the catalog: how long the last pass of a schedule took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRequest:
    """One pass.

    Attributes:
        uris: what to refresh; by default the datasets of greendata.yaml, else what was listed.
        reports: prefixes of S3 Inventory or Azure Blob Inventory reports, which tell what there is
            instead of listings; then nothing is scanned.
        with_scan: fingerprint what changed too, so that duplicates are known.
        no_wait: do not wait for the window: end, and say when it is.
        canary_share: of the actions that goes first; then survivors and failures are looked at.
        most_canary_failures: share of failures above which the canary is taken back.
        must_tell: an alert that reaches nobody makes the pass partial.
        break_lease: take over what other processes hold; right only if they are gone for certain.
    """

    policies: tuple[str, ...]
    catalog: str
    operating: Operating
    uris: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    limits: LimitSettings = field(default_factory=LimitSettings)
    max_age_seconds: float | None = None
    with_scan: bool = True
    no_wait: bool = False
    canary_share: float | None = None
    most_canary_failures: float = 0.05
    must_tell: bool = False
    break_lease: bool = False
    workers: int = 16
    actions_per_second: float | None = None
    report: Path | None = None
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep

    @property
    def schedule(self) -> str:
        """What is run, by the name that waiting and alerts know it by."""
        return " ".join(self.policies)


@dataclass(slots=True, kw_only=True)
class ScheduledSummary:
    """What a pass came to; ``error`` and ``exit_code`` of one that failed."""

    started_at: datetime
    outcome: Ending = "success"
    window: Window | None = None
    settled: list[str] = field(default_factory=list)
    objects: int = 0
    plan_id: str | None = None
    actions: int = 0
    withheld: dict[str, str] = field(default_factory=dict)
    canary: dict[str, Any] | None = None
    run: RunSummary | None = None
    budgets: BudgetReview | None = None
    own: OwnFootprint | None = None
    net: NetSaving | None = None
    alerts: AlertReport | None = None
    report: str | None = None
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    exit_code: int = 0
    seconds: float = 0.0
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The one line of JSON at the end of a pass."""
        parts = ("window", "run", "budgets", "own", "alerts")
        found = {name: getattr(self, name) for name in self.__slots__}
        for name in parts:
            found[name] = None if found[name] is None else found[name].as_dict()
        found["net"] = None if self.net is None else asdict(self.net)
        return found


def window_request(request: ScheduledRequest, now: datetime) -> WindowRequest:
    """The window as it is chosen now, with what waiting costs by what is redundant now."""
    known = read_state(request.catalog, SCHEDULE_STATE, request.stores).get(request.schedule, {})
    window = WindowRequest(
        carbon=request.operating.carbon,
        now=now,
        policy=load_policies(request.policies).window,
        stores=request.stores,
        workers=request.workers,
        waiting_since=waiting_since(request.catalog, request.schedule, request.stores),
    )
    if isinstance(known.get("seconds"), int | float):
        window = replace(window, duration_seconds=max(1.0, known["seconds"]))
    if not has_rule(window):
        return window
    try:
        holdings = measure_holdings(
            request.catalog, as_of=now, stores=request.stores, datasets=request.datasets
        )
    except ObjectNotFoundError:
        return window
    return replace(window, cost=cost_of_redundancy(holdings))
