"""The words of an expression, taken apart before any parser sees them.

What is not on the list below ends here: comments, statements, casts, quoted identifiers, letters
that only look like others, nesting that would exhaust a parser.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass

from greendata.config import did_you_mean
from greendata.policy.columns import COLUMNS
from greendata.units import BYTES_PER_UNIT

LONGEST_EXPRESSION = 4_000
MOST_WORDS = 600
DEEPEST = 24
LONGEST_PREFIX_RUN = 4
LONGEST_NUMBER = 18

KEYWORDS = (
    "and",
    "or",
    "not",
    "in",
    "is",
    "null",
    "true",
    "false",
    "between",
    "distinct",
    "from",
)
_DAYS_PER_UNIT = {"days": 1, "weeks": 7, "years": 365}
UNITS = {name: size for name, size in BYTES_PER_UNIT.items() if name != "b"} | _DAYS_PER_UNIT
"""Functions of one literal: bytes or days."""
DAY_UNITS = tuple(_DAYS_PER_UNIT)
FUNCTIONS = (
    *UNITS,
    "abs",
    "ceil",
    "coalesce",
    "contains",
    "ends_with",
    "floor",
    "glob",
    "greatest",
    "has",
    "least",
    "length",
    "lower",
    "nullif",
    "round",
    "starts_with",
    "tag",
    "trim",
    "upper",
)
_INSTEAD = {
    "like": "Write glob(key, '**/*.parquet'), starts_with, ends_with or contains.",
    "ilike": "Write glob(lower(key), '**/*.parquet').",
    "now": "Write age_days, idle_days or days_in_tier: policies never ask for the time.",
    "current_date": "Write age_days, idle_days or days_in_tier: policies never ask for the time.",
    "interval": "Write age_days >= days(30).",
    "select": "A condition is one expression; there are no statements in it.",
    "case": "Write it with and, or and not.",
    "cast": "Values are compared as the kind their column has.",
    "timestamp": "Write the time as text: modified_at < '2026-01-01'.",
    "date": "Write the time as text: modified_at < '2026-01-01'.",
}
_TOKEN = re.compile(
    r"(?P<blank>[ \n\r]+)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[0-9]+(\.[0-9]+)?)"
    r"|(?P<text>'([^']|'')*')"
    r"|(?P<mark><=|>=|<>|!=|[=<>+\-*/(),\[\]])"
)


class ExpressionError(Exception):
    """What is wrong with an expression, and at which character of it (from 0)."""

    def __init__(self, offset: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """``kind`` is word, number, text or mark; words are lower-cased."""

    kind: str
    text: str
    start: int
    end: int


def read_words(text: str) -> list[Word]:
    """All words of an expression.

    Raises:
        ExpressionError: a character, word or length that no expression may have.
    """
    if len(text) > LONGEST_EXPRESSION:
        raise ExpressionError(
            0,
            f"the expression has more than {LONGEST_EXPRESSION} characters",
            hint="Split it into several policies.",
        )
    words: list[Word] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _bad_character(text, at)
        kind = found.lastgroup or ""
        if kind != "blank":
            words.append(_word(kind, found[0], at))
        at = found.end()
    if not words:
        raise ExpressionError(0, "the expression is empty", hint="Leave `where` out, or write it.")
    _refuse_excess(words)
    _refuse_unknown(words)
    return words


def split_conjuncts(text: str, words: list[Word]) -> list[tuple[int, int]]:
    """Start and end of the parts that the outermost ``and`` joins; the whole where ``or`` does."""
    parts: list[tuple[int, int]] = []
    depth, first, betweens = 0, words[0].start, 0
    for before, word in zip([None, *words], words, strict=False):
        depth += word.text in ("(", "[") and word.kind == "mark"
        depth -= word.text in (")", "]") and word.kind == "mark"
        if word.kind != "word" or depth:
            continue
        if word.text == "or":
            return [(words[0].start, words[-1].end)]
        betweens += word.text == "between"
        if word.text == "and" and betweens:
            betweens -= 1
        elif word.text == "and" and before is not None:
            parts.append((first, before.end))
            first = word.end + 1
    parts.append((first, words[-1].end))
    return [
        (start + len(text[start:end]) - len(text[start:end].lstrip()), end) for start, end in parts
    ]


def _word(kind: str, text: str, at: int) -> Word:
    shown = text.lower() if kind == "word" else text
    if kind == "text":
        _refuse_invisible(text, at)
    if kind == "number" and len(text) > LONGEST_NUMBER:
        raise ExpressionError(at, f"a number of more than {LONGEST_NUMBER} digits")
    return Word(kind=kind, text=shown, start=at, end=at + len(text))


def _refuse_invisible(text: str, at: int) -> None:
    for offset, char in enumerate(text):
        if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029":
            name = unicodedata.name(char, f"character {ord(char):#06x}")
            raise ExpressionError(at + offset, f"an invisible character in a text: {name}")


def _bad_character(text: str, at: int) -> ExpressionError:
    char = text[at]
    if text.startswith(("--", "/*", "#"), at):
        return ExpressionError(at, "a comment", hint="Write comments in YAML, after #.")
    if char == "'":
        return ExpressionError(at, "a text without its closing quote")
    if char == '"':
        return ExpressionError(at, "a double quote", hint="Texts stand in single quotes.")
    if char == ";":
        return ExpressionError(at, "a semicolon", hint="A condition is one expression.")
    name = unicodedata.name(char, f"character {ord(char):#06x}")
    return ExpressionError(
        at,
        f"{name} has no meaning here",
        hint="Outside quotes there are only letters a to z, digits, _ and = < > + - * / ( ) [ ] ,",
    )


def _refuse_excess(words: list[Word]) -> None:
    if len(words) > MOST_WORDS:
        raise ExpressionError(
            words[MOST_WORDS].start,
            f"the expression has more than {MOST_WORDS} words",
            hint="Split it into several policies.",
        )
    depth = run = 0
    for word in words:
        depth += word.kind == "mark" and word.text in ("(", "[")
        depth -= word.kind == "mark" and word.text in (")", "]")
        is_prefix = word.text in ("not", "-", "+") and word.kind != "text"
        run = run + 1 if is_prefix else 0
        if depth > DEEPEST or run > LONGEST_PREFIX_RUN:
            raise ExpressionError(word.start, f"nested deeper than {DEEPEST} levels")
        if depth < 0:
            raise ExpressionError(word.start, f"{word.text} closes nothing")
    _refuse_comments(words)


def _refuse_comments(words: list[Word]) -> None:
    """``--`` and ``/*`` are two marks each here, but the start of a comment to a parser."""
    for first, second in itertools.pairwise(words):
        pair = first.text + second.text
        is_mark = first.kind == second.kind == "mark" and first.end == second.start
        if is_mark and pair in ("--", "/*", "*/", "//"):
            raise ExpressionError(first.start, "a comment", hint="Write comments in YAML, after #.")
        if first.kind == "word" and second.kind == "text" and first.end == second.start:
            raise ExpressionError(first.start, f"{first.text!r} before a text")


def _refuse_unknown(words: list[Word]) -> None:
    for word, after in zip(words, [*words[1:], None], strict=True):
        if word.kind != "word" or word.text in KEYWORDS:
            continue
        is_call = after is not None and after.text == "(" and after.kind == "mark"
        known = FUNCTIONS if is_call else tuple(COLUMNS)
        if word.text in known:
            continue
        hint = _INSTEAD.get(word.text)
        what = "function" if is_call else "column"
        if word.text in COLUMNS or word.text in FUNCTIONS:
            told = "is a column, no function" if is_call else "is a function: write it with ( )"
            raise ExpressionError(word.start, f"{word.text!r} {told}", hint=hint)
        guess = "" if hint else did_you_mean(word.text, known)
        listed = f"{what.capitalize()}s are {', '.join(known)}."
        raise ExpressionError(
            word.start,
            f"unknown {what} {word.text!r}.{guess}",
            hint=hint or (None if guess else listed),
        )
