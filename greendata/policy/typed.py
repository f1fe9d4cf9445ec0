"""Checked parts of a condition: their kind, their SQL, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from greendata.policy.columns import NUMBERS, Kind
from greendata.policy.lexer import ExpressionError

if TYPE_CHECKING:
    from sqlglot import exp

LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A checked part: its kind, its SQL, the column or literal that it is, and where."""

    kind: Kind
    sql: exp.Expr
    offset: int
    column: str | None = None
    literal: str | Decimal | None = None
    is_plain: bool = False  # a number without unit, which fits every kind of number

    @property
    def name(self) -> str:
        """For messages."""
        if self.column:
            return f"{self.column} ({self.kind})"
        if self.literal is not None:
            return f"{self.literal} ({self.kind})" if not self.is_plain else f"{self.literal}"
        return f"a value in {self.kind}" if self.kind in NUMBERS else str(self.kind)


def number(value: Decimal, kind: Kind, offset: int, *, is_plain: bool = False) -> Typed:
    """A number with its unit.

    Raises:
        ExpressionError: the inventory has none that large.
    """
    from sqlglot import exp

    if abs(value) > LARGEST:
        raise ExpressionError(offset, "a number beyond 2**63 - 1")
    shown = format(value.normalize(), "f")
    tree: exp.Expr = exp.Literal.number(shown.lstrip("-"))
    if value < 0:
        tree = exp.Paren(this=exp.Neg(this=tree))
    return Typed(kind=kind, sql=tree, offset=offset, literal=value, is_plain=is_plain)


def fit(left: Typed, right: Typed) -> bool:
    """Whether two values may be compared or added."""
    if left.kind in NUMBERS and right.kind in NUMBERS:
        return left.kind is right.kind or left.is_plain or right.is_plain
    return left.kind is right.kind and left.kind not in (Kind.TEXTS, Kind.NAMED_TEXTS)


def double(tree: exp.Expr) -> exp.Expr:
    """As floating point."""
    from sqlglot import exp

    return exp.Cast(this=tree, to=exp.DataType.build("DOUBLE"))
