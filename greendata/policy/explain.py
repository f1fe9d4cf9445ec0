"""Every policy's verdict on one object, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from greendata.policy.columns import COLUMNS
from greendata.policy.evaluate import CompiledPolicies, Reason
from greendata.policy.outcomes import Outcome, outcomes
from greendata.policy.verdicts import CONFLICT, MATCH, is_protected_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was asked: None is unknown; ``values`` are those of the columns it names.

    ``stage`` is scope, condition, or obstacle: what would forbid the action whatever policies say.
    """

    stage: Literal["scope", "condition", "obstacle"]
    text: str
    passed: bool | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVerdict:
    """``verdict``: decides, protects, gives-way, out-of-scope, or the reason it does not act."""

    policy: str
    action: Mapping[str, Any]
    verdict: str
    because: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Of one object (or version of it)."""

    uri: str
    version_id: str | None
    state: str
    decisions: Mapping[str, Mapping[str, Any]]
    stays: Reason | None
    policies: tuple[PolicyVerdict, ...]


def explain(connection: DuckDBPyConnection, compiled: CompiledPolicies) -> tuple[Explanation, ...]:
    """Of each row of the source that the policies were compiled for; meant for few rows."""
    known = {(entry.uri, entry.version_id): entry for entry in outcomes(connection, compiled)}
    steps = [
        f"({check.sql}) AS c{number}_{index}"
        for number, checks in enumerate(compiled.checks)
        for index, check in enumerate(checks)
    ]
    protections = [
        f"{is_protected_sql(checks)} AS a{number}"
        for number, checks in enumerate(compiled.checks)
        if compiled.policies[number].kind == "protect"
    ]
    listed = ", ".join(["*", *steps, *protections])
    found = connection.sql(
        f"SELECT {listed} FROM ({compiled.objects_sql}) ORDER BY uri, version_id NULLS FIRST"
    ).to_arrow_table()
    verdicts = {
        (row["uri"], row["version_id"]): row
        for row in connection.sql(compiled.permitted_sql).to_arrow_table().to_pylist()
    }
    return tuple(
        _explanation(compiled, row, verdicts, known.get((row["uri"], row["version_id"])))
        for row in found.to_pylist()
    )


def _explanation(
    compiled: CompiledPolicies,
    row: Mapping[str, Any],
    verdicts: Mapping[tuple[str, str | None], Mapping[str, Any]],
    outcome: Outcome | None,
) -> Explanation:
    decisions = outcome.decisions if outcome else {}
    stays = outcome.stays if outcome else None
    codes = verdicts.get((row["uri"], row["version_id"]), {})
    return Explanation(
        uri=row["uri"],
        version_id=row["version_id"],
        state=row["state"],
        decisions=decisions,
        stays=stays,
        policies=tuple(
            _verdict(compiled, number, row, codes, decisions, stays)
            for number in range(len(compiled.policies))
        ),
    )


def _verdict(
    compiled: CompiledPolicies,
    number: int,
    row: Mapping[str, Any],
    codes: Mapping[str, Any],
    decisions: Mapping[str, Any],
    stays: Reason | None,
) -> PolicyVerdict:
    policy = compiled.policies[number]
    steps = tuple(
        Step(
            stage="scope" if check.code == 0 else "condition" if check.unknown_code else "obstacle",
            text=check.text,
            passed=row[f"c{number}_{index}"],
            values={name: row[name] for name in sorted(check.columns & COLUMNS.keys())},
        )
        for index, check in enumerate(compiled.checks[number])
    )
    if policy.kind == "protect":
        applies = bool(row[f"a{number}"])
        verdict = "protects" if applies else "out-of-scope"
        because = "what it forbids is not done" if applies else _first_failed(steps)
    else:
        verdict, because = _acting_verdict(
            compiled, number, codes.get(f"w{number}") or 0, decisions, stays, steps
        )
    return PolicyVerdict(
        policy=policy.name, action=policy.action, verdict=verdict, because=because, steps=steps
    )


def _acting_verdict(
    compiled: CompiledPolicies,
    number: int,
    code: int,
    decisions: Mapping[str, Any],
    stays: Reason | None,
    steps: Sequence[Step],
) -> tuple[str, str]:
    name = compiled.policies[number].name
    if code == 0:
        return "out-of-scope", _first_failed(steps)
    if code < MATCH:
        found = compiled.reason(code, number)
        return found.reason, found.because
    if name in decisions:
        return "decides", "every step passed"
    if stays is not None and stays.reason == "conflict":
        return compiled.reason(CONFLICT, number).reason, "another policy wants something else"
    winners = ", ".join(sorted(decisions)) or "another policy"
    return "gives-way", f"{winners} comes first"


def _first_failed(steps: Sequence[Step]) -> str:
    return next((step.text for step in steps if step.passed is not True), "")
