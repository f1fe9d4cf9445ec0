from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup.fingerprint import (
    Fingerprinter,
    Fingerprints,
    permutations,
    shingle_weights,
    text_buffers,
)
from tests.dedup.parameters import parameters
from tests.dedup.reference import reference_keys, reference_shingles, reference_signature
from tests.dedup.texts import TEXTS
from tests.examples import examples

WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "straße", "x1", "東", "мир"]), max_size=40)


def sketched(text: str, num_perm: int, seed: int, size: int) -> list[int]:
    """The kernel's signature of a text."""
    prints = Fingerprinter(
        parameters(num_perm=num_perm, seed=seed, shingle_size=size, bands=1, rows=num_perm)
    )
    signatures = np.empty((1, num_perm), np.uint32)
    counts, keys = np.empty(1, np.int64), np.empty((1, 1), np.uint64)
    data, offsets = text_buffers(pa.array([text]))
    prints.sketch(data, offsets, counts, keys, is_nfc=False, signatures=signatures)
    found: list[int] = signatures[0].tolist()
    return found


@settings(max_examples=examples(1000))
@given(
    WORDS,
    st.sampled_from([2, 7, 16, 128, 200]),
    st.sampled_from([0, 1, 42, 2**32 - 1]),
    st.sampled_from([1, 2, 5, 9, 32]),
)
def test_every_signature_value_is_datasketchs(
    words: list[str], num_perm: int, seed: int, size: int
) -> None:
    found = sketched(" ".join(words), num_perm, seed, size)
    assert found == reference_signature(reference_shingles(words, size), num_perm, seed)


@pytest.mark.parametrize("count", [1023, 1024, 1025, 1028, 1029, 5000])
def test_every_signature_value_of_a_long_text_is_datasketchs(count: int) -> None:
    words = [f"w{number * 7919 % 100003}" for number in range(count)]
    found = sketched(" ".join(words), 128, 1, 5)
    assert found == reference_signature(reference_shingles(words, 5), 128, 1)


@settings(max_examples=examples(200))
@given(st.sampled_from([2, 16, 128, 1024]), st.integers(0, 2**32 - 1))
def test_permutations_are_datasketchs(num_perm: int, seed: int) -> None:
    a, b = permutations(num_perm, seed)
    theirs = MinHash(num_perm=num_perm, seed=seed, scheme="affine32").permutations
    assert a.tolist() == theirs[0].tolist()
    assert b.tolist() == theirs[1].tolist()


def test_shingle_weights_never_change() -> None:
    weights = shingle_weights().tolist()
    assert weights[:2] == [13483502658929313951, 11641352987051906041]
    assert len(weights) == 32
    assert all(weight & 1 for weight in weights)


@pytest.mark.parametrize(("num_perm", "bands", "rows"), [(128, 16, 8), (128, 9, 14), (8, 3, 2)])
def test_band_keys_are_made_of_the_signature(num_perm: int, bands: int, rows: int) -> None:
    words = [f"word{number}" for number in range(10)]
    prints = Fingerprinter(parameters(num_perm=num_perm, bands=bands, rows=rows))
    found = prints.fingerprint(pa.array([" ".join(words)])).keys[0].tolist()
    signature = reference_signature(reference_shingles(words, 5), num_perm, 1)
    assert found == reference_keys(signature, bands, rows)


def rows_of(found: Fingerprints) -> list[tuple[object, ...]]:
    parts = (found.tokens, found.text_bytes, found.digests, found.keys)
    return list(zip(*(part.tolist() for part in parts), strict=True))


@settings(max_examples=examples(200))
@given(st.lists(TEXTS, max_size=8))
def test_a_fingerprint_does_not_depend_on_the_texts_around_it(texts: list[str]) -> None:
    prints = Fingerprinter(parameters())
    together = rows_of(prints.fingerprint(pa.array(texts, pa.string())))
    alone = [rows_of(prints.fingerprint(pa.array([text])))[0] for text in texts]
    assert together == alone
    assert [row[1] for row in together] == [len(text.encode()) for text in texts]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()], ids=str
)
def test_slices_and_every_text_type_give_the_same(kind: pa.DataType) -> None:
    texts = ["first text of some words", "second", "", "third e\u0301 with äöü and more words"]
    prints = Fingerprinter(parameters())
    whole = rows_of(prints.fingerprint(pa.array(texts)))
    raw = pa.array([text.encode() for text in texts], pa.binary()).cast(kind)
    assert rows_of(prints.fingerprint(raw)) == whole
    for start in range(5):
        for length in range(5 - start):
            part = rows_of(prints.fingerprint(raw.slice(start, length)))
            assert part == whole[start : start + length]


def test_no_documents_give_no_fingerprints() -> None:
    found = Fingerprinter(parameters()).fingerprint(pa.array([], pa.string()))
    assert found.keys.shape == (0, 16)


def test_short_texts_are_one_shingle_of_all_their_tokens() -> None:
    prints = Fingerprinter(parameters())
    found = prints.fingerprint(pa.array(["one two", "One, two!", "two one", "one two three"]))
    assert found.keys[0].tolist() == found.keys[1].tolist()
    assert found.keys[0].tolist() != found.keys[2].tolist()
    assert found.keys[0].tolist() != found.keys[3].tolist()
