"""Each provider against a local server that answers in its documented shape."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from greendata.errors import ConfigError, DeniedError, ServiceError
from greendata.signals.base import Signal
from greendata.signals.carbon_aware_sdk import CarbonAwareSdk
from greendata.signals.electricity_maps import ElectricityMaps
from greendata.signals.services import Service as Address
from greendata.signals.uk_carbon_intensity import UkCarbonIntensity
from greendata.signals.watttime import WattTime
from tests.services import AT_ONCE, Answer, Reply, Request, Service, document, service
from tests.signals.contract import HOURS, NOW, SECRET, SignalContract

HALF = timedelta(minutes=30)


def address(url: str, **values: Any) -> Address:
    known = Address(
        url=url, zone="DE", key=SECRET, user="me", password=SECRET, retries=AT_ONCE,
        max_age_seconds=6 * 3600,
    )  # fmt: skip
    return replace(known, **values)


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


class TestElectricityMaps(SignalContract):
    """Shape: CarbonAwareSDK's model of /carbon-intensity/forecast (CASDK e6de58d, #617)."""

    kind = "average"
    basis = "lifecycle"
    paths = ("/carbon-intensity/forecast",)

    def signal(self, url: str, **values: Any) -> Signal:
        return ElectricityMaps(address(url, **values))

    def body(self, values: Sequence[Any], *, start: datetime = NOW, made: datetime = NOW) -> Any:
        return {
            "zone": "DE",
            "forecast": [
                {"carbonIntensity": value, "datetime": iso(start + number * HOURS)}
                for number, value in enumerate(values)
            ],
            "updatedAt": iso(made),
        }

    def test_asks_for_its_zone_and_never_for_that_of_the_caller(self, server: Service) -> None:
        self.told(server, self.body([100] * 9), hours=5)
        (request,) = server.requests
        assert request.headers["auth-token"] == SECRET
        assert request.query == {
            "zone": "DE",
            "horizonHours": "6",
            "emissionFactorType": "lifecycle",
            "shouldUseFallbackCallerLookup": "false",
        }

    def test_refuses_the_answer_about_another_zone(self, server: Service) -> None:
        assert "about 'FR'" in self.complaint(server, self.body([1] * 9) | {"zone": "FR"})

    def test_refuses_factors_of_another_kind(self, server: Service) -> None:
        body = self.body([1] * 9) | {"emissionFactorType": "direct"}
        assert "'direct' factors" in self.complaint(server, body)

    def test_refuses_a_hole(self, server: Service) -> None:
        body = self.body([100] * 9)
        del body["forecast"][3]
        assert "has a hole from 2026-11-21T15:00" in self.complaint(server, body)

    def test_refuses_two_values_for_one_hour(self, server: Service) -> None:
        body = self.body([100] * 9)
        body["forecast"].append(body["forecast"][3])
        assert "two things about one time" in self.complaint(server, body)

    def test_refuses_times_without_an_offset(self, server: Service) -> None:
        body = self.body([100] * 9)
        body["forecast"][0]["datetime"] = "2026-11-21T12:00:00"
        assert "no time with an offset" in self.complaint(server, body)

    def test_without_a_zone_says_where_to_write_it(self) -> None:
        with pytest.raises(ConfigError, match="do not know its name") as caught:
            self.signal("http://127.0.0.1:9", zone=None).ask(NOW, NOW + HOURS)
        assert "zone:" in (caught.value.hint or "")


