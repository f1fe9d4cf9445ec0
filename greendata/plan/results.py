"""The tables of a built plan: its actions, and the reasons of all objects that stay.

Words of which there are few (reasons, policies, classes) are enumerations: the sort carries a byte
of each instead of the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from greendata.catalog.queries import create_table, create_view
from greendata.plan.actions import ACTIONS, DECISIONS, KINDS, REFUSALS
from greendata.policy.verdicts import PINNABLE, Refusal, quoted
from greendata.policy.verdicts import REFUSALS as VERDICTS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.policy.evaluate import CompiledPolicies

CODES = 256
"""A policy's number takes one byte below the code of a reason."""

_REFUSED = 2**20  # above all codes of reasons
_PINNED = 2**40  # above all that are refused
_ORDER = "uri, version_id NULLS FIRST"  # in a store; a key that is always the same costs, too


def enumeration(words: Iterable[str]) -> str:
    """The SQL type of a column that holds these words, in their order, or NULL."""
    found = ", ".join(quoted(word) for word in dict.fromkeys(words))
    return f"ENUM({found})" if found else "VARCHAR"


def create_results(connection: DuckDBPyConnection, compiled: CompiledPolicies, basis: str) -> None:
    """Views ``plan_actions``, ``plan_decisions`` and ``plan_stays_rows``.

    From ``plan_decided``, ``plan_priced`` and ``plan_survivors``; what only these needed goes.
    """
    _create_names(connection, compiled)
    _create_refused(connection)
    is_pinned = _create_pinned(connection, compiled)
    _create_whys(connection, compiled)
    stores = connection.execute("SELECT DISTINCT store_id FROM plan_decided ORDER BY 1").fetchall()
    store = enumeration(store_id for (store_id,) in stores)
    order = _ORDER if len(stores) == 1 else f"store_id, {_ORDER}"
    create_view(
        connection,
        "plan_actions",
        f"SELECT {_as_texts(ACTIONS)} FROM ({_actions_sql(basis, store, order)})",
    )
    _let_go(connection, is_pinned=is_pinned)
    why = f"d.stays_code * {CODES} + d.stays_policy"
    pinned = "plan_decided d"
    if is_pinned:
        why = f"coalesce(b.why, {why})"
        pinned += " LEFT JOIN plan_pinned b ON b.policy = d.stays_policy AND b.run_id = d.pinned_by"
    create_view(
        connection,
        "plan_stays_rows",
        f"SELECT d.uri, d.store_id::{store} AS store_id, d.version_id, d.size_bytes,"
        f" {why} AS why FROM {pinned} WHERE NOT d.is_decided"
        f" UNION ALL SELECT d.uri, d.store_id::{store}, d.version_id, d.size_bytes, f.why"
        " FROM plan_refused f JOIN plan_decided d ON d.rowid = f.number",
    )
    create_view(
        connection,
        "plan_decisions",
        f"SELECT {_as_texts(DECISIONS)} FROM (SELECT {', '.join(DECISIONS.names)}"
        f" FROM plan_stays_rows s JOIN plan_whys w ON w.why = s.why ORDER BY {order})",
    )


def _let_go(connection: DuckDBPyConnection, *, is_pinned: bool) -> None:
    """Keep what the reasons in ``plan_decided`` need: the rest is a third of it and would spill."""
    kept = {"uri", "store_id", "version_id", "size_bytes", "is_decided", "stays_code"}
    kept |= {"stays_policy"} | ({"pinned_by"} if is_pinned else set())
    connection.execute("DROP VIEW plan_acting")
    for name, *_ in connection.execute("DESCRIBE plan_decided").fetchall():
        if name not in kept:
            connection.execute(f'ALTER TABLE plan_decided DROP COLUMN "{name}"')


def _as_texts(schema: pa.Schema) -> str:
    """The columns of a sorted query: DuckDB writes enumerations in different bytes each time."""
    return ", ".join(
        f'"{field.name}"::VARCHAR AS "{field.name}"'
        if pa.types.is_string(field.type)
        else f'"{field.name}"'
        for field in schema
    )


def _create_names(connection: DuckDBPyConnection, compiled: CompiledPolicies) -> None:
    """``plan_names``: of each policy its name and its condition."""
    rows: list[dict[str, Any]] = [
        {"number": number, "policy": entry.name, "reason": _condition_text(compiled, number)}
        for number, entry in enumerate(compiled.policies)
    ]
    schema = pa.schema([("number", pa.int32()), ("policy", pa.string()), ("reason", pa.string())])
    create_table(connection, "plan_names_texts", pa.Table.from_pylist(rows, schema=schema))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_names AS SELECT number,"
        f" policy::{enumeration(row['policy'] for row in rows)} AS policy,"
        f" reason::{enumeration(row['reason'] for row in rows)} AS reason FROM plan_names_texts"
    )


def _condition_text(compiled: CompiledPolicies, number: int) -> str:
    condition = compiled.policies[number].condition
    return " and ".join(part.text for part in condition.conjuncts) if condition else "all in scope"


