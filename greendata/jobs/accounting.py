"""Wall time and processor time."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A reading of the clocks, in seconds."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Moment:
        return cls(wall=time.perf_counter(), cpu=time.process_time())

    def __sub__(self, other: Moment) -> Moment:
        return Moment(wall=self.wall - other.wall, cpu=self.cpu - other.cpu)

    def __add__(self, other: Moment) -> Moment:
        return Moment(wall=self.wall + other.wall, cpu=self.cpu + other.cpu)
