"""What is stored and how much of it is redundant, by dataset, tier and region.

Budgets and metrics are both made of it, so that they never tell two things.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from greendata.footprint.energy import HOURS_A_MONTH
from greendata.footprint.estimate import Footprint, total
from greendata.footprint.prices import price_list
from greendata.footprint.tables import model_version
from greendata.jobs.footprint import STORED_COLUMNS, row_footprint, stored_rows
from greendata.jobs.view import open_inventory
from greendata.signals.window import WaitingCost

if TYPE_CHECKING:
    from greendata.config import DatasetSettings, StoreSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Objects of one dataset, tier and region; None where that is not known.

    Attributes:
        footprint: keeping them for a month.
        redundant_bytes: of what is stored, the share of texts that a scan found elsewhere too.
    """

    dataset: str | None
    tier: str | None
    region: str | None
    footprint: Footprint
    redundant_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """All that the catalog's inventory holds; ``as_of`` is of its oldest part."""

    rows: tuple[Holding, ...]
    as_of: datetime
    model_version: str

    def of(self, dataset: str | None) -> tuple[Holding, ...]:
        """Those of a dataset; all of them for None."""
        return tuple(row for row in self.rows if dataset in (None, row.dataset))


def measure_holdings(
    catalog: str,
    *,
    as_of: datetime,
    stores: Sequence[StoreSettings] = (),
    datasets: Sequence[DatasetSettings] = (),
) -> Holdings:
    """Current objects, earlier versions and uploads of known size, with list prices of the day.

    Raises:
        ObjectNotFoundError: nothing was listed into the catalog yet.
    """
    with open_inventory(
        catalog,
        stores=stores,
        datasets=datasets,
        as_of=as_of,
        columns=(*STORED_COLUMNS, "redundant_bytes"),
    ) as opened:
        rows = stored_rows(opened, as_of)
        redundant = opened.connection.sql(
            "SELECT dataset, tier, region, coalesce(sum(redundant_bytes), 0)::HUGEINT::VARCHAR"
            " FROM inventory GROUP BY ALL"
        ).fetchall()
        oldest = opened.oldest_as_of
    prices = price_list(as_of.date())
    found: dict[tuple[str | None, ...], list[Footprint]] = defaultdict(list)
    for row in rows:
        place = (row["dataset"], row["tier"], row["region"])
        found[place].append(row_footprint(row, prices))
    sizes = {tuple(place): int(size) for *place, size in redundant}
    return Holdings(
        rows=tuple(
            Holding(
                dataset=place[0],
                tier=place[1],
                region=place[2],
                footprint=total(found[place]),
                redundant_bytes=sizes.get(place, 0),
            )
            for place in sorted(found, key=lambda key: [part or "" for part in key])
        ),
        as_of=oldest,
        model_version=model_version(),
    )


def cost_of_redundancy(holdings: Holdings) -> WaitingCost:
    """What an hour costs in which redundant bytes stay: the most that waiting can cost.

    Central values; what is not known adds nothing.
    """
    usd, energy, carbon = Decimal(0), 0.0, 0.0
    for row in holdings.rows:
        found = row.footprint
        if not found.size_bytes or not row.redundant_bytes:
            continue
        share = min(1.0, row.redundant_bytes / found.size_bytes)
        if found.cost_usd is not None:
            usd += found.cost_usd.central * Decimal(str(share))
        if found.energy_kwh is not None:
            energy += found.energy_kwh.central * share
        if found.carbon_kgco2e is not None:
            carbon += found.carbon_kgco2e.central * share * 1000
    return WaitingCost(
        usd_per_hour=usd / Decimal(str(HOURS_A_MONTH)),
        energy_kwh_per_hour=energy / HOURS_A_MONTH,
        carbon_gco2e_per_hour=carbon / HOURS_A_MONTH,
    )
