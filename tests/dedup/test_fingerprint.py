from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup.fingerprint import Fingerprinter, permutations, text_buffers
from greendata.dedup.verify import shingle_sets
from tests.dedup.parameters import parameters

WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "straße", "x1", "東", "мир"]), max_size=40)


def sketched(text: str, num_perm: int, seed: int, size: int) -> tuple[list[int], np.ndarray]:
    """(distinct shingles, signature) of a text."""
    prints = Fingerprinter(
        parameters(num_perm=num_perm, seed=seed, shingle_size=size, bands=1, rows=num_perm)
    )
    data, offsets = text_buffers(pa.array([text]))
    signatures = np.empty((1, num_perm), np.uint32)
    counts, keys = np.empty(1, np.int64), np.empty((1, 1), np.uint64)
    prints.sketch(data, offsets, counts, keys, is_nfc=False, signatures=signatures)
    return shingle_sets(data, offsets, size)[1].tolist(), signatures[0]


def reference(shingles: list[int], num_perm: int, seed: int) -> np.ndarray:
    sketch = MinHash(num_perm=num_perm, seed=seed, hashfunc=lambda value: value & 0xFFFFFFFF)
    for shingle in shingles:
        sketch.update(shingle)
    return np.asarray(sketch.hashvalues)


@settings(max_examples=1500, deadline=None)
@given(
    WORDS,
    st.sampled_from([1, 7, 16, 128, 200]),
    st.sampled_from([0, 1, 42, 2**32 - 1]),
    st.sampled_from([1, 2, 5, 9, 32]),
)
def test_every_signature_value_is_datasketchs(
    words: list[str], num_perm: int, seed: int, size: int
) -> None:
    shingles, signature = sketched(" ".join(words), num_perm, seed, size)
    assert signature.tolist() == reference(shingles, num_perm, seed).tolist()


@pytest.mark.parametrize("count", [1022, 1023, 1024, 1025, 1028, 1029, 2047, 2048, 2053, 5000])
def test_long_texts_cross_chunks_without_a_seam(count: int) -> None:
    words = [f"w{number * 7919 % 100003}" for number in range(count)]
    shingles, signature = sketched(" ".join(words), 128, 1, 5)
    assert len(shingles) == count - 4
    assert signature.tolist() == reference(shingles, 128, 1).tolist()


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_permutations_are_datasketchs(seed: int) -> None:
    a, b = permutations(128, seed)
    theirs = MinHash(num_perm=128, seed=seed).permutations
    assert a.tolist() == theirs[0].tolist()
    assert b.tolist() == theirs[1].tolist()


def fingerprint(text: str) -> tuple[int, str, list[int], list[int]]:
    found = Fingerprinter(parameters()).fingerprint(pa.array([text]))
    high, low = found.digests[0].tolist()
    shingles, signature = sketched(text, 128, 1, 5)
    keys = found.keys[0, :2].tolist()
    head = [*shingles[:1], *signature[:2].tolist()]
    return int(found.tokens[0]), f"{high:016x}{low:016x}", keys, head


# Indexes on disk hold these values: they must never change.
KNOWN = {
    "": (0, "cae66941d9efbd404e4d88758ea67670", [0, 0], [4294967295, 4294967295]),
    "hello": (
        1,
        "46fb7408d4f285228f4af516ea25851b",
        [2458146618255807948, 12813857666328508771],
        [13857616261981486774, 1388485573, 482501278],
    ),
    "The quick brown fox jumps over the lazy dog.": (
        9,
        "e21b9ba9a54571d92988718c8629e81b",
        [334579826751212461, 1069597267876720941],
        [1031560811633312345, 1062068587, 1792508908],
    ),
    "Der schnelle braune FUCHS springt über den faulen Hund.": (
        9,
        "f3c406eebdced703bca65caa7152acdb",
        [17990541233355734957, 9058678270482182323],
        [4511669663405440157, 1076971761, 318767005],
    ),
    "我们去北京大学 कि हिन्दी السَّلَامُ": (
        10,
        "1c6cc5d87eaeb88b9086de5108628b5a",
        [3293151411150927845, 14702125357622425351],
        [1279747537684997864, 340805024, 412921413],
    ),
}


@pytest.mark.parametrize("text", KNOWN)
def test_known_answers_never_change(text: str) -> None:
    assert fingerprint(text) == KNOWN[text]


def test_slices_and_large_offsets_give_the_same() -> None:
    texts = ["first text of some words", "second", "", "third text with äöü and more words"]
    prints = Fingerprinter(parameters())
    whole = prints.fingerprint(pa.array(texts))
    large = prints.fingerprint(pa.array(texts, pa.large_string()))
    part = prints.fingerprint(pa.array(texts).slice(1, 3))
    assert whole.keys.tolist() == large.keys.tolist()
    assert whole.keys[1:].tolist() == part.keys.tolist()
    assert whole.digests[1:].tolist() == part.digests.tolist()
    assert part.text_bytes.tolist() == [len(text.encode()) for text in texts[1:]]


def test_no_documents_give_no_fingerprints() -> None:
    found = Fingerprinter(parameters()).fingerprint(pa.array([], pa.string()))
    assert found.keys.shape == (0, 16)


def test_short_texts_are_one_shingle_of_all_their_tokens() -> None:
    prints = Fingerprinter(parameters())
    found = prints.fingerprint(pa.array(["one two", "One, two!", "two one", "one two three"]))
    assert found.keys[0].tolist() == found.keys[1].tolist()
    assert found.keys[0].tolist() != found.keys[2].tolist()
    assert found.keys[0].tolist() != found.keys[3].tolist()
