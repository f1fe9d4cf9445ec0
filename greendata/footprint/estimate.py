"""What is stored, and what changes about it: money, energy and carbon side by side.

The coefficients before and after a change are the same, so the two err together, and a share of
them is exact where the amounts are not. A move between tiers claims money only: nobody outside
knows what archive classes stand on (carbon reference, 1.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from greendata.errors import MissingFactError, UsageError
from greendata.footprint.carbon import ClassCarbon, Region, placement_claim
from greendata.footprint.costs import monthly_cost_range
from greendata.footprint.energy import TB
from greendata.footprint.prices import ClassPrices
from greendata.footprint.ranges import Range, UsdRange

Amount = TypeVar("Amount", Range, UsdRange)

NOTHING = Range.exact(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Some objects of one class in one region.

    Attributes:
        billed_bytes: the sum of what each is charged for.
        monitored_objects: those that pay for monitoring.
    """

    objects: int
    size_bytes: int
    billed_bytes: int
    monitored_objects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A fact that the data files do not have, and how much is stored that needs it."""

    what: str
    objects: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Keeping some objects for a month. A quantity is of those for which it is known.

    None: it is known of none of them. ``missing`` names what the quantities leave out.
    ``priced_bytes`` are those with a cost, ``energy_bytes`` those with energy and embodied carbon,
    ``carbon_bytes`` those with operational carbon too.
    """

    objects: int = 0
    size_bytes: int = 0
    priced_bytes: int = 0
    energy_bytes: int = 0
    carbon_bytes: int = 0
    cost_usd: UsdRange | None = None
    energy_kwh: Range | None = None
    operational_kgco2e: Range | None = None
    embodied_kgco2e: Range | None = None
    missing: tuple[Missing, ...] = ()

    def __add__(self, other: Footprint) -> Footprint:
        return Footprint(
            objects=self.objects + other.objects,
            size_bytes=self.size_bytes + other.size_bytes,
            priced_bytes=self.priced_bytes + other.priced_bytes,
            energy_bytes=self.energy_bytes + other.energy_bytes,
            carbon_bytes=self.carbon_bytes + other.carbon_bytes,
            cost_usd=_added(self.cost_usd, other.cost_usd),
            energy_kwh=_added(self.energy_kwh, other.energy_kwh),
            operational_kgco2e=_added(self.operational_kgco2e, other.operational_kgco2e),
            embodied_kgco2e=_added(self.embodied_kgco2e, other.embodied_kgco2e),
            missing=_joined((*self.missing, *other.missing)),
        )

    @property
    def carbon_kgco2e(self) -> Range | None:
        """Operational and embodied carbon; None unless both are known."""
        if self.operational_kgco2e is None or self.embodied_kgco2e is None:
            return None
        return self.operational_kgco2e + self.embodied_kgco2e


def _added(one: Amount | None, other: Amount | None) -> Amount | None:
    if one is None or other is None:
        return one or other
    return one + other


def _joined(entries: Iterable[Missing]) -> tuple[Missing, ...]:
    """One entry for each fact, in the order of their names."""
    found: dict[str, Missing] = {}
    for entry in entries:
        known = found.get(entry.what, Missing(what=entry.what, objects=0, size_bytes=0))
        found[entry.what] = Missing(
            what=entry.what,
            objects=known.objects + entry.objects,
            size_bytes=known.size_bytes + entry.size_bytes,
        )
    return tuple(found[what] for what in sorted(found))


def total(footprints: Iterable[Footprint]) -> Footprint:
    """All of them together; their ranges share coefficients, so bounds are added."""
    found = Footprint()
    for entry in footprints:
        found += entry
    return found


def footprint_of(
    stored: Stored, prices: ClassPrices | None, carbon: ClassCarbon | None, *, what: str, where: str
) -> Footprint:
    """Keeping objects of one class for a month.

    None for prices or carbon: the data files do not know the class or the place. ``what`` and
    ``where`` name class and place in what is missing.
    """
    missing = []
    cost = _cost(stored, prices)
    if cost is None:
        missing.append(f"price of {what}")
    if carbon is None:
        missing.append(f"energy and carbon of {what}")
    elif carbon.operational_kgco2e is None:
        missing.append(f"grid of {where}")
    terabytes = stored.size_bytes / TB
    operational = carbon.operational_kgco2e if carbon else None
    return Footprint(
        objects=stored.objects,
        size_bytes=stored.size_bytes,
        priced_bytes=0 if cost is None else stored.size_bytes,
        energy_bytes=0 if carbon is None else stored.size_bytes,
        carbon_bytes=0 if operational is None else stored.size_bytes,
        cost_usd=cost,
        energy_kwh=carbon.energy_kwh.scaled(terabytes) if carbon else None,
        operational_kgco2e=operational.scaled(terabytes) if operational else None,
        embodied_kgco2e=carbon.embodied_kgco2e.scaled(terabytes) if carbon else None,
        missing=tuple(
            Missing(what=fact, objects=stored.objects, size_bytes=stored.size_bytes)
            for fact in missing
        ),
    )


