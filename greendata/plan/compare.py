"""The difference between two plans that were made on the same inventory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from greendata.errors import PlanError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.plan.document import PlanDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDifference:
    """Of one policy: the new plan's figures less the other's."""

    policy: str
    added: int
    removed: int
    changed: int
    size_bytes: int
    fees_usd: Decimal
    monthly_saving_usd: Decimal
    irreversible: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Actions by object, kind and parameters; ``changed`` are those of another policy or price."""

    plan_id: str
    against_id: str
    added: int
    removed: int
    changed: int
    same: int
    policies: tuple[PolicyDifference, ...]


def refuse_other_inventories(plan: PlanDocument, against: PlanDocument) -> None:
    """Plans on different inventories differ by what was stored, not by what policies say.

    Raises:
        PlanError: they are on different ones.
    """
    own, other = ({e.scan_id for e in document.inventory} for document in (plan, against))
    if own != other:
        raise PlanError(
            "the two plans are on different inventories"
            f" ({plan.inventory_as_of:%Y-%m-%d %H:%M}"
            f" and {against.inventory_as_of:%Y-%m-%d %H:%M})",
            hint="Plan both sets of policies again, with the same catalog.",
        )


_IDENTITY = ("store_id", "uri", "version_id", "kind", '"to"')


def compare_plans(
    connection: DuckDBPyConnection,
    plan: tuple[PlanDocument, str],
    against: tuple[PlanDocument, str],
) -> Difference:
    """``plan`` and ``against`` are documents with the paths of their tables of actions."""
    refuse_other_inventories(plan[0], against[0])
    same = " AND ".join(f"n.{name} IS NOT DISTINCT FROM o.{name}" for name in _IDENTITY)
    equal = " AND ".join(
        f"n.{name} IS NOT DISTINCT FROM o.{name}"
        for name in ("policy", "etag", "fees_usd", "monthly_saving_usd", "survivors")
    )
    query = (
        "SELECT coalesce(n.policy, o.policy) AS policy, count(*) FILTER (o.uri IS NULL),"
        " count(*) FILTER (n.uri IS NULL),"
        f" count(*) FILTER (n.uri IS NOT NULL AND o.uri IS NOT NULL AND NOT ({equal})),"
        f" count(*) FILTER (n.uri IS NOT NULL AND o.uri IS NOT NULL AND {equal}),"
        + ", ".join(
            f"(coalesce(sum(n.{name}) FILTER (o.uri IS NULL OR NOT ({equal})), 0)"
            f" - coalesce(sum(o.{name}) FILTER (n.uri IS NULL OR NOT ({equal})), 0))::VARCHAR"
            for name in ("size_bytes", "fees_usd", "monthly_saving_usd")
        )
        + ", count(*) FILTER (n.reversibility = 'irreversible')"
        " - count(*) FILTER (o.reversibility = 'irreversible')"
        " FROM read_parquet($1) n FULL JOIN read_parquet($2) o ON "
        + same
        + " GROUP BY 1 ORDER BY 1"
    )
    rows = connection.execute(query, [plan[1], against[1]]).fetchall()
    return Difference(
        plan_id=plan[0].plan_id,
        against_id=against[0].plan_id,
        added=_sum(rows, 1),
        removed=_sum(rows, 2),
        changed=_sum(rows, 3),
        same=_sum(rows, 4),
        policies=tuple(
            PolicyDifference(
                policy=policy,
                added=added,
                removed=removed,
                changed=changed,
                size_bytes=int(size_bytes),
                fees_usd=Decimal(fees),
                monthly_saving_usd=Decimal(saving),
                irreversible=irreversible,
            )
            for policy, added, removed, changed, _, size_bytes, fees, saving, irreversible in rows
            if added or removed or changed
        ),
    )


def _sum(rows: Sequence[tuple[int, ...]], place: int) -> int:
    return sum(row[place] for row in rows)
