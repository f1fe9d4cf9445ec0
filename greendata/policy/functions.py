"""Functions that a condition may call: what each takes, and what it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from greendata.policy.columns import ACCESS_COLUMNS, NUMBERS, Kind
from greendata.policy.globs import match_glob
from greendata.policy.lexer import DAY_UNITS, UNITS, ExpressionError
from greendata.policy.typed import Typed, double, fit, number

if TYPE_CHECKING:
    from sqlglot import exp


def call(node: exp.Anonymous, given: list[Typed], offset: int) -> Typed:
    """A checked call.

    Raises:
        ExpressionError: other arguments than the function takes.
    """
    name = str(node.this).lower()
    if name in UNITS:
        return _unit(name, given, offset)
    if name == "tag":
        _expect(name, given, offset, "tag('name')", [Kind.TEXT], literal_from=0)
        return named_text("tags", str(given[0].literal), offset)
    if name == "has":
        _expect(name, given, offset, "has(residency, 'eu')", [Kind.TEXTS, Kind.TEXT])
        return _result(Kind.TRUTH, "list_contains", given, offset)
    if name in ("starts_with", "ends_with", "contains", "glob"):
        shape = f"{name}(key, 'text')"
        _expect(name, given, offset, shape, [Kind.TEXT, Kind.TEXT], literal_from=1)
        if name == "glob":
            tree = match_glob(given[0].sql, str(given[1].literal))
            return Typed(kind=Kind.TRUTH, sql=tree, offset=offset)
        return _result(Kind.TRUTH, name, given, offset)
    if name in ("lower", "upper", "trim", "length"):
        _expect(name, given, offset, f"{name}(key)", [Kind.TEXT])
        return _result(Kind.NUMBER if name == "length" else Kind.TEXT, name, given, offset)
    if name in ("abs", "ceil", "floor", "round"):
        if len(given) != 1 or given[0].kind not in NUMBERS:
            raise _wrong_call(name, offset, f"{name}(duplicate_fraction)")
        given = [Typed(kind=given[0].kind, sql=double(given[0].sql), offset=offset)]
        return _result(given[0].kind, name, given, offset)
    if name in ("coalesce", "greatest", "least", "nullif") and len(given) > 1:
        return _of_one_kind(name, given, offset)
    raise _wrong_call(name, offset, f"{name}(a, b)")


def _result(kind: Kind, name: str, given: Sequence[Typed], offset: int) -> Typed:
    from sqlglot import exp

    tree = exp.Anonymous(this=name, expressions=[item.sql for item in given])
    return Typed(kind=kind, sql=tree, offset=offset)


def _wrong_call(name: str, offset: int, shape: str) -> ExpressionError:
    return ExpressionError(offset, f"{name} takes other arguments", hint=f"Write {shape}.")


def _expect(
    name: str,
    given: Sequence[Typed],
    offset: int,
    shape: str,
    kinds: Sequence[Kind],
    literal_from: int | None = None,
) -> None:
    if [item.kind for item in given] != list(kinds):
        raise _wrong_call(name, offset, shape)
    for item in given[literal_from:] if literal_from is not None else ():
        if not item.literal:
            raise ExpressionError(
                item.offset, f"{name} takes a text in quotes here", hint=f"Write {shape}."
            )


def _unit(name: str, given: Sequence[Typed], offset: int) -> Typed:
    """``mib(8)``: 8388608 bytes."""
    if len(given) != 1 or not given[0].is_plain or not isinstance(given[0].literal, Decimal):
        raise _wrong_call(name, offset, f"{name}(8)")
    value = given[0].literal * UNITS[name]
    if value != value.to_integral_value():
        raise ExpressionError(offset, f"{name}({given[0].literal}) is no whole number")
    return number(value, Kind.DAYS if name in DAY_UNITS else Kind.BYTES, offset)


def _of_one_kind(name: str, given: Sequence[Typed], offset: int) -> Typed:
    first = next((item for item in given if not item.is_plain), given[0])
    for item in given:
        if name != "nullif" and item.column in ACCESS_COLUMNS:
            raise ExpressionError(
                item.offset,
                f"{name} would put something else for an unknown {item.column}",
                hint="Say `unknown_access: modified` in the policy instead.",
            )
        if not fit(first, item) or first.kind is Kind.TRUTH:
            raise ExpressionError(item.offset, f"{first.name} and {item.name} do not go together")
    return _result(first.kind, name, given, offset)


def named_text(column: str, name: str, offset: int) -> Typed:
    """One of ``tags`` or ``metadata``; unknown where there is none of this name."""
    from sqlglot import exp

    tree = exp.Anonymous(
        this="map_extract_value",
        expressions=[exp.column(column, quoted=True), exp.Literal.string(name)],
    )
    return Typed(kind=Kind.TEXT, sql=tree, offset=offset)
