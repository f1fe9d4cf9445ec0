"""The average of a place over a year: always there, without any network, and the same all day."""

from __future__ import annotations

from datetime import datetime

from greendata.signals.base import Answer, Signal


class StaticSignal(Signal):
    """One figure for all hours, handed in from the data files."""

    name = "static"

    def __init__(self, *, region: str, intensity_gco2e_per_kwh: float, basis: str) -> None:
        super().__init__()
        self.place = region
        self.kind = "average"
        self.basis = basis
        self._intensity_gco2e_per_kwh = intensity_gco2e_per_kwh

    def ask(self, start: datetime, end: datetime) -> Answer:
        return Answer(points=[(start, end, self._intensity_gco2e_per_kwh)], zone=self.place)
