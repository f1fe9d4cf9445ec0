"""Rows of the data files: how they are written, and how new ones join those that are there."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from greendata.footprint.tables import KEYS, value_of


class PriceListError(Exception):
    """A file that is no price list, or one that says two things about one price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What became of the rows of a file; ``not_found`` are prices that the list does not name."""

    new: int = 0
    unchanged: int = 0
    not_found: tuple[str, ...] = ()

    def __add__(self, other: Refreshed) -> Refreshed:
        return Refreshed(
            new=self.new + other.new,
            unchanged=self.unchanged + other.unchanged,
            not_found=(*self.not_found, *other.not_found),
        )


def as_text(amount: Decimal) -> str:
    """Without exponent and without zeros at the end."""
    return f"{amount.normalize():f}" if amount else "0"


def merge(path: Path, rows: Iterable[Mapping[str, str]]) -> Refreshed:
    """Add rows to a data file: those that say nothing new are left out, a day's are replaced."""
    name = path.stem
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = list(reader.fieldnames or ())
        known = list(reader)
    new = unchanged = 0
    for row in rows:
        value_of(name, row)
        same_thing = [old for old in known if all(old[k] == row[k] for k in KEYS[name])]
        newest = max(same_thing, key=lambda old: old["valid_from"], default=None)
        if newest is not None and _says_the_same(name, newest, row):
            unchanged += 1
            continue
        known = [
            old for old in known if old not in same_thing or old["valid_from"] != row["valid_from"]
        ]
        known.append(dict(row))
        new += 1
    if new:
        _write(path, columns, known)
    return Refreshed(new=new, unchanged=unchanged)


def _says_the_same(name: str, old: Mapping[str, str], row: Mapping[str, str]) -> bool:
    before, after = value_of(name, old), value_of(name, row)
    return (before.low, before.central, before.high) == (after.low, after.central, after.high)


def _write(path: Path, columns: list[str], rows: Iterable[Mapping[str, str]]) -> None:
    """All or nothing: a data file that is half there would price at half."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
