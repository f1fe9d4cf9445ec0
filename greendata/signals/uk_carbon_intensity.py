"""National Energy System Operator, Great Britain: half-hours, no key (carbon reference, 4.4).

``GET /intensity/{from}/fw24h`` or ``fw48h``, with a ``zone`` of 1 to 17
``/regional/intensity/{from}/fw48h/regionid/{zone}``. Data under CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from greendata.errors import ConfigError
from greendata.signals.base import Answer, parse_time
from greendata.signals.services import Service, WebSignal

_REGIONS = {str(number) for number in range(1, 18)}


class UkCarbonIntensity(WebSignal):
    """Averages of what is burnt; wind, sun and nuclear count as nothing."""

    name = "uk_carbon_intensity"
    own_url = "https://api.carbonintensity.org.uk"
    may_be_zero = True

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        if service.zone is not None and service.zone not in _REGIONS:
            raise ConfigError(
                f"{self.name}: {service.zone!r} is no region of it",
                hint="`zone` is '1' to '17', or left out for the whole country.",
            )
        self.kind = "average"
        self.basis = "direct"

    @property
    def _secrets(self) -> Collection[str]:
        return ()

    def ask(self, start: datetime, end: datetime) -> Answer:
        moment = start.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
        span = "fw24h" if end - start <= timedelta(hours=24) else "fw48h"
        zone = self._service.zone
        if zone is None:
            steps = self._part(self._get(f"/intensity/{moment}/{span}"), "data", list)
        else:
            path = f"/regional/intensity/{moment}/{span}/regionid/{zone}"
            steps = self._regional(self._get(path), zone)
        return Answer(points=[self._point(step) for step in steps], zone=zone or "GB")

    def _regional(self, document: Any, zone: str) -> list[Any]:
        """The region's steps: documented is a list of regions, answered is one region."""
        region = self._part(document, "data", (list, dict))
        if isinstance(region, list):
            region = region[0] if region else None
        number = self._part(region, "regionid", int)
        if str(number) != zone:
            raise self.complaint(f"was asked about region {zone} and answers about {number}")
        steps: list[Any] = self._part(region, "data", list)
        return steps

    def _point(self, step: Any) -> tuple[datetime, datetime, Any]:
        return (
            parse_time(self, self._part(step, "from", str)),
            parse_time(self, self._part(step, "to", str)),
            self._part(step, "intensity", dict).get("forecast"),
        )
