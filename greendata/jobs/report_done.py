"""What the report says of runs: what took effect, since when, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.catalog.queries import IS_REALISED
from greendata.footprint.prices import DAYS_A_MONTH
from greendata.footprint.ranges import Range

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.report.document import DoneSection, RunRow, SavedPoint, Savings

CURVE_STEPS = 48

_WAITING = f"(part = 'apply' AND status IN ('done', 'pending') AND NOT {IS_REALISED})"
_MONTHS = f'greatest(0, epoch_us($now) - epoch_us("at")) / {DAYS_A_MONTH * 86_400_000_000}.0'
_MONEY = "DECIMAL(38, 12)"


def _money(expression: str, condition: str) -> str:
    return f"coalesce(sum(CAST({expression} AS {_MONEY})) FILTER ({condition}), 0)::VARCHAR"


_CARBON = ", ".join(
    f"sum(carbon_kgco2e_{bound}{factor}) FILTER ({IS_REALISED})"
    for factor in ("", f" * {_MONTHS}")
    for bound in ("low", "central", "high")
)
_SAVINGS = (
    "count(*),"
    f" count(*) FILTER ({IS_REALISED}),"
    f" coalesce(sum(size_bytes) FILTER ({IS_REALISED}), 0)::HUGEINT::VARCHAR,"
    f" {_money('monthly_saving_usd', IS_REALISED)},"
    f" {_money(f'monthly_saving_usd * {_MONTHS}', IS_REALISED)},"
    f" count(*) FILTER ({_WAITING}),"
    f" coalesce(sum(size_bytes) FILTER ({_WAITING}), 0)::HUGEINT::VARCHAR,"
    f" {_money('monthly_saving_usd', _WAITING)},"
    f" {_money('monthly_saving_usd', 'true')},"
    f" {_money('fees_usd', IS_REALISED + ' OR ' + _WAITING)},"
    f" count(*) FILTER (({IS_REALISED} OR {_WAITING}) AND monthly_saving_usd IS NULL),"
    f" {_CARBON}"
)


def done_section(
    connection: DuckDBPyConnection, *, now: datetime, since: datetime | None, top: int
) -> DoneSection:
    """Runs that began at ``since`` or later, by the views ``all_runs`` and ``all_outcomes``."""
    from greendata.report.document import DoneSection, KindRow

    connection.execute(
        "CREATE TEMP TABLE report_runs AS SELECT * FROM all_runs"
        " WHERE $since::TIMESTAMPTZ IS NULL OR started_at >= $since::TIMESTAMPTZ",
        {"since": since},
    )
    chosen = "(FROM all_outcomes SEMI JOIN report_runs USING (run_id))"
    bound = {"now": now}
    by_run = {
        run_id: _savings(values)
        for run_id, *values in connection.execute(
            f"SELECT run_id, {_SAVINGS} FROM {chosen} GROUP BY run_id", bound
        ).fetchall()
    }
    kinds = connection.execute(
        f"SELECT kind, {_SAVINGS} FROM {chosen} GROUP BY kind ORDER BY count(*) DESC, kind", bound
    ).fetchall()
    (total,) = connection.execute(f"SELECT {_SAVINGS} FROM {chosen}", bound).fetchall()
    found = connection.sql("FROM report_runs ORDER BY started_at DESC NULLS LAST, run_id DESC")
    rows = [_run(row, by_run) for row in found.to_arrow_table().to_pylist()]
    return DoneSection(
        runs=tuple(rows[:top]),
        total_runs=len(rows),
        total=_savings(total),
        kinds=tuple(KindRow(kind=kind, savings=_savings(values)) for kind, *values in kinds),
        own_kgco2e=_metered(rows, "carbon_kgco2e"),
        own_kwh=_metered(rows, "energy_kwh"),
        own_usd=_metered_usd(rows),
        curve=_curve(connection, chosen, rows, now),
    )


def _curve(
    connection: DuckDBPyConnection, chosen: str, rows: Sequence[RunRow], now: datetime
) -> tuple[SavedPoint, ...]:
    """What was saved at some moments from the first run up to now."""
    from greendata.report.document import SavedPoint

    first = min((row.started_at for row in rows if row.started_at), default=now)
    if first >= now:
        return ()
    moments = [first + (now - first) * place / CURVE_STEPS for place in range(CURVE_STEPS + 1)]
    gone = connection.execute(
        "SELECT epoch_us(date_trunc('hour', \"at\")), sum(monthly_saving_usd)::DOUBLE"
        f" FROM {chosen} WHERE {IS_REALISED} AND monthly_saving_usd IS NOT NULL GROUP BY ALL"
    ).fetchall()
    saved = [(micros / 1e6, usd) for micros, usd in gone]
    planned = [
        (since.timestamp(), float(row.savings.planned_usd))
        for row in rows
        if (since := row.finished_at or row.started_at) is not None
    ]
    return tuple(
        SavedPoint(
            moment=moment,
            saved_usd=_saved_up_to(moment, saved),
            planned_usd=_saved_up_to(moment, planned),
        )
        for moment in moments
    )


def _saved_up_to(moment: datetime, savings: Sequence[tuple[float, float]]) -> float:
    """Of savings in USD a month, each from a moment on."""
    until = moment.timestamp()
    return sum(
        usd * (until - since) / (DAYS_A_MONTH * 86_400) for since, usd in savings if since < until
    )


def _savings(values: Sequence[Any]) -> Savings:
    from greendata.report.document import Savings

    actions, realised, size_bytes, usd, saved, *rest = values
    waiting, waiting_bytes, waiting_usd, planned, fees, unknown, *carbon = rest
    return Savings(
        actions=actions,
        realised_actions=realised,
        realised_bytes=int(size_bytes),
        realised_usd=Decimal(usd),
        realised_kgco2e=_range(carbon[:3]),
        saved_usd=Decimal(saved),
        saved_kgco2e=_range(carbon[3:]),
        waiting_actions=waiting,
        waiting_bytes=int(waiting_bytes),
        waiting_usd=Decimal(waiting_usd),
        planned_usd=Decimal(planned),
        fees_usd=Decimal(fees),
        unknown_savings=unknown,
    )


def _range(bounds: Sequence[float | None]) -> Range | None:
    """Bounds in order: what costs more since has them the other way round."""
    if any(bound is None for bound in bounds):
        return None
    low, central, high = sorted(float(bound or 0) for bound in bounds)
    return Range(low=low, central=central, high=high)


def _run(row: Mapping[str, Any], savings: Mapping[str, Savings]) -> RunRow:
    from greendata.report.document import RunRow, Savings

    totals = _object(row["totals"])
    own = totals.get("own")
    counts = {
        name: int(totals.get(name) or 0)
        for name in ("actions", "done", "pending", "skipped", "failed")
    }
    return RunRow(
        run_id=row["run_id"],
        plan_id=row["plan_id"] or "",
        attempt=row["attempt"] or 1,
        state=row["state"] or "",
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        owner=row["owner"],
        own=own if isinstance(own, dict) else {},
        reasons={str(name): int(n) for name, n in _object(row["reasons"]).items()},
        savings=savings.get(row["run_id"], Savings()),
        **counts,
    )


def _object(text: str | None) -> dict[str, Any]:
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def _metered(rows: Sequence[RunRow], name: str) -> Range | None:
    """What the runs that were metered used themselves; None where none was."""
    found = [_bounds(row.own.get(name)) for row in rows]
    known = [bounds for bounds in found if bounds is not None]
    return sum(known[1:], known[0]) if known else None


def _bounds(value: Any) -> Range | None:
    """A quantity as ``metering.OwnFootprint.as_dict`` writes it."""
    if not isinstance(value, dict):
        return None
    return _range([float(value[bound]) for bound in ("low", "central", "high")])


def _metered_usd(rows: Sequence[RunRow]) -> Decimal | None:
    costs = [row.own.get("cost_usd") for row in rows]
    found = [Decimal(str(cost["central"])) for cost in costs if isinstance(cost, dict)]
    return sum(found, Decimal(0)) if found else None
