"""Electricity Maps, API v3: ``GET /carbon-intensity/forecast`` (carbon reference, 4.1)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from greendata.signals.base import Answer, parse_time
from greendata.signals.services import Service, WebSignal

_HORIZONS = (6, 24, 48, 72)
"""Hours that it takes for ``horizonHours``."""


class ElectricityMaps(WebSignal):
    """Hourly averages of a zone, by where power comes from, over the life cycle."""

    name = "electricity_maps"
    own_url = "https://api.electricitymaps.com/v3"

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.kind = "average"
        self.basis = "lifecycle"

    @property
    def _secrets(self) -> Collection[str]:
        return (self._service.key or "",)

    def ask(self, start: datetime, end: datetime) -> Answer:
        needed = (end - start) / timedelta(hours=1)
        horizon = next((hours for hours in _HORIZONS if hours >= needed), _HORIZONS[-1])
        document = self._get(
            "/carbon-intensity/forecast",
            query={
                "zone": self._zone,
                "horizonHours": str(horizon),
                "emissionFactorType": "lifecycle",
                # else an unknown zone is answered with the one of the caller's address
                "shouldUseFallbackCallerLookup": "false",
            },
            headers={"auth-token": self._service.key or ""},
        )
        zone = self._part(document, "zone", str)
        if zone != self._zone:
            raise self.complaint(f"was asked about {self._zone} and answers about {zone[:40]!r}")
        factor = document.get("emissionFactorType", "lifecycle")
        if factor != "lifecycle":
            raise self.complaint(f"answers with {str(factor)[:40]!r} factors, not lifecycle")
        points = self._part(document, "forecast", list)
        return Answer(
            points=[
                (
                    parse_time(self, self._part(point, "datetime", str)),
                    None,
                    point.get("carbonIntensity"),
                )
                for point in points
            ],
            zone=zone,
            generated_at=parse_time(self, self._part(document, "updatedAt", str)),
        )