def _cost(stored: Stored, prices: ClassPrices | None) -> UsdRange | None:
    if prices is None:
        return None
    try:
        return monthly_cost_range(
            prices,
            billed=stored.billed_bytes,
            objects=stored.objects,
            monitored_objects=stored.monitored_objects,
        )
    except MissingFactError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What a change saves in a month; negative where it costs more. None is not known.

    ``claim`` says why a quantity is zero although it may have changed; None where nothing is held
    back.
    """

    cost_usd: Decimal | None
    energy_kwh: Range | None
    operational_kgco2e: Range | None
    embodied_kgco2e: Range | None
    claim: str | None = None


def removal(before: Footprint, after: Footprint) -> Saving:
    """Fewer bytes in the same place and classes."""
    return Saving(
        cost_usd=_usd_saved(before, after),
        energy_kwh=_saved(before.energy_kwh, after.energy_kwh),
        operational_kgco2e=_saved(before.operational_kgco2e, after.operational_kgco2e),
        embodied_kgco2e=_saved(before.embodied_kgco2e, after.embodied_kgco2e),
    )


def tier_move(before: Footprint, after: Footprint) -> Saving:
    """The same bytes in another tier: money, and neither energy nor carbon."""
    return Saving(
        cost_usd=_usd_saved(before, after),
        energy_kwh=NOTHING,
        operational_kgco2e=NOTHING,
        embodied_kgco2e=NOTHING,
        claim="a move between tiers claims no energy and no carbon",
    )


def relocation(before: Footprint, after: Footprint, source: Region, target: Region) -> Saving:
    """The same bytes in another region: carbon only where the target's grid is surely cleaner.

    Drives and redundancy are the same on both sides and the two grids are independent, so the
    saving is the energy before, times what a kWh is cleaner at least and at most.
    """
    claim = placement_claim(source, target)
    dirtier, cleaner = source.intensity_gco2e_per_kwh, target.intensity_gco2e_per_kwh
    if claim is None and dirtier and cleaner and before.energy_kwh:
        building = target.pue.central / source.pue.central
        gained = dirtier.minus_independent(cleaner.scaled(building))
        if gained.low > 0:
            return Saving(
                cost_usd=_usd_saved(before, after),
                energy_kwh=NOTHING,
                operational_kgco2e=before.energy_kwh.times(gained).scaled(1 / 1000),
                embodied_kgco2e=NOTHING,
            )
        claim = f"the buildings of {target.region} use more than its grid is surely cleaner"
    return Saving(
        cost_usd=_usd_saved(before, after),
        energy_kwh=NOTHING,
        operational_kgco2e=NOTHING,
        embodied_kgco2e=NOTHING,
        claim=claim or f"energy of what is stored in {source.region} is not known",
    )


def _usd_saved(before: Footprint, after: Footprint) -> Decimal | None:
    if before.cost_usd is None or after.cost_usd is None:
        return None
    return before.cost_usd.central - after.cost_usd.central


def _saved(before: Range | None, after: Range | None) -> Range | None:
    return None if before is None or after is None else before.minus_shared(after)


def sure_saving(saved: Range, own: Range) -> float:
    """What is saved at least: the saving at its lowest, the job's own at its highest."""
    return saved.low - own.high


def payback(own: Range, saved_a_month: Range) -> tuple[float, float] | None:
    """Months until a job's own has been saved, central and at worst; None if perhaps never."""
    if saved_a_month.low <= 0:
        return None
    return own.central / saved_a_month.central, own.high / saved_a_month.low


def sci_gco2e(operational_kgco2e: Range, embodied_kgco2e: Range, units: float) -> Range:
    """Software Carbon Intensity, ((E * I) + M) per R, in gCO2e for one of ``units`` (ISO 21031).

    Raises:
        UsageError: there is no unit to divide by.
    """
    if units <= 0:
        raise UsageError(f"an intensity for {units} units means nothing")
    return (operational_kgco2e + embodied_kgco2e).scaled(1000 / units)
