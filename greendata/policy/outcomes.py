"""What was decided of single objects, in words: for cases and explanations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greendata.policy.evaluate import CompiledPolicies, Reason

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one object: its decisions by policy name, or why it stays, or neither: not in scope."""

    uri: str
    version_id: str | None
    decisions: Mapping[str, Mapping[str, Any]]
    stays: Reason | None

    @property
    def is_in_scope(self) -> bool:
        """Whether any policy that acts is about it."""
        return bool(self.decisions) or self.stays is not None


def outcomes(connection: DuckDBPyConnection, compiled: CompiledPolicies) -> tuple[Outcome, ...]:
    """Of every object in scope, by URI and version. For few objects: it goes through Python."""
    listed = ", ".join(slot.column for slot in compiled.slots)
    comma = ", " if listed else ""
    rows = connection.execute(
        f"SELECT uri, version_id, stays_code, stays_policy{comma}{listed} FROM ({compiled.sql})"
        " ORDER BY uri, version_id NULLS FIRST"
    ).fetchall()
    return tuple(
        Outcome(
            uri=uri,
            version_id=version_id,
            decisions=_decisions(compiled, slots),
            stays=None if code is None else compiled.reason(code, number),
        )
        for uri, version_id, code, number, *slots in rows
    )


def _decisions(compiled: CompiledPolicies, numbers: list[int | None]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for slot, number in zip(compiled.slots, numbers, strict=True):
        if number is None:
            continue
        policy = compiled.policies[number]
        if slot.kind == "tag":
            name = slot.name.removeprefix("tag ")
            tags = found.setdefault(policy.name, {"tag": {}})["tag"]
            tags[name] = policy.value[name]
        else:
            found[policy.name] = policy.action
    return found
