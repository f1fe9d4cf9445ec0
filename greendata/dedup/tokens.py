"""``words-v1``: what a token is, by a code-point table that is shipped with the program.

A token is a maximal run of letters and digits (Unicode categories L and N), lower-cased by simple
case mapping. A mark (M), ZWJ or ZWNJ belongs to the token it follows. Letters of scripts written
without spaces (Han, Kana, Thai, Lao, Khmer, Myanmar) are tokens of their own, with their marks.
Text that is not in normal form C is normalised first. ``scripts/make_words_table.py`` makes the
table; the kernel and ``tokens`` below read it.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENIZER = "words-v1/unicode-14.0.0"
_TABLE_FILE = Path(__file__).parent / "words_v1_unicode_14_0_0.npz"

# Layout of a table entry, as written by scripts/make_words_table.py.
SEPARATOR, WORD, EXTEND, SINGLE = 0, 1, 2, 3
_UNASSIGNED_BIT = 1 << 3
_DELTA_SHIFT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePointTable:
    """Two-stage table: ``entries[index[point >> 8] * 256 + (point & 255)]`` is a point's entry.

    Bits of an entry: 0-1 class, 2 "may change under NFC", 3 unassigned, 4-11 combining class,
    12-31 signed distance to the lower-case code point.
    """

    index: NDArray[np.uint16]
    entries: NDArray[np.uint32]

    def entry(self, point: int) -> int:
        """The entry of one code point."""
        return int(self.entries[int(self.index[point >> 8]) * 256 + (point & 255)])


@cache
def load_table() -> CodePointTable:
    """The shipped table, read once."""
    import numpy as np

    with np.load(_TABLE_FILE) as arrays:
        index = np.ascontiguousarray(arrays["index"], dtype=np.uint16)
        entries = np.ascontiguousarray(arrays["entries"], dtype=np.uint32)
    return CodePointTable(index=index, entries=entries)


def normalise(text: str) -> str:
    """Normal form C, the same under every Python.

    Code points that the table does not know are separators; they become spaces first, so that a
    newer Unicode version can neither compose nor reorder them.
    """
    if unicodedata.is_normalized("NFC", text):
        return text
    table = load_table()
    unknown: dict[int, Any] = {
        point: " "
        for point in set(map(ord, text))
        if point > 0x7F and table.entry(point) & _UNASSIGNED_BIT
    }
    return unicodedata.normalize("NFC", text.translate(unknown) if unknown else text)


def tokens(text: str) -> list[str]:
    """The tokens of a text: the readable twin of the compiled kernel, for display and tests."""
    table, found, inside = load_table(), [""], SEPARATOR
    for character in normalise(text):
        entry = table.entry(ord(character))
        kind = entry & 3
        if kind == EXTEND:
            if inside != SEPARATOR:
                found[-1] += character
            continue
        if kind == SINGLE or (kind == WORD and inside != WORD):
            found.append("")
        if kind != SEPARATOR:
            found[-1] += chr(ord(character) + _signed(entry >> _DELTA_SHIFT))
        inside = kind
    return [token for token in found if token]


def _signed(delta: int) -> int:
    return delta - (1 << 20) if delta >= 1 << 19 else delta
