"""Where the lines of a chunk are, and which are blank or too long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from greendata.shards.base import Rows

_NEWLINE, _RETURN = 10, 13


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Start and end (without line end) of each line of ``data``."""

    data: bytes | bytearray | memoryview
    starts: Rows
    ends: Rows

    def __len__(self) -> int:
        return len(self.starts)

    def line(self, index: int) -> bytes:
        """The bytes of one line."""
        return bytes(memoryview(self.data)[self.starts[index] : self.ends[index]])

    def are_objects(self) -> bool:
        """Whether each line begins with ``{`` and ends with ``}``, so no record spans two lines."""
        octets = np.frombuffer(self.data, np.uint8)
        if not len(self) or (self.ends - self.starts).min() < 2:
            return False
        return bool(
            (octets[self.starts] == ord("{")).all() and (octets[self.ends - 1] == ord("}")).all()
        )


def index_lines(data: bytes | bytearray | memoryview) -> Lines:
    """Find the lines of ``data``; the last needs no line end, CR LF counts as one."""
    octets = np.frombuffer(data, np.uint8)
    breaks = np.flatnonzero(octets == _NEWLINE)
    starts = np.concatenate(([0], breaks + 1)).astype(np.int64)
    ends = np.concatenate((breaks, [len(octets)])).astype(np.int64)
    if starts[-1] == len(octets):
        starts, ends = starts[:-1], ends[:-1]
    filled = ends > starts
    returns = np.zeros(len(ends), dtype=np.int64)
    returns[filled] = octets[ends[filled] - 1] == _RETURN
    return Lines(data, starts, ends - returns)
