"""The same prices and coefficients for millions of objects: Arrow tables, and SQL over them.

A query joins an object with its row of ``rates`` (provider x region x storage class), a move with
its row of ``transitions``, and selects the expressions here. They are the formulae of ``costs.py``
and ``carbon.py``, over the same records; a test compares the two. What is not known is NULL.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import Any, get_type_hints

import pyarrow as pa

from greendata.footprint.carbon import class_carbon
from greendata.footprint.energy import TB
from greendata.footprint.prices import (
    DAYS_A_MONTH,
    DEFAULT_CLASS,
    ClassPrices,
    TransitionPrices,
    price_list,
)
from greendata.footprint.ranges import Range
from greendata.footprint.tables import GIB, rows_of

USD_SQL = "DECIMAL(24, 12)"
"""Money in SQL; a million small objects add up to something. Rates are DOUBLE until then."""

BOUNDS = ("low", "central", "high")
QUANTITIES = ("energy_kwh", "operational_kgco2e", "embodied_kgco2e")

_ARROW = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), Decimal: pa.float64()}


def _schema(kind: type) -> pa.Schema:
    """Columns of a record of prices; what may be None is nullable."""
    columns = []
    for name, hint in get_type_hints(kind).items():
        known = [option for option in _ARROW if hint in (option, option | None)]
        columns.append((name, _ARROW[known[0]]))
    return pa.schema(columns)


RATES = pa.schema(
    [
        *_schema(ClassPrices),
        *(
            (f"{quantity}_{bound}", pa.float64())  # of a terabyte (10**12 bytes) and month
            for quantity in QUANTITIES
            for bound in BOUNDS
        ),
    ]
)
"""One row a provider, region and storage class; the empty region is the unknown one."""

TRANSITIONS = _schema(TransitionPrices)
"""One row a provider, region, class before, class after and way."""

TRANSFERS = pa.schema(
    [
        ("provider", pa.string()),
        ("source_region", pa.string()),
        ("target_region", pa.string()),  # or 'internet'
        ("usd_per_gib", pa.float64()),
    ]
)


def rates_table(as_of: date | None = None) -> pa.Table:
    """All classes in all regions, of schema ``RATES``."""
    carbon = class_carbon()
    rows = []
    for key, prices in price_list(as_of).classes.items():
        row = _plain(prices)
        for quantity in QUANTITIES:
            found: Range | None = getattr(carbon[key], quantity)
            for bound in BOUNDS:
                row[f"{quantity}_{bound}"] = None if found is None else getattr(found, bound)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=RATES)


def class_tiers() -> pa.Table:
    """``provider, storage_class, tier`` of all classes."""
    rows = rows_of("storage_classes").values()
    return pa.table(
        {name: [row[name] for row in rows] for name in ("provider", "storage_class", "tier")}
    )


def transitions_table(as_of: date | None = None) -> pa.Table:
    """All moves between classes that a provider allows, of schema ``TRANSITIONS``."""
    rows = [_plain(entry) for entry in price_list(as_of).transitions.values()]
    return pa.Table.from_pylist(rows, schema=TRANSITIONS)


def transfers_table(as_of: date | None = None) -> pa.Table:
    """All pairs of regions whose price is known, of schema ``TRANSFERS``."""
    rows = [
        {
            "provider": provider,
            "source_region": source,
            "target_region": target,
            "usd_per_gib": float(price.central),
        }
        for (provider, source, target), price in price_list(as_of).transfers.items()
    ]
    return pa.Table.from_pylist(rows, schema=TRANSFERS)


def _plain(record: ClassPrices | TransitionPrices) -> dict[str, Any]:
    """A record as a row; Decimals as floats."""
    values = ((entry.name, getattr(record, entry.name)) for entry in fields(record))
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in values}


def class_sql(storage_class: str, provider: str) -> str:
    """The storage class of an object: what the listing named, or the provider's default."""
    cases = " ".join(f"WHEN '{key}' THEN '{name}'" for key, name in DEFAULT_CLASS.items())
    return f"coalesce({storage_class}, CASE {provider} {cases} END)"


def rates_join_sql(*, provider: str, region: str, storage_class: str, rates: str = "r") -> str:
    """Condition that joins an object with its row of the rates."""
    return (
        f"{rates}.provider = {provider} AND {rates}.region = coalesce({region}, '')"
        f" AND {rates}.storage_class = {class_sql(storage_class, provider)}"
    )


def billed_bytes_sql(size: str, rates: str = "r") -> str:
    """The size an object is charged for; NULL where its size is not known."""
    return f"({size} + greatest(0, {rates}.min_billable_bytes - {size}))"


def is_monitored_sql(size: str, rates: str = "r") -> str:
    """Whether an object pays for monitoring."""
    return f"coalesce({size} >= {rates}.monitored_from_bytes, false)"


def monthly_cost_sql(size: str, rates: str = "r") -> str:
    """``costs.monthly_cost`` as ``USD_SQL``."""
    return _usd(
        f"{billed_bytes_sql(size, rates)} / {GIB} * {rates}.storage_usd_per_gib_month"
        f" + {rates}.overhead_usd_per_object_month"
        f" + CASE WHEN {is_monitored_sql(size, rates)}"
        f" THEN {rates}.monitoring_usd_per_object_month ELSE 0 END"
    )


def early_delete_cost_sql(size: str, days_in_class: str, rates: str = "r") -> str:
    """``costs.early_delete_cost`` as ``USD_SQL``; NULL where days are not known and count."""
    least = f"{rates}.min_duration_days"
    return _usd(
        f"CASE WHEN {least} = 0 OR {days_in_class} >= {least} THEN 0"
        f" WHEN {days_in_class} < {least} THEN ({least} - {days_in_class}) / {DAYS_A_MONTH}"
        f" * {billed_bytes_sql(size, rates)} / {GIB} * {rates}.storage_usd_per_gib_month END"
    )


def transition_cost_sql(
    size: str, days_in_class: str, transition: str = "t", rates: str = "r"
) -> str:
    """``costs.transition_cost`` as ``USD_SQL``; ``rates`` are those of the class it leaves."""
    return _usd(
        f"{transition}.usd_per_object + {transition}.usd_per_gib * {size} / {GIB}"
        f" + {early_delete_cost_sql(size, days_in_class, rates)}"
    )


def read_cost_sql(size: str, requests: str = "1", rates: str = "r") -> str:
    """``costs.read_cost`` as ``USD_SQL``."""
    return _usd(
        f"{rates}.get_usd * {requests} + {rates}.restore_usd"
        f" + {rates}.retrieval_usd_per_gib * {size} / {GIB}"
    )


def transfer_cost_sql(size: str, *, source: str, target: str, transfer: str) -> str:
    """``costs.transfer_cost`` as ``USD_SQL``; aliases of two rows of rates and one of transfers."""
    return _usd(
        f"{read_cost_sql(size, rates=source)} + {transfer}.usd_per_gib * {size} / {GIB}"
        f" + {target}.put_usd"
    )


def quantity_sql(quantity: str, bound: str, size: str, rates: str = "r") -> str:
    """One of ``QUANTITIES`` of an object for a month, at one of ``BOUNDS``, as DOUBLE."""
    return f"({size} / {TB}.0 * {rates}.{quantity}_{bound})"


def _usd(expression: str) -> str:
    return f"CAST({expression} AS {USD_SQL})"
