"""Policies made from native rules, and their YAML with a comment wherever a meaning is not kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from greendata.config import did_you_mean
from greendata.policy.tiers import TIERS

GRACE_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A policy to be written; ``comments`` say what differs from the rule it was made from."""

    name: str
    action: dict[str, Any]
    where: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    state: str | None = None
    guard: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file of native rules became; ``left_out`` are sentences."""

    kind: str
    drafts: tuple[Draft, ...]
    left_out: tuple[str, ...]


class ImportFailedError(Exception):
    """Why a file or rule cannot be read, without the file's name."""


def slug(text: str) -> str:
    """A policy's name from a rule's."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return found or "rule"


def quoted(text: str) -> str:
    """A text as a condition has it."""
    return "'" + text.replace("'", "''") + "'"


def only_keys(found: Any, known: Sequence[str], what: str) -> None:
    """Refuse anything but a mapping with keys that are known.

    Raises:
        ImportFailedError: which key.
    """
    if not isinstance(found, Mapping):
        raise ImportFailedError(f"{what} has keys and values")
    for key in found:
        if key not in known:
            raise ImportFailedError(f"{what} with {key!r}.{did_you_mean(str(key), known)}")


def with_priorities(drafts: Sequence[Draft]) -> tuple[Draft, ...]:
    """Where rules want several tiers the colder wins, as with the providers; names made unique."""
    import dataclasses

    tiers = {str(draft.action["tier"]) for draft in drafts if "tier" in draft.action}
    found, names = [], set[str]()
    for draft in drafts:
        name, number = draft.name, 2
        while name in names:
            name, number = f"{draft.name}-{number}", number + 1
        names.add(name)
        is_one_of_many = len(tiers) > 1 and "tier" in draft.action
        priority = TIERS.index(draft.action["tier"]) if is_one_of_many else 0
        found.append(dataclasses.replace(draft, name=name, priority=priority))
    return tuple(found)


def to_yaml(imported: Imported, source: str) -> str:
    """A policy file."""
    lines = [
        f"# Imported from {source} ({imported.kind}).",
        "# Where several policies match, here the safest wins: staying in place before removal.",
        "# The provider lets the cheapest win. `greendata policy check` names such pairs.",
        f"# Removal is into quarantine for {GRACE_DAYS} days first; the provider's is at once.",
    ]
    for sentence in imported.left_out:
        lines += _comment(f"Left out: {sentence}", "")
    lines += ["version: 1", "policies:"]
    for draft in imported.drafts:
        lines += _policy(draft)
    return "\n".join(lines) + "\n"


def _policy(draft: Draft) -> Iterator[str]:
    for sentence in draft.comments:
        yield from _comment(sentence, "  ")
    yield f"  - name: {json.dumps(draft.name)}"
    scope = {"prefixes": list(draft.prefixes)} if draft.prefixes else {}
    if draft.state:
        scope["state"] = draft.state  # type: ignore[assignment]
    if scope:
        yield f"    scope: {_flow(scope)}"
    if draft.where:
        yield f"    where: {json.dumps(' and '.join(draft.where), ensure_ascii=False)}"
    elif not draft.prefixes:
        yield "    all: true"
    yield f"    action: {_flow(draft.action)}"
    if draft.guard:
        yield f"    guard: {_flow(draft.guard)}"
    if draft.priority:
        yield f"    priority: {draft.priority}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {_flow(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _comment(sentence: str, indent: str) -> Iterable[str]:
    import textwrap
    import unicodedata

    shown = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in sentence)
    return textwrap.wrap(shown, 98, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ")
