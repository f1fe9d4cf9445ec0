"""Globs over keys and URIs as SQL: ``*`` and ``?`` stay in a folder, ``**`` does not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp

_SPECIAL = re.compile(r"[*?]")


def match_glob(subject: exp.Expr, pattern: str) -> exp.Expr:
    """SQL that is true where ``subject`` matches as a whole.

    The usual shapes become plain text functions; the rest a regular expression, which DuckDB's
    engine matches in linear time.
    """
    from sqlglot import exp

    def call(name: str, *arguments: exp.Expr | str) -> exp.Expr:
        given = [exp.Literal.string(item) if isinstance(item, str) else item for item in arguments]
        return exp.Anonymous(this=name, expressions=given)

    if not _SPECIAL.search(pattern):
        return exp.EQ(this=subject, expression=exp.Literal.string(pattern))
    start, end = pattern.removesuffix("**"), pattern.removeprefix("**")
    if start != pattern and not _SPECIAL.search(start):
        return call("starts_with", subject, start)
    name = end.removeprefix("/").removeprefix("*")
    is_ending = end != pattern and end in (f"/*{name}", name)
    if is_ending and not re.search("[*?/]", name):
        return call("ends_with", subject, name)
    folder = end.removesuffix("**")
    if end not in (pattern, folder) and re.fullmatch(r"/[^*?]+/", folder):
        return call("contains", call("concat", "/", subject), folder)
    return call("regexp_full_match", subject, glob_to_regex(pattern), "s")


def glob_to_regex(pattern: str) -> str:
    """The regular expression (RE2) of a glob; ``**/`` also matches no folder at all."""
    found = ""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            found, at = f"{found}(.*/)?", at + 3
        elif pattern.startswith("**", at):
            found, at = f"{found}.*", at + 2
        else:
            char = pattern[at]
            found += {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
            at += 1
    return found
