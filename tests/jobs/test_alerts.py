"""Alerts are sent once, again after their time, and never stop a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import StoreUnreachableError
from greendata.jobs.alerts import (
    AlertReport,
    budget_alert,
    drift_alert,
    failed_run,
    guard_alert,
    send_alerts,
    survivor_alert,
)
from greendata.jobs.budgets import Breach, BudgetUse
from greendata.operating.records import AlertSettings, CommandSettings, WebhookSettings
from tests.services import AT_ONCE, Reply, Service, service

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
USE = BudgetUse(
    dataset="crawl", item="usd_per_month", used=90.0, limit=100.0, ratio=0.9, is_partial=False,
    state="near", level="enforce",
)  # fmt: skip
NEAR = Breach(level="warn", use=USE, detail="nearly")
OVER = Breach(level="enforce", use=replace(USE, state="over", used=120.0), detail="over")


@pytest.fixture
def hook() -> Iterator[Service]:
    with service(lambda request: Reply()) as running:
        yield running


def send(hook: Service, path: Path, *alerts: Any, at: datetime = NOW, **values: Any) -> AlertReport:
    known = AlertSettings(channels=(WebhookSettings(url=hook.url),), repeat_after_seconds=3600.0)
    settings = replace(known, **values)
    return send_alerts(
        alerts, settings, catalog=str(path / "catalog"), now=at, retries=AT_ONCE, environment={}
    )


def results(report: AlertReport) -> list[str]:
    return [entry.result for entry in report.deliveries]


def test_an_alert_is_sent_once_and_again_after_its_time(hook: Service, tmp_path: Path) -> None:
    drift = drift_alert("archive-cold", 3, 9_000, NOW)
    assert results(send(hook, tmp_path, drift, drift)) == ["sent", "repeated"]
    later = drift_alert("archive-cold", 4, 12_000, NOW)
    assert results(send(hook, tmp_path, later, at=NOW + timedelta(minutes=59))) == ["repeated"]
    other = drift_alert("other", 3, 9_000, NOW)
    assert results(send(hook, tmp_path, drift, other)) == ["repeated", "sent"]
    assert results(send(hook, tmp_path, drift, at=NOW + timedelta(hours=1))) == ["sent"]
    assert len(hook.requests) == 3


def test_a_budget_that_goes_from_nearly_to_over_is_told_again(
    hook: Service, tmp_path: Path
) -> None:
    report = send(hook, tmp_path, budget_alert(NEAR, NOW))
    assert results(report) == ["sent"]
    assert results(send(hook, tmp_path, budget_alert(OVER, NOW))) == ["sent"]
    severities = [json.loads(request.body)["severity"] for request in hook.requests]
    assert severities == ["warn", "error"]


def test_what_did_not_get_there_is_sent_next_time(hook: Service, tmp_path: Path) -> None:
    hook.answer = lambda request: Reply(status=500)
    alert = guard_alert("p", "max_objects", "20 of 10", NOW)
    report = send(hook, tmp_path, alert)
    assert results(report) == ["failed"]
    assert "answers 500" in (report.failed[0].detail or "")
    assert len(hook.requests) == 3
    hook.answer = lambda request: Reply()
    assert results(send(hook, tmp_path, alert)) == ["sent"]


def test_one_channel_that_fails_stops_no_other(hook: Service, tmp_path: Path) -> None:
    channels = (
        WebhookSettings(url="http://127.0.0.1:9/"),
        WebhookSettings(url_env="NOT_SET"),
        CommandSettings(command=("/no/such",)),
        WebhookSettings(url="http://hooks.example/"),
        WebhookSettings(url=hook.url),
    )
    report = send(hook, tmp_path, survivor_alert("s3://b/k", "is gone", NOW), channels=channels)
    assert results(report) == ["failed"] * 4 + ["sent"]
    details = [entry.detail or "" for entry in report.failed]
    assert "cannot be reached" in details[0]
    assert "NOT_SET is not set" in details[1]
    assert "No such file" in details[2]
    assert "plain HTTP" in details[3]


def test_kinds_that_nobody_wants_are_not_sent(hook: Service, tmp_path: Path) -> None:
    report = send(hook, tmp_path, drift_alert("p", 1, 1, NOW), kinds=("budget",))
    assert report.deliveries == ()
    assert hook.requests == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"x": 5}'])
def test_a_damaged_memory_keeps_nobody_from_being_told(
    hook: Service, tmp_path: Path, content: bytes
) -> None:
    state = tmp_path / "catalog" / "state" / "alerts.json"
    state.parent.mkdir(parents=True)
    state.write_bytes(content)
    alert = drift_alert("p", 1, 1, NOW)
    assert results(send(hook, tmp_path, alert)) == ["sent"]
    assert results(send(hook, tmp_path, alert)) == ["repeated"]


def test_a_catalog_that_cannot_be_written_keeps_nobody_from_being_told(
    hook: Service, tmp_path: Path
) -> None:
    (tmp_path / "catalog").write_text("a file where a folder should be")
    error = StoreUnreachableError("s3://b: does not answer")
    report = send(hook, tmp_path, failed_run("nightly", error, NOW))
    assert results(report) == ["sent"]
    assert len(report.warnings) >= 1
    told = json.loads(hook.requests[0].body)
    assert told["text"] == "StoreUnreachableError: s3://b: does not answer"
    assert told["facts"]["exit_code"] == 20
