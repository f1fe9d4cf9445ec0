from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from greendata.dedup.fingerprint import text_digests


def hexes(texts: list[bytes]) -> list[str]:
    data = np.frombuffer(b"".join(texts) + b"\0", np.uint8)
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    return [f"{high:016x}{low:016x}" for high, low in text_digests(data, offsets).tolist()]


def expected(texts: list[bytes]) -> list[str]:
    return [hashlib.blake2b(text, digest_size=16).hexdigest() for text in texts]


def test_digest_is_blake2b_at_every_length() -> None:
    texts = [bytes(range(256)) * 2][0]
    pieces = [texts[:length] for length in range(400)]
    assert hexes(pieces) == expected(pieces)


@given(st.lists(st.binary(max_size=700), max_size=20))
def test_digest_is_blake2b(texts: list[bytes]) -> None:
    assert hexes(texts) == expected(texts)
