"""Conditions: parsed, checked against an allow-list, typed, and built anew as a sqlglot tree.

What DuckDB sees is made from the new tree; nothing of the author's text gets into it but literals,
quoted again by the generator.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.config import did_you_mean
from greendata.policy.columns import ACCESS_COLUMNS, COLUMNS, NUMBERS, Kind
from greendata.policy.functions import call, named_text
from greendata.policy.lexer import ExpressionError, read_words, split_conjuncts
from greendata.policy.tiers import STORES, TIERS
from greendata.policy.typed import Typed, double, fit, number

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.parser import Parser

MOST_CONJUNCTS = 90
_CLOSED = {"tier": (*TIERS, "unknown"), "store": STORES}
"""Columns whose values are known beforehand: another one would never match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conjunct:
    """A part of a condition that must hold; ``offset`` is where it stands in the whole."""

    text: str
    offset: int
    tree: exp.Expr
    columns: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A checked condition: the parts joined by the outermost ``and``."""

    text: str
    conjuncts: tuple[Conjunct, ...]

    @property
    def columns(self) -> frozenset[str]:
        """Every column it names."""
        return frozenset[str]().union(*(part.columns for part in self.conjuncts))


def parse_condition(text: str) -> Condition:
    """Check a condition and take it apart.

    Raises:
        ExpressionError: it is not on the allow-list, or compares what cannot be compared.
    """
    words = read_words(text)
    parts = []
    pieces = split_conjuncts(text, words)
    if len(pieces) > MOST_CONJUNCTS:
        raise ExpressionError(pieces[-1][0], f"more than {MOST_CONJUNCTS} parts joined by and")
    for start, end in pieces:
        piece = text[start:end]
        try:
            checked = _check(_parse(piece), start, piece, 0)
        except RecursionError as error:
            raise ExpressionError(start, "nested too deeply") from error
        if checked.kind is not Kind.TRUTH:
            raise ExpressionError(
                checked.offset,
                f"{checked.name} is no condition",
                hint="Compare it with something, such as size_bytes >= mib(8).",
            )
        columns = frozenset(column.name for column in _columns_of(checked.sql))
        if not columns:
            raise ExpressionError(
                start,
                f"{piece.strip()} names no column: it is the same for every object",
                hint="Leave it out; a policy for everything in its scope needs no condition.",
            )
        parts.append(
            Conjunct(
                text=" ".join(piece.split()),
                offset=start,
                tree=checked.sql,
                columns=columns,
            )
        )
    return Condition(text=" ".join(text.split()), conjuncts=tuple(parts))


def _columns_of(tree: exp.Expr) -> Sequence[exp.Column]:
    from sqlglot import exp

    return list(tree.find_all(exp.Column))


@functools.cache
def _parser() -> type[Parser]:
    """SQL without any function of its own: a call stays a name with arguments."""
    from sqlglot.parser import Parser

    class PolicyParser(Parser):
        FUNCTIONS = {}  # noqa: RUF012 - the names sqlglot's parser looks for
        FUNCTION_PARSERS = {}  # noqa: RUF012
        NO_PAREN_FUNCTIONS = {}  # noqa: RUF012
        NO_PAREN_FUNCTION_PARSERS = {}  # noqa: RUF012

    return PolicyParser


def _parse(text: str) -> exp.Expr:
    from sqlglot.errors import SqlglotError
    from sqlglot.tokens import Tokenizer

    try:
        trees = _parser()().parse(Tokenizer().tokenize(text), text)
    except SqlglotError as error:
        place, what = _syntax(error)
        raise ExpressionError(min(place, max(len(text) - 1, 0)), what) from error
    if len(trees) != 1 or trees[0] is None:
        raise ExpressionError(0, "not one expression")
    return trees[0]


def _syntax(error: Any) -> tuple[int, str]:
    details = getattr(error, "errors", None) or [{}]
    column = details[0].get("col") or 1
    highlight = details[0].get("highlight") or ""
    near = f" near {highlight!r}" if highlight else ""
    what = f"not an expression{near}: something is missing or too much"
    return max(column - max(len(highlight), 1), 0), what


def _offset(node: exp.Expr, base: int) -> int:
    """Where the first leaf below a node stands."""
    starts = [child.meta["start"] for child in node.walk() if "start" in child.meta]
    return base + min(starts, default=0)


def _check(node: exp.Expr, base: int, text: str, depth: int) -> Typed:
    from sqlglot import exp

    if depth > 40:
        raise ExpressionError(_offset(node, base), "nested too deeply")
    check = functools.partial(_check, base=base, text=text, depth=depth + 1)
    offset = _offset(node, base)
    tree: exp.Expr
    match node:
        case exp.Paren():
            inner = check(node.this)
            return Typed(kind=inner.kind, sql=exp.Paren(this=inner.sql), offset=inner.offset)
        case exp.Column():
            return _column(node, offset)
        case exp.Literal() | exp.Boolean():
            return _literal(node, offset)
        case exp.And() | exp.Or():
            found = [_truth(check(part)) for part in node.flatten(unnest=False)]
            join = exp.and_ if isinstance(node, exp.And) else exp.or_
            tree = exp.Paren(this=join(*(part.sql for part in found), copy=False))
            return Typed(kind=Kind.TRUTH, sql=tree, offset=offset)
        case exp.Not():
            tree = exp.Not(this=exp.Paren(this=_truth(check(node.this)).sql))
            return Typed(kind=Kind.TRUTH, sql=tree, offset=offset)
        case exp.Neg():
            return _negative(check(node.this), offset)
        case exp.Is() | exp.NullSafeEQ() | exp.NullSafeNEQ():
            return _is(node, check, offset)
        case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            left, right = _comparable(check(node.this), check(node.expression))
            tree = type(node)(this=left.sql, expression=right.sql)
            return Typed(kind=Kind.TRUTH, sql=tree, offset=offset)
        case exp.Between() if not node.args.get("symmetric"):
            subject, low = _comparable(check(node.this), check(node.args["low"]))
            _, high = _comparable(subject, check(node.args["high"]))
            tree = exp.Between(this=subject.sql, low=low.sql, high=high.sql)
            return Typed(kind=Kind.TRUTH, sql=exp.Paren(this=tree), offset=offset)
        case exp.In() if node.expressions and set(_given(node)) == {"this", "expressions"}:
            return _in(check(node.this), [check(item) for item in node.expressions], offset)
        case exp.Add() | exp.Sub() | exp.Mul() | exp.Div():
            return _arithmetic(node, check(node.this), check(node.expression))
        case exp.Bracket() if len(node.expressions) == 1:
            return _element(node, offset)
        case exp.Anonymous():
            return call(node, [check(item) for item in node.expressions], offset)
    raise ExpressionError(
        offset,
        f"{type(node).__name__.lower()!r} is not allowed in a condition",
        hint="A condition compares columns with values, joined by and, or and not.",
    )


def _given(node: exp.Expr) -> list[str]:
    return [name for name, value in node.args.items() if value]


def _column(node: exp.Column, offset: int) -> Typed:
    from sqlglot import exp

    name = node.name.lower()
    if _given(node) != ["this"] or name not in COLUMNS:
        raise ExpressionError(
            offset, f"unknown column {node.sql()!r}.{did_you_mean(name, COLUMNS)}"
        )
    return Typed(kind=COLUMNS[name], sql=exp.column(name, quoted=True), offset=offset, column=name)


def _literal(node: exp.Literal | exp.Boolean, offset: int) -> Typed:
    from sqlglot import exp

    if isinstance(node, exp.Boolean):
        return Typed(kind=Kind.TRUTH, sql=exp.Boolean(this=node.this), offset=offset)
    if node.is_string:
        text = str(node.this)
        return Typed(kind=Kind.TEXT, sql=exp.Literal.string(text), offset=offset, literal=text)
    return number(Decimal(str(node.this)), Kind.NUMBER, offset, is_plain=True)


def _negative(inner: Typed, offset: int) -> Typed:
    if not isinstance(inner.literal, Decimal):
        raise ExpressionError(offset, "a minus before something that is no number")
    return number(-inner.literal, inner.kind, offset, is_plain=inner.is_plain)


def _truth(part: Typed) -> Typed:
    if part.kind is not Kind.TRUTH:
        raise ExpressionError(part.offset, f"{part.name} is no condition")
    return part


def _is(node: exp.Expr, check: Any, offset: int) -> Typed:
    """``IS [NOT] NULL, TRUE, FALSE`` and ``IS [NOT] DISTINCT FROM``."""
    from sqlglot import exp

    if isinstance(node, exp.Is):
        subject = check(node.this)
        if not isinstance(node.expression, exp.Null | exp.Boolean):
            raise ExpressionError(offset, "after IS comes NULL, TRUE, FALSE or DISTINCT FROM")
        if isinstance(node.expression, exp.Boolean):
            _truth(subject)
        tree: exp.Expr = exp.Is(this=subject.sql, expression=node.expression.copy())
    else:
        left, right = _comparable(check(node.this), check(node.expression))
        tree = type(node)(this=left.sql, expression=right.sql)
    if not isinstance(node.expression, exp.Null):
        _refuse_access(tree, offset)
    return Typed(kind=Kind.TRUTH, sql=exp.Paren(this=tree), offset=offset)


def _refuse_access(tree: exp.Expr, offset: int) -> None:
    """These make something known of an unknown; of reads only ``unknown_access`` may."""
    for column in _columns_of(tree):
        if column.name in ACCESS_COLUMNS:
            raise ExpressionError(
                offset,
                f"IS TRUE, IS FALSE and IS DISTINCT FROM would guess an unknown {column.name}",
                hint="Say `unknown_access: modified` in the policy instead.",
            )


def _in(subject: Typed, items: Sequence[Typed], offset: int) -> Typed:
    from sqlglot import exp

    for item in items:
        if item.literal is None:
            raise ExpressionError(item.offset, "a list after IN holds plain values only")
    pairs = [_comparable(subject, item) for item in items]
    tree = exp.In(this=subject.sql, expressions=[item.sql for _, item in pairs])
    return Typed(kind=Kind.TRUTH, sql=exp.Paren(this=tree), offset=offset)


def _comparable(left: Typed, right: Typed) -> tuple[Typed, Typed]:
    """The two sides, a text that stands beside a time read as one."""
    if left.kind is Kind.TIME and isinstance(right.literal, str):
        return left, _time(right)
    if right.kind is Kind.TIME and isinstance(left.literal, str):
        return _time(left), right
    if not fit(left, right):
        raise ExpressionError(
            right.offset,
            f"{left.name} cannot be compared with {right.name}",
            hint=_comparison_hint(left, right),
        )
    for column, value in ((left, right), (right, left)):
        known = _CLOSED.get(column.column or "")
        if known and isinstance(value.literal, str) and value.literal not in known:
            raise ExpressionError(
                value.offset,
                f"{column.column} is never {value.literal!r}.{did_you_mean(value.literal, known)}",
                hint=f"It is one of {', '.join(known)}.",
            )
    return left, right


def _comparison_hint(left: Typed, right: Typed) -> str | None:
    kinds = {left.kind, right.kind}
    if Kind.BYTES in kinds:
        return "Write sizes like mib(8) or gb(1.5), without quotes."
    if Kind.DAYS in kinds:
        return "Write times like days(30), weeks(4) or years(1), without quotes."
    if Kind.NAMED_TEXTS in kinds:
        return "Write tag('name') = 'value'."
    if Kind.TEXTS in kinds:
        return "Write has(residency, 'eu')."
    return None


def _time(part: Typed) -> Typed:
    from sqlglot import exp

    try:
        found = datetime.fromisoformat(str(part.literal))
    except ValueError:
        raise ExpressionError(
            part.offset,
            f"{part.literal!r} is not a time",
            hint="Write it like '2026-01-31' or '2026-01-31T12:00:00+00:00'.",
        ) from None
    at = found if found.tzinfo else found.replace(tzinfo=UTC)
    tree = exp.Cast(
        this=exp.Literal.string(at.astimezone(UTC).isoformat()),
        to=exp.DataType.build("TIMESTAMPTZ"),
    )
    return Typed(kind=Kind.TIME, sql=tree, offset=part.offset)


def _arithmetic(node: exp.Expr, left: Typed, right: Typed) -> Typed:
    """In floating point, so that nothing overflows; a division by zero is unknown."""
    from sqlglot import exp

    for side in (left, right):
        if side.kind not in NUMBERS:
            raise ExpressionError(side.offset, f"{side.name} is no number")
    if isinstance(node, exp.Add | exp.Sub):
        if not fit(left, right):
            raise ExpressionError(right.offset, f"{left.name} and {right.name} do not add up")
        kind = right.kind if left.is_plain else left.kind
    elif isinstance(node, exp.Mul):
        if Kind.NUMBER not in (left.kind, right.kind):
            raise ExpressionError(right.offset, f"{left.name} times {right.name} means nothing")
        kind = right.kind if left.kind is Kind.NUMBER else left.kind
    else:
        if right.kind not in (left.kind, Kind.NUMBER):
            raise ExpressionError(right.offset, f"{left.name} by {right.name} means nothing")
        kind = Kind.NUMBER if left.kind is right.kind else left.kind
    divisor = double(right.sql)
    if isinstance(node, exp.Div):
        divisor = exp.Anonymous(this="nullif", expressions=[divisor, exp.Literal.number(0)])
    tree = exp.Paren(this=type(node)(this=double(left.sql), expression=divisor))
    return Typed(kind=kind, sql=tree, offset=left.offset)


def _element(node: exp.Bracket, offset: int) -> Typed:
    """``tags['name']`` and ``metadata['name']``."""
    from sqlglot import exp

    name, index = node.this, node.expressions[0]
    is_map = isinstance(name, exp.Column) and COLUMNS.get(name.name.lower()) is Kind.NAMED_TEXTS
    if not is_map or not (isinstance(index, exp.Literal) and index.is_string):
        raise ExpressionError(offset, "[ ] is for tags['name'] and metadata['name'] only")
    return named_text(name.name.lower(), str(index.this), offset)
