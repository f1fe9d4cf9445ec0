"""What one policy says of an object, as SQL: a chain of checks, the first that fails decides.

A verdict is a small number: 0 the object is not in the scope; ``k`` the k-th part of the condition
does not hold; ``100 + k`` it is unknown whether it does; 200 to 299 the action is refused;
``300 + j`` policy ``j`` of the set forbids it; 600 policies contradict each other; 900 it is
decided. The greater number is the one that says more of why an object stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

from greendata.catalog.traces import KNOWN_TAGS
from greendata.policy.columns import IF_MODIFIED
from greendata.policy.globs import match_glob
from greendata.policy.tiers import ARCHIVES, RESTORE_HOURS, STORES, TIERS, TIERS_OF

if TYPE_CHECKING:
    from sqlglot import exp

    from greendata.policy.document import LoadedPolicy

UNKNOWN = 100
PROTECTED = 300
CONFLICT = 600
MATCH = 900

PINNABLE = ("quarantine", "expire", "recompress", "relocate")
"""Actions that take away what an object is: not of one that stands for others in quarantine."""

OUTSIDE_THE_UNION = ("eu-west-2", "eu-central-2")
"""London and Zurich: AWS names them eu-, the European Union does not hold them."""

UNION_COUNTRIES = (
    "AUT", "BEL", "BGR", "CYP", "CZE", "DEU", "DNK", "ESP", "EST",
    "FIN", "FRA", "GRC", "HRV", "HUN", "IRL", "ITA", "LTU", "LUX",
    "LVA", "MLT", "NLD", "POL", "PRT", "ROU", "SVK", "SVN", "SWE",
)  # fmt: skip
"""Member states of the European Union (Treaty on European Union, article 52, without the United
Kingdom), by ISO 3166."""


class Refusal(IntEnum):
    """Why an action that the condition asks for is not taken."""

    UNCHANGED = 200
    COLDER = 205
    UNSUPPORTED = 210
    ARCHIVED = 220
    READERS = 230
    RESTORE_TIME = 240
    UNKNOWN_REGION = 250
    RESIDENCY = 255
    COPIES = 260
    RETENTION = 270
    PINNED = 280
    UNKNOWN_CLASS = 285
    HELD = 290


REFUSALS = {
    Refusal.UNCHANGED: "it is already as the action would leave it",
    Refusal.COLDER: "it is in a colder tier, and the condition does not name tier",
    Refusal.UNSUPPORTED: "its store cannot do this",
    Refusal.ARCHIVED: "it is in an archive tier and must be restored first",
    Refusal.READERS: "its dataset has online readers, or nothing says that it has none",
    Refusal.RESTORE_TIME: "the tier takes longer to open than the guard allows",
    Refusal.UNKNOWN_REGION: "its region, or the one to go to, is not declared",
    Refusal.RESIDENCY: "its dataset's residency does not allow that region",
    Refusal.COPIES: "too few verified copies would stay",
    Refusal.RETENTION: "its dataset's retention has not passed",
    Refusal.PINNED: "it is the copy that stays for another that was quarantined",
    Refusal.UNKNOWN_CLASS: "its storage class is not known",
    Refusal.HELD: "it is held, locked or under retention",
}

CLEARED = {
    Refusal.UNCHANGED: "the action would change it",
    Refusal.COLDER: "it is in no colder tier, or the condition names tier",
    Refusal.UNSUPPORTED: "its store can do this",
    Refusal.ARCHIVED: "it can be read as it is",
    Refusal.READERS: "its readers do not mind",
    Refusal.RESTORE_TIME: "the tier opens soon enough for the guard",
    Refusal.UNKNOWN_REGION: "its region and the one to go to are declared",
    Refusal.RESIDENCY: "its dataset's residency allows that region",
    Refusal.COPIES: "enough verified copies would stay",
    Refusal.RETENTION: "its dataset's retention has passed",
    Refusal.PINNED: "nothing depends on this copy",
    Refusal.UNKNOWN_CLASS: "its storage class is known",
    Refusal.HELD: "nothing told of a hold, lock or retention",
}
"""The same, where nothing stands against the action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRules:
    """What ``greendata.yaml`` declares of a dataset, as far as policies must respect it."""

    readers: Literal["online", "none"] | None = None
    retention_min_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What decisions depend on besides policies and inventory.

    Attributes:
        as_of: ages are up to this moment.
        normalise: makes the URI of a scope's prefix as the inventory has it.
        datasets: rules by dataset name.
        areas: area of a region (``westeurope``: ``eu``), for residency; AWS regions begin with
            theirs.
    """

    as_of: datetime
    normalise: Callable[[str], str] = str
    datasets: Mapping[str, DatasetRules] = field(default_factory=dict)
    areas: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One step: passed where ``sql`` is true. ``code`` is the verdict where it is not.

    ``unknown_code`` is the verdict where it is neither true nor false, if that differs.
    """

    text: str
    sql: str
    columns: frozenset[str]
    code: int
    unknown_code: int | None = None


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    from sqlglot import exp

    return exp.Literal.string(text).sql(dialect="duckdb")


