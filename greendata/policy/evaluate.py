"""A set of policies as one query over the inventory view: for each object the policies that decide.

Layers of the query, each a projection over the one before: the objects with their state; a verdict
a policy; what protecting policies forbid; the winner of each slot; the order between slots. DuckDB
does all of it a column at a time; nothing runs per object in Python.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greendata.errors import PolicyError
from greendata.policy.columns import ACCESS_COLUMNS, VERSION_COLUMNS
from greendata.policy.verdicts import (
    CONFLICT,
    MATCH,
    PROTECTED,
    REFUSALS,
    UNKNOWN,
    Check,
    Refusal,
    Surroundings,
    all_checks,
    forbids_sql,
    is_protected_sql,
    quoted,
    verdict_sql,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.policy.document import LoadedPolicy, PolicySet

BASE_COLUMNS = ("uri", "store_id", "version_id", "is_latest", "is_delete_marker", "format")
"""Identity of an object, and what its state follows from."""
WAYS = ("tier", "recompress", "relocate", "quarantine", "expire")
"""Actions that exclude each other but for tier with recompress; the safest first."""
ALONGSIDE = ("abort_uploads", "restore", "hold")

_PACK = 256  # a policy's number takes one byte beside a verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place for one decision of an object; ``column`` of the result holds the policy's number."""

    name: str
    kind: str
    column: str
    policies: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an object stays: ``because`` is the part of a condition, or what forbids the action."""

    reason: str
    policy: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPolicies:
    """The query and how to read it.

    Attributes:
        policies: their numbers in the result are positions in this tuple.
        checks: the steps of each policy, in the same order.
        columns: of the inventory view; all that the query needs.
        sql: rows of all objects in the scope of a policy that acts: the carried columns, for each
            slot the number of the deciding policy or NULL, ``is_in_scope``, ``is_in_scope_N`` of
            policies that guard a share of it, ``is_decided``, ``stays_code`` and ``stays_policy``
            of those that are not, ``conflict`` (two numbers in one, or NULL),
            ``access_error`` (number of a policy with ``unknown_access: error``, or NULL) and
            ``is_hold_unknown``: holds must be read before acting.
        objects_sql: the objects with their ``state``, which the steps of ``checks`` are asked of.
        permitted_sql: the same with ``wN``, the verdict of policy N after protection.
        is_source_read_twice: objects are looked at beside their other versions.
    """

    policies: tuple[LoadedPolicy, ...]
    checks: tuple[tuple[Check, ...], ...]
    columns: tuple[str, ...]
    slots: tuple[Slot, ...]
    sql: str
    objects_sql: str
    permitted_sql: str
    is_source_read_twice: bool

    def reason(self, code: int, number: int) -> Reason:
        """``stays_code`` and ``stays_policy`` as words."""
        policy = self.policies[number].name
        checks = self.checks[number]
        if code < Refusal.UNCHANGED:
            text = next(c.text for c in checks if code in (c.code, c.unknown_code) and c.code)
            word = "condition" if code < UNKNOWN else "unknown"
            return Reason(reason=word, policy=policy, because=text)
        if code < PROTECTED:
            refusal = Refusal(code)
            word = refusal.name.lower().replace("_", "-")
            return Reason(reason=word, policy=policy, because=REFUSALS[refusal])
        if code < CONFLICT:
            protector = self.policies[code - PROTECTED].name
            return Reason(reason="protected", policy=policy, because=f"policy {protector}")
        return Reason(reason="conflict", policy=policy, because="policies contradict each other")

    def reasons(self) -> Iterator[tuple[int, int, Reason]]:
        """Every code and policy number that can occur together, for a join with the result."""
        protectors = [n for n, entry in enumerate(self.policies) if entry.kind == "protect"]
        for number, policy in enumerate(self.policies):
            if policy.kind == "protect":
                continue
            codes = {code for c in self.checks[number] for code in (c.code, c.unknown_code) if code}
            codes |= {PROTECTED + other for other in protectors} | {CONFLICT}
            for code in sorted(codes):
                yield code, number, self.reason(code, number)


def compile_policies(
    policies: PolicySet,
    around: Surroundings,
    carry: Sequence[str] = (),
    source: str = "inventory",
    *,
    all_objects: bool = False,
) -> CompiledPolicies:
    """The query of a set of policies over the inventory view, or a table of its columns.

    ``carry`` names further columns of the view that the result shall have; ``source`` is a name
    of this program's, never of an author's. With ``all_objects`` the result has those out of scope
    too, and ``is_in_scope``: a condition DuckDB would push into the view, and compute the view's
    expressions for it once more (5.8 against 3.3 CPU seconds for two million objects).
    """
    entries = policies.policies
    checks = tuple(all_checks(entry, around) for entry in entries)
    slots = tuple(_slots(entries))
    forbidden = _forbidden(entries, around)
    needed = {*BASE_COLUMNS, "is_held", "is_locked", *carry}
    needed |= {name for found in checks for check in found for name in check.columns}
    needed |= {name for _, found in forbidden.values() for name in found}
    versions = sorted(needed & VERSION_COLUMNS.keys())
    columns = tuple(sorted(needed - VERSION_COLUMNS.keys()))
    if versions:
        columns = tuple(sorted({*columns, "modified_at"}))
    kept = list(dict.fromkeys((*BASE_COLUMNS[:3], *carry)))
    is_marker_wanted = any(entry.state == "expired-delete-marker" for entry in entries)
    objects = _object_layers(
        columns, around, source, versions=bool(versions), markers=is_marker_wanted
    )
    layers = [
        *objects,
        ("verdicts", _verdict_layer(entries, checks)),
        ("permitted", _permitted_layer(entries, forbidden, all_objects=all_objects)),
        ("ranked", _ranked_layer(entries, slots)),
        ("ordered", _ordered_layer(slots)),
    ]
    text = _with(layers)
    return CompiledPolicies(
        objects_sql=f"{_with(objects)}\nFROM objects",
        permitted_sql=f"{_with(layers[:-2])}\nFROM permitted",
        policies=entries,
        checks=checks,
        columns=columns,
        slots=slots,
        sql=f"{text}\n{_result(entries, checks, slots, kept)}",
        is_source_read_twice=bool(versions) or is_marker_wanted,
    )


def _with(layers: Sequence[tuple[str, str]]) -> str:
    return "WITH " + ",\n".join(f"{name} AS ({query})" for name, query in layers)


def _slots(entries: Sequence[LoadedPolicy]) -> Iterator[Slot]:
    for kind in (*WAYS, *ALONGSIDE):
        found = tuple(n for n, entry in enumerate(entries) if entry.kind == kind)
        if found:
            yield Slot(name=kind, kind=kind, column=f"{kind}_policy", policies=found)
    tagging = [n for n, entry in enumerate(entries) if entry.kind == "tag"]
    names = sorted({name for n in tagging for name in entries[n].value})
    for number, name in enumerate(names):
        yield Slot(
            name=f"tag {name}",
            kind="tag",
            column=f"tag_{number}_policy",
            policies=tuple(n for n in tagging if name in entries[n].value),
        )


def _forbidden(
    entries: Sequence[LoadedPolicy], around: Surroundings
) -> dict[tuple[int, int], tuple[str, frozenset[str]]]:
    """By acting and protecting policy: when the one forbids the other."""
    found = {}
    for (number, acting), (other, protector) in itertools.product(
        enumerate(entries), enumerate(entries)
    ):
        if protector.kind == "protect" and acting.kind != "protect":
            when = forbids_sql(protector, acting, around.areas)
            if when is not None:
                found[number, other] = when
    return found


def _acting(entries: Sequence[LoadedPolicy]) -> list[int]:
    return [number for number, entry in enumerate(entries) if entry.kind != "protect"]


_STATE = (
    "CASE WHEN format = 'upload' THEN 'upload'"
    " WHEN is_delete_marker THEN {marker}"
    " WHEN is_latest THEN 'current' ELSE 'noncurrent' END"
)


def _object_layers(
    columns: Sequence[str], around: Surroundings, source: str, *, versions: bool, markers: bool
) -> list[tuple[str, str]]:
    """The view's columns with each object's state; what needs its other versions only if named."""
    listed = ", ".join(f'i."{name}"' for name in columns)
    layers: list[tuple[str, str]] = []
    joins, added, marker = "", "", "'delete-marker'"
    is_version = "format IS DISTINCT FROM 'upload'"
    if markers:
        # one whose object has no version left
        lone = (
            f"SELECT store_id, uri FROM {source}"
            f" SEMI JOIN (SELECT store_id, uri FROM {source} WHERE is_delete_marker)"
            f" USING (store_id, uri) WHERE {is_version}"
            " GROUP BY ALL HAVING bool_and(is_delete_marker)"
        )
        layers.append(("lone_markers", lone))
        joins += " LEFT JOIN lone_markers l ON l.store_id = i.store_id AND l.uri = i.uri"
        added += ", l.uri IS NOT NULL AS is_lone"
        marker = "CASE WHEN is_lone THEN 'expired-delete-marker' ELSE 'delete-marker' END"
    if versions:
        as_of = f"TIMESTAMPTZ {quoted(around.as_of.isoformat())}"
        earlier = f"NOT is_latest AND {is_version}"
        found = (
            "SELECT store_id, uri, version_id,"
            f" date_sub('day', lead(modified_at) OVER newer, {as_of}) AS noncurrent_days,"
            " count(*) FILTER (NOT is_latest AND NOT is_delete_marker) OVER (newer ROWS"
            " BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS newer_versions"
            f" FROM {source} SEMI JOIN (SELECT store_id, uri FROM {source} WHERE {earlier})"
            f" USING (store_id, uri) WHERE {is_version} WINDOW newer AS (PARTITION BY"
            " store_id, uri ORDER BY modified_at, is_latest, version_id NULLS FIRST)"
        )
        layers.append(("versions", found))
        joins += (
            " LEFT JOIN versions v ON NOT i.is_latest AND v.store_id = i.store_id"
            " AND v.uri = i.uri AND v.version_id IS NOT DISTINCT FROM i.version_id"
        )
        added += ", v.noncurrent_days, v.newer_versions"
    state = _STATE.format(marker=marker)
    query = f"SELECT *, {state} AS state FROM (SELECT {listed}{added} FROM {source} i{joins})"
    return [*layers, ("objects", query)]


def _verdict_layer(entries: Sequence[LoadedPolicy], checks: Sequence[Sequence[Check]]) -> str:
    """``v0, v1, …`` of policies that act, ``p0, …`` of those that protect."""
    found = []
    for number, entry in enumerate(entries):
        if entry.kind == "protect":
            found.append(f"{is_protected_sql(checks[number])} AS p{number}")
        else:
            found.append(f"CAST({verdict_sql(checks[number])} AS INTEGER) AS v{number}")
    return f"SELECT *, {', '.join(found)} FROM objects"


def _permitted_layer(
    entries: Sequence[LoadedPolicy],
    forbidden: dict[tuple[int, int], tuple[str, frozenset[str]]],
    *,
    all_objects: bool,
) -> str:
    """``w0, w1, …``: verdicts after protection."""
    found = []
    for number in _acting(entries):
        against = [
            f"WHEN p{other} AND ({when}) THEN {PROTECTED + other}"
            for (acting, other), (when, _) in forbidden.items()
            if acting == number
        ]
        if against:
            protected = f"CASE {' '.join(against)} ELSE {MATCH} END"
            found.append(f"CASE WHEN v{number} = {MATCH} THEN {protected} ELSE v{number} END")
        else:
            found.append(f"v{number}")
        found[-1] += f" AS w{number}"
    in_scope = " OR ".join(f"v{number} <> 0" for number in _acting(entries)) or "false"
    found.append(f"({in_scope}) AS is_in_scope")
    return f"SELECT *, {', '.join(found)} FROM verdicts" + (
        "" if all_objects else f" WHERE {in_scope}"
    )


def _ranked_layer(entries: Sequence[LoadedPolicy], slots: Sequence[Slot]) -> str:
    """``s_COLUMN``: the winner of each slot, or a contradiction as a number below zero."""
    found = [f"{_winner(entries, slot)} AS s_{slot.column}" for slot in slots]
    return f"SELECT *, {', '.join(found)} FROM permitted" if found else "FROM permitted"


def _winner(entries: Sequence[LoadedPolicy], slot: Slot) -> str:
    """By priority; among equals any, if they want the same, else a contradiction of two."""
    ranks = []
    for _, group in itertools.groupby(slot.policies, key=lambda n: entries[n].model.priority):
        numbers = list(group)
        wanted = {n: _wanted(entries[n], slot) for n in numbers}
        values = sorted(set(wanted.values()))
        if len(values) == 1:
            cases = " ".join(f"WHEN w{n} = {MATCH} THEN {n}" for n in numbers)
            ranks.append(f"CASE {cases} END")
            continue
        packed = ", ".join(
            f"CASE WHEN w{n} = {MATCH} THEN {values.index(wanted[n]) * _PACK + n} END"
            for n in numbers
        )
        low, high = f"least({packed})", f"greatest({packed})"
        ranks.append(
            f"CASE WHEN {low} // {_PACK} <> {high} // {_PACK}"
            f" THEN -1 - ({low} % {_PACK}) * {_PACK} - {high} % {_PACK} ELSE {low} % {_PACK} END"
        )
    return f"CAST(coalesce({', '.join(ranks)}) AS INTEGER)"


def _wanted(entry: LoadedPolicy, slot: Slot) -> str:
    if slot.kind == "tag":
        return str(entry.value[slot.name.removeprefix("tag ")])
    return json.dumps(entry.action, sort_keys=True, default=str)


def _ordered_layer(slots: Sequence[Slot]) -> str:
    """The order between slots: hold > stay in place > relocate > quarantine > expire."""
    columns = {slot.kind: f"s_{slot.column}" for slot in slots if slot.kind != "tag"}
    found = []
    before: list[str] = [columns["hold"]] if "hold" in columns else []
    for kind in WAYS:
        if kind not in columns:
            continue
        # tier and recompress go together: the tier is that of the new object
        others = [
            name for name in before if not (kind == "recompress" and name == columns.get("tier"))
        ]
        empty = " AND ".join(f"{name} IS NULL" for name in others) or "true"
        found.append(f"CASE WHEN {empty} THEN {columns[kind]} END AS o_{kind}_policy")
        before.append(columns[kind])
    names = [f"{columns[kind]} AS o_{kind}_policy" for kind in ALONGSIDE if kind in columns]
    names += [f"s_{slot.column} AS o_{slot.column}" for slot in slots if slot.kind == "tag"]
    return f"SELECT *, {', '.join(found + names)} FROM ranked" if found + names else "FROM ranked"


def _result(
    entries: Sequence[LoadedPolicy],
    checks: Sequence[Sequence[Check]],
    slots: Sequence[Slot],
    kept: Sequence[str],
) -> str:
    carried = ", ".join(f'"{name}"' for name in kept)
    columns = [f"o_{slot.column}" for slot in slots]
    conflict = f"least({', '.join(columns)}, 0)" if columns else "0"
    acting = _acting(entries)
    packed = [f"w{n} * {_PACK} + {_PACK - 1 - n}" for n in acting]
    stays = f"greatest({', '.join(packed)}, 0)" if packed else "0"
    decided = " OR ".join(f"{name} IS NOT NULL" for name in columns) or "false"
    chosen = "".join(
        f", CASE WHEN is_conflict THEN NULL ELSE {name} END AS {name.removeprefix('o_')}"
        for name in columns
    )
    guarded = "".join(
        f", w{n} <> 0 AS is_in_scope_{n}"
        for n in acting
        if entries[n].model.guard.max_percent is not None
    )
    return (
        f"SELECT {carried}{chosen}, is_in_scope{guarded},"
        " is_any AND NOT is_conflict AS is_decided,"
        f" CASE WHEN is_conflict THEN {CONFLICT}"
        f" WHEN NOT is_any THEN stays // {_PACK} END AS stays_code,"
        f" CASE WHEN is_conflict THEN (-1 - conflict_code) // {_PACK}"
        f" WHEN NOT is_any THEN {_PACK - 1} - stays % {_PACK} END AS stays_policy,"
        " CASE WHEN is_conflict THEN -1 - conflict_code END AS conflict,"
        f" {_access_error(entries, checks)} AS access_error,"
        " is_held IS NULL OR is_locked IS NULL AS is_hold_unknown"
        f" FROM (SELECT *, {conflict} AS conflict_code, {conflict} < 0 AS is_conflict,"
        f" ({decided}) AS is_any, {stays} AS stays FROM ordered)"
    )


def _access_error(entries: Sequence[LoadedPolicy], checks: Sequence[Sequence[Check]]) -> str:
    """The first policy that wants an error where reads are unknown, and meets one."""
    found = []
    for number, entry in enumerate(entries):
        codes = [
            check.unknown_code
            for check in checks[number]
            if check.unknown_code is not None and check.columns & set(ACCESS_COLUMNS)
        ]
        if entry.model.unknown_access == "error" and codes:
            found.append(f"WHEN v{number} IN ({', '.join(map(str, codes))}) THEN {number}")
    return f"CASE {' '.join(found)} END" if found else "NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two policies of equal priority that want different things of the same objects."""

    policies: tuple[str, str]
    objects: int
    example_uri: str


