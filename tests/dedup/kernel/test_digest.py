from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup.fingerprint import text_digests
from tests.examples import examples


def hexes(texts: list[bytes], before: bytes = b"") -> list[str]:
    """Digests as they are printed; ``before`` stands in front of the first text."""
    data = np.frombuffer(before + b"".join(texts) + b"\0", np.uint8)
    offsets = np.cumsum([len(before), *map(len, texts)]).astype(np.int64)
    return [f"{high:016x}{low:016x}" for high, low in text_digests(data, offsets).tolist()]


def expected(texts: list[bytes]) -> list[str]:
    return [hashlib.blake2b(text, digest_size=16).hexdigest() for text in texts]


def test_digest_is_blake2b_at_every_length() -> None:
    whole = bytes(range(256)) * 2
    pieces = [whole[:length] for length in range(401)]
    assert hexes(pieces) == expected(pieces)


@settings(max_examples=examples(300))
@given(st.lists(st.binary(max_size=700), max_size=20), st.binary(max_size=9))
def test_digest_is_blake2b_wherever_the_text_stands(texts: list[bytes], before: bytes) -> None:
    assert hexes(texts, before) == expected(texts)


def test_digest_of_a_long_text_is_blake2b() -> None:
    texts = [b"0123456789abcdef" * 100_000, b"\xff" * 1_000_001, b"\0" * 128 * 1000]
    assert hexes(texts) == expected(texts)


def test_digest_never_changes() -> None:
    assert hexes([b"", b"abc"]) == [
        "cae66941d9efbd404e4d88758ea67670",
        "cf4ab791c62b8d2b2109c90275287816",
    ]
