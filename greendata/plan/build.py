"""A plan from an inventory and policies: decided, priced, proved, guarded; all of it in SQL.

``build_plan`` leaves two views in the connection, ``plan_actions`` and ``plan_decisions``, with the
columns of ``actions.ACTIONS`` and ``actions.DECISIONS`` in their order, and returns what they come
to. It depends on its inputs alone: neither on the order of rows nor on the number of threads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.catalog.queries import create_table, create_view
from greendata.config import LimitSettings
from greendata.plan.guards import Amounts, broken_guard
from greendata.plan.places import Place, create_claims, create_targets
from greendata.plan.pricing import carried_columns, judged_sql
from greendata.plan.results import create_results, enumeration
from greendata.plan.survivors import create_no_survivors, create_survivors
from greendata.policy.evaluate import CompiledPolicies, compile_policies, refuse_errors
from greendata.policy.verdicts import Refusal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.policy.document import PolicySet
    from greendata.policy.evaluate import Slot
    from greendata.policy.verdicts import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTables:
    """``rates``, ``transitions`` and ``transfers`` of ``footprint.columns``, and
    ``tag_rents`` (``provider, region, usd_per_tag_month``)."""

    rates: pa.Table
    transitions: pa.Table
    transfers: pa.Table
    tag_rents: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInputs:
    """All that a plan depends on besides the inventory itself.

    Attributes:
        policies: as ``compile_for_plan`` was given them.
        around: what their verdicts depend on.
        snapshot: ids of the refreshes that the inventory is made of.
        model_version: of prices and coefficients.
        places: buckets that a relocation may go to.
        manifests: datasets whose objects switch as one, by a manifest.
    """

    policies: PolicySet
    around: Surroundings
    prices: PriceTables
    snapshot: tuple[str, ...]
    model_version: str
    places: tuple[Place, ...] = ()
    manifests: tuple[str, ...] = ()
    limits: LimitSettings = field(default_factory=LimitSettings)

    @property
    def as_of(self) -> datetime:
        """Ages and prices are of this moment."""
        return self.around.as_of

    @property
    def basis(self) -> str:
        """Digest of everything but the objects."""
        text = json.dumps(
            {
                "as_of": self.as_of.isoformat(),
                "policies": self.policies.digest,
                "snapshot": sorted(self.snapshot),
                "model_version": self.model_version,
            },
            sort_keys=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPlan:
    """``scope_objects`` are all that any acting policy is about; ``withheld`` policies by name."""

    compiled: CompiledPolicies
    scope_objects: int
    withheld: Mapping[str, str]


def compile_for_plan(
    policies: PolicySet, around: Surroundings, source: str = "inventory"
) -> CompiledPolicies:
    """The query of the policies with what pricing needs besides; its ``columns`` must be there."""
    kinds = [entry.kind for entry in policies.policies if entry.kind != "protect"]
    return compile_policies(
        policies, around, carry=carried_columns(kinds), source=source, all_objects=True
    )


def build_plan(connection: DuckDBPyConnection, inputs: PlanInputs) -> BuiltPlan:
    """Make the tables and views of a plan over ``inventory``.

    With policies that quarantine, ``plan_contents`` and ``plan_texts`` must be there.

    Raises:
        PolicyError: policies contradict each other on an object, or one wants an error where
            reads are unknown.
    """
    compiled = compile_for_plan(inputs.policies, inputs.around)
    _decide(connection, inputs, compiled)
    create_view(
        connection,
        "plan_errors",
        "SELECT uri, conflict, access_error FROM plan_decided"
        " WHERE conflict IS NOT NULL OR access_error IS NOT NULL",
    )
    refuse_errors(connection, compiled, "plan_errors")
    # what follows is about few objects of many, and joins them by number
    create_view(
        connection,
        "plan_acting",
        "SELECT rowid AS number, * FROM plan_decided WHERE is_decided",
    )
    _create_inputs(connection, inputs, compiled)
    kinds = {slot.kind for slot in compiled.slots}
    if "quarantine" in kinds:
        create_survivors(connection, tuple(sorted(kinds)), inputs.around.areas)
    else:
        create_no_survivors(connection)
    if "relocate" in kinds:
        create_targets(connection, inputs.places)
        create_claims(connection)
    _create_priced(connection, compiled, inputs)
    _refuse_groups(connection)
    withheld = _withhold(connection, compiled)
    create_results(connection, compiled, inputs.basis)
    (row,) = connection.execute("SELECT count(*) FROM plan_decided").fetchall()
    return BuiltPlan(compiled=compiled, scope_objects=row[0], withheld=withheld)


def _decide(connection: DuckDBPyConnection, inputs: PlanInputs, compiled: CompiledPolicies) -> None:
    """Table ``plan_decided`` of all objects in scope; of those that stay, what the plan tells."""
    if compiled.is_source_read_twice:
        listed = ", ".join(f'"{name}"' for name in compiled.columns)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE plan_inventory AS SELECT {listed} FROM inventory"
        )
        text = compile_for_plan(inputs.policies, inputs.around, source="plan_inventory").sql
    else:
        text = compiled.sql
    kinds = [slot.kind for slot in compiled.slots]
    acted = [name for name in carried_columns(kinds) if name != "size_bytes"]
    wanted = {"pinned_by": f"stays_code = {int(Refusal.PINNED)}"}
    kept = ", ".join(
        f'CASE WHEN {wanted.get(name, "is_decided")} THEN "{name}" END AS "{name}"'
        for name in acted
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE plan_decided AS SELECT * REPLACE ({kept}) FROM ({text})"
    )
    connection.execute("DROP TABLE IF EXISTS plan_inventory")
    connection.execute("DELETE FROM plan_decided WHERE NOT is_in_scope")


_VALUES = ("grace_days", "allow", "min_jaccard", "mode", "profile", "min_saving",
           "allow_window", "days")  # fmt: skip
"""Of actions, as policies name them."""

_POLICIES = pa.schema(
    [
        ("number", pa.int32()),
        ("name", pa.string()),
        ("tier", pa.string()),
        ("grace_days", pa.int64()),
        ("allow", pa.string()),
        ("min_jaccard", pa.float64()),
        ("mode", pa.string()),
        ("region", pa.string()),  # of a relocation; null is the training region
        ("profile", pa.string()),
        ("min_saving", pa.float64()),
        ("allow_window", pa.bool_()),
        ("days", pa.int64()),
        ("max_payback_days", pa.int64()),
    ]
)


def _create_inputs(
    connection: DuckDBPyConnection, inputs: PlanInputs, compiled: CompiledPolicies
) -> None:
    rows = []
    for number, entry in enumerate(compiled.policies):
        value = entry.value
        to = getattr(value, "to", None)
        rows.append(
            {
                "number": number,
                "name": entry.name,
                "tier": value if entry.kind == "tier" else None,
                "region": None if to == "training_region" else to,
                "max_payback_days": entry.model.guard.max_payback_days,
            }
            | {name: getattr(value, name, None) for name in _VALUES}
        )
    create_table(connection, "plan_policies", pa.Table.from_pylist(rows, schema=_POLICIES))
    create_table(connection, "plan_rates", inputs.prices.rates)
    create_table(connection, "plan_transitions", inputs.prices.transitions)
    create_table(connection, "plan_transfers", inputs.prices.transfers)
    create_table(connection, "plan_tag_rents", inputs.prices.tag_rents)


def _create_priced(
    connection: DuckDBPyConnection, compiled: CompiledPolicies, inputs: PlanInputs
) -> None:
    """Table ``plan_priced``: every decided action with its price, or why it is refused."""
    _create_places_now(connection)
    # the first gives the columns where no policy acts
    queries = [f"FROM ({judged_sql('hold', 'stays_policy')}) WHERE false"]
    for slot in compiled.slots:
        names = [quoted(name) for name in sorted(inputs.manifests)]
        is_grouped = slot.kind in ("recompress", "relocate") and names
        manifests = f"CASE WHEN d.dataset IN ({', '.join(names)}) THEN d.dataset END"
        queries.append(
            judged_sql(
                slot.kind,
                slot.column,
                to=_tag_json(compiled, slot) if slot.kind == "tag" else None,
                manifests=manifests if is_grouped else "NULL",
            )
        )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_priced AS SELECT *,"
        f" NULL::VARCHAR AS guard FROM ({' UNION ALL '.join(queries)})"
    )


def _create_places_now(connection: DuckDBPyConnection) -> None:
    """``plan_froms``: class, tier, region and place among versions of objects, with their text."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_froms_texts AS SELECT *, json_object("
        "'storage_class', storage_class, 'tier', tier, 'region', region, 'is_latest', is_latest"
        ")::VARCHAR AS text"
        " FROM (SELECT DISTINCT storage_class, tier, region, is_latest FROM plan_acting)"
    )
    texts = connection.execute("SELECT text FROM plan_froms_texts ORDER BY text").fetchall()
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_froms AS SELECT storage_class, tier, region, is_latest,"
        f" text::{enumeration(text for (text,) in texts)} AS from_ FROM plan_froms_texts"
    )


