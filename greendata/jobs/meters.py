"""Meters of the energy this program itself takes, without the building: RAPL, a model, CodeCarbon.

Measured where the processor's own counters can be read; else watts of the data files, times the
processor hours that were reserved (a machine of one's own) or used (a shared one).
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from greendata.errors import ExtraMissingError
from greendata.footprint.energy import compute_energy
from greendata.footprint.ranges import Range

POWERCAP = Path("/sys/class/powercap")
PROC_STAT = Path("/proc/stat")

Grade = Literal["measured", "modelled"]

_JOULES_A_KWH = 3.6e6
_SECONDS_BETWEEN_READINGS = 60.0
"""A counter of 262 kJ at 200 W begins anew after 21 minutes."""

_DOMAIN = re.compile(r"intel-rapl:[0-9]+(:[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Time that a run took; ``vcpus`` are those reserved for it."""

    wall_seconds: float
    cpu_seconds: float
    vcpus: int

    @property
    def busy_hours(self) -> float:
        """Processor hours used."""
        return self.cpu_seconds / 3600

    @property
    def reserved_hours(self) -> float:
        """Processor hours that nobody else could have."""
        return self.vcpus * self.wall_seconds / 3600

    @property
    def utilisation(self) -> float:
        """Share of the reserved time that was used, 0 to 1."""
        return min(1.0, self.busy_hours / self.reserved_hours) if self.reserved_hours > 0 else 1.0


class EnergyMeter(ABC):
    """Runs from ``start`` to ``stop``; ``basis`` is one sentence on what the figure rests on."""

    name: ClassVar[str]
    grade: Grade
    basis: str

    def start(self) -> None:  # noqa: B027
        """Begin to count."""

    def stop(self) -> None:  # noqa: B027
        """No more is counted; may be called again."""

    @abstractmethod
    def energy_kwh(self, spent: Spent) -> Range:
        """What was taken, at the machine and without its building, in kWh."""


class ModelMeter(EnergyMeter):
    """Watts of the data files; needs nothing of the machine."""

    grade = "modelled"

    def __init__(self, *, is_dedicated: bool) -> None:
        self._is_dedicated = is_dedicated
        self.name = "reserved_vcpu" if is_dedicated else "cpu_seconds"  # type: ignore[misc]
        self.basis = (
            "the data files' watts times the hours of all reserved processors"
            if is_dedicated
            else "the data files' watts times the processor seconds used, as the machine is shared"
        )

    def energy_kwh(self, spent: Spent) -> Range:
        building = Range.exact(1.0)
        if self._is_dedicated:
            return compute_energy(spent.reserved_hours, building, utilisation=spent.utilisation)
        return compute_energy(spent.busy_hours, building)


class RaplMeter(EnergyMeter):
    """Counters of the processor packages and their memory.

    On a shared machine the share of its busy processor time that was ours. Power supplies, drives
    and fans are not in it.
    """

    name = "rapl"
    grade = "measured"

    def __init__(
        self, *, is_dedicated: bool, root: Path = POWERCAP, stat: Path = PROC_STAT
    ) -> None:
        self._is_dedicated = is_dedicated
        self._domains = tuple(_rapl_domains(root))
        self._stat = stat
        self._joules = 0.0
        self._busy_seconds = 0.0
        self._last: dict[Path, int] = {}
        self._began_busy = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.basis = "the processor's energy counters (RAPL), without power supply, drives and fans"
        if not is_dedicated:
            self.basis += ", times our share of the machine's busy processor time"

    @classmethod
    def is_readable(cls, root: Path = POWERCAP) -> bool:
        """Whether there are counters that this user may read."""
        return any(True for _ in _rapl_domains(root))

    def start(self) -> None:
        self._last = {domain: _read_number(domain / "energy_uj") or 0 for domain in self._domains}
        self._began_busy = _busy_seconds(self._stat)
        self._thread = threading.Thread(target=self._watch, daemon=True, name="rapl")
        self._thread.start()

    def stop(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._read()
        self._busy_seconds = _busy_seconds(self._stat) - self._began_busy

    def energy_kwh(self, spent: Spent) -> Range:
        share = 1.0
        if not self._is_dedicated:
            share = spent.cpu_seconds / max(self._busy_seconds, spent.cpu_seconds, 1e-9)
        return Range.exact(self._joules * share / _JOULES_A_KWH)

    def _watch(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_READINGS):
            self._read()

    def _read(self) -> None:
        with self._lock:
            for domain in self._domains:
                found = _read_number(domain / "energy_uj")
                if found is None:
                    continue
                gained = found - self._last[domain]
                if gained < 0:  # it began anew
                    gained += _read_number(domain / "max_energy_range_uj") or 0
                self._last[domain] = found
                self._joules += max(gained, 0) / 1e6


class CodeCarbonMeter(EnergyMeter):
    """CodeCarbon's offline tracker, by the extra; it asks no service and writes no file."""

    name = "codecarbon"
    grade = "modelled"

    def __init__(self, *, is_dedicated: bool, country: str | None) -> None:
        self._tracker = _codecarbon_tracker(is_dedicated=is_dedicated, country=country)
        self._energy_kwh = 0.0
        self._is_running = False
        self.basis = "CodeCarbon's offline tracker of " + (
            "the machine" if is_dedicated else "this process"
        )

    def start(self) -> None:
        self._tracker.start()
        self._is_running = True

    def stop(self) -> None:
        if not self._is_running:
            return
        self._is_running = False
        self._tracker.stop()
        data = getattr(self._tracker, "final_emissions_data", None)
        self._energy_kwh = float(getattr(data, "energy_consumed", 0.0))

    def energy_kwh(self, spent: Spent) -> Range:
        return Range.exact(self._energy_kwh)


def _codecarbon_tracker(*, is_dedicated: bool, country: str | None) -> Any:
    try:
        from codecarbon import OfflineEmissionsTracker
    except ImportError as error:
        raise ExtraMissingError(
            "CodeCarbon as the meter needs an extra package",
            hint="Install it: pip install 'greendata[codecarbon]'",
        ) from error
    return OfflineEmissionsTracker(
        country_iso_code=country or "USA",  # only its energy is used, not its carbon
        tracking_mode="machine" if is_dedicated else "process",
        save_to_file=False,
        save_to_api=False,
        allow_multiple_runs=True,
        log_level="critical",
    )


def _rapl_domains(root: Path) -> Iterator[Path]:
    """Packages, and memory beside them; cores are in their package, and `psys` is all again."""
    with contextlib.suppress(OSError):
        for folder in sorted(root.iterdir()):
            if not _DOMAIN.fullmatch(folder.name):
                continue
            name = ""
            with contextlib.suppress(OSError):
                name = (folder / "name").read_text().strip()
            is_counted = name.startswith("package") or name == "dram"
            if is_counted and _read_number(folder / "energy_uj") is not None:
                yield folder


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _busy_seconds(stat: Path) -> float:
    """Busy processor time of the machine: user, nice, system, irq, softirq and steal of `cpu`."""
    try:
        fields = stat.read_text().split("\n", 1)[0].split()
        ticks = [int(field) for field in fields[1:9]]
    except (OSError, ValueError):
        return 0.0
    idle = sum(ticks[3:5])
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")