def listed(texts: Sequence[str]) -> str:
    """Texts as an SQL list for IN."""
    return f"({', '.join(map(quoted, texts))})"


def scope_checks(policy: LoadedPolicy, around: Surroundings) -> Iterator[Check]:
    """Whether the policy is about the object at all."""
    scope = policy.model.scope
    if policy.state != "all":
        yield Check(
            text=f"the object is {policy.state}",
            sql=f"state = {quoted(policy.state)}",
            columns=frozenset({"is_latest", "is_delete_marker", "format"}),
            code=0,
        )
    if scope and scope.datasets:
        yield Check(
            text=f"dataset is {' or '.join(scope.datasets)}",
            sql=f'"dataset" IN {listed(scope.datasets)}',
            columns=frozenset({"dataset"}),
            code=0,
        )
    if scope and scope.prefixes:
        uris = [around.normalise(prefix).rstrip("/") for prefix in scope.prefixes]
        found = [
            f'starts_with("uri", {quoted(uri + "/")}) OR "uri" = {quoted(uri)}' for uri in uris
        ]
        yield Check(
            text=f"below {' or '.join(scope.prefixes)}",
            sql=" OR ".join(found),
            columns=frozenset({"uri"}),
            code=0,
        )
    for pattern in scope.exclude if scope else ():
        column = "uri" if "://" in pattern else "key"
        yield Check(
            text=f"not excluded by {pattern}",
            sql=f"NOT ({_glob(column, pattern)})",
            columns=frozenset({column}),
            code=0,
        )


def _glob(column: str, pattern: str) -> str:
    from sqlglot import exp

    return match_glob(exp.column(column, quoted=True), pattern).sql(dialect="duckdb")


def condition_checks(policy: LoadedPolicy) -> Iterator[Check]:
    """The parts of its condition, and those that its action implies."""
    takes_modified = policy.model.unknown_access == "modified"
    parts = policy.condition.conjuncts if policy.condition else ()
    number = 0
    for number, part in enumerate(parts, 1):
        tree = _with_modified(part.tree) if takes_modified else part.tree
        added = {IF_MODIFIED[name] for name in part.columns & IF_MODIFIED.keys() if takes_modified}
        yield Check(
            text=part.text,
            sql=tree.sql(dialect="duckdb"),
            columns=part.columns | added,
            code=number,
            unknown_code=UNKNOWN + number,
        )
    if policy.kind == "abort_uploads":
        days = policy.value.older_than_days
        yield Check(
            text=f"age_days >= {days}",
            sql=f'"age_days" >= {days}',
            columns=frozenset({"age_days"}),
            code=number + 1,
            unknown_code=UNKNOWN + number + 1,
        )


def _with_modified(tree: exp.Expr) -> exp.Expr:
    from sqlglot import exp

    def replaced(node: exp.Expr) -> exp.Expr:
        other = IF_MODIFIED.get(node.name) if isinstance(node, exp.Column) else None
        if other is None:
            return node
        return exp.Coalesce(this=node.copy(), expressions=[exp.column(other, quoted=True)])

    return tree.transform(replaced)


def refusal_checks(policy: LoadedPolicy, around: Surroundings) -> Iterator[Check]:
    """What forbids the action whatever policies say; the gravest first."""
    kind = policy.kind
    if kind not in ("tag", "restore", "hold", "abort_uploads"):
        yield _check(
            Refusal.HELD,
            "coalesce(is_held, false) OR coalesce(is_locked, false) OR"
            f" coalesce(retain_until > TIMESTAMPTZ {quoted(around.as_of.isoformat())}, false)",
            "is_held", "is_locked", "retain_until",
        )  # fmt: skip
    has_class = kind != "abort_uploads" and policy.state != "expired-delete-marker"
    if has_class:
        yield _check(Refusal.UNKNOWN_CLASS, "tier IS NULL OR tier = 'unknown'", "tier")
    if kind in PINNABLE and (kind != "relocate" or is_move(policy)):
        yield _check(Refusal.PINNED, "pinned_by IS NOT NULL", "pinned_by")
    yield from _unchanged_checks(policy)
    if kind in ("quarantine", "expire"):
        yield from _removal_checks(policy, around)
    if kind == "relocate":
        yield from _relocation_checks(policy, around)
    if kind == "tier":
        yield from _tier_checks(policy)
    if kind in ("tier", "recompress", "relocate"):
        yield from _reader_checks(policy, around)
    if kind in ("recompress", "relocate"):
        yield _check(Refusal.ARCHIVED, _IS_ARCHIVED, "tier", "restore_state")


