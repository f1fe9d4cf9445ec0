"""Parts of conditions that providers' rules may be able to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greendata.policy.columns import COLUMNS, NUMBERS

if TYPE_CHECKING:
    from sqlglot import exp

    from greendata.policy.document import LoadedPolicy


class NotExpressibleError(Exception):
    """What of a policy the provider's rules cannot say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A condition as far as rules know such things; ``at_least`` and ``below`` by column.

    Attributes:
        at_least: the smallest whole number that matches.
        below: the smallest whole number that no longer matches.
        starts: what columns begin with.
        equals: what columns are.
    """

    at_least: dict[str, int]
    below: dict[str, int]
    starts: dict[str, str]
    equals: dict[str, str]
    tags: dict[str, str]


def read_terms(policy: LoadedPolicy) -> Terms:
    """The parts of a policy's condition.

    Raises:
        NotExpressibleError: a part that is no comparison with a plain value.
    """
    terms = Terms(at_least={}, below={}, starts={}, equals={}, tags={})
    for part in policy.condition.conjuncts if policy.condition else ():
        if not _add(terms, part.tree):
            raise NotExpressibleError(f"its condition `{part.text}`")
    return terms


def _add(terms: Terms, tree: exp.Expr) -> bool:
    """Whether a part was understood, and is the only one of its kind."""
    from sqlglot import exp

    node = tree
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Anonymous) and node.name.lower() == "starts_with":
        column, text = node.expressions
        return isinstance(column, exp.Column) and _put(terms.starts, column.name, str(text.this))
    if isinstance(node, exp.EQ) and isinstance(node.this, exp.Anonymous):
        return _add_tag(terms, node)
    if isinstance(node, exp.Between) and isinstance(node.this, exp.Column):
        low, high = node.args["low"], node.args["high"]
        return _number(terms, exp.GTE, node.this.name, low) and _number(
            terms, exp.LTE, node.this.name, high
        )
    if not isinstance(node, exp.Binary) or not isinstance(node.this, exp.Column):
        return False
    value = node.expression
    if isinstance(node, exp.EQ) and isinstance(value, exp.Literal) and value.is_string:
        return _put(terms.equals, node.this.name, str(value.this))
    return _number(terms, type(node), node.this.name, value)


def _add_tag(terms: Terms, node: exp.EQ) -> bool:
    from sqlglot import exp

    call, value = node.this, node.expression
    is_tag = call.name.lower() == "map_extract_value" and call.expressions[0].name == "tags"
    if not is_tag or not isinstance(value, exp.Literal):
        return False
    return _put(terms.tags, str(call.expressions[1].this), str(value.this))


def _number(terms: Terms, kind: type[Any], column: str, value: exp.Expr) -> bool:
    from sqlglot import exp

    is_whole = isinstance(value, exp.Literal) and not value.is_string and value.is_int
    if not is_whole or COLUMNS[column] not in NUMBERS:
        return False
    number = int(str(value.this))
    if kind in (exp.GTE, exp.GT):
        return _put(terms.at_least, column, number + (kind is exp.GT))
    if kind in (exp.LT, exp.LTE):
        return _put(terms.below, column, number + (kind is exp.LTE))
    return False


def _put(found: dict[str, Any], name: str, value: Any) -> bool:
    if name in found:
        return False
    found[name] = value
    return True


def only(found: dict[str, Any], known: Sequence[str], told: str) -> None:
    """Refuse a column that the provider's rules do not know.

    Raises:
        NotExpressibleError: which one.
    """
    for name in found:
        if name not in known:
            raise NotExpressibleError(f"{name}: {told}")
