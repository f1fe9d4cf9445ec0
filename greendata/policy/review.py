"""What a reviewer wants to be told of a set of policies before any object is looked at.

Conditions are compared as boxes: for each column the interval or the values that its comparisons
leave. What is no such comparison is compared as text only, so that "may both match" can be too
much, and "every object of one is one of the other" is never said wrongly.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from greendata.policy.columns import ACCESS_COLUMNS, REDUNDANCY_COLUMNS
from greendata.policy.evaluate import WAYS
from greendata.policy.tiers import ARCHIVES

if TYPE_CHECKING:
    from sqlglot import exp

    from greendata.policy.document import LoadedPolicy, PolicySet

_INFINITE = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A ``warning`` is a likely mistake; a ``note`` says what will happen."""

    level: Literal["warning", "note"]
    place: str
    policy: str
    message: str


@dataclass(frozen=True, slots=True)
class _Range:
    """Numbers from low to high; ``with_low`` and ``with_high`` say whether the ends belong."""

    low: float = -_INFINITE
    with_low: bool = False
    high: float = _INFINITE
    with_high: bool = False

    def meet(self, other: _Range) -> _Range:
        low, with_low = max((self.low, not self.with_low), (other.low, not other.with_low))
        high, with_high = min((self.high, self.with_high), (other.high, other.with_high))
        return _Range(low, not with_low, high, with_high)

    def is_empty(self) -> bool:
        ends = self.with_low and self.with_high
        return self.low > self.high or (self.low == self.high and not ends)


