"""A quantity that is known within bounds, and how such quantities are put together.

Bounds are meant as about 90 %. Independent factors combine in log space: corner to corner would
claim that all of them err the same way at once. Quantities that share their factors are added and
subtracted bound by bound, because then they do err together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from greendata.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """``low <= central <= high``, all finite and of one unit, which the name of the value tells."""

    low: float
    central: float
    high: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.low, self.central, self.high))):
            raise UsageError(f"{self} is not finite")
        if not self.low <= self.central <= self.high:
            raise UsageError(f"{self} is not in order")

    @classmethod
    def exact(cls, value: float) -> Range:
        """A quantity that is known."""
        return cls(low=value, central=value, high=value)

    def __add__(self, other: Range) -> Range:
        """The sum of quantities that share their factors, or are exact."""
        return Range(
            low=self.low + other.low,
            central=self.central + other.central,
            high=self.high + other.high,
        )

    def times(self, other: Range) -> Range:
        """The product of two independent quantities, neither of them negative.

        ``low = c exp(-sqrt(sum ln(c_i / low_i)^2))``, ``high`` likewise (carbon reference, 1.8).
        Logarithms end where zero begins: a bound that is zero stays zero, and above a central
        value of zero the upper bounds are multiplied.

        Raises:
            UsageError: one of them may be negative.
        """
        if self.low < 0 or other.low < 0:
            raise UsageError(f"{self} times {other}: only for quantities that are not negative")
        central = self.central * other.central
        if self.low == 0 or other.low == 0:
            low = 0.0
        else:
            low = central * math.exp(-math.hypot(_below(self), _below(other)))
        if central == 0:
            high = self.high * other.high
        else:
            high = central * math.exp(math.hypot(_above(self), _above(other)))
        return Range(low=min(low, central), central=central, high=max(high, central))

    def inverse(self) -> Range:
        """One divided by it.

        Raises:
            UsageError: it may be zero or negative.
        """
        if self.low <= 0:
            raise UsageError(f"{self} cannot be divided by")
        return Range(low=1 / self.high, central=1 / self.central, high=1 / self.low)

    def scaled(self, factor: float) -> Range:
        """Multiplied by a number that is known; a negative one turns the bounds round."""
        ends = (self.low * factor, self.high * factor)
        return Range(low=min(ends), central=self.central * factor, high=max(ends))

    def minus_shared(self, other: Range) -> Range:
        """What is left of it without ``other``, a part of the same factors: before minus after.

        Both err together, so bounds are subtracted bound by bound.
        """
        ends = (self.low - other.low, self.central - other.central, self.high - other.high)
        return Range(low=min(ends), central=ends[1], high=max(ends))

    def minus_independent(self, other: Range) -> Range:
        """The least minus the most, the most minus the least: a saving net of a job's own cost."""
        return Range(
            low=self.low - other.high,
            central=self.central - other.central,
            high=self.high - other.low,
        )

    def is_apart_from(self, other: Range) -> bool:
        """Whether the two do not overlap, so that one is surely the smaller."""
        return self.high < other.low or other.high < self.low


def product(first: Range, *others: Range) -> Range:
    """The product of independent quantities; their order makes no difference."""
    for other in others:
        first = first.times(other)
    return first


def _below(value: Range) -> float:
    return math.log(value.central / value.low)


def _above(value: Range) -> float:
    return math.log(value.high / value.central)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsdRange:
    """An amount of money between two others: list prices depend on what an account holds in all."""

    low: Decimal
    central: Decimal
    high: Decimal

    def __add__(self, other: UsdRange) -> UsdRange:
        return UsdRange(
            low=self.low + other.low,
            central=self.central + other.central,
            high=self.high + other.high,
        )
