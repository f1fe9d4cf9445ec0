"""What the actions and decisions of a built plan come to, for its document."""

from __future__ import annotations

import json
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from greendata.footprint.prices import DAYS_A_MONTH
from greendata.plan.actions import KEPT_DAYS, MOVED_DAYS, REFUSALS
from greendata.plan.document import (
    Bounds,
    ClassChange,
    Exceeded,
    Limits,
    PolicyTotals,
    PrefixTotals,
    Several,
    Stays,
    Totals,
)
from greendata.plan.guards import exceeded_limits
from greendata.policy.columns import IF_MODIFIED
from greendata.policy.tiers import RESTORE_HOURS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.config import LimitSettings
    from greendata.plan.build import BuiltPlan
    from greendata.policy.document import LoadedPolicy

TOP_PREFIXES = 10

ASSUMPTIONS = (
    "USD are list prices, of the first band; no discounts, taxes or requests of the program's own.",
    "Reads are expected as they were in the last 30 days; where nothing tells, none are.",
    f"What a tier or recompress action replaces is billed for {KEPT_DAYS} more days.",
    f"The source of a move is billed for {MOVED_DAYS} more days.",
    "Money and carbon of what is quarantined or expired are saved from its purge on.",
    "A tier action claims money, not carbon; a relocation only where grids surely differ.",
)

# the sum of DOUBLE depends on the order of rows, that of DECIMAL does not
_SUMS = ", ".join(
    f"sum(CAST({name}_{bound} AS DECIMAL(38, 9)))::VARCHAR, count({name}_{bound})"
    for name in ("kwh", "kg")
    for bound in ("low", "central", "high")
)
_TOTALS = (
    "count(*), count(DISTINCT number), coalesce(sum(size_bytes), 0)::HUGEINT::VARCHAR,"
    " coalesce(sum(fees), 0), coalesce(sum(saving), 0), count(*) FILTER (saving IS NULL),"
    " count(*) FILTER (reversibility = 'reversible'), count(*) FILTER (reversibility = 'costly'),"
    " count(*) FILTER (reversibility = 'irreversible'),"
    " coalesce(sum(size_bytes) FILTER (reversibility = 'irreversible'), 0)::HUGEINT::VARCHAR,"
    f" count(*) FILTER (is_hold_unknown), {_SUMS}"
)
_ROWS = "FROM plan_priced WHERE refusal IS NULL"
_PREFIX = "regexp_extract(uri, '^[a-z0-9]+://[^/]*/(?:[^/]*/){0,2}')"


def policy_totals(connection: DuckDBPyConnection, built: BuiltPlan) -> tuple[PolicyTotals, ...]:
    """Of every policy that acts, in the order in which they decide."""
    rows = connection.execute(f"SELECT policy, {_TOTALS} {_ROWS} GROUP BY policy").fetchall()
    found = {number: _totals(values) for number, *values in rows}
    changes = _class_changes(connection)
    return tuple(
        PolicyTotals(
            policy=entry.name,
            action=entry.action,
            priority=entry.model.priority,
            description=entry.model.description,
            withheld=built.withheld.get(entry.name),
            classes=tuple(changes.get(number, ())),
            takes_modified=_takes_modified(entry),
            totals=found.get(number, Totals()),
        )
        for number, entry in enumerate(built.compiled.policies)
        if entry.kind != "protect"
    )


def _takes_modified(entry: LoadedPolicy) -> bool:
    named = entry.condition.columns if entry.condition else frozenset()
    return entry.model.unknown_access == "modified" and bool(named & IF_MODIFIED.keys())


def _class_changes(connection: DuckDBPyConnection) -> dict[int, list[ClassChange]]:
    """Of each policy by number, the largest first."""
    rows = connection.execute(
        "SELECT policy, provider, from_::VARCHAR, to_::VARCHAR, count(*),"
        " coalesce(sum(size_bytes), 0)::HUGEINT::VARCHAR"
        " FROM (SELECT *, split_part(uri, '://', 1) AS provider"
        f" {_ROWS} AND kind = 'tier') GROUP BY ALL"
    ).fetchall()
    sums: dict[tuple[int, str | None, str, int | None], list[int]] = {}
    for policy, provider, was, will, objects, size_bytes in rows:
        to = json.loads(will)
        hours = RESTORE_HOURS.get((provider, to["tier"]))
        key = policy, json.loads(was)["storage_class"], to["storage_class"], hours
        total = sums.setdefault(key, [0, 0])
        total[0] += objects
        total[1] += int(size_bytes)
    found: dict[int, list[ClassChange]] = {}
    order = sorted(sums.items(), key=lambda item: (-item[1][1], str(item[0])))
    for (policy, from_class, to_class, hours), (objects, size_bytes) in order:
        change = ClassChange(
            from_class=from_class,
            to_class=to_class,
            objects=objects,
            size_bytes=size_bytes,
            restore_hours=hours,
        )
        found.setdefault(policy, []).append(change)
    return found