def contradictions(
    connection: DuckDBPyConnection, compiled: CompiledPolicies, table: str
) -> tuple[Contradiction, ...]:
    """Of a table (or view) that holds the query's result."""
    rows = connection.execute(
        f"SELECT conflict, count(*), min(uri) FROM {table}"
        " WHERE conflict IS NOT NULL GROUP BY conflict ORDER BY conflict"
    ).fetchall()
    return tuple(
        Contradiction(
            policies=(
                compiled.policies[pair // _PACK].name,
                compiled.policies[pair % _PACK].name,
            ),
            objects=objects,
            example_uri=uri,
        )
        for pair, objects, uri in rows
    )


def refuse_errors(connection: DuckDBPyConnection, compiled: CompiledPolicies, table: str) -> None:
    """Stop where the result cannot be planned from.

    Raises:
        PolicyError: policies contradict each other on an object, or one with
            ``unknown_access: error`` met an object whose reads are unknown.
    """
    lines = []
    for found in contradictions(connection, compiled, table):
        first, second = (compiled_place(compiled, name) for name in found.policies)
        lines.append(
            f"{first}: {found.policies[0]} and {found.policies[1]} ({second}) want different"
            f" things of {found.objects} objects, such as {found.example_uri}"
        )
    rows = connection.execute(
        f"SELECT access_error, count(*), min(uri) FROM {table}"
        " WHERE access_error IS NOT NULL GROUP BY access_error ORDER BY access_error"
    ).fetchall()
    for number, objects, uri in rows:
        name = compiled.policies[number].name
        lines.append(
            f"{compiled_place(compiled, name)}: {name}: nothing tells when {objects} objects were"
            f" last read, such as {uri}"
        )
    if lines:
        hint = (
            "Give one of the two a higher priority, or narrow its scope; for unknown reads take in"
            " access logs, or choose unknown_access keep or modified."
        )
        raise PolicyError("\n".join(lines), hint=hint)


def compiled_place(compiled: CompiledPolicies, name: str) -> str:
    """``file:line:column`` of a policy."""
    entry: Any = next(policy for policy in compiled.policies if policy.name == name)
    line, column = entry.file.place((*entry.path, "name"))
    return f"{entry.file.name}:{line}:{column}"
