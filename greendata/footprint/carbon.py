"""Carbon of energy and of hardware, in kgCO2e, as ranges.

Intensities are averages of a place (location-based), never market-based ones, which count
certificates, nor marginal ones, which answer another question (carbon reference, section 3).
Drives' own carbon is a rate: what they took to make, spread over their life.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from greendata.errors import MissingFactError, UsageError
from greendata.footprint.energy import (
    HOURS_A_MONTH,
    HOURS_A_YEAR,
    coefficient,
    raw_bytes,
    storage_energy,
)
from greendata.footprint.ranges import Range, product
from greendata.footprint.tables import rows_of, values_of

HIGHEST_INTENSITY = 1500.0
"""gCO2e/kWh; no grid is dirtier, so what is above it is a mistake of unit."""

_MONTHS_A_YEAR = HOURS_A_YEAR / HOURS_A_MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A provider's region; the empty one stands for objects of unknown region.

    Attributes:
        grid_zone: regions of one zone share a grid, whatever state tables say.
        intensity_gco2e_per_kwh: None where the region is not known.
        basis: what kind of intensity; figures of different kinds are not compared.
    """

    provider: str
    region: str
    grid_zone: str | None
    pue: Range
    intensity_gco2e_per_kwh: Range | None
    basis: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCarbon:
    """A terabyte (10**12 bytes) kept for a month in one class and region.

    Archive classes count as drives like all others: what they stand on is not disclosed.
    """

    provider: str
    region: str
    storage_class: str
    energy_kwh: Range
    operational_kgco2e: Range | None
    embodied_kgco2e: Range


@functools.cache
def regions() -> dict[tuple[str, str], Region]:
    """All regions by (provider, region)."""
    zones = rows_of("regions")
    factors = values_of("region_factors")
    rows = rows_of("region_factors")
    found = {}
    for provider, name, item in factors:
        if item != "pue":
            continue
        key = (provider, name)
        intensity = factors.get((*key, "grid_intensity"))
        found[key] = Region(
            provider=provider,
            region=name,
            grid_zone=zones[key]["grid_zone"] if key in zones else None,
            pue=factors[*key, "pue"].as_range(),
            intensity_gco2e_per_kwh=None if intensity is None else intensity.as_range(),
            basis=None if intensity is None else rows[*key, "grid_intensity"]["basis"],
        )
    return found


def find_region(provider: str, region: str | None) -> Region:
    """One of them.

    Raises:
        MissingFactError: the data files do not know it.
    """
    found = regions().get((provider, region or ""))
    if found is None:
        raise MissingFactError(f"the data files know no region {region!r} of {provider!r}")
    return found


def operational_carbon(energy_kwh: Range, intensity_gco2e_per_kwh: Range) -> Range:
    """kgCO2e of electricity.

    Raises:
        UsageError: an intensity that no grid has; negative ones mark missing values.
    """
    if not 0 < intensity_gco2e_per_kwh.low <= intensity_gco2e_per_kwh.high < HIGHEST_INTENSITY:
        raise UsageError(
            f"{intensity_gco2e_per_kwh} gCO2e/kWh is no intensity between 0 and"
            f" {HIGHEST_INTENSITY:.0f}"
        )
    return energy_kwh.times(intensity_gco2e_per_kwh).scaled(1 / 1000)


def embodied_carbon(medium: str, redundancy: str) -> Range:
    """kgCO2e of a terabyte kept for a month: drives and their racks, over their life; no PUE."""
    return product(
        coefficient(f"{medium}_embodied"),
        raw_bytes(redundancy),
        coefficient(f"{medium}_rack"),
        coefficient("drive_life").inverse(),
    ).scaled(1 / _MONTHS_A_YEAR)


def compute_embodied_carbon(vcpu_hours: float) -> Range:
    """kgCO2e of the share of a server that was used."""
    return coefficient("vcpu_embodied").scaled(vcpu_hours / 1000)


@functools.cache
def class_carbon() -> dict[tuple[str, str, str], ClassCarbon]:
    """Every class in every region, by (provider, region, storage class)."""
    return {(e.provider, e.region, e.storage_class): e for e in _class_carbon()}


def _class_carbon() -> Iterator[ClassCarbon]:
    for place in regions().values():
        for (provider, name), row in rows_of("storage_classes").items():
            if provider != place.provider:
                continue
            energy = storage_energy(row["medium"], row["redundancy"], place.pue)
            intensity = place.intensity_gco2e_per_kwh
            yield ClassCarbon(
                provider=provider,
                region=place.region,
                storage_class=name,
                energy_kwh=energy,
                operational_kgco2e=(
                    None if intensity is None else operational_carbon(energy, intensity)
                ),
                embodied_kgco2e=embodied_carbon(row["medium"], row["redundancy"]),
            )


def placement_claim(source: Region, target: Region) -> str | None:
    """Why no carbon may be claimed for storing in ``target`` instead; None if it may be.

    Only where the grids differ and their ranges do not overlap is one surely cleaner.
    """
    before, after = source.intensity_gco2e_per_kwh, target.intensity_gco2e_per_kwh
    if before is None or after is None:
        return "the grid of a region is not known"
    if source.grid_zone == target.grid_zone:
        return f"{source.region} and {target.region} are on the same grid ({source.grid_zone})"
    if _kind(source.basis) != _kind(target.basis):
        return f"their intensities are of different kinds ({source.basis}; {target.basis})"
    if not before.is_apart_from(after):
        return (
            f"the intensities of {source.region} ({before.low:.0f} to {before.high:.0f} gCO2e/kWh)"
            f" and {target.region} ({after.low:.0f} to {after.high:.0f}) overlap"
        )
    if after.low > before.high:
        return f"the grid of {target.region} is surely the dirtier one"
    return None


def _kind(basis: str | None) -> tuple[str, ...]:
    """Life cycle or direct, production or consumption; not for how large an area."""
    return tuple((basis or "").split(";")[:2])
