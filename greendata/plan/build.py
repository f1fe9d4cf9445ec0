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
from greendata.plan.actions import DECISIONS, KINDS, REFUSALS
from greendata.plan.guards import Amounts, broken_guard
from greendata.plan.places import Place, create_claims, create_targets
from greendata.plan.pricing import carried_columns, judged_sql
from greendata.plan.survivors import create_no_survivors, create_survivors
from greendata.policy.evaluate import CompiledPolicies, compile_policies, refuse_errors
from greendata.policy.verdicts import quoted

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
    return compile_policies(policies, around, carry=carried_columns(kinds), source=source)


def build_plan(connection: DuckDBPyConnection, inputs: PlanInputs) -> BuiltPlan:
    """Make the tables and views of a plan over ``inventory``.

    With policies that quarantine, ``plan_contents`` and ``plan_texts`` must be there.

    Raises:
        PolicyError: policies contradict each other on an object, or one wants an error where
            reads are unknown.
    """
    compiled = compile_for_plan(inputs.policies, inputs.around)
    _decide(connection, inputs, compiled.columns)
    create_view(
        connection,
        "plan_errors",
        "SELECT uri, conflict, access_error FROM plan_decided"
        " WHERE conflict IS NOT NULL OR access_error IS NOT NULL",
    )
    refuse_errors(connection, compiled, "plan_errors")
    # what follows is about few objects of many, and joins them by number
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_acting AS SELECT rowid AS number, *"
        " FROM plan_decided WHERE is_decided"
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
    _create_results(connection, compiled, inputs.basis)
    (row,) = connection.execute("SELECT count(*) FROM plan_decided").fetchall()
    return BuiltPlan(compiled=compiled, scope_objects=row[0], withheld=withheld)


def _decide(connection: DuckDBPyConnection, inputs: PlanInputs, columns: Sequence[str]) -> None:
    """Table ``plan_decided`` of all objects in scope.

    The view's columns are materialised before: DuckDB would push the policies' conditions into the
    view, and compute its expressions once for each of them (3.9 against 2.1 CPU seconds a million).
    """
    listed = ", ".join(f'"{name}"' for name in columns)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE plan_inventory AS SELECT {listed} FROM inventory"
    )
    compiled = compile_for_plan(inputs.policies, inputs.around, source="plan_inventory")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE plan_decided AS {compiled.sql}")
    connection.execute("DROP TABLE plan_inventory")


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
    queries = []
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
    empty = "SELECT * FROM (" + judged_sql("hold", "hold_policy") + ") WHERE false"
    if not queries:
        connection.execute("ALTER TABLE plan_acting ADD COLUMN hold_policy INTEGER")
    text = " UNION ALL ".join(queries) or empty
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_priced AS SELECT *,"
        f" NULL::VARCHAR AS guard FROM ({text})"
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
    scopes = _scope_objects(connection, compiled, numbers)
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


def _scope_objects(
    connection: DuckDBPyConnection, compiled: CompiledPolicies, numbers: Sequence[int]
) -> dict[int, int]:
    """How many objects these policies are about."""
    if not numbers:
        return {}
    counts = ", ".join(f"count(*) FILTER (w{number} <> 0)" for number in numbers)
    (row,) = connection.execute(f"SELECT {counts} FROM ({compiled.permitted_sql})").fetchall()
    return dict(zip(numbers, row, strict=True))


def _create_results(connection: DuckDBPyConnection, compiled: CompiledPolicies, basis: str) -> None:
    reasons = [
        {"code": code, "number": number, "policy": r.policy, "reason": r.reason,
         "because": r.because}
        for code, number, r in compiled.reasons()
    ]  # fmt: skip
    schema = pa.schema(
        [("code", pa.int32()), ("number", pa.int32())]
        + [(name, pa.string()) for name in ("policy", "reason", "because")]
    )
    create_table(connection, "plan_reasons", pa.Table.from_pylist(reasons, schema=schema))
    words = [{"word": word, "because": because} for word, because in REFUSALS.items()]
    create_table(connection, "plan_refusals", pa.Table.from_pylist(words))
    texts = [
        {"number": number, "text": _condition_text(compiled, number)}
        for number in range(len(compiled.policies))
    ]
    create_table(
        connection,
        "plan_conditions",
        pa.Table.from_pylist(
            texts, schema=pa.schema([("number", pa.int32()), ("text", pa.string())])
        ),
    )
    create_view(connection, "plan_actions_rows", _actions_sql(basis))
    create_view(connection, "plan_stays_rows", _decisions_sql())
    create_view(
        connection,
        "plan_actions",
        "SELECT * FROM plan_actions_rows ORDER BY store_id, uri, version_id NULLS FIRST,"
        f' list_position({list(KINDS)}, kind), "to"',
    )
    create_view(
        connection,
        "plan_decisions",
        f"SELECT {', '.join(DECISIONS.names)} FROM plan_stays_rows"
        " ORDER BY store_id, uri, version_id NULLS FIRST",
    )