def all_totals(connection: DuckDBPyConnection) -> Totals:
    """Of the whole plan."""
    (values,) = connection.execute(f"SELECT {_TOTALS} {_ROWS}").fetchall()
    return _totals(list(values))


def prefix_totals(connection: DuckDBPyConnection, built: BuiltPlan) -> tuple[PrefixTotals, ...]:
    """The folders, two deep, with the most bytes to act on."""
    largest = (
        f"SELECT {_PREFIX} AS prefix, policy {_ROWS} GROUP BY ALL"
        f" ORDER BY coalesce(sum(size_bytes), 0) DESC, prefix, policy LIMIT {TOP_PREFIXES}"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE plan_largest AS {largest}")
    # one that begins with it may still lie in a deeper folder: a prefix may end before the second
    rows = connection.execute(
        f"SELECT x.prefix, x.policy, {_TOTALS} FROM (SELECT p.*, l.prefix FROM plan_priced p"
        " JOIN plan_largest l ON l.policy = p.policy AND starts_with(p.uri, l.prefix)"
        f" WHERE p.refusal IS NULL AND {_PREFIX} = l.prefix) x GROUP BY ALL"
        " ORDER BY coalesce(sum(size_bytes), 0) DESC, prefix, policy"
    ).fetchall()
    return tuple(
        PrefixTotals(
            prefix=prefix,
            policy=built.compiled.policies[number].name,
            totals=_totals(values),
        )
        for prefix, number, *values in rows
    )


def stays(connection: DuckDBPyConnection) -> tuple[Stays, ...]:
    """Why objects stay, the commonest reasons first."""
    rows = connection.execute(
        "SELECT policy::VARCHAR, reason::VARCHAR, because::VARCHAR, sum(objects)::BIGINT,"
        " sum(size_bytes)::HUGEINT::VARCHAR, min(example) FROM ("
        "  SELECT why, count(*) AS objects, coalesce(sum(size_bytes), 0) AS size_bytes,"
        "  min(uri) AS example FROM plan_stays_rows GROUP BY why)"
        " JOIN plan_whys USING (why) GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3"
    ).fetchall()
    return tuple(
        Stays(
            policy=policy,
            reason=reason,
            because=because,
            is_refused=reason in REFUSALS or reason not in ("condition", "unknown", "unchanged"),
            objects=objects,
            size_bytes=int(size_bytes),
            example_uri=example,
        )
        for policy, reason, because, objects, size_bytes, example in rows
    )


def several(connection: DuckDBPyConnection) -> Several | None:
    """Of what is to be quarantined in favour of more than one object."""
    ((actions, most),) = connection.execute(
        "SELECT count(*), max(len(s.survivors)) FROM plan_survivors s"
        f" JOIN (SELECT number {_ROWS} AND kind = 'quarantine') p USING (number)"
        " WHERE len(s.survivors) > 1"
    ).fetchall()
    return Several(actions=actions, most=most) if actions else None


def limits(found: LimitSettings, totals: Totals, scope_objects: int) -> Limits:
    """The limits with those that the plan is beyond."""
    exceeded = exceeded_limits(found, totals.objects, totals.size_bytes, scope_objects)
    return Limits(
        max_objects=found.max_objects,
        max_bytes=found.max_bytes,
        max_percent=found.max_percent,
        exceeded=tuple(Exceeded(limit=name, words=words) for name, words in exceeded.items()),
    )


def _totals(values: list[Any]) -> Totals:
    actions, objects, size_bytes, fees, saving, unknown, *rest = values
    reversible, costly, irreversible, irreversible_bytes, held, *sums = rest
    return Totals(
        actions=actions,
        objects=objects,
        size_bytes=int(size_bytes),
        fees_usd=Decimal(fees),
        monthly_saving_usd=Decimal(saving),
        payback_days=_payback(Decimal(fees), Decimal(saving)),
        unknown_savings=unknown,
        energy_kwh=_bounds(sums[:6], actions),
        carbon_kgco2e=_bounds(sums[6:], actions),
        reversible=reversible,
        costly=costly,
        irreversible=irreversible,
        irreversible_bytes=int(irreversible_bytes),
        checked_at_apply=held,
    )


def _payback(fees: Decimal, saving: Decimal) -> int | None:
    if saving >= 0 and fees == 0:
        return 0
    if saving <= 0:
        return None
    return int((fees * DAYS_A_MONTH / saving).to_integral_value(ROUND_CEILING))


def _bounds(sums: list[Any], actions: int) -> Bounds | None:
    """None where it is not known of one action or more."""
    if any(count < actions for count in sums[1::2]):
        return None
    low, central, high = (float(value or 0) for value in sums[::2])
    return Bounds(low=low, central=central, high=high)