def is_move(policy: LoadedPolicy) -> bool:
    """Whether it takes objects to another region, and away from where they are."""
    return policy.kind == "relocate" and policy.value.mode == "move"


_IS_ARCHIVED = f"tier IN {ARCHIVES} AND restore_state IS DISTINCT FROM 'restored'"


def _check(refusal: Refusal, is_refused: str, *columns: str) -> Check:
    return Check(
        text=CLEARED[refusal],
        sql=f"({is_refused}) IS NOT TRUE",
        columns=frozenset(columns),
        code=int(refusal),
    )


def _removal_checks(policy: LoadedPolicy, around: Surroundings) -> Iterator[Check]:
    kept = {name: rules.retention_min_days for name, rules in around.datasets.items()}
    kept = {name: days for name, days in sorted(kept.items()) if days > 0}
    if kept:
        cases = " ".join(f"WHEN {quoted(name)} THEN {days}" for name, days in kept.items())
        yield _check(
            Refusal.RETENTION,
            f'"dataset" IN {listed(list(kept))} AND'
            f' (age_days >= CASE "dataset" {cases} END) IS NOT TRUE',
            "dataset", "age_days",
        )  # fmt: skip
    copies = policy.model.guard.min_copies
    if copies is not None:
        yield _check(
            Refusal.COPIES, f"(verified_copies >= {copies}) IS NOT TRUE", "verified_copies"
        )


def _relocation_checks(policy: LoadedPolicy, around: Surroundings) -> Iterator[Check]:
    target, needed = target_region(policy)
    yield _check(Refusal.UNKNOWN_REGION, f"region IS NULL OR {target} IS NULL", "region", needed)
    yield _check(
        Refusal.RESIDENCY,
        f"len(residency) > 0 AND NOT ({allows(target, 'residency', around.areas)})",
        "residency", needed,
    )  # fmt: skip


def target_region(policy: LoadedPolicy) -> tuple[str, str]:
    """SQL of the region that a relocation goes to, and the column it needs."""
    name = policy.value.to
    return ('"training_region"' if name == "training_region" else quoted(name)), "training_region"


def allows(region: str, allowed: str, areas: Mapping[str, str]) -> str:
    """SQL: whether a list of regions and areas holds a region, or the area it is in."""
    begin = f"CASE WHEN {region} NOT IN {listed(OUTSIDE_THE_UNION)}"
    area = f"{begin} THEN split_part({region}, '-', 1) END"
    if areas:
        cases = " ".join(f"WHEN {quoted(r)} THEN {quoted(a)}" for r, a in sorted(areas.items()))
        area = f"coalesce(CASE {region} {cases} END, {area})"
    return (
        f"coalesce(list_contains({allowed}, {region}), false)"
        f" OR coalesce(list_contains({allowed}, {area}), false)"
    )


def _tier_checks(policy: LoadedPolicy) -> Iterator[Check]:
    tier = policy.value
    offering = [store for store in STORES if tier in TIERS_OF[store]]
    is_version = policy.state == "noncurrent"
    if is_version:
        # S3 has no call that changes the class of an earlier version in place
        offering = [store for store in offering if store != "s3"]
    lacking = f"store NOT IN {listed(offering)}" if offering else "true"
    yield _check(Refusal.UNSUPPORTED, lacking, "store")
    limit = policy.model.guard.max_restore_hours
    slow = too_slow(tier, limit) if limit is not None else []
    if slow:
        yield _check(Refusal.RESTORE_TIME, f"store IN {listed(slow)}", "store")
    colder = TIERS[TIERS.index(tier) + 1 :]
    names_tier = policy.condition is not None and "tier" in policy.condition.columns
    if colder and not names_tier:
        # an idle object in the archive is not to be fetched back by a policy for idle objects
        yield _check(Refusal.COLDER, f"tier IN {listed(colder)}", "tier")
    # Azure opens an archived blob by moving it up; S3 needs a restored copy to copy from
    yield _check(
        Refusal.ARCHIVED, f"store <> 'az' AND {_IS_ARCHIVED}", "store", "tier", "restore_state"
    )


def too_slow(tier: str, max_restore_hours: int) -> list[str]:
    """Stores in which this tier takes longer to open."""
    return [store for store in STORES if RESTORE_HOURS.get((store, tier), 0) > max_restore_hours]