def _condition_text(compiled: CompiledPolicies, number: int) -> str:
    condition = compiled.policies[number].condition
    return " and ".join(part.text for part in condition.conjuncts) if condition else "all in scope"


def _actions_sql(basis: str) -> str:
    """Ids are digests of what identifies an action; the separator is in no URI."""
    identity = (
        "concat_ws(chr(10), d.store_id, d.uri, coalesce(d.version_id, ''), coalesce(d.etag, ''),"
        " p.kind, p.to_)"
    )
    together = (
        "CASE WHEN p.group_text IS NOT NULL"
        f" THEN substr(sha256('{basis}' || p.kind || chr(10) || p.policy || chr(10)"
        " || p.group_text), 1, 32) END"
    )
    return (
        "SELECT action_id, coalesce(together, action_id) AS group_id, * EXCLUDE (action_id,"
        " together) FROM (SELECT"
        f" substr(sha256('{basis}' || {identity}), 1, 32) AS action_id, {together} AS together,"
        " p.kind, d.uri, d.store_id, d.version_id, d.etag, d.size_bytes,"
        " json_object('storage_class', d.storage_class, 'tier', d.tier, 'region', d.region,"
        " 'is_latest', d.is_latest)"
        '::VARCHAR AS from_, p.to_::VARCHAR AS "to", n.name AS policy, c.text AS reason,'
        " s.survivor_uri, s.survivor_store_id, s.survivor_version_id, s.survivor_etag,"
        " s.survivor_basis, p.fees AS fees_usd, p.saving AS monthly_saving_usd,"
        " p.payback AS payback_days, p.kwh_low AS energy_kwh_low,"
        " p.kwh_central AS energy_kwh_central, p.kwh_high AS energy_kwh_high,"
        " p.kg_low AS carbon_kgco2e_low, p.kg_central AS carbon_kgco2e_central,"
        " p.kg_high AS carbon_kgco2e_high, p.reversibility,"
        " d.is_hold_unknown AS is_hold_checked_at_apply"
        " FROM plan_priced p JOIN plan_acting d ON d.number = p.number"
        " JOIN plan_policies n ON n.number = p.policy"
        " JOIN plan_conditions c ON c.number = p.policy"
        " LEFT JOIN plan_survivors s ON p.kind = 'quarantine' AND s.number = p.number"
        " WHERE p.refusal IS NULL)"
    )


def _decisions_sql() -> str:
    """Objects that no policy decided, and those all of whose actions are refused.

    Of several refused actions of an object the first tells; ``size_bytes`` is for the summary.
    """
    refused = (
        "SELECT d.uri, d.store_id, d.version_id, n.name AS policy, f.told.refusal AS reason,"
        " concat_ws(': ', w.because, f.told.detail) AS because, d.size_bytes"
        " FROM (SELECT number, arg_min({'refusal': refusal, 'policy': policy, 'detail':"
        " CASE WHEN refusal = 'guard' THEN guard ELSE detail END},"
        f" list_position({list(KINDS)}, kind) * 1000 + policy) AS told"
        " FROM plan_priced GROUP BY number HAVING bool_and(refusal IS NOT NULL)) f"
        " JOIN plan_acting d ON d.number = f.number"
        " JOIN plan_policies n ON n.number = f.told.policy"
        " JOIN plan_refusals w ON w.word = f.told.refusal"
    )
    return (
        "SELECT d.uri, d.store_id, d.version_id, r.policy, r.reason, r.because, d.size_bytes"
        " FROM plan_decided d"
        " JOIN plan_reasons r ON r.code = d.stays_code AND r.number = d.stays_policy"
        f" WHERE NOT d.is_decided UNION ALL {refused}"
    )
