"""Web API of the Green Software Foundation's Carbon Aware SDK (carbon reference, 4.3).

``GET /emissions/forecasts/current``; whose figures it passes on is up to who runs it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from greendata.signals.base import Answer, Kind, parse_time
from greendata.signals.services import Service, WebSignal

_LONGEST_MINUTES = 24 * 60


class CarbonAwareSdk(WebSignal):
    """A service of one's own that passes on another's forecast, in gCO2/kWh."""

    name = "carbon_aware_sdk"

    def __init__(self, service: Service, *, kind: Kind = "unknown") -> None:
        super().__init__(service)
        self.kind = kind
        self.basis = "unknown"

    @property
    def _secrets(self) -> Collection[str]:
        return (self._service.key or "",)

    def ask(self, start: datetime, end: datetime) -> Answer:
        key = self._service.key
        # without times: it refuses a start before its first point
        document = self._get(
            "/emissions/forecasts/current",
            query={"location": self._zone},
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )
        if not isinstance(document, list) or not document:
            raise self.complaint("the answer is no list of forecasts")
        forecast = document[0]
        location = self._part(forecast, "location", str)
        if location.lower() != self._zone.lower():
            raise self.complaint(f"was asked about {self._zone}, answers about {location[:40]!r}")
        points = self._part(forecast, "forecastData", list)
        return Answer(
            points=[self._point(point) for point in points],
            zone=location,
            generated_at=parse_time(self, self._part(forecast, "generatedAt", str)),
        )

    def _point(self, point: Any) -> tuple[datetime, datetime, Any]:
        starts_at = parse_time(self, self._part(point, "timestamp", str))
        minutes = self._part(point, "duration", (int, float))
        if not 0 < minutes <= _LONGEST_MINUTES:
            raise self.complaint(f"a step of {minutes} minutes")
        return starts_at, starts_at + timedelta(minutes=minutes), point.get("value")