def _tag_json(compiled: CompiledPolicies, slot: Slot) -> str:
    """SQL of the tag that each policy sets in this slot, as JSON."""
    name = slot.name.removeprefix("tag ")
    cases = [
        f"WHEN {number} THEN {quoted(_tag(name, compiled.policies[number].value[name]))}"
        for number in slot.policies
    ]
    return f"CASE d.{slot.column} {' '.join(cases)} END"


def _tag(name: str, value: str) -> str:
    return json.dumps({"tag": {name: value}}, ensure_ascii=False)


def _refuse_groups(connection: DuckDBPyConnection) -> None:
    """A group of which one action is refused does not go at all."""
    connection.execute(
        "UPDATE plan_priced p SET refusal = 'group' FROM ("
        " SELECT kind, policy, group_text FROM plan_priced"
        " WHERE group_text IS NOT NULL AND refusal IS NOT NULL GROUP BY ALL) g"
        " WHERE p.refusal IS NULL AND p.kind = g.kind AND p.policy = g.policy"
        " AND p.group_text = g.group_text"
    )


def _withhold(connection: DuckDBPyConnection, compiled: CompiledPolicies) -> dict[str, str]:
    """Refuse all actions of policies that go beyond a guard of theirs; which ones, in words."""
    numbers = [
        number
        for number, entry in enumerate(compiled.policies)
        if entry.kind != "protect" and entry.model.guard.max_percent is not None
    ]
    scopes = _scope_objects(connection, numbers)
    found = {}
    for number, amounts in _amounts(connection):
        entry = compiled.policies[number]
        words = broken_guard(entry, amounts, scopes.get(number))
        if words is not None:
            found[entry.name] = words
            connection.execute(
                "UPDATE plan_priced SET refusal = 'guard', guard = $1"
                " WHERE policy = $2 AND refusal IS NULL",
                [words, number],
            )
    return found


