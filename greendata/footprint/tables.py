"""The data files: read, checked, and by the day they are asked for.

Every row carries value, low, high, unit, valid_from, source and retrieved_on. Of rows about the
same thing, the newest that is valid on the day counts.
"""

from __future__ import annotations

import csv
import functools
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib import resources

from greendata.errors import IntegrityError
from greendata.footprint.ranges import Range

MODEL_EDITION = 1
"""Raised when a formula changes; the data's digest tells the rest."""

GIB = 2**30
GB = 10**9

KEYS: Mapping[str, tuple[str, ...]] = {
    "class_limits": ("provider", "storage_class", "item"),
    "coefficients": ("id",),
    "prices": ("provider", "region", "storage_class", "item"),
    "region_factors": ("provider", "region", "item"),
    "regions": ("provider", "region"),
    "storage_classes": ("provider", "storage_class"),
    "transfers": ("provider", "source_place", "target_place"),
    "transitions": ("provider", "source_class", "target_class", "way"),
}
"""The files, and what a row of each is about."""

WITH_VALUES = ("class_limits", "coefficients", "prices", "region_factors", "transfers")

_FACTORS = {
    "USD/GiB-month": ("USD/GiB-month", Decimal(1)),
    "USD/GB-month": ("USD/GiB-month", Decimal(GIB) / GB),
    "USD/GiB": ("USD/GiB", Decimal(1)),
    "USD/GB": ("USD/GiB", Decimal(GIB) / GB),
    "USD/1000": ("USD", Decimal(1) / 1000),
    "USD/10000": ("USD", Decimal(1) / 10_000),
    "USD/1000-objects-month": ("USD/object-month", Decimal(1) / 1000),
    "USD/10000-tags-month": ("USD/tag-month", Decimal(1) / 10_000),
    "USD/1000000-objects": ("USD", Decimal(1) / 1_000_000),
}
"""Units of the price files, as their providers write them, to the units of the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A number from a data file: USD as ``USD``, ``USD/GiB`` or ``USD/GiB-month``, the rest as is.

    ``source`` is where it comes from.
    """

    central: Decimal
    low: Decimal
    high: Decimal
    unit: str
    valid_from: date
    source: str

    def as_range(self) -> Range:
        """The same as floats."""
        return Range(low=float(self.low), central=float(self.central), high=float(self.high))


def rows_of(name: str, as_of: date | None = None) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows of a data file by what they are about, valid on a day; None is the newest of all."""
    keys = KEYS[name]
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in _rows(name):
        key = tuple(row[column] for column in keys)
        valid_from = date.fromisoformat(row["valid_from"])
        if as_of is not None and valid_from > as_of:
            continue
        if key not in found or found[key]["valid_from"] < row["valid_from"]:
            found[key] = row
    return found


def first_day(name: str, **about: str) -> date | None:
    """From when on any row is valid that says so in these columns; None if there is none."""
    days = [
        date.fromisoformat(row["valid_from"])
        for row in _rows(name)
        if all(row[column] == value for column, value in about.items())
    ]
    return min(days, default=None)


def values_of(name: str, as_of: date | None = None) -> dict[tuple[str, ...], Value]:
    """The same as numbers in the units of the program.

    Raises:
        IntegrityError: a row that is not a number within its bounds.
    """
    return {key: value_of(name, row) for key, row in rows_of(name, as_of).items()}


def value_of(name: str, row: Mapping[str, str]) -> Value:
    """One row as a number.

    Raises:
        IntegrityError: it is none, or not within its bounds.
    """
    unit, factor = _FACTORS.get(row["unit"], (row["unit"], Decimal(1)))
    try:
        central, low, high = (Decimal(row[column]) for column in ("value", "low", "high"))
        is_ordered = 0 <= low <= central <= high < Decimal("Infinity")
        valid_from = date.fromisoformat(row["valid_from"])
    except (InvalidOperation, ValueError) as error:
        raise IntegrityError(f"{name}: not a row of numbers and dates: {dict(row)}") from error
    if not is_ordered:
        raise IntegrityError(f"{name}: low, value and high are not in order: {dict(row)}")
    return Value(
        central=central * factor,
        low=low * factor,
        high=high * factor,
        unit=unit,
        valid_from=valid_from,
        source=row["source"],
    )


@functools.cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    return tuple(csv.DictReader(_text(name).splitlines()))


def _text(name: str) -> str:
    path = resources.files("greendata.footprint") / "data" / f"{name}.csv"
    return path.read_text(encoding="utf-8")


@functools.cache
def model_version() -> str:
    """Edition of the formulae and a digest of all data files: same version, same figures."""
    digest = hashlib.sha256()
    for name in sorted(KEYS):
        raw = _text(name).encode()
        digest.update(f"{name} {len(raw)}\n".encode() + raw)
    return f"{MODEL_EDITION}-{digest.hexdigest()[:12]}"


def sources(
    used: Collection[tuple[str, str]], names: Collection[str] = WITH_VALUES
) -> tuple[str, ...]:
    """Where the numbers of some files come from that concern some (provider, region), each once.

    Rows that are about no provider concern all, rows about no region all regions.
    """
    found = set()
    for name in names:
        for row in _rows(name):
            provider, region = row.get("provider"), row.get("region")
            if provider is None or any(
                provider == place[0] and region in (None, "", place[1]) for place in used
            ):
                found.add(row["source"])
    return tuple(sorted(found))