class TestWattTime(SignalContract):
    """Shape: WattTime's documentation of /login and /v3/forecast (python client 7c5c56d)."""

    kind = "marginal"
    basis = "direct"
    step = timedelta(minutes=5)
    units = 0.45359237
    paths = ("/login", "/v3/forecast")

    def signal(self, url: str, **values: Any) -> Signal:
        return WattTime(address(url, **({"zone": "CAISO_NORTH"} | values)))

    def body(self, values: Sequence[Any], *, start: datetime = NOW, made: datetime = NOW) -> Any:
        return {
            "data": [
                {"point_time": (start + number * self.step).isoformat(), "value": value}
                for number, value in enumerate(values)
            ],
            "meta": {
                "region": "CAISO_NORTH",
                "signal_type": "co2_moer",
                "units": "lbs_co2_per_mwh",
                "data_point_period_seconds": 300,
                "generated_at": made.isoformat(),
                "generated_at_period_seconds": 300,
                "model": {"date": "2023-03-01"},
                "warnings": [],
            },
        }

    def answer(self, found: Any) -> Answer:
        def answering(request: Request) -> Reply:
            if request.path == "/login":
                return document({"token": "TOKEN1"})
            return document(found)

        return answering

    def test_logs_in_with_its_password_and_asks_with_the_token(self, server: Service) -> None:
        self.told(server, self.body([100] * 99))
        login, asked = server.requests
        packed = base64.b64encode(f"me:{SECRET}".encode()).decode()
        assert login.headers["authorization"] == f"Basic {packed}"
        assert asked.headers["authorization"] == "Bearer TOKEN1"
        assert asked.query == {
            "region": "CAISO_NORTH",
            "signal_type": "co2_moer",
            "horizon_hours": "3",
        }

    def test_logs_in_again_when_the_token_has_run_out(self, server: Service) -> None:
        tokens = iter(["OLD", "NEW"])

        def answering(request: Request) -> Reply:
            if request.path == "/login":
                return document({"token": next(tokens)})
            if request.headers["authorization"] == "Bearer OLD":
                return Reply(status=401)
            return document(self.body([100] * 99))

        server.answer = answering
        assert self.signal(server.url).forecast(NOW, NOW + HOURS, now=NOW).points
        assert [request.path for request in server.requests].count("/login") == 2

    @pytest.mark.parametrize(
        ("name", "value"),
        [("units", "g_co2_per_kwh"), ("signal_type", "health_damage"), ("region", "BPA")],
    )
    def test_refuses_another_unit_signal_or_region(
        self, server: Service, name: str, value: str
    ) -> None:
        body = self.body([100] * 99)
        body["meta"][name] = value
        assert f"{name} is '{value}'" in self.complaint(server, body)


class TestCarbonAwareSdk(SignalContract):
    """Shape: carbon-aware-webapi.md and EmissionsForecastDTO.cs (CASDK e6de58d)."""

    kind = "unknown"
    basis = "unknown"
    paths = ("/emissions/forecasts/current",)

    def signal(self, url: str, **values: Any) -> Signal:
        return CarbonAwareSdk(address(url, **({"zone": "eastus"} | values)))

    def body(self, values: Sequence[Any], *, start: datetime = NOW, made: datetime = NOW) -> Any:
        points = [
            {
                "location": "eastus",
                "timestamp": (start + number * HOURS).isoformat(),
                "duration": 60,
                "value": value,
            }
            for number, value in enumerate(values)
        ]
        return [
            {
                "requestedAt": made.isoformat(),
                "generatedAt": made.isoformat(),
                "location": "eastus",
                "dataStartAt": start.isoformat(),
                "dataEndAt": (start + len(points) * HOURS).isoformat(),
                "windowSize": 60,
                "optimalDataPoints": points[:1],
                "forecastData": points,
            }
        ]

    def test_refuses_another_location(self, server: Service) -> None:
        body = self.body([100] * 9)
        body[0]["location"] = "westus"
        assert "about 'westus'" in self.complaint(server, body)


class TestUkCarbonIntensity(SignalContract):
    """Shape: api-definitions (e3f25a1), GET /intensity/{from}/fw24h."""

    kind = "average"
    basis = "direct"
    step = HALF
    has_age = False
    allows_zero = True
    paths = ("/intensity/2026-11-21T12:00Z/fw24h",)

    def signal(self, url: str, **values: Any) -> Signal:
        return UkCarbonIntensity(address(url, **({"zone": None} | values)))

    def steps(self, values: Sequence[Any], start: datetime = NOW) -> list[Any]:
        return [
            {
                "from": (start + number * HALF).strftime("%Y-%m-%dT%H:%MZ"),
                "to": (start + (number + 1) * HALF).strftime("%Y-%m-%dT%H:%MZ"),
                "intensity": {"forecast": value, "actual": None, "index": "moderate"},
            }
            for number, value in enumerate(values)
        ]

    def body(self, values: Sequence[Any], *, start: datetime = NOW, made: datetime = NOW) -> Any:
        return {"data": self.steps(values, start)}

    @pytest.mark.parametrize("is_list", [True, False])
    def test_takes_a_region_as_documented_and_as_answered(
        self, server: Service, is_list: bool
    ) -> None:
        region = {"regionid": 13, "shortname": "London", "data": self.steps([50] * 60)}
        server.answer = self.answer({"data": [region] if is_list else region})
        signal = self.signal(server.url, zone="13")
        assert signal.forecast(NOW, NOW + 30 * HOURS, now=NOW).ends_at == NOW + 30 * HOURS
        assert server.requests[0].path == (
            "/regional/intensity/2026-11-21T12:00Z/fw48h/regionid/13"
        )

    def test_refuses_a_region_it_does_not_have(self) -> None:
        with pytest.raises(ConfigError, match="'18' is no region"):
            self.signal("http://127.0.0.1:9", zone="18")


