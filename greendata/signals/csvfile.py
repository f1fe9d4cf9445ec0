"""A forecast in a file: ``starts_at,intensity_gco2e_per_kwh`` and, if steps differ, ``ends_at``."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from greendata.signals.base import Answer, Kind, Signal, parse_time

INTENSITY = "intensity_gco2e_per_kwh"
LARGEST_FILE_BYTES = 16 * 2**20


class CsvSignal(Signal):
    """What somebody wrote down; ``read`` gives the file, at most ``LARGEST_FILE_BYTES`` of it."""

    name = "csv"
    may_be_zero = True

    def __init__(self, *, place: str, read: Callable[[], bytes], kind: Kind = "average") -> None:
        super().__init__()
        self.place = place
        self.kind = kind
        self.basis = "as written"
        self._read = read

    def ask(self, start: datetime, end: datetime) -> Answer:
        raw = self._read()
        if len(raw) > LARGEST_FILE_BYTES:
            raise self.complaint(f"is larger than {LARGEST_FILE_BYTES} bytes")
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.complaint("is not UTF-8") from error
        try:
            return Answer(points=list(self._rows(text)), zone=self.place)
        except csv.Error as error:
            raise self.complaint(f"is no CSV: {error}") from error

    def _rows(self, text: str) -> Iterator[tuple[datetime, datetime | None, Any]]:
        rows = csv.DictReader(text.splitlines(), strict=True)
        missing = {"starts_at", INTENSITY} - set(rows.fieldnames or ())
        if missing:
            raise self.complaint(
                f"has no column {' and '.join(sorted(missing))}",
                hint=f"The first line says starts_at,{INTENSITY} (and ends_at where steps differ).",
            )
        for row in rows:
            end = row.get("ends_at")
            value: Any = row[INTENSITY]
            try:
                value = float(value)
            except (TypeError, ValueError) as error:
                raise self.complaint(f"line {rows.line_num}: {value!r} is no number") from error
            yield (
                parse_time(self, row["starts_at"]),
                parse_time(self, end) if end else None,
                value,
            )
