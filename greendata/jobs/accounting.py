"""What a process used: wall time, processor time, memory."""

from __future__ import annotations

import contextlib
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path


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


def peak_rss_bytes() -> int:
    """Most memory this process had; ru_maxrss alone begins with that of the process before exec."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
