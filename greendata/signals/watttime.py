"""WattTime, API v3: ``GET /login``, ``GET /v3/forecast`` (carbon reference, 4.2).

Its signal is marginal: for the choice of an hour only, never subtracted from averages.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from greendata.errors import DeniedError
from greendata.signals.base import Answer, parse_time
from greendata.signals.services import Service, WebSignal

GRAMS_A_POUND = 453.59237
_UNITS = "lbs_co2_per_mwh"
_SIGNAL = "co2_moer"
_LONGEST_HOURS = 72
_ABSURD = 10**6


class WattTime(WebSignal):
    """Five-minute marginal intensities of a region of WattTime's."""

    name = "watttime"
    own_url = "https://api.watttime.org"

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.kind = "marginal"
        self.basis = "direct"
        self._token = ""

    @property
    def _secrets(self) -> Collection[str]:
        return (self._service.user or "", self._service.password or "", self._token)

    def ask(self, start: datetime, end: datetime) -> Answer:
        if not self._token:
            self._log_in()
        try:
            document = self._forecast(start, end)
        except DeniedError:  # a token lasts for half an hour
            self._log_in()
            document = self._forecast(start, end)
        return self._answer(document)

    def _log_in(self) -> None:
        service = self._service
        login = self._get("/login", basic=(service.user or "", service.password or ""))
        self._token = self._part(login, "token", str)
        if not self._token.isprintable() or not self._token.isascii():
            raise self.complaint("the token it gives cannot stand in a header")

    def _forecast(self, start: datetime, end: datetime) -> Any:
        hours = math.ceil((end - start) / timedelta(hours=1))
        return self._get(
            "/v3/forecast",
            query={
                "region": self._zone,
                "signal_type": _SIGNAL,
                "horizon_hours": str(min(max(hours, 1), _LONGEST_HOURS)),
            },
            headers={"Authorization": f"Bearer {self._token}"},
        )

    def _answer(self, document: Any) -> Answer:
        meta = self._part(document, "meta", dict)
        for name, expected in (
            ("region", self._zone), ("signal_type", _SIGNAL), ("units", _UNITS)
        ):  # fmt: skip
            said = self._part(meta, name, str)
            if said != expected:
                raise self.complaint(f"{name} is {said[:40]!r}, expected is {expected!r}")
        step = timedelta(seconds=self._step_seconds(meta))
        points = []
        for point in self._part(document, "data", list):
            starts_at = parse_time(self, self._part(point, "point_time", str))
            points.append((starts_at, starts_at + step, _grams_per_kwh(point.get("value"))))
        return Answer(
            points=points,
            zone=self._zone,
            generated_at=parse_time(self, self._part(meta, "generated_at", str)),
        )

    def _step_seconds(self, meta: dict[str, Any]) -> float:
        seconds: float = self._part(meta, "data_point_period_seconds", (int, float))
        if not 1 <= seconds <= 86_400:
            raise self.complaint(f"steps of {seconds} seconds")
        return seconds


def _grams_per_kwh(value: Any) -> Any:
    """From pounds a MWh; what is no number, or absurd, is left for the check that names it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value * GRAMS_A_POUND / 1000 if is_number and abs(value) < _ABSURD else value
