"""What every signal tells, and what is refused before anybody believes it."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

from greendata.errors import ServiceError

Kind = Literal["average", "marginal", "unknown"]
"""Of all that is generated, of what one more kWh takes, or nobody said; never subtracted."""

HIGHEST_INTENSITY = 1500.0
"""gCO2e/kWh; no grid is dirtier (carbon reference, section 7), so more is a mistake of unit."""

LARGEST_FORECAST = 100_000
"""Points; five-minute steps for nearly a year."""

_LATE_START = timedelta(hours=1)
"""A forecast may begin with the next full step: the first step counts until then."""

_CLOCKS_APART = timedelta(minutes=10)
_YEARS = range(1990, 2200)
"""Beyond them sums of times leave what a datetime can hold."""

_ROUNDING = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The intensity from one moment to another, in gCO2e/kWh."""

    starts_at: datetime
    ends_at: datetime
    intensity_gco2e_per_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Points without holes, from the moment that was asked for to ``ends_at``.

    Attributes:
        source: name of the provider.
        zone: the provider's word for the grid.
        basis: ``lifecycle`` or ``direct``; figures of different bases are not compared.
        generated_at: None where the provider does not say.
        fallback: why another source stands in for the one that was asked; None where none does.
    """

    source: str
    zone: str
    kind: Kind
    basis: str
    points: tuple[Point, ...]
    generated_at: datetime | None = None
    fallback: str | None = None

    @property
    def starts_at(self) -> datetime:
        """Of its first point."""
        return self.points[0].starts_at

    @property
    def ends_at(self) -> datetime:
        """Of its last point."""
        return self.points[-1].ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a provider said, not yet believed: (start, end if it said so, intensity as given)."""

    points: Sequence[tuple[datetime, datetime | None, Any]]
    zone: str
    generated_at: datetime | None = None


class Signal(ABC):
    """Tells the carbon intensity of one grid.

    Attributes:
        name: as ``greendata.yaml`` writes it.
        place: what messages name: an address or a file.
        kind, basis: of its figures.
        may_be_zero: counts wind and sun as nothing, so that zero is no mark of a missing value.
    """

    name: ClassVar[str]
    place: str
    kind: Kind
    basis: str
    may_be_zero: ClassVar[bool] = False

    def __init__(self, *, max_age_seconds: float | None = None) -> None:
        self._max_age_seconds = max_age_seconds

    @abstractmethod
    def ask(self, start: datetime, end: datetime) -> Answer:
        """What the provider says for this time, or for more of it, in gCO2e/kWh.

        Raises:
            ServiceError: no answer, or none that can be read.
            DeniedError: refused.
            ConfigError: a credential is not there.
        """

    def forecast(self, start: datetime, end: datetime, *, now: datetime) -> Forecast:
        """The intensity from ``start``, as far towards ``end`` as the provider knows.

        Raises:
            ServiceError: it cannot be asked, or the answer is stale, has holes, or holds what is no
                intensity.
            DeniedError, ConfigError: as ``ask``.
        """
        answer = self.ask(start, end)
        self._refuse_stale(answer, now)
        points = _clipped(list(self._points(answer)), start, end)
        if not points:
            raise self.complaint(
                f"tells nothing about {start.isoformat()}: it is stale, or of another time",
                hint="Times need a UTC offset; a file has to be made anew before it ends.",
            )
        return Forecast(
            source=self.name,
            zone=answer.zone,
            kind=self.kind,
            basis=self.basis,
            points=points,
            generated_at=answer.generated_at,
        )

    def complaint(self, what: str, *, hint: str | None = None) -> ServiceError:
        """The error about an answer that cannot be used."""
        return ServiceError(f"{self.name} ({self.place}): {what}", hint=hint)

    def _refuse_stale(self, answer: Answer, now: datetime) -> None:
        made = answer.generated_at
        if made is None:
            return
        if made > now + _CLOCKS_APART:
            raise self.complaint(
                f"says it was made at {made.isoformat()}, which is to come",
                hint="Is the clock of this machine right?",
            )
        age = (now - made).total_seconds()
        if self._max_age_seconds is not None and age > self._max_age_seconds:
            raise self.complaint(
                f"is stale: made {age / 3600:.1f} hours ago, allowed are"
                f" {self._max_age_seconds / 3600:.1f}",
                hint="`max_age` beside the provider in greendata.yaml allows more.",
            )

    def _points(self, answer: Answer) -> Iterator[Point]:
        given = sorted(answer.points, key=lambda point: point[0])
        if not given:
            raise self.complaint("holds no forecast")
        if len(given) > LARGEST_FORECAST:
            raise self.complaint(f"holds more than {LARGEST_FORECAST} points")
        ends = _ends(given)
        previous: Point | None = None
        for (start, _, value), end in zip(given, ends, strict=True):
            point = Point(
                starts_at=start,
                ends_at=end,
                intensity_gco2e_per_kwh=self._intensity(value, start),
            )
            if end <= start:
                raise self.complaint(f"holds a step that ends before it starts, {_at(start)}")
            if previous is not None:
                self._refuse_jump(previous, point)
            yield point
            previous = point

    def _intensity(self, value: Any, at: datetime) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_known = value != 0 or self.may_be_zero
        if is_number and is_known and 0 <= value < HIGHEST_INTENSITY:  # false of NaN
            return float(value)
        shown = repr(value)[:12] if is_number else type(value).__name__
        raise self.complaint(
            f"says {shown} gCO2e/kWh {_at(at)}, which is no intensity between 0 and"
            f" {HIGHEST_INTENSITY:.0f}",
            hint="-1, 0 and null mark missing values; larger numbers are of another unit.",
        )

    def _refuse_jump(self, previous: Point, point: Point) -> None:
        if point.starts_at > previous.ends_at + _ROUNDING:
            raise self.complaint(
                f"has a hole from {previous.ends_at.isoformat()} to {point.starts_at.isoformat()}"
            )
        if point.starts_at < previous.ends_at - _ROUNDING:
            raise self.complaint(f"says two things about one time, {_at(point.starts_at)}")


def _at(moment: datetime) -> str:
    return f"at {moment.isoformat()}"


def _ends(given: Sequence[tuple[datetime, datetime | None, Any]]) -> Iterable[datetime]:
    """Ends as given, else after the smallest step between two starts: a larger one is a hole."""
    starts = [start for start, _, _ in given]
    steps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    step = min((step for step in steps if step), default=timedelta(hours=1))
    return [end or start + step for start, end, _ in given]


def _clipped(points: Sequence[Point], start: datetime, end: datetime) -> tuple[Point, ...]:
    """Those between two moments, cut at both; none if they begin too late."""
    inside = [point for point in points if point.ends_at > start and point.starts_at < end]
    if not inside or inside[0].starts_at > start + _LATE_START:
        return ()
    return tuple(
        Point(
            starts_at=start if number == 0 else point.starts_at,
            ends_at=min(point.ends_at, end),
            intensity_gco2e_per_kwh=point.intensity_gco2e_per_kwh,
        )
        for number, point in enumerate(inside)
    )


def parse_time(signal: Signal, value: Any) -> datetime:
    """A moment of an answer, in UTC.

    Raises:
        ServiceError: no moment, or one without an offset.
    """
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None and found.year in _YEARS:
            return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise signal.complaint(f"{str(value)[:40]!r} is no time with an offset from UTC")
