"""The scheme once more, in plain Python: what the compiled kernel must compute.

Tokens come from ``unicodedata`` and ranges of code points instead of the shipped table, signatures
from datasketch; the hashes are written down word by word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from datasketch import MinHash

from greendata.dedup.fingerprint import shingle_weights
from greendata.dedup.tokens import load_table

_MASK = (1 << 64) - 1
_UNSEGMENTED = (
    range(0x0E00, 0x0F00),  # Thai, Lao
    range(0x1000, 0x10A0),  # Myanmar, then its extensions B and A
    range(0xA9E0, 0xAA00),
    range(0xAA60, 0xAA80),
    range(0x1780, 0x1800),  # Khmer
    range(0x3005, 0x3008),  # ideographic marks, Hangzhou numerals
    range(0x3021, 0x302A),
    range(0x3038, 0x303C),
    range(0x3041, 0x3100),  # Kana
    range(0x31F0, 0x3200),
    range(0xFF66, 0xFFA0),
    range(0x1AFF0, 0x1B170),
    range(0x3400, 0x4DC0),  # Han
    range(0x4E00, 0xA000),
    range(0xF900, 0xFB00),
    range(0x20000, 0x31350),
)


def is_known(character: str) -> bool:
    """Whether Unicode 14 has this code point: a newer Python knows more than the table."""
    return unicodedata.category(character) != "Cn" and not load_table().entry(ord(character)) & 8


def _classified(text: str) -> Iterator[tuple[str, str]]:
    """(kind, lower-cased character)."""
    for character in text:
        category, point = unicodedata.category(character), ord(character)
        if category[0] == "M" or character in "\u200c\u200d":
            yield "mark", character
        elif category[0] not in "LN":
            yield "none", character
        elif category not in ("Nd", "No") and any(point in span for span in _UNSEGMENTED):
            yield "single", character
        else:
            lowered = "i" if character == "İ" else character.lower()
            yield "word", lowered if len(lowered) == 1 else character


def reference_tokens(text: str) -> list[str]:
    """The tokens of a text, by the words of the design."""
    known = "".join(character if is_known(character) else " " for character in text)
    found: list[str] = []
    before = "none"
    for kind, character in _classified(unicodedata.normalize("NFC", known)):
        if kind == "mark":
            if before != "none":
                found[-1] += character
            continue
        if kind == "word" and before == "word":
            found[-1] += character
        elif kind != "none":
            found.append(character)
        before = kind
    return found


def _word_hash(word: str) -> int:
    raw, mixed = word.encode(), 0x9E3779B97F4A7C15
    whole = len(raw) // 8 * 8
    for start in range(0, whole, 8):
        piece = int.from_bytes(raw[start : start + 8], "little")
        mixed = (mixed ^ piece) * 0xFF51AFD7ED558CCD & _MASK
        mixed ^= mixed >> 32
    mixed = (mixed ^ int.from_bytes(raw[whole:], "little")) * 0xFF51AFD7ED558CCD & _MASK
    return mixed ^ mixed >> 31


def _shingle_hash(hashes: Sequence[int]) -> int:
    weights: list[int] = shingle_weights().tolist()
    mixed = sum(value * weight for value, weight in zip(hashes, weights, strict=False)) & _MASK
    mixed ^= mixed >> 32
    mixed = mixed * 0xD6E8FEB86659FD93 & _MASK
    return mixed ^ mixed >> 32


def reference_shingles(words: Sequence[str], size: int) -> list[int]:
    """The distinct shingles of some tokens, in the order in which they come."""
    hashes = [_word_hash(word) for word in words]
    width = min(size, len(hashes))
    starts = range(len(hashes) - width + 1) if hashes else ()
    return list(dict.fromkeys(_shingle_hash(hashes[start : start + width]) for start in starts))


def reference_signature(shingles: Sequence[int], num_perm: int, seed: int) -> list[int]:
    """datasketch's signature of 64-bit shingles, of which it takes the low 32 bits."""
    sketch = MinHash(
        num_perm=num_perm,
        seed=seed,
        scheme="affine32",
        hashfunc=lambda shingle: shingle & 0xFFFFFFFF,
    )
    sketch.update_batch(shingles)
    return [int(value) for value in sketch.hashvalues]


def reference_keys(signature: Sequence[int], bands: int, rows: int) -> list[int]:
    """The band keys of a signature."""
    keys = []
    for band in range(bands):
        mixed = 0x9E3779B97F4A7C15 * (band + 1) & _MASK
        for value in signature[band * rows : band * rows + rows]:
            mixed = (mixed ^ value) * 0xFF51AFD7ED558CCD & _MASK
            mixed ^= mixed >> 32
        mixed = mixed * 0xC4CEB9FE1A85EC53 & _MASK
        keys.append(mixed ^ mixed >> 33)
    return keys


def jaccard(a: str, b: str, size: int = 5) -> float:
    """Exact Jaccard of the shingle sets of two texts."""
    left, right = (set(reference_shingles(reference_tokens(text), size)) for text in (a, b))
    return len(left & right) / len(left | right)
