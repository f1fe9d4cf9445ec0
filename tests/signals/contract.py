"""What every signal keeps to. A test class per provider inherits it and says how it answers.

The answers are made from the documented shapes that `carbon.md` section 4 of the project's
reference names with their sources; none was recorded from a live account.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from greendata.errors import ServiceError
from greendata.signals.base import Kind, Signal
from tests.services import Answer, Reply, Service, document, service

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOURS = timedelta(hours=1)
SECRET = "CANARY-secret-of-the-signal"


class SignalContract:
    """``step`` and ``values`` are of the answer; ``units`` is what one unit of it is in g/kWh."""

    kind: Kind
    basis: str
    step = timedelta(hours=1)
    units = 1.0
    has_age = True
    allows_zero = False
    paths: tuple[str, ...]

    @abstractmethod
    def signal(self, url: str, **values: Any) -> Signal: ...

    @abstractmethod
    def body(self, values: Sequence[Any], *, start: datetime = NOW, made: datetime = NOW) -> Any:
        """The document that holds a forecast."""

    def answer(self, found: Any) -> Answer:
        return lambda request: document(found)

    @pytest.fixture
    def server(self) -> Iterator[Service]:
        with service(lambda request: document(None)) as running:
            yield running

    def told(self, server: Service, found: Any, hours: float = 3.0) -> Any:
        server.answer = self.answer(found)
        return self.signal(server.url).forecast(NOW, NOW + hours * HOURS, now=NOW)

    def complaint(self, server: Service, found: Any, hours: float = 3.0) -> str:
        with pytest.raises(ServiceError) as caught:
            self.told(server, found, hours)
        assert caught.value.exit_code == 20
        assert SECRET not in f"{caught.value} {caught.value.hint}"
        return str(caught.value)

    def test_tells_the_documented_answer_in_grams_a_kwh(self, server: Service) -> None:
        steps = round(3 * HOURS / self.step)
        found = self.told(server, self.body([100 + number for number in range(steps + 2)]))
        assert (found.kind, found.basis) == (self.kind, self.basis)
        assert found.starts_at == NOW
        assert found.ends_at == NOW + 3 * HOURS
        first, last = found.points[0], found.points[-1]
        assert first.intensity_gco2e_per_kwh == pytest.approx(100 * self.units)
        assert last.intensity_gco2e_per_kwh == pytest.approx((99 + steps) * self.units)
        assert tuple(request.path for request in server.requests) == self.paths

    def test_ends_where_the_provider_knows_no_more(self, server: Service) -> None:
        steps = round(2 * HOURS / self.step)
        assert self.told(server, self.body([100] * steps), hours=30).ends_at == NOW + 2 * HOURS

    @pytest.mark.parametrize("value", [-1, None, "12", True, float("inf"), 1e9])
    def test_refuses_what_is_no_intensity(self, server: Service, value: Any) -> None:
        values = [100, value, 100]
        if value == float("inf"):
            values = [100, 10**400, 100]  # what JSON can hold
        assert "no intensity" in self.complaint(server, self.body(values))

    def test_takes_zero_only_where_it_is_documented(self, server: Service) -> None:
        body = self.body([0, 100, 100, 100, 100, 100, 100])
        if self.allows_zero:
            assert self.told(server, body).points[0].intensity_gco2e_per_kwh == 0
        else:
            assert "no intensity" in self.complaint(server, body)

    def test_refuses_a_forecast_of_another_time(self, server: Service) -> None:
        body = self.body([100, 100, 100], start=NOW - 9 * HOURS)
        assert "stale" in self.complaint(server, body)
        late = self.body([100, 100, 100], start=NOW + 9 * HOURS)
        assert "tells nothing about" in self.complaint(server, late, hours=20)

    def test_refuses_a_stale_forecast(self, server: Service) -> None:
        if not self.has_age:
            assert self.told(server, self.body([100] * 40)).generated_at is None
            return
        body = self.body([100] * 40, made=NOW - 7 * HOURS)
        assert "stale: made 7.0 hours ago" in self.complaint(server, body)
        body = self.body([100] * 40, made=NOW + HOURS)
        assert "which is to come" in self.complaint(server, body)

    @pytest.mark.parametrize("found", [None, [], {}, "text", 5, [None], {"data": "x"}])
    def test_refuses_answers_of_another_shape(self, server: Service, found: Any) -> None:
        self.complaint(server, found)

    def test_refuses_an_empty_forecast(self, server: Service) -> None:
        assert "no forecast" in self.complaint(server, self.body([]))

    @pytest.mark.parametrize("raw", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000, b"NaN"])
    def test_refuses_what_is_no_json(self, server: Service, raw: bytes) -> None:
        server.answer = lambda request: Reply(body=raw)
        with pytest.raises(ServiceError, match="no JSON"):
            self.signal(server.url).forecast(NOW, NOW + HOURS, now=NOW)
