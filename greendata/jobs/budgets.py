"""Budgets of datasets and of all together: USD, kgCO2e, redundant bytes, share on the hot tier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from greendata.config import did_you_mean
from greendata.footprint.estimate import total
from greendata.jobs.holdings import Holding, Holdings
from greendata.model import SCHEMA_VERSION
from greendata.operating.records import BudgetSettings

Item = Literal["usd_per_month", "kgco2e_per_month", "redundant_bytes", "hot_percent"]
State = Literal["within", "near", "over", "unknown"]

HOT = "hot"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetUse:
    """One limit and what there is of it.

    Attributes:
        dataset: None is everything together.
        used: None where nothing of it is known.
        ratio: used by limit; None where the limit is zero or nothing is known.
        is_partial: some of what is stored is not in ``used``, so that it is this at least.
        state: ``near`` from ``warn_percent`` of the limit on.
        level: what the configuration wants where it is over.
    """

    dataset: str | None
    item: Item
    used: float | None
    limit: float
    ratio: float | None
    is_partial: bool
    state: State
    level: Literal["warn", "enforce"]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.item} of {'everything' if self.dataset is None else self.dataset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A budget that is over or nearly so, or of which nothing is known.

    ``level`` is ``enforce`` only where it is over and the configuration enforces it.
    """

    level: Literal["warn", "enforce"]
    use: BudgetUse
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReview:
    """All budgets against what the catalog knows."""

    uses: tuple[BudgetUse, ...]
    breaches: tuple[Breach, ...]
    as_of: datetime
    warnings: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION

    @property
    def enforced(self) -> tuple[Breach, ...]:
        """Breaches that are not only to be told."""
        return tuple(breach for breach in self.breaches if breach.level == "enforce")

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return asdict(self)


def check_budgets(budgets: Sequence[BudgetSettings], holdings: Holdings) -> BudgetReview:
    """What each budget comes to, by central values."""
    uses = tuple(use for budget in budgets for use in _uses(budget, holdings))
    named = {budget.dataset for budget in budgets if budget.dataset is not None}
    known = {row.dataset for row in holdings.rows if row.dataset is not None}
    return BudgetReview(
        uses=uses,
        breaches=tuple(breach for use in uses for breach in _breach(use)),
        as_of=holdings.as_of,
        warnings=tuple(
            f"budgets: nothing is stored in a dataset {name!r}.{did_you_mean(name, known)}"
            for name in sorted(named - known)
        ),
    )


def _uses(budget: BudgetSettings, holdings: Holdings) -> Iterator[BudgetUse]:
    rows = holdings.of(budget.dataset)
    limits: tuple[tuple[Item, float | None], ...] = (
        ("usd_per_month", None if budget.usd_per_month is None else float(budget.usd_per_month)),
        ("kgco2e_per_month", budget.kgco2e_per_month),
        ("redundant_bytes", budget.redundant_bytes),
        ("hot_percent", budget.hot_percent),
    )
    for item, limit in limits:
        if limit is None:
            continue
        used, is_partial = _used(item, rows)
        yield BudgetUse(
            dataset=budget.dataset,
            item=item,
            used=used,
            limit=limit,
            ratio=used / limit if used is not None and limit else None,
            is_partial=is_partial,
            state=_state(used, limit, budget.warn_percent),
            level=budget.level,
        )


def _state(used: float | None, limit: float, warn_percent: float) -> State:
    if used is None:
        return "unknown"
    if used > limit:
        return "over"
    return "near" if used and used >= limit * warn_percent / 100 else "within"


def _used(item: Item, rows: Sequence[Holding]) -> tuple[float | None, bool]:
    """The amount, and whether it leaves something out."""
    found = total(row.footprint for row in rows)
    if not found.size_bytes:
        return 0.0, False
    if item == "usd_per_month":
        cost = found.cost_usd
        return None if cost is None else float(cost.central), found.priced_bytes < found.size_bytes
    if item == "kgco2e_per_month":
        carbon = found.carbon_kgco2e
        is_partial = found.carbon_bytes < found.size_bytes
        return None if carbon is None else carbon.central, is_partial
    if item == "redundant_bytes":
        return float(sum(row.redundant_bytes for row in rows)), False
    hot = sum(row.footprint.size_bytes for row in rows if row.tier == HOT)
    return 100 * hot / found.size_bytes, False


_UNITS = {
    "usd_per_month": "USD a month",
    "kgco2e_per_month": "kgCO2e a month",
    "redundant_bytes": "redundant bytes",
    "hot_percent": "% on the hot tier",
}


def _breach(use: BudgetUse) -> Iterator[Breach]:
    if use.state == "within":
        return
    unit, limit = _UNITS[use.item], f"{use.limit:,.6g}"
    if use.used is None:
        detail = f"{use.name}: not known; the limit is {limit} {unit}"
    else:
        at_least = "at least " if use.is_partial else ""
        share = "" if use.ratio is None else f", {100 * use.ratio:.0f} % of it"
        detail = f"{use.name}: {at_least}{use.used:,.6g} {unit}; the limit is {limit}{share}"
    is_enforced = use.state == "over" and use.level == "enforce"
    yield Breach(level="enforce" if is_enforced else "warn", use=use, detail=detail)