@pytest.fixture
def server() -> Iterator[Service]:
    with service(lambda request: Reply()) as running:
        yield running


def ask(server: Service, **values: Any) -> Any:
    values = {"zone": None, "timeout_seconds": 0.4} | values
    signal = UkCarbonIntensity(address(server.url, **values))
    return signal.forecast(NOW, NOW + HOURS, now=NOW)


GOOD = document(TestUkCarbonIntensity().body([100, 90, 80]))


def test_a_failure_that_may_pass_is_tried_again(server: Service) -> None:
    replies = iter([Reply(status=503), Reply(status=429, headers={"Retry-After": "1"}), GOOD])
    waits: list[float] = []
    server.answer = lambda request: next(replies)
    found = ask(server, retries=replace(AT_ONCE, sleep=waits.append))
    assert found.points[0].intensity_gco2e_per_kwh == 100
    assert waits == [0.0, 1.0]


@pytest.mark.parametrize("status", [400, 404, 301, 501])
def test_a_service_that_fails_is_named_with_what_it_said(server: Service, status: int) -> None:
    server.answer = lambda request: Reply(
        status=status, body=b'{"error":"\x1b[31mno"}', headers={"Location": "https://evil.example/"}
    )
    with pytest.raises(ServiceError) as caught:
        ask(server)
    assert f"{server.url}/intensity" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(server.requests) == (3 if status == 501 else 1)
    expected = "is redirected to evil.example, which is not followed"
    assert (expected in str(caught.value)) == (status == 301)


def test_a_long_wait_that_a_service_asks_for_is_not_waited(server: Service) -> None:
    server.answer = lambda request: Reply(status=429, headers={"Retry-After": "86400"})
    with pytest.raises(ServiceError, match="429"):
        ask(server)
    assert len(server.requests) == 1


def test_a_refusal_says_so_without_the_secret(server: Service) -> None:
    server.answer = lambda request: Reply(status=403, body=f"bad key {SECRET}".encode())
    with pytest.raises(DeniedError) as caught:
        ElectricityMaps(address(server.url)).ask(NOW, NOW + HOURS)
    assert "bad key ***" in str(caught.value)


@pytest.mark.parametrize(
    "reply",
    [Reply(delay_seconds=2.0), Reply(body=b"x" * 100, drip_seconds=0.05)],
    ids=["silent", "dripping"],
)
def test_a_slow_service_meets_the_clock(server: Service, reply: Reply) -> None:
    server.answer = lambda request: reply
    with pytest.raises(ServiceError, match=r"no answer within 0\.4 seconds"):
        ask(server, retries=replace(AT_ONCE, attempts=1))


def test_a_huge_answer_is_refused_before_it_is_whole(server: Service) -> None:
    server.answer = lambda request: Reply(body=b" " * (9 * 2**20))
    with pytest.raises(ServiceError, match="larger than 8388608 bytes"):
        ask(server, timeout_seconds=20)


def test_an_answer_that_is_cut_short_is_refused(server: Service) -> None:
    server.answer = lambda request: Reply(body=GOOD.body, cut=True)
    with pytest.raises(ServiceError):
        ask(server)


def test_a_service_that_is_not_there_is_named() -> None:
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:9/.*cannot be reached"):
        UkCarbonIntensity(address("http://127.0.0.1:9", zone=None)).ask(NOW, NOW + HOURS)


@pytest.mark.parametrize("url", ["https://[::1", "https://host:99999/"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match="URL in the configuration is none"):
        ElectricityMaps(address(url)).ask(NOW, NOW + HOURS)


def test_plain_http_to_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="plain HTTP"):
        ElectricityMaps(address("http://signals.example")).ask(NOW, NOW + HOURS)


def test_credentials_of_netrc_go_nowhere(
    server: Service, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answer = lambda request: GOOD
    ask(server)
    assert "authorization" not in server.requests[0].headers
