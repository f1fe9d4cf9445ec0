from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from greendata.config import LimitSettings
from greendata.errors import LimitExceededError, LockedError, PolicyCaseError, UsageError
from greendata.execute.lease import Leases
from greendata.jobs.print_schedule import SCHEDULERS, render_schedule
from greendata.jobs.run_history import RunsRequest, find_runs
from greendata.jobs.schedule import ScheduledRequest
from greendata.jobs.scheduled import run_scheduled, scheduled_window
from greendata.jobs.undo import UndoRequest, undo_run
from greendata.operating.records import (
    AlertSettings,
    BudgetSettings,
    CarbonSettings,
    CommandSettings,
    Operating,
    SignalSettings,
)
from greendata.progress import Progress
from greendata.stores.local import LocalStore, path_to_uri

POLICY = """\
version: 1
policies:
  - name: copies
    all: true
    action: {quarantine: {grace_days: 30}}
"""
CASES = """\
version: 1
cases:
  - name: expects what no policy does
    given: {uri: "file:///a", size_bytes: 5}
    expect: {stays: held}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("a", "b", "c", "other"):
        text = "other" if name == "other" else "the same words in every one of these files"
        (tmp_path / "data" / f"{name}.jsonl").write_text(json.dumps({"text": text}) + "\n")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/p.yaml").write_text(POLICY)
    return tmp_path


def request(place: Path, **named: Any) -> ScheduledRequest:
    return ScheduledRequest(
        policies=("policies",),
        catalog=str(place / "catalog"),
        uris=(path_to_uri(str(place / "data")),),
        limits=LimitSettings(max_percent=100),
        operating=named.pop("operating", Operating()),
        **named,
    )


def names(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "data").iterdir() if path.is_file())


def verify(place: Path) -> None:
    """Read what is of equal size, so that copies are proved."""
    from greendata.jobs.inventory import InventoryRequest, take_inventory

    take_inventory(
        InventoryRequest(
            uris=(path_to_uri(str(place / "data")),),
            catalog=str(place / "catalog"),
            verify_bytes=True,
        ),
        progress=Progress(),
        now=datetime.now(UTC),
    )


def test_a_pass_does_what_there_is_to_do_and_then_nothing(place: Path) -> None:
    verify(place)
    first = run_scheduled(request(place, report=place / "r.html"), progress=Progress())
    assert (first.outcome, first.exit_code, first.actions) == ("success", 0, 2)
    assert first.run is not None
    assert (first.run.done, names(place)) == (2, ["a.jsonl", "other.jsonl"])
    assert first.own is not None
    assert first.own.energy_kwh.high > 0
    assert "<html" in (place / "r.html").read_text()
    second = run_scheduled(request(place), progress=Progress())
    assert (second.outcome, second.actions, second.run) == ("success", 0, None)
    json.dumps(first.as_dict(), default=str)


def test_a_run_that_was_killed_is_gone_on_with_first(place: Path) -> None:
    verify(place)
    request_now = request(place, with_scan=False)
    first = run_scheduled(request_now, progress=Progress())
    assert first.run is not None
    folder = place / "catalog/runs" / first.run.run_id / "apply"
    segments = sorted(folder.glob("*.jsonl"))
    for path in segments[1:]:  # as if nothing but its beginning had been written
        path.unlink()
    for table in ("runs", "outcomes"):
        for path in (place / "catalog/tables" / table / "_delta_log").glob("*.json"):
            if path.stem != "0" * 20:
                path.unlink()
    again = run_scheduled(request_now, progress=Progress())
    assert again.settled == [first.run.run_id]
    (known,) = find_runs(RunsRequest(catalog=str(place / "catalog"))).runs
    assert (known.state, known.totals["done"]) == ("finished", 2)


def test_an_undo_that_was_killed_is_finished_rather_than_the_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify(place)
    first = run_scheduled(request(place, with_scan=False), progress=Progress())
    assert first.run is not None
    kept, calls = LocalStore.move, iter(range(100))

    def once(self: LocalStore, source: str, target: str, *, etag: str | None = None) -> Any:
        if next(calls):
            raise KeyboardInterrupt
        return kept(self, source, target, etag=etag)

    ask = UndoRequest(catalog=str(place / "catalog"), run_id=first.run.run_id)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "move", once)
        with pytest.raises(KeyboardInterrupt):
            undo_run(ask, now=datetime.now(UTC), progress=Progress())
    (place / "policies/p.yaml").write_text(
        POLICY.replace("    all: true", "    where: size_bytes < 0")
    )
    again = run_scheduled(request(place, with_scan=False), progress=Progress())
    assert again.settled == [first.run.run_id]
    assert names(place) == ["a.jsonl", "b.jsonl", "c.jsonl", "other.jsonl"]


def test_a_failing_case_stops_it_before_anything_is_planned(place: Path) -> None:
    verify(place)
    (place / "policies/p.cases.yaml").write_text(CASES)
    with pytest.raises(PolicyCaseError):
        run_scheduled(request(place), progress=Progress())
    assert len(names(place)) == 4


def test_limits_stop_it_and_somebody_is_told(place: Path) -> None:
    verify(place)
    told = place / "told.jsonl"
    operating = Operating(
        alerts=AlertSettings(
            channels=(CommandSettings(command=("sh", "-c", f"cat >> {told}; echo >> {told}")),)
        )
    )
    few = replace(
        request(place, operating=operating), limits=LimitSettings(max_objects=1, max_percent=100)
    )
    with pytest.raises(LimitExceededError):
        run_scheduled(few, progress=Progress())
    assert "max_objects" in told.read_text()
    assert len(names(place)) == 4


def test_an_enforced_budget_gives_its_exit_code(place: Path) -> None:
    verify(place)
    operating = Operating(budgets=(BudgetSettings(redundant_bytes=1, level="enforce"),))
    found = run_scheduled(request(place, operating=operating), progress=Progress())
    assert found.budgets is not None
    assert found.exit_code in (0, 32)  # nothing is redundant any more once copies are gone


def test_two_schedulers_do_not_both_work(place: Path) -> None:
    verify(place)
    root = path_to_uri(str(place / "catalog")) + "/"
    with Leases(LocalStore(), [root], run_id="schedule"), pytest.raises(LockedError):
        run_scheduled(request(place), progress=Progress())
    assert len(names(place)) == 4


def test_what_another_holds_is_taken_over_when_asked_for(place: Path) -> None:
    root = f"{path_to_uri(str(place / 'catalog'))}/"
    with Leases(LocalStore(), [root], run_id="schedule"):
        found = run_scheduled(
            request(place, with_scan=False, break_lease=True), progress=Progress()
        )
    assert found.outcome == "success"


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(place: Path) -> None:
    with pytest.raises(UsageError, match="does not say which format"):
        run_scheduled(request(place, report=place / "report.bin"), progress=Progress())
    assert not (place / "catalog").exists()


def test_outside_its_window_it_is_postponed_until_the_deadline(place: Path) -> None:
    verify(place)
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)
    rows = [
        f"{(start + timedelta(hours=hour)).isoformat()},{500 if hour < 6 else 50}"
        for hour in range(48)
    ]
    (place / "forecast.csv").write_text(
        "starts_at,intensity_gco2e_per_kwh\n" + "\n".join(rows) + "\n"
    )
    carbon = CarbonSettings(
        region="eu-central-1",
        max_gco2e_per_kwh=100,
        deadline="24h",
        signal=SignalSettings(provider="csv", path=str(place / "forecast.csv")),
    )
    clock = Clock(start)
    ask = request(place, operating=Operating(carbon=carbon), clock=clock.now, sleep=clock.sleep)
    found = run_scheduled(replace(ask, no_wait=True), progress=Progress())
    assert (found.outcome, found.exit_code) == ("postponed", 5)
    assert found.window is not None
    assert found.window.choice.starts_at == start + timedelta(hours=6)
    assert scheduled_window(ask).choice.starts_at == start + timedelta(hours=6)
    assert len(names(place)) == 4
    waited = run_scheduled(ask, progress=Progress())
    assert clock.now() >= start + timedelta(hours=6)
    assert waited.outcome == "success"


class Clock:
    """Time that passes by sleeping."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def sleep(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)


