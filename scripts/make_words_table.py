"""Make the code-point table of the ``words-v1`` tokenizer from this Python's Unicode data.

The table is shipped, so that results never change with the Python version. It is made with the
oldest Unicode version among the supported Pythons (14.0.0, Python 3.11), so that every one of them
can normalise all characters that the table knows.

    python3.11 scripts/make_words_table.py
"""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import numpy as np

UNICODE_VERSION = "14.0.0"
TARGET = Path(__file__).parent.parent / "greendata" / "dedup" / "words_v1_unicode_14_0_0.npz"

# Entry layout, mirrored in greendata/dedup/tokens.py.
CLASS_SEPARATOR, CLASS_WORD, CLASS_EXTEND, CLASS_SINGLE = 0, 1, 2, 3
CLASS_SHIFT, NFC_SHIFT, UNASSIGNED_SHIFT, COMBINING_SHIFT, DELTA_SHIFT = 0, 2, 3, 4, 12

# Scripts written without spaces between words, as their character names begin.
UNSEGMENTED = (
    "CJK UNIFIED IDEOGRAPH",
    "CJK COMPATIBILITY IDEOGRAPH",
    "IDEOGRAPHIC",
    "HANGZHOU NUMERAL",
    "VERTICAL IDEOGRAPHIC",
    "HIRAGANA",
    "HENTAIGANA",
    "KATAKANA",
    "HALFWIDTH KATAKANA",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
)
JOINERS = (0x200C, 0x200D)


def composition_seconds() -> set[int]:
    """Code points that can join the one before them in NFC (NFC_Quick_Check=Maybe)."""
    seconds = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    for point in range(0x110000):
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pair = "".join(chr(int(part, 16)) for part in parts)
            if unicodedata.normalize("NFC", pair) == chr(point):
                seconds.add(int(parts[1], 16))
    return seconds


def class_of(point: int, category: str) -> int:
    if category[0] == "M" or point in JOINERS:
        return CLASS_EXTEND
    if category[0] == "L" or category == "Nl":
        name = unicodedata.name(chr(point), "")
        return CLASS_SINGLE if name.startswith(UNSEGMENTED) else CLASS_WORD
    return CLASS_WORD if category[0] == "N" else CLASS_SEPARATOR


def lower_delta(point: int, kind: int) -> int:
    """Distance to the simple lower-case mapping; 0 where there is none of one code point."""
    if kind != CLASS_WORD:
        return 0
    if point == 0x0130:  # simple mapping is "i"; str.lower() gives the full mapping of two points
        return ord("i") - point
    lowered = chr(point).lower()
    return ord(lowered) - point if len(lowered) == 1 else 0


def entry_of(point: int, seconds: set[int]) -> int:
    character = chr(point)
    category = unicodedata.category(character)
    kind = class_of(point, category)
    surrogate = 0xD800 <= point <= 0xDFFF
    unstable = not surrogate and (
        point in seconds or unicodedata.normalize("NFC", character) != character
    )
    return (
        kind << CLASS_SHIFT
        | int(unstable) << NFC_SHIFT
        | int(category == "Cn") << UNASSIGNED_SHIFT
        | unicodedata.combining(character) << COMBINING_SHIFT
        | (lower_delta(point, kind) & 0xFFFFF) << DELTA_SHIFT
    )


def main() -> None:
    if unicodedata.unidata_version != UNICODE_VERSION:
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}, not {UNICODE_VERSION}")
    seconds = composition_seconds()
    entries = np.array([entry_of(point, seconds) for point in range(0x110000)], dtype=np.uint32)
    blocks, index = np.unique(entries.reshape(-1, 256), axis=0, return_inverse=True)
    np.savez_compressed(TARGET, index=index.astype(np.uint16).ravel(), entries=blocks.ravel())
    print(f"{TARGET.name}: {len(blocks)} blocks, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