def _reader_checks(policy: LoadedPolicy, around: Surroundings) -> Iterator[Check]:
    online = [name for name, rules in around.datasets.items() if rules.readers == "online"]
    none = [name for name, rules in around.datasets.items() if rules.readers == "none"]
    said = policy.model.guard.readers
    is_archived = policy.kind == "tier" and policy.value in ARCHIVES
    if not is_archived and said != "none":
        return
    refused = [f'"dataset" IN {listed(sorted(online))}'] if online else []
    if is_archived and said != "none":
        known = f'("dataset" IN {listed(sorted(none))})' if none else "false"
        refused.append(f"{known} IS NOT TRUE")
    if refused:
        yield _check(Refusal.READERS, " OR ".join(refused), "dataset")


def _unchanged_checks(policy: LoadedPolicy) -> Iterator[Check]:
    value = policy.value
    match policy.kind:
        case "tier":
            yield _check(Refusal.UNCHANGED, f"tier = {quoted(value)}", "tier")
        case "relocate":
            target, needed = target_region(policy)
            yield _check(Refusal.UNCHANGED, f"region = {target}", "region", needed)
        case "restore":
            yield _check(
                Refusal.UNCHANGED,
                f"tier NOT IN {ARCHIVES} OR restore_state IS NOT NULL",
                "tier", "restore_state",
            )  # fmt: skip
        case "hold":
            yield _check(Refusal.UNSUPPORTED, "store IN ('file', 'az')", "store")
            yield _check(Refusal.UNCHANGED, "is_held", "is_held")
        case "tag":
            same = [
                f"map_extract_value({KNOWN_TAGS}, {quoted(name)}) = {quoted(text)}"
                for name, text in sorted(value.items())
            ]
            yield _check(Refusal.UNSUPPORTED, "store = 'file'", "store")
            yield _check(Refusal.UNCHANGED, " AND ".join(same), KNOWN_TAGS)


def all_checks(policy: LoadedPolicy, around: Surroundings) -> tuple[Check, ...]:
    """Every step of a policy in its order: scope, condition, what would forbid the action."""
    found = [*scope_checks(policy, around), *condition_checks(policy)]
    if policy.kind != "protect":
        found += refusal_checks(policy, around)
    return tuple(found)


def verdict_sql(checks: Sequence[Check]) -> str:
    """The verdict of a chain of checks, as an expression."""
    branches = []
    scope = [check for check in checks if check.code == 0]
    parts = [check for check in checks if check.unknown_code is not None]
    if scope:
        joined = " AND ".join(f"({check.sql})" for check in scope)
        branches.append(f"WHEN ({joined}) IS NOT TRUE THEN 0")
    branches += [f"WHEN NOT ({check.sql}) THEN {check.code}" for check in parts]
    branches += [f"WHEN ({check.sql}) IS NULL THEN {check.unknown_code}" for check in parts]
    for check in checks:
        if check.code >= Refusal.UNCHANGED:
            branches.append(f"WHEN ({check.sql}) IS NOT TRUE THEN {check.code}")
    return f"CASE {' '.join(branches)} ELSE {MATCH} END" if branches else str(MATCH)


def is_protected_sql(checks: Sequence[Check]) -> str:
    """Whether a policy that protects applies: what is unknown is protected."""
    scope = [f"({check.sql})" for check in checks if check.code == 0]
    parts = [f"({check.sql}) IS NOT FALSE" for check in checks if check.unknown_code is not None]
    joined = " AND ".join([*scope, *parts]) or "true"
    return f"coalesce({joined}, false)"


def forbids_sql(
    protector: LoadedPolicy, acting: LoadedPolicy, areas: Mapping[str, str]
) -> tuple[str, frozenset[str]] | None:
    """When a policy that applies forbids this action: an expression and its columns, or never."""
    rule, kind = protector.value, acting.kind
    if kind in ("tag", "restore", "hold"):
        return None
    if not rule.has_condition:
        return ("true", frozenset()) if not rule.actions or kind in rule.actions else None
    found: list[tuple[str, str]] = []
    is_removal = kind in ("quarantine", "expire")
    if rule.retain_days is not None and (is_removal or is_move(acting)):
        found.append((f"(age_days >= {rule.retain_days}) IS NOT TRUE", "age_days"))
    if rule.min_copies is not None and is_removal:
        found.append((f"(verified_copies >= {rule.min_copies}) IS NOT TRUE", "verified_copies"))
    if rule.max_restore_hours is not None and kind == "tier":
        slow = too_slow(acting.value, rule.max_restore_hours)
        if slow:
            found.append((f"store IN {listed(slow)}", "store"))
    if rule.residency and kind == "relocate":
        target, needed = target_region(acting)
        allowed = f"[{', '.join(map(quoted, rule.residency))}]"
        found.append((f"NOT ({allows(target, allowed, areas)})", needed))
    if not found:
        return None
    return " OR ".join(sql for sql, _ in found), frozenset(column for _, column in found)
