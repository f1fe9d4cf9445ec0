"""The difference of two texts, word by word and short, for a person to judge a near-duplicate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS_COMPARED = 1_500
"""Words a side that are compared after equal beginnings and ends; difflib is quadratic."""
CONTEXT_WORDS = 6
LONGEST_PART_WORDS = 24
HUNKS_SHOWN = 3
LONGEST_WORD = 200

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Some words of one side, equal to the other side's or not."""

    text: str
    is_changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """One place where the texts differ, with some words before and after it."""

    kept: tuple[Segment, ...]
    document: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first places where two texts differ; ``is_partial`` when there are or may be more."""

    hunks: tuple[Hunk, ...]
    is_partial: bool


def compare_words(kept: str, document: str) -> Difference:
    """The first hunks; none when the texts are equal up to white space."""
    left, right = _WORD.findall(kept), _WORD.findall(document)
    start = _equal_words(left, right)
    end = _equal_words(left[start:][::-1], right[start:][::-1])
    left_end, right_end = len(left) - end, len(right) - end
    left_stop = min(left_end, start + WORDS_COMPARED)
    right_stop = min(right_end, start + WORDS_COMPARED)
    matcher = SequenceMatcher(None, left[start:left_stop], right[start:right_stop], autojunk=True)
    changes = [
        (start + i, start + j, start + k, start + m)
        for tag, i, j, k, m in matcher.get_opcodes()
        if tag != "equal"
    ]
    is_cut = left_stop < left_end or right_stop < right_end
    hunks = tuple(
        Hunk(kept=_segments(left, i, j), document=_segments(right, k, m))
        for i, j, k, m in changes[:HUNKS_SHOWN]
    )
    return Difference(hunks=hunks, is_partial=is_cut or len(changes) > HUNKS_SHOWN)


def _equal_words(left: Sequence[str], right: Sequence[str]) -> int:
    """How many words at the beginning are the same."""
    shorter = min(len(left), len(right))
    return next((i for i in range(shorter) if left[i] != right[i]), shorter)


def _segments(words: Sequence[str], start: int, stop: int) -> tuple[Segment, ...]:
    """The words from ``start`` to ``stop``, changed, between their neighbours, unchanged."""
    before = words[max(start - CONTEXT_WORDS, 0) : start]
    after = words[stop : stop + CONTEXT_WORDS]
    parts = ((before, False), (words[start:stop], True), (after, False))
    return tuple(
        Segment(text=_joined(part), is_changed=is_changed) for part, is_changed in parts if part
    )


def _joined(words: Sequence[str]) -> str:
    short = [
        word if len(word) <= LONGEST_WORD else f"{word[:LONGEST_WORD]}…"
        for word in words[:LONGEST_PART_WORDS]
    ]
    if len(words) > LONGEST_PART_WORDS:
        short.append(f"… ({len(words) - LONGEST_PART_WORDS} more words)")
    return " ".join(short)
