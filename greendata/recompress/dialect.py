"""How one writer of JSON spells: found in a few records, kept for all of a file.

A dialect need not fit: a record that it does not give is kept as it stood.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.recompress.kernel import json as kernel
from greendata.recompress.kernel import scalars
from greendata.recompress.kernel.texts import ASCII, HTML, SLASH

if TYPE_CHECKING:
    from greendata.recompress.tapes import Tape

_SAMPLE_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Separators with their blanks, line end, and what is escaped beside what must be.

    ``has_long_exponents``: floats as Python writes them (``1e-08``), not as others do (``1e-8``).
    ``has_short_integers``: a float without a fraction is written like an integer.
    """

    item_separator: str = ", "
    name_separator: str = ": "
    line_end: str = "\n"
    is_ascii: bool = True
    has_escaped_slashes: bool = False
    has_escaped_html: bool = False
    has_long_exponents: bool = True
    has_short_integers: bool = False

    @property
    def style(self) -> int:
        """Bits for the kernel that escapes."""
        return (
            (ASCII if self.is_ascii else 0)
            | (SLASH if self.has_escaped_slashes else 0)
            | (HTML if self.has_escaped_html else 0)
        )

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def find_dialect(tape: Tape) -> Dialect:
    """The spelling of the first records of a file."""
    sample = tape.data[tape.start : min(tape.end, tape.start + _SAMPLE_BYTES)].tobytes()
    name_separator, item_separator = _separators(tape)
    floats = _floats(tape)
    has_wide = not sample.isascii()
    return Dialect(
        item_separator=item_separator,
        name_separator=name_separator,
        line_end="\r\n" if b"\r\n" in sample else "\n",
        is_ascii=not has_wide,
        has_escaped_slashes=b"\\/" in sample,
        has_escaped_html=any(mark in sample for mark in (b"\\u003c", b"\\u003e", b"\\u0026")),
        has_long_exponents=not _are_mostly_short([_exponent(number) for number in floats]),
        has_short_integers=not any(number.endswith(b".0") for number in floats),
    )


def _separators(tape: Tape) -> tuple[str, str]:
    """What stands around the colon and the comma of the first object that shows it."""
    up, lo, hi = (tape.entries[:1000, field] for field in (kernel.T_UP, kernel.T_LO, kernel.T_HI))
    kinds = tape.entries[:1000, kernel.T_KIND]
    name, item = ": ", ", "
    for owner in np.flatnonzero(kinds == scalars.OBJECT).tolist():
        members = np.flatnonzero(up == owner)
        if not len(members):
            continue
        start = tape.data[lo[owner] + 1 : lo[members[0]]].tobytes()
        name = start[start.rfind(b'"') + 1 :].decode()
        if len(members) == 1:
            item = ", " if name.endswith(" ") else ","
            continue
        between = tape.data[hi[members[0]] : lo[members[1]]].tobytes()
        return name, between[: between.find(b'"')].decode()
    return name, item


def _floats(tape: Tape) -> list[bytes]:
    entries = tape.entries[tape.entries[:, kernel.T_KIND] == scalars.FLOAT][:1000]
    places = entries[:, [kernel.T_LO, kernel.T_HI]].tolist()
    return [tape.data[lo:hi].tobytes() for lo, hi in places]


def _exponent(number: bytes) -> bytes:
    return number.lower().partition(b"e")[2]


def _are_mostly_short(exponents: list[bytes]) -> bool:
    """Whether Python, which writes a sign and two digits, would have written most differently."""
    there = [exponent for exponent in exponents if exponent]
    short = [exponent for exponent in there if exponent[:1] not in b"+-" or len(exponent) < 3]
    return 2 * len(short) > len(there)
