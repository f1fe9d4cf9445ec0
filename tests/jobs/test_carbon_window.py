"""The window that configuration, policy, signal and the price of waiting come to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.output import print_json
from greendata.cli.show_window import show_window
from greendata.errors import ConfigError, PolicyError
from greendata.jobs.carbon_window import (
    Window,
    WindowRequest,
    begin_waiting,
    choose_window,
    deadline_of,
    end_waiting,
    waiting_since,
)
from greendata.operating.records import CarbonSettings, SignalSettings
from greendata.policy.document import read_policies
from greendata.signals.window import WaitingCost
from tests.services import AT_ONCE, Reply, Service, document, service

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOURS = timedelta(hours=1)
FORECAST = "starts_at,intensity_gco2e_per_kwh\n" + "".join(
    f"{(NOW + hour * HOURS).isoformat()},{300 - 20 * hour if hour < 10 else 290}\n"
    for hour in range(48)
)


@pytest.fixture
def server() -> Iterator[Service]:
    with service(lambda request: Reply(status=503)) as running:
        yield running


def ask(signal: SignalSettings | None = None, **values: Any) -> Window:
    rule: dict[str, Any] = {"region": "eu-north-1", "best_seconds": 7200.0, "deadline": "24h"}
    asked = {name: values.pop(name) for name in tuple(values) if name in _CARBON}
    carbon = CarbonSettings(signal=signal or SignalSettings(), **(rule | asked))
    return choose_window(WindowRequest(carbon=carbon, now=NOW, retries=AT_ONCE, **values))


_CARBON = ("region", "best_seconds", "max_gco2e_per_kwh", "deadline", "scale_workers")


@pytest.fixture
def forecast(tmp_path: Path) -> SignalSettings:
    path = tmp_path / "forecast.csv"
    path.write_text(FORECAST)
    return SignalSettings(provider="csv", path=str(path))


def test_without_a_rule_work_runs_at_once_and_nobody_is_asked() -> None:
    found = choose_window(WindowRequest(carbon=CarbonSettings(), now=NOW))
    assert found.is_open
    assert found.choice.reason == "no_rule"
    assert found.deadline_at is None


def test_a_file_tells_when_the_grid_is_cleanest(forecast: SignalSettings) -> None:
    found = ask(forecast, workers=8, scale_workers=True)
    assert not found.is_open
    assert found.choice.starts_at == NOW + 8 * HOURS
    assert found.wait_seconds == 8 * 3600
    assert found.choice.intensity_gco2e_per_kwh == 130
    assert found.workers == 6  # 140 g/kWh then, 120 in the cleanest step
    assert found.job_energy_kwh == pytest.approx(8 * 3.5e-3 * 1.1)


def test_the_average_of_the_region_is_no_reason_to_wait() -> None:
    found = ask()
    assert found.is_open
    assert (found.source, found.zone) == ("static", "eu-north-1")
    assert found.choice.intensity_gco2e_per_kwh == pytest.approx(35.3)
    assert any("the same for all hours" in note for note in found.notes)


def test_a_signal_that_fails_is_replaced_and_told(server: Service) -> None:
    signal = SignalSettings(provider="electricity_maps", url=server.url, key_env="KEY")
    found = ask(signal, environment={"KEY": "CANARY"})
    assert found.is_open
    assert found.source == "static"
    assert "answers 503" in (found.fallback or "")
    assert "CANARY" not in json.dumps(found.as_dict(), default=str)
    assert [request.query["zone"] for request in server.requests] == ["SE"] * 3


def test_a_marginal_signal_is_not_weighed_against_storage(server: Service) -> None:
    points = [
        {"point_time": (NOW + step * timedelta(minutes=5)).isoformat(), "value": 900 - step}
        for step in range(300)
    ]
    meta = {
        "region": "SE", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh",
        "data_point_period_seconds": 300, "generated_at": NOW.isoformat(),
    }  # fmt: skip
    server.answer = lambda request: document(
        {"token": "t"} if request.path == "/login" else {"data": points, "meta": meta}
    )
    signal = SignalSettings(provider="watttime", url=server.url, user_env="U", password_env="P")
    found = ask(
        signal,
        environment={"U": "u", "P": "p"},
        cost=WaitingCost(carbon_gco2e_per_hour=1e9),
        deadline="12h",
    )
    assert found.choice.starts_at == NOW + 12 * HOURS
    assert found.choice.waiting is not None
    assert found.choice.waiting.costs_more is None
    assert any("is marginal" in note for note in found.notes)


def test_a_credential_that_is_not_set_is_an_error_not_a_fallback(server: Service) -> None:
    signal = SignalSettings(provider="electricity_maps", url=server.url, key_env="KEY")
    with pytest.raises(ConfigError, match="environment variable KEY is not set"):
        ask(signal, environment={})
    assert server.requests == []


def test_a_region_that_nobody_knows_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'eu-nort-1' is no region.*Did you mean 'eu-north-1'"):
        ask(region="eu-nort-1")


def test_a_signal_of_another_country_is_not_believed() -> None:
    with pytest.raises(ConfigError, match="Great Britain, where eu-north-1 is not"):
        ask(SignalSettings(provider="uk_carbon_intensity"))


def test_waiting_has_a_price_that_is_shown(
    forecast: SignalSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    cost = WaitingCost(
        usd_per_hour=Decimal("0.54"), energy_kwh_per_hour=0.04, carbon_gco2e_per_hour=14.0
    )
    found = ask(forecast, cost=cost)
    assert found.is_open
    assert found.choice.reason == "waiting_costs_more"
    show_window(found)
    shown = capsys.readouterr().out
    assert "Run now: waiting for a cleaner hour costs more carbon than it saves." in shown
    assert "costs 4.32 USD, 0.32 kWh and 112 gCO2e of storage that goes on" in shown
    print_json(found.as_dict())
    printed = json.loads(capsys.readouterr().out)
    assert printed["is_open"] is True
    assert printed["rejected"]["costs_more"] is True
    assert printed["starts_at"] == "2026-11-21 12:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", NOW + timedelta(minutes=90)),
        ("06:00", datetime(2026, 11, 22, 6, tzinfo=UTC)),
        ("12:00", NOW),
        ("23:59", datetime(2026, 11, 21, 23, 59, tzinfo=UTC)),
        ("2026-11-21T15:00+01:00", datetime(2026, 11, 21, 14, tzinfo=UTC)),
    ],
)
def test_deadlines_are_durations_times_of_day_or_moments(text: str, expected: datetime) -> None:
    assert deadline_of(text, NOW) == expected


def test_a_deadline_in_the_past_runs_at_once(forecast: SignalSettings) -> None:
    found = ask(forecast, deadline="2026-01-01T00:00Z", workers=4, scale_workers=True)
    assert found.is_open
    assert found.choice.reason == "deadline"
    assert found.workers == 4


def test_a_scheduler_that_comes_again_does_arrive_at_the_deadline(
    tmp_path: Path, forecast: SignalSettings
) -> None:
    catalog = str(tmp_path / "catalog")
    assert waiting_since(catalog, "p.yaml") is None
    assert begin_waiting(catalog, "p.yaml", NOW - 24 * HOURS) == NOW - 24 * HOURS
    since = begin_waiting(catalog, "p.yaml", NOW)
    assert since == NOW - 24 * HOURS
    assert ask(forecast, waiting_since=since).choice.reason == "deadline"
    end_waiting(catalog, "p.yaml")
    end_waiting(catalog, "p.yaml")
    assert waiting_since(catalog, "p.yaml") is None


POLICY = b"""version: 1
carbon: {region: swedencentral, max_gco2e_per_kwh: 250, deadline: 12h}
policies:
  - {name: a, all: true, action: {tier: cool}}