def test_a_canary_that_fails_is_taken_back(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(place)
    before = names(place)
    from greendata.execute import retiring
    from greendata.execute.handlers import removal

    kept = retiring.retire

    def failing(action: Any, *arguments: Any, **named: Any) -> Any:
        if action.uri.endswith("b.jsonl"):
            raise ConnectionError
        return kept(action, *arguments, **named)

    def refused(action: Any, *arguments: Any, **named: Any) -> Any:
        from greendata.errors import StoreUnreachableError

        try:
            return failing(action, *arguments, **named)
        except ConnectionError:
            raise StoreUnreachableError("no answer") from None

    monkeypatch.setattr(removal, "retire", refused)
    found = run_scheduled(request(place, canary_share=0.999999), progress=Progress())
    assert found.canary is not None
    assert (found.canary["is_well"], found.exit_code) == (False, 3)
    assert names(place) == before


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_entries_for_schedulers_quote_what_they_are_given(scheduler: str) -> None:
    text = render_schedule(scheduler, ["my policies/50%"])
    assert "my policies/50" in text
    assert "$" not in text.replace("$?", "")
    if scheduler == "airflow":
        compile(text, "dag.py", "exec")
    if scheduler in ("k8s", "github"):
        from ruamel.yaml import YAML

        YAML(typ="safe").load(text)