def _amounts(connection: DuckDBPyConnection) -> Iterable[tuple[int, Amounts]]:
    # sums of DOUBLE depend on the order of rows, those of DECIMAL do not
    rows = connection.execute(
        "SELECT policy, count(DISTINCT number), coalesce(sum(size_bytes), 0)::HUGEINT::VARCHAR,"
        " coalesce(sum(fees), 0), coalesce(sum(saving), 0),"
        " coalesce(sum(CAST(greatest(0, -kg_low) AS DECIMAL(38, 9))), 0)"
        " FROM plan_priced WHERE refusal IS NULL GROUP BY policy ORDER BY policy"
    ).fetchall()
    for policy, objects, size_bytes, fees, saving, added in rows:
        yield (
            policy,
            Amounts(
                objects=objects,
                size_bytes=int(size_bytes),
                fees_usd=Decimal(fees),
                monthly_saving_usd=Decimal(saving),
                added_kgco2e=float(added),
            ),
        )


def _scope_objects(connection: DuckDBPyConnection, numbers: Sequence[int]) -> dict[int, int]:
    """How many objects these policies are about."""
    if not numbers:
        return {}
    counts = ", ".join(f"count(*) FILTER (is_in_scope_{number})" for number in numbers)
    (row,) = connection.execute(f"SELECT {counts} FROM plan_decided").fetchall()
    return dict(zip(numbers, row, strict=True))