"""


def test_a_policy_says_when_and_the_configuration_by_whose_word(
    forecast: SignalSettings,
) -> None:
    policies = read_policies([("p.yaml", POLICY)])
    found = ask(forecast, policy=policies.window)
    assert found.region == "swedencentral"
    assert found.source == "csv"
    assert found.choice.starts_at == NOW + 3 * HOURS  # 240 is the first within 250
    assert found.choice.reason == "below_limit_later"
    other = POLICY.replace(b"carbon: {region: swedencentral, ", b"carbon: {")
    assert read_policies([("p.yaml", other)]).digest == policies.digest


@pytest.mark.parametrize(
    ("carbon", "expected"),
    [
        ("{best: 4h}", "p.yaml:2:1: carbon: a carbon window needs a deadline"),
        ("{best: x, deadline: 1d}", "p.yaml:2:10: carbon.best: 'x' is not a duration"),
        ("{deadline: soon}", "'soon' is no deadline"),
        ("{signal: {url: x}}", "'signal' has no place in a policy"),
    ],
)
def test_mistakes_in_a_policy_are_named_with_their_place(carbon: str, expected: str) -> None:
    text = POLICY.decode().splitlines()
    text[1] = f"carbon: {carbon}"
    with pytest.raises(PolicyError) as caught:
        read_policies([("p.yaml", "\n".join(text).encode())])
    assert expected in str(caught.value)


def test_policies_that_run_together_run_in_one_window() -> None:
    other = POLICY.replace(b"name: a", b"name: b")
    assert read_policies([("p.yaml", POLICY), ("q.yaml", other)]).window is not None
    with pytest.raises(PolicyError, match=r"q\.yaml: carbon: is another window than that of p"):
        read_policies([("p.yaml", POLICY), ("q.yaml", other.replace(b"12h", b"13h"))])
