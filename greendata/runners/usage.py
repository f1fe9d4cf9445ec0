"""What a process used: processor time and memory."""

from __future__ import annotations

import contextlib
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Processor time of one task, and the most memory its process had so far."""

    cpu_seconds: float
    peak_rss_bytes: int


class UsageMeter:
    """Reads the usage since it was made; a worker has one task at a time."""

    def __init__(self) -> None:
        self._began = _cpu_seconds()

    def read(self) -> Usage:
        """The usage until now."""
        return Usage(cpu_seconds=_cpu_seconds() - self._began, peak_rss_bytes=peak_rss_bytes())


def _cpu_seconds() -> float:
    """Of this process and of its children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_rss_bytes() -> int:
    """Most memory this process had; ru_maxrss alone begins with that of the process before exec."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
