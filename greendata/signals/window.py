"""When to run: the choice of a window, as a pure function of a forecast and what waiting costs.

Storage goes on while work waits that would have removed it, so waiting has a price. Of all starts
up to the deadline the one with the least carbon is chosen, the job's own and the waiting's
together (carbon reference, section 3). Only averages are weighed against storage, which is counted
by averages too; by a marginal signal, the hour is chosen and nothing is subtracted.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from greendata.signals.base import Forecast

Reason = Literal[
    "no_rule", "no_signal", "deadline", "cleanest_now", "below_limit", "cleaner_later",
    "below_limit_later", "limit_never_met", "waiting_costs_more",
]  # fmt: skip

_SAME = 1e-9
"""Shares that differ by less are the same: sums of floats must not make anybody wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCost:
    """What an hour of waiting costs, because so much longer is stored what would be gone."""

    usd_per_hour: Decimal = Decimal(0)
    energy_kwh_per_hour: float = 0.0
    carbon_gco2e_per_hour: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """What somebody asked for.

    Attributes:
        max_gco2e_per_kwh: the first window whose average is at most this.
        best_seconds: the cleanest window of this length.
        deadline_at: the latest start; at it the work runs whatever the grid is like.
    """

    deadline_at: datetime
    max_gco2e_per_kwh: float | None = None
    best_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Starting later: what it saves by a cleaner grid, and what it costs in storage.

    ``saves_gco2e`` and ``costs_more`` are None where the job's energy is not known, or the signal
    cannot be compared with storage.
    """

    until: datetime
    hours: float
    usd: Decimal
    energy_kwh: float
    carbon_gco2e: float
    saves_gco2e: float | None
    costs_more: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """When to start, and why.

    Attributes:
        starts_at, ends_at: the window; it is open when ``starts_at`` is not after now.
        intensity_gco2e_per_kwh: the average of the window; ``now_gco2e_per_kwh`` that of the same
            length from now.
        waiting: of the start that was chosen; None if that is now.
        rejected: of a cleaner start that would have cost more than it saves.
    """

    starts_at: datetime
    ends_at: datetime
    reason: Reason
    intensity_gco2e_per_kwh: float | None = None
    now_gco2e_per_kwh: float | None = None
    waiting: Waiting | None = None
    rejected: Waiting | None = None


def choose(
    now: datetime,
    rule: WindowRule,
    forecast: Forecast | None,
    *,
    duration_seconds: float,
    job_energy_kwh: float | None = None,
    cost: WaitingCost | None = None,
) -> Choice:
    """The window to run in. It starts now or later, and never after the deadline, if that is later.

    ``duration_seconds`` is how long the work is expected to take; ``best_seconds`` of the rule goes
    before it. A forecast that ends early is believed as far as it goes.
    """
    length = timedelta(seconds=rule.best_seconds or duration_seconds)
    if rule.deadline_at <= now:
        return _at_once(now, length, "deadline", forecast)
    if forecast is None:
        return _at_once(now, length, "no_signal", None)
    length = min(length, forecast.ends_at - now)
    if length <= timedelta(0):
        return _at_once(now, timedelta(seconds=duration_seconds), "no_signal", None)
    weigh = _Scale(now, forecast, length, job_energy_kwh, cost)
    starts = list(_starts(now, rule.deadline_at, forecast, length))
    if rule.max_gco2e_per_kwh is not None:
        return _first_below(rule.max_gco2e_per_kwh, starts, weigh)
    return _least(starts, weigh)


def _first_below(limit: float, starts: Sequence[datetime], weigh: _Scale) -> Choice:
    """The first within the limit, as asked, even where waiting costs more; else the cleanest."""
    for start in starts:
        if weigh.intensity(start) <= limit:
            reason: Reason = "below_limit" if start == weigh.now else "below_limit_later"
            return weigh.choice(start, reason)
    return weigh.choice(_argmin(starts, weigh.intensity), "limit_never_met")


def _least(starts: Sequence[datetime], weigh: _Scale) -> Choice:
    chosen = _argmin(starts, weigh.total)
    cleanest = _argmin(starts, weigh.intensity)
    if chosen != weigh.now:
        return weigh.choice(chosen, "cleaner_later")
    if cleanest == weigh.now:
        return weigh.choice(chosen, "cleanest_now")
    return weigh.choice(chosen, "waiting_costs_more", rejected=weigh.waiting(cleanest))


def _argmin(starts: Sequence[datetime], weight: Callable[[datetime], float]) -> datetime:
    """The earliest of those whose weight is the least."""
    weights = [weight(start) for start in starts]
    least = min(weights)
    bound = least + _SAME * max(1.0, abs(least))
    return next(start for start, found in zip(starts, weights, strict=True) if found <= bound)


class _Scale:
    """Weighs starts: the average intensity of their window, and all carbon that they come to."""

    def __init__(
        self,
        now: datetime,
        forecast: Forecast,
        length: timedelta,
        job_energy_kwh: float | None,
        cost: WaitingCost | None,
    ) -> None:
        self.now = now
        self._length = length
        self._integral = _Integral(forecast)
        self._energy = job_energy_kwh
        self._cost = cost or WaitingCost()
        self._is_comparable = (
            job_energy_kwh is not None and cost is not None and forecast.kind == "average"
        )

    def intensity(self, start: datetime) -> float:
        """gCO2e/kWh of a window, on average."""
        return self._integral.mean(start, start + self._length)

    def total(self, start: datetime) -> float:
        """gCO2e of the job and of waiting for it; the intensity alone where these are unknown."""
        if self._energy is None or not self._is_comparable:
            return self.intensity(start)
        waits = self._cost.carbon_gco2e_per_hour * self._hours(start)
        return self._energy * self.intensity(start) + waits

    def waiting(self, start: datetime) -> Waiting:
        """What starting then instead of now saves and costs."""
        hours = self._hours(start)
        carbon = self._cost.carbon_gco2e_per_hour * hours
        saves = None
        if self._energy is not None:
            saves = self._energy * (self.intensity(self.now) - self.intensity(start))
        return Waiting(
            until=start,
            hours=hours,
            usd=self._cost.usd_per_hour * Decimal(str(hours)),
            energy_kwh=self._cost.energy_kwh_per_hour * hours,
            carbon_gco2e=carbon,
            saves_gco2e=saves,
            costs_more=carbon > saves if self._is_comparable and saves is not None else None,
        )

    def choice(self, start: datetime, reason: Reason, rejected: Waiting | None = None) -> Choice:
        """The answer."""
        return Choice(
            starts_at=start,
            ends_at=start + self._length,
            reason=reason,
            intensity_gco2e_per_kwh=self.intensity(start),
            now_gco2e_per_kwh=self.intensity(self.now),
            waiting=self.waiting(start) if start > self.now else None,
            rejected=rejected,
        )

    def _hours(self, start: datetime) -> float:
        return (start - self.now) / timedelta(hours=1)


class _Integral:
    """The integral of a forecast up to any moment, so that a mean is two look-ups."""

    def __init__(self, forecast: Forecast) -> None:
        self._points = forecast.points
        self._starts = [point.starts_at for point in forecast.points]
        self._sums = [0.0]
        for point in forecast.points:
            seconds = (point.ends_at - point.starts_at).total_seconds()
            self._sums.append(self._sums[-1] + seconds * point.intensity_gco2e_per_kwh)

    def mean(self, start: datetime, end: datetime) -> float:
        """The average over a stretch of time that the forecast covers."""
        return (self._upto(end) - self._upto(start)) / (end - start).total_seconds()

    def _upto(self, moment: datetime) -> float:
        index = max(bisect_right(self._starts, moment) - 1, 0)
        point = self._points[index]
        seconds = (min(moment, point.ends_at) - point.starts_at).total_seconds()
        return self._sums[index] + seconds * point.intensity_gco2e_per_kwh


def _starts(
    now: datetime, deadline_at: datetime, forecast: Forecast, length: timedelta
) -> Iterator[datetime]:
    """Moments that a best start is among: between them both parts of the weight are linear."""
    latest = min(deadline_at, forecast.ends_at - length)
    edges = {point.starts_at for point in forecast.points} | {forecast.ends_at}
    found = {now, latest} | edges | {edge - length for edge in edges}
    yield from sorted(start for start in found if now <= start <= latest)


def _at_once(now: datetime, length: timedelta, reason: Reason, forecast: Forecast | None) -> Choice:
    known = None
    if forecast is not None and forecast.starts_at <= now < forecast.ends_at:
        end = min(now + length, forecast.ends_at)
        known = _Integral(forecast).mean(now, end)
    return Choice(
        starts_at=now,
        ends_at=now + length,
        reason=reason,
        intensity_gco2e_per_kwh=known,
        now_gco2e_per_kwh=known,
    )


def run_at_once(now: datetime, duration_seconds: float) -> Choice:
    """What holds where nobody asked for a window."""
    return _at_once(now, timedelta(seconds=duration_seconds), "no_rule", None)


def workers_for(forecast: Forecast | None, at: datetime, most: int) -> int:
    """How many workers emit no more an hour than ``most`` do in the cleanest step of the forecast.

    At least one, at most ``most``; all of them where nothing is known.
    """
    if forecast is None or not forecast.starts_at <= at < forecast.ends_at:
        return most
    index = bisect_right([point.starts_at for point in forecast.points], at) - 1
    present = forecast.points[index].intensity_gco2e_per_kwh
    if present <= 0:
        return most
    cleanest = min(point.intensity_gco2e_per_kwh for point in forecast.points)
    return max(1, min(most, math.floor(most * cleanest / present + _SAME)))
