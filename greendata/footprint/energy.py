"""Energy of storing bytes, moving them and computing on them, in kWh, as ranges.

Formulae: carbon reference, section 3. Hardware is counted in decimal terabytes (10**12 bytes).
"""

from __future__ import annotations

import functools

from greendata.errors import MissingFactError
from greendata.footprint.ranges import Range, product
from greendata.footprint.tables import values_of

TB = 10**12
HOURS_A_YEAR = 8766
HOURS_A_MONTH = HOURS_A_YEAR / 12

NETWORK_SCOPES = ("intra_region", "inter_region", "internet")
"""Where bytes travel; only moves between data centres and beyond are surely not negligible."""


@functools.cache
def coefficient(name: str) -> Range:
    """A row of ``coefficients.csv``; its unit and source stand there.

    Raises:
        MissingFactError: there is no such row.
    """
    found = values_of("coefficients").get((name,))
    if found is None:
        raise MissingFactError(f"the data files have no coefficient {name!r}")
    return found.as_range()


@functools.cache
def raw_bytes(redundancy: str) -> Range:
    """Bytes on drives for each byte stored: copies or codes, and drives that are not full."""
    return coefficient(f"redundancy_{redundancy}").times(coefficient("raw_over_filled"))


@functools.cache
def storage_power(medium: str, redundancy: str, pue: Range) -> Range:
    """Watts of a terabyte kept: drives, redundancy, fill and the building (PUE)."""
    return product(coefficient(f"{medium}_power"), raw_bytes(redundancy), pue)


def storage_energy(medium: str, redundancy: str, pue: Range) -> Range:
    """kWh of a terabyte kept for a month."""
    return storage_power(medium, redundancy, pue).scaled(HOURS_A_MONTH / 1000)


def transfer_energy(size_bytes: int, scope: str) -> Range:
    """kWh of moving bytes; ``scope`` is one of ``NETWORK_SCOPES``, without PUE."""
    return coefficient(f"network_{scope}").scaled(size_bytes / 10**9)


def compute_energy(
    vcpu_hours: float, pue: Range, *, utilisation: float = 1.0, extra_memory_gb_hours: float = 0.0
) -> Range:
    """kWh of processors, and of memory beyond what their power figure holds already.

    ``vcpu_hours`` are reserved hours on a machine of one's own, busy ones on a shared machine;
    idle power is counted for the share of time that ``utilisation`` (0 to 1) leaves.
    """
    busy, idle = coefficient("vcpu_busy"), coefficient("vcpu_idle")
    watts = busy.scaled(utilisation) + idle.scaled(1 - utilisation)
    memory = coefficient("memory_power").scaled(extra_memory_gb_hours / 1000)
    return (watts.scaled(vcpu_hours / 1000) + memory).times(pue)