_Values = frozenset[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """What is left of each column; ``rest`` are the other parts, as text."""

    columns: Mapping[str, _Range | _Values]
    rest: frozenset[str]

    def is_empty(self) -> bool:
        return any(_is_nothing(left) for left in self.columns.values())


def review(policies: PolicySet) -> tuple[Finding, ...]:
    """Findings of single policies, then of pairs."""
    boxes = {entry.name: _box(entry) for entry in policies.policies}
    found = [finding for entry in policies.policies for finding in _alone(entry, boxes)]
    for first, second in itertools.combinations(policies.policies, 2):
        found += _pair(first, second, boxes)
    return tuple(found)


def _finding(
    level: Literal["warning", "note"], entry: LoadedPolicy, message: str, *path: str
) -> Finding:
    place, _, _ = entry.complaint(*(path or ("name",)), message="\0").partition(": \0")
    return Finding(level=level, place=place, policy=entry.name, message=message)


def _alone(entry: LoadedPolicy, boxes: Mapping[str, _Box]) -> Iterator[Finding]:
    box = boxes[entry.name]
    named = entry.condition.columns if entry.condition else frozenset[str]()
    if box.is_empty():
        yield _finding("warning", entry, "its condition never holds", "where")
    if entry.kind == "tier" and box.columns.get("tier") == frozenset({entry.value}):
        yield _finding(
            "warning", entry, f"it asks for objects that are in {entry.value} already", "where"
        )
    if entry.kind == "tier" and entry.value in ARCHIVES and entry.model.guard.readers is None:
        yield _finding(
            "warning",
            entry,
            "acts only on datasets declared with `readers: none`: archived objects cannot be"
            " read; say `guard: {readers: none}` if nobody reads these",
            "action",
        )
    if entry.kind == "quarantine" and not named & set(REDUNDANCY_COLUMNS):
        yield _finding(
            "warning",
            entry,
            "no column of redundancy in its condition (identical_to, contained_fraction, …):"
            " every object will be tried for a proof that it is stored elsewhere",
        )


def _pair(
    first: LoadedPolicy, second: LoadedPolicy, boxes: Mapping[str, _Box]
) -> Iterator[Finding]:
    """``first`` comes before ``second`` in the set."""
    if "protect" in (first.kind, second.kind) or not _may_meet(first, second, boxes):
        return
    before = _comes_before(first, second)
    if before is None:
        return
    winner, loser, why = before
    if why == "contradiction":
        yield _finding(
            "warning",
            loser,
            f"contradicts {winner.name} on objects that both match: give one a higher priority",
        )
    elif _covers(winner, loser, boxes):
        yield _finding(
            "warning",
            loser,
            f"is never reached: {winner.name} matches whatever it matches, and comes first ({why})",
        )
    elif why != "same":
        yield _finding(
            "note", loser, f"gives way to {winner.name} on objects that both match ({why})"
        )


def _comes_before(
    first: LoadedPolicy, second: LoadedPolicy
) -> tuple[LoadedPolicy, LoadedPolicy, str] | None:
    """Which of two decides where both match; None where they go together."""
    if first.kind == second.kind == "tag":
        differ = {n for n in first.value if second.value.get(n, first.value[n]) != first.value[n]}
        if not differ:
            return None
        higher = first.model.priority > second.model.priority
        return (first, second, "priority" if higher else "contradiction") if differ else None
    if first.kind == second.kind:
        if first.model.priority > second.model.priority:
            return first, second, "priority"
        return first, second, "same" if first.action == second.action else "contradiction"
    kinds = {first.kind, second.kind}
    if kinds == {"tier", "recompress"} or not kinds <= {*WAYS, "hold"}:
        return None
    order = ("hold", *WAYS)
    winner, loser = sorted((first, second), key=lambda entry: order.index(entry.kind))
    return winner, loser, f"{winner.kind} is safer than {loser.kind}"


def _may_meet(first: LoadedPolicy, second: LoadedPolicy, boxes: Mapping[str, _Box]) -> bool:
    if first.state != second.state or not scopes_meet(first, second):
        return False
    left, right = boxes[first.name].columns, boxes[second.name].columns
    return not any(_is_nothing(_meet(left[name], right[name])) for name in left.keys() & right)


def scopes_meet(first: LoadedPolicy, second: LoadedPolicy) -> bool:
    """Whether an object may be in the scope of both, as far as datasets and prefixes tell."""
    one, other = _scope(first), _scope(second)
    if one[0] and other[0] and not one[0] & other[0]:
        return False
    if one[1] and other[1]:
        pairs = itertools.product(one[1], other[1])
        if not any(_is_below(a, b) or _is_below(b, a) for a, b in pairs):
            return False
    return True


def _covers(outer: LoadedPolicy, inner: LoadedPolicy, boxes: Mapping[str, _Box]) -> bool:
    """Whether every object that ``inner`` matches is certainly matched by ``outer``."""
    one, other = _scope(outer), _scope(inner)
    if one[0] and not (other[0] and other[0] <= one[0]):
        return False
    if one[1] and not (other[1] and all(any(_is_below(b, a) for a in one[1]) for b in other[1])):
        return False
    if not one[2] <= other[2]:
        return False
    named = outer.condition.columns if outer.condition else frozenset[str]()
    if named & set(ACCESS_COLUMNS) and outer.model.unknown_access != inner.model.unknown_access:
        return False
    wide, narrow = boxes[outer.name], boxes[inner.name]
    return wide.rest <= narrow.rest and all(
        name in narrow.columns and _meet(left, narrow.columns[name]) == narrow.columns[name]
        for name, left in wide.columns.items()
    )


def _scope(entry: LoadedPolicy) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    scope = entry.model.scope
    if scope is None:
        return frozenset(), frozenset(), frozenset()
    prefixes = frozenset(prefix.rstrip("/") for prefix in scope.prefixes)
    return frozenset(scope.datasets), prefixes, frozenset(scope.exclude)


def _is_below(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}/")


def _box(entry: LoadedPolicy) -> _Box:
    columns: dict[str, _Range | _Values] = {}
    rest = set()
    for part in entry.condition.conjuncts if entry.condition else ():
        read = _comparison(part.tree)
        if read is None:
            rest.add(part.text)
            continue
        name, left = read
        columns[name] = _meet(columns[name], left) if name in columns else left
    return _Box(columns=columns, rest=frozenset(rest))


def _meet(one: _Range | _Values, other: _Range | _Values) -> _Range | _Values:
    if isinstance(one, _Range) and isinstance(other, _Range):
        return one.meet(other)
    values, limit = (one, other) if isinstance(one, frozenset) else (other, one)
    if isinstance(limit, frozenset) and isinstance(values, frozenset):
        return values & limit
    return values


def _is_nothing(left: _Range | _Values) -> bool:
    return not left if isinstance(left, frozenset) else left.is_empty()


def _comparison(tree: exp.Expr) -> tuple[str, _Range | _Values] | None:
    """A column and what a comparison with plain values leaves of it; None for anything else."""
    from sqlglot import exp

    node = tree
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column):
        return node.name, frozenset({True})
    if isinstance(node, exp.Not):
        inner = _comparison(node.this)
        is_truth = inner is not None and inner[1] == frozenset({True})
        return (inner[0], frozenset({False})) if inner and is_truth else None
    if isinstance(node, exp.In) and isinstance(node.this, exp.Column):
        values = [_plain(item) for item in node.expressions]
        texts = frozenset(value for value in values if isinstance(value, str))
        return (node.this.name, texts) if len(texts) == len(set(values)) else None
    if isinstance(node, exp.Between) and isinstance(node.this, exp.Column):
        low, high = _plain(node.args["low"]), _plain(node.args["high"])
        if isinstance(low, float) and isinstance(high, float):
            return node.this.name, _Range(low, True, high, True)
        return None
    return _side_by_side(node)


def _side_by_side(node: exp.Expr) -> tuple[str, _Range | _Values] | None:
    from sqlglot import exp

    flipped = {exp.LT: exp.GT, exp.LTE: exp.GTE, exp.GT: exp.LT, exp.GTE: exp.LTE}
    if not isinstance(node, exp.Binary):
        return None
    kind, column, other = type(node), node.this, node.expression
    if isinstance(other, exp.Column) and not isinstance(column, exp.Column):
        kind, column, other = flipped.get(kind, kind), other, column
    value = _plain(other)
    if not isinstance(column, exp.Column) or value is None:
        return None
    if kind is exp.EQ and not isinstance(value, float):
        return column.name, frozenset({value})
    if isinstance(value, float):
        ranges = {
            exp.EQ: _Range(value, True, value, True),
            exp.GT: _Range(value, False),
            exp.GTE: _Range(value, True),
            exp.LT: _Range(high=value, with_high=False),
            exp.LTE: _Range(high=value, with_high=True),
        }
        found = ranges.get(kind)
        return (column.name, found) if found else None
    return None


def _plain(node: exp.Expr) -> str | float | bool | None:
    """A literal's value."""
    from sqlglot import exp

    sign = 1.0
    while isinstance(node, exp.Paren | exp.Neg):
        sign = -sign if isinstance(node, exp.Neg) else sign
        node = node.this
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Literal):
        return str(node.this) if node.is_string else sign * float(node.this)
    return None
