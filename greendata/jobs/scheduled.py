"""``greendata run``: one scheduled pass over everything, for schedulers and pods without a disk.

Window, lease, what was left unfinished, inventory, scan, policies and their cases, plan, budgets,
apply (a share of it first, if that is asked for), report, metrics, alerts. All state is beside the
catalog. A pass that was killed is gone on with by the next one; done twice it changes nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    GreendataError,
    LimitExceededError,
    ObjectNotFoundError,
    PolicyCaseError,
    UsageError,
)
from greendata.execute.journal import below
from greendata.execute.lease import Leases
from greendata.footprint.estimate import Saving
from greendata.footprint.ranges import Range
from greendata.jobs.alerts import (
    budget_alert,
    drift_alert,
    failed_run,
    guard_alert,
    send_alerts,
    survivor_alert,
)
from greendata.jobs.apply import ApplyRequest, Prepared, carry_out, prepare_apply
from greendata.jobs.budgets import check_budgets
from greendata.jobs.carbon_window import (
    Window,
    begin_waiting,
    choose_window,
    end_waiting,
)
from greendata.jobs.holdings import measure_holdings
from greendata.jobs.inventory import InventoryRequest, take_inventory
from greendata.jobs.metering import OwnFootprint, OwnMeter, net_of
from greendata.jobs.metrics import add_run, add_window, count_run, end_run
from greendata.jobs.parts import Pace
from greendata.jobs.plan import PlanRequest, make_plan
from greendata.jobs.policies import check_policies, load_policies, run_policy_cases
from greendata.jobs.report import ReportRequest, choose_target, make_report, write_report
from greendata.jobs.request import ScanRequest
from greendata.jobs.results import catalog_place
from greendata.jobs.run_history import RunsRequest, find_runs
from greendata.jobs.run_summary import RunSummary
from greendata.jobs.runs import runs_uri
from greendata.jobs.scan import scan
from greendata.jobs.schedule import (
    SCHEDULE_STATE,
    ScheduledRequest,
    ScheduledSummary,
    window_request,
)
from greendata.jobs.state import update_state
from greendata.jobs.undo import UndoRequest, undo_run
from greendata.model import Dataset
from greendata.report.metrics import Metrics
from greendata.stores.opening import Stores, is_remote, normalise_uri

if TYPE_CHECKING:
    from greendata.notify.base import Alert
    from greendata.plan.document import PlanDocument
    from greendata.policy.document import LoadedPolicy
    from greendata.progress import Progress

_LONGEST_SLEEP_SECONDS = 600.0
_OPEN_STATES = ("running", "stopped", "pending", "partial")


def scheduled_window(request: ScheduledRequest) -> Window:
    """When the pass would run, without remembering that it was asked."""
    return choose_window(window_request(request, request.clock()))


def run_scheduled(request: ScheduledRequest, *, progress: Progress) -> ScheduledSummary:
    """One pass. An error ends it, is told to whoever is to be told, and raised again.

    Raises:
        LockedError: another pass of this catalog is at work.
        GreendataError: as the jobs that it is made of.
    """
    return _Pass(request, progress).run()


class _Pass:
    """One pass, step by step."""

    def __init__(self, request: ScheduledRequest, progress: Progress) -> None:
        self.request, self.progress = request, progress
        self.summary = ScheduledSummary(started_at=request.clock())
        self.alerts: list[Alert] = []
        self.metrics = Metrics()

    @cached_property
    def _policies(self) -> tuple[LoadedPolicy, ...]:
        """As they are when the pass begins to work."""
        return load_policies(self.request.policies).policies

    def run(self) -> ScheduledSummary:
        request, summary = self.request, self.summary
        if request.report is not None:  # what cannot be written is refused before the night's work
            choose_target(None, str(request.report), overwrite=True)
        if not self._is_time():
            return summary
        carbon = request.operating.carbon
        try:
            with OwnMeter(carbon) as meter, self._one_at_a_time():
                self._work()
                self._report()
        except (GreendataError, OSError) as error:
            summary.outcome, summary.error = "failed", str(error)
            self.alerts.append(self._alert_of(error))
            with contextlib.suppress(GreendataError, OSError):  # the first error is the one to tell
                self._tell()
            raise
        self._account(meter.footprint())
        self._tell()
        return summary

    def _is_time(self) -> bool:
        """Wait for the window; False when it is not now and nobody waits."""
        request = self.request
        now = request.clock()
        begin_waiting(request.catalog, request.schedule, now, request.stores)
        ask = window_request(request, now)  # what waiting costs does not change in a night
        while True:
            window = choose_window(replace(ask, now=now))
            self.summary.window = window
            if window.is_open:
                end_waiting(request.catalog, request.schedule, request.stores)
                return True
            if request.no_wait:
                self.summary.outcome = "postponed"
                self.summary.exit_code = 5
                return False
            self.progress.message(
                f"waiting until {window.choice.starts_at:%Y-%m-%d %H:%M} UTC for cleaner power"
            )
            request.sleep(min(_LONGEST_SLEEP_SECONDS, max(1.0, window.wait_seconds)))
            now = request.clock()

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Two schedulers that start in the same minute do not both work."""
        request = self.request
        root = f"{normalise_uri(request.catalog, request.stores).rstrip('/')}/"
        with Leases(
            Stores(request.stores), [root], run_id="schedule", is_broken=request.break_lease
        ):
            yield

    def _work(self) -> None:
        self._settle()
        self._check_policies()
        self._refresh()
        with tempfile.TemporaryDirectory(prefix="greendata-") as scratch:
            directory = Path(scratch) / "plan"
            document = self._plan(directory)
            if document.totals.actions:
                self._apply(directory, document)

    def _settle(self) -> None:
        """Go on with runs that were stopped or killed, or whose pending actions are due."""
        request = self.request
        try:
            known = find_runs(
                RunsRequest(
                    catalog=request.catalog,
                    limit=1000,
                    stores=request.stores,
                    datasets=request.datasets,
                )
            ).runs
        except ObjectNotFoundError:
            return
        undoing = self._begun_undos()
        for found in sorted(known, key=lambda entry: entry.run_id):
            if found.run_id in undoing and found.state != "undone":
                undo_run(
                    self._undo_request(found.run_id),
                    now=request.clock(),
                    progress=self.progress,
                )
                self.summary.settled.append(found.run_id)
                continue
            is_pending = bool(found.totals.get("pending"))
            if found.state not in _OPEN_STATES or (found.state == "partial" and not is_pending):
                continue
            prepared = prepare_apply(
                self._apply_request(run_id=found.run_id),
                now=request.clock(),
                progress=self.progress,
            )
            if prepared.open_actions:
                carry_out(prepared, progress=self.progress)
                self.summary.settled.append(found.run_id)

    def _undo_request(self, run_id: str) -> UndoRequest:
        request = self.request
        return UndoRequest(
            catalog=request.catalog,
            run_id=run_id,
            stores=request.stores,
            datasets=request.datasets,
            carbon=request.operating.carbon,
            pace=Pace(
                workers=request.workers,
                actions_per_second=request.actions_per_second,
                break_lease=request.break_lease,
            ),
        )

    def _begun_undos(self) -> set[str]:
        """Runs that somebody began to undo: that is finished, rather than the run."""
        from greendata.catalog.tables import Catalog

        request = self.request
        catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=False)
        folder = f"{runs_uri(catalog)}/"
        names = (uri.removeprefix(folder) for uri in below(Stores(request.stores), folder))
        return {name.partition("/")[0] for name in names if "/undo/" in name}

    def _refresh(self) -> None:
        request, now = self.request, self.request.clock()
        uris = request.reports or self._uris()
        taken = take_inventory(
            InventoryRequest(
                uris=uris,
                catalog=request.catalog,
                stores=request.stores,
                from_reports=bool(request.reports),
                with_versions=not request.reports and any(is_remote(uri) for uri in uris),
                # identical bytes are the proof that quarantine needs; what was read is kept
                verify_bytes=any(entry.kind == "quarantine" for entry in self._policies),
            ),
            progress=self.progress,
            now=now,
        )
        self.summary.objects = taken.objects
        if request.with_scan and not request.reports:
            scan(
                ScanRequest(
                    uris=uris,
                    datasets=tuple(
                        Dataset(
                            name=entry.name,
                            prefixes=tuple(
                                normalise_uri(uri, request.stores) for uri in entry.prefixes
                            ),
                            priority=entry.priority,
                        )
                        for entry in request.datasets
                    ),
                    catalog=request.catalog,
                    stores=request.stores,
                ),
                progress=self.progress,
                now=request.clock(),
                denied=taken.denied,
            )

    def _uris(self) -> tuple[str, ...]:
        """What is named, else what is declared, else what was listed before."""
        from greendata.catalog.tables import Catalog

        request = self.request
        declared = [prefix for entry in request.datasets for prefix in entry.prefixes]
        if request.uris or declared:
            named = request.uris or declared
            return tuple(normalise_uri(uri, request.stores) for uri in named)
        catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=False)
        covers = {
            cover.uri for refresh in catalog.refreshes().live("objects") for cover in refresh.covers
        }
        if not covers:
            raise UsageError(
                "It is not known what to look after.",
                hint="Declare datasets in greendata.yaml, or name --uri.",
            )
        return tuple(sorted(covers))

    def _check_policies(self) -> None:
        paths = self.request.policies
        for finding in check_policies(paths).findings:
            if finding.level == "warning":
                words = f"{finding.place}: {finding.policy}: {finding.message}"
                self.summary.warnings.append(words)
        tested = run_policy_cases(paths)
        if tested.failed:
            raise PolicyCaseError(
                f"{tested.failed} of {len(tested.cases)} cases fail; nothing was planned.",
                hint=f"See: greendata policy test {self.request.schedule}",
            )

    def _plan(self, directory: Path) -> PlanDocument:
        request = self.request
        document = make_plan(
            PlanRequest(
                paths=request.policies,
                directory=directory,
                catalog=request.catalog,
                as_of=request.clock(),
                stores=request.stores,
                datasets=request.datasets,
                limits=request.limits,
                max_age_seconds=request.max_age_seconds,
            )
        )
        self.summary.plan_id = document.plan_id
        self.summary.actions = document.totals.actions
        for entry in document.policies:
            if entry.withheld is not None:
                self.summary.withheld[entry.policy] = entry.withheld
                self.alerts.append(
                    guard_alert(entry.policy, "guard", entry.withheld, request.clock())
                )
        return document

    def _apply_request(self, **named: Any) -> ApplyRequest:
        request = self.request
        allowed = frozenset(
            entry.name
            for entry in self._policies
            if entry.kind != "protect" and entry.model.guard.unattended
        )
        workers = self.summary.window.workers if self.summary.window else request.workers
        return ApplyRequest(
            catalog=request.catalog,
            stores=request.stores,
            datasets=request.datasets,
            limits=request.limits,
            carbon=request.operating.carbon,
            break_lease=request.break_lease,
            unattended=allowed,
            workers=max(1, workers),
            actions_per_second=request.actions_per_second,
            clock=request.clock,
            **named,
        )

    def _apply(self, directory: Path, document: PlanDocument) -> None:
        request = self.request
        ask = self._apply_request(directory=directory)
        now = request.clock()
        if request.canary_share is not None and request.canary_share < 1:
            first = carry_out(
                prepare_apply(
                    replace(ask, share=request.canary_share), now=now, progress=self.progress
                ),
                progress=self.progress,
            )
            self.summary.run = first
            if not self._is_canary_well(first):
                return
        prepared = prepare_apply(ask, now=now, progress=self.progress)
        self.summary.run = carry_out(prepared, progress=self.progress)
        self._judge(self.summary.run, prepared, document)

    def _is_canary_well(self, first: RunSummary) -> bool:
        """Take it back and tell, if too much of it failed or a kept copy is in doubt."""
        tried = first.done + first.failed
        share = first.failed / tried if tried else 0.0
        doubtful = first.reasons.get("no-survivor", 0)
        is_well = share <= self.request.most_canary_failures and not doubtful
        self.summary.canary = {
            "actions": tried + first.skipped,
            "failed": first.failed,
            "doubtful_survivors": doubtful,
            "is_well": is_well,
        }
        if is_well:
            return True
        undone = undo_run(
            self._undo_request(first.run_id),
            now=self.request.clock(),
            progress=self.progress,
        )
        self.summary.canary["undone"] = undone.done
        self.summary.outcome, self.summary.exit_code = "partial", 3
        detail = f"{first.failed} of {tried} failed, {doubtful} kept copies are in doubt"
        self.alerts.append(
            guard_alert(self.request.schedule, "canary", detail, self.request.clock())
        )
        return False

    def _judge(self, found: RunSummary, prepared: Prepared, document: PlanDocument) -> None:
        now = self.request.clock()
        if found.state in ("partial", "stopped"):
            self.summary.outcome, self.summary.exit_code = "partial", 3
        for shown in found.examples.get("no-survivor", ()):
            self.alerts.append(survivor_alert(shown["uri"], shown["detail"], now))
        left = found.skipped + found.failed + found.not_begun
        if left:
            size = sum(entry.totals.size_bytes for entry in document.policies)
            self.alerts.append(drift_alert(self.request.schedule, left, size, now))

    def _account(self, own: OwnFootprint) -> None:
        """Its own footprint, off the saving; budgets; what the next pass needs to know."""
        request, summary = self.request, self.summary
        now = request.clock()
        summary.own = own
        summary.seconds = own.wall_seconds
        if summary.run is not None:
            summary.net = net_of(_saving(summary.run), own)
        holdings = measure_holdings(
            request.catalog, as_of=now, stores=request.stores, datasets=request.datasets
        )
        summary.budgets = check_budgets(request.operating.budgets, holdings)
        for breach in summary.budgets.breaches:
            self.alerts.append(budget_alert(breach, now))
        if summary.budgets.enforced:
            summary.outcome, summary.exit_code = "partial", LimitExceededError.exit_code
        add_run(self.metrics, own)
        if summary.window is not None:
            add_window(self.metrics, summary.window)
        end_run(self.metrics, summary.outcome, now)
        count_run(
            request.catalog,
            f"{summary.started_at.isoformat()} {request.schedule}",
            self.metrics,
            request.stores,
        )
        update_state(
            request.catalog,
            SCHEDULE_STATE,
            lambda known: {**known, request.schedule: {"seconds": round(own.wall_seconds, 1)}},
            request.stores,
        )

    def _report(self) -> None:
        request = self.request
        if request.report is None:
            return
        found = make_report(
            ReportRequest(
                catalog=request.catalog,
                as_of=request.clock(),
                stores=request.stores,
                datasets=request.datasets,
                max_age_seconds=request.max_age_seconds,
            )
        )
        write_report(found, choose_target(None, str(request.report), overwrite=True))
        self.summary.report = str(request.report)

    def _alert_of(self, error: GreendataError | OSError) -> Alert:
        now = self.request.clock()
        if isinstance(error, LimitExceededError):
            return guard_alert(self.request.schedule, "limits", error.message, now)
        return failed_run(self.request.schedule, error, now)

    def _tell(self) -> None:
        request = self.request
        self.summary.alerts = send_alerts(
            self.alerts,
            request.operating.alerts,
            catalog=request.catalog,
            now=request.clock(),
            stores=request.stores,
        )
        self.summary.warnings += self.summary.alerts.warnings
        if self.summary.alerts.failed:
            self.summary.warnings += [
                entry.detail or entry.channel for entry in self.summary.alerts.failed
            ]
            if request.must_tell and not self.summary.exit_code:
                self.summary.outcome, self.summary.exit_code = "partial", 3


def _saving(found: RunSummary) -> Saving:
    """Of a month, by what was carried out."""
    bounds = found.carbon_kgco2e
    return Saving(
        cost_usd=found.monthly_saving_usd,
        energy_kwh=None,
        operational_kgco2e=None
        if bounds is None
        else Range(low=bounds[0], central=bounds[1], high=bounds[2]),
        embodied_kgco2e=Range(low=0.0, central=0.0, high=0.0),
    )