def _create_refused(connection: DuckDBPyConnection) -> None:
    """``plan_refused``: objects all of whose actions are refused, with ``why`` of the first.

    ``plan_refused_whys`` is what that may be: ``why, refusal, policy, detail``.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_refused_whys AS"
        f" SELECT {_REFUSED} + row_number() OVER (ORDER BY refusal, policy, detail) AS why, *"
        " FROM (SELECT DISTINCT refusal, policy,"
        " CASE WHEN refusal = 'guard' THEN guard ELSE detail END AS detail"
        " FROM plan_priced WHERE refusal IS NOT NULL)"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_refused AS"
        f" SELECT number, arg_min(why, (enum_code(kind)::INTEGER * {CODES} + policy)) AS why FROM ("
        "  SELECT p.number, p.kind, p.policy, w.why FROM plan_priced p"
        "  SEMI JOIN (SELECT number FROM plan_priced WHERE refusal IS NOT NULL) r"
        "  ON r.number = p.number"
        "  LEFT JOIN plan_refused_whys w ON w.refusal = p.refusal AND w.policy = p.policy"
        "  AND w.detail IS NOT DISTINCT FROM"
        "  CASE WHEN p.refusal = 'guard' THEN p.guard ELSE p.detail END)"
        " GROUP BY number HAVING bool_and(why IS NOT NULL)"
    )


def _create_pinned(connection: DuckDBPyConnection, compiled: CompiledPolicies) -> bool:
    """``plan_pinned`` (``why, policy, run_id``): runs in whose favour objects stay; if any."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_pinned (why BIGINT, policy INTEGER, run_id VARCHAR)"
    )
    if not any(slot.kind in PINNABLE for slot in compiled.slots):
        return False
    connection.execute(
        f"INSERT INTO plan_pinned SELECT {_PINNED}"
        " + row_number() OVER (ORDER BY stays_policy, pinned_by), *"
        " FROM (SELECT DISTINCT stays_policy, pinned_by FROM plan_decided"
        " WHERE pinned_by IS NOT NULL)"
    )
    (row,) = connection.execute("SELECT count(*) FROM plan_pinned").fetchall()
    return bool(row[0])


def _create_whys(connection: DuckDBPyConnection, compiled: CompiledPolicies) -> None:
    """``plan_whys``: every reason an object of this plan may stay for, by its number ``why``."""
    names = [entry.name for entry in compiled.policies]
    rows: list[dict[str, Any]] = [
        {"why": code * CODES + number, "policy": found.policy, "reason": found.reason,
         "because": found.because}
        for code, number, found in compiled.reasons()
    ]  # fmt: skip
    pinned = connection.execute("FROM plan_pinned ORDER BY why").fetchall()
    rows += [
        {"why": why, "policy": names[number], "reason": Refusal.PINNED.name.lower(),
         "because": f"{VERDICTS[Refusal.PINNED]} by run {run_id}"}
        for why, number, run_id in pinned
    ]  # fmt: skip
    refused = connection.execute("FROM plan_refused_whys ORDER BY why").fetchall()
    rows += [
        {"why": why, "policy": names[number], "reason": refusal,
         "because": ": ".join(filter(None, (REFUSALS[refusal], detail)))}
        for why, refusal, number, detail in refused
    ]  # fmt: skip
    schema = pa.schema(
        [("why", pa.int64()), *((name, pa.string()) for name in ("policy", "reason", "because"))]
    )
    create_table(connection, "plan_whys_texts", pa.Table.from_pylist(rows, schema=schema))
    typed = ", ".join(
        f"{name}::{enumeration(sorted(row[name] for row in rows))} AS {name}"
        for name in ("policy", "reason", "because")
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE plan_whys AS SELECT why, {typed} FROM plan_whys_texts"
    )


def _actions_sql(basis: str, store: str, order: str) -> str:
    """Ids are digests of what identifies an action; the separator is in no URI.

    They are taken after the sort, which then need not carry them. Only tags act more than once on
    an object.
    """
    among = "CASE WHEN p.kind = 'tag' THEN p.to_::VARCHAR END"
    identity = (
        f"concat('{basis}', store_id, chr(10), uri, chr(10), version_id, chr(10), etag,"
        ' chr(10), kind, chr(10), "to")'
    )
    together = (
        "CASE WHEN group_text IS NOT NULL"
        f" THEN substr(sha256('{basis}' || kind || chr(10) || policy || chr(10)"
        " || group_text), 1, 32) END"
    )
    return (
        "SELECT *, coalesce(together, action_id) AS group_id FROM (SELECT *,"
        f" substr(sha256({identity}), 1, 32) AS action_id, {together} AS together FROM (SELECT"
        f" p.kind, p.uri, p.store_id::{store} AS store_id, p.version_id, p.etag, p.size_bytes,"
        ' p.from_, p.to_::VARCHAR AS "to", n.policy, n.reason, p.group_text,'
        " s.survivors, s.survivor_basis, p.fees AS fees_usd, p.saving AS monthly_saving_usd,"
        " p.payback AS payback_days, p.kwh_low AS energy_kwh_low,"
        " p.kwh_central AS energy_kwh_central, p.kwh_high AS energy_kwh_high,"
        " p.kg_low AS carbon_kgco2e_low, p.kg_central AS carbon_kgco2e_central,"
        " p.kg_high AS carbon_kgco2e_high, p.reversibility,"
        " p.is_hold_unknown AS is_hold_checked_at_apply"
        " FROM plan_priced p JOIN plan_names n ON n.number = p.policy"
        " LEFT JOIN plan_survivors s ON p.kind = 'quarantine' AND s.number = p.number"
        f" WHERE p.refusal IS NULL ORDER BY {order}, p.kind, {among}))"
    )


KIND_TYPE = enumeration(KINDS)
"""Sorts as the actions of one object are taken."""
