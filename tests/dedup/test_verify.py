from __future__ import annotations

import math
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup import verify
from greendata.dedup.fingerprint import text_buffers, text_digests
from greendata.dedup.tokens import tokens
from greendata.dedup.verify import Comparisons, Consume, Verifier, open_spill, shingle_sets

SIZE = 5
TEXTS = st.lists(
    st.lists(st.sampled_from(["a", "b", "é", "é", "東", "x-y", "?"]), max_size=30).map(" ".join),
    min_size=2,
    max_size=8,
)


def brute_force_set(text: str) -> set[tuple[str, ...]]:
    found = tokens(text)
    if 0 < len(found) < SIZE:
        return {tuple(found)}
    return {tuple(found[i : i + SIZE]) for i in range(len(found) - SIZE + 1)}


def compare(
    texts: list[str], folder: Path, *, lost: frozenset[int] = frozenset(), workers: int = 1
) -> Comparisons:
    """All pairs of ranks; ``lost`` ranks cannot be read, and odd lost ones have changed."""
    array = pa.array(texts)
    digests = text_digests(*text_buffers(array))

    def read_texts(ranks: np.ndarray, consume: Consume) -> None:
        for rank in ranks.tolist():
            if rank not in lost:
                consume(np.array([rank]), array.slice(rank, 1))
            elif rank % 2:
                consume(np.array([rank]), pa.array(["another text"]))

    pairs = [(a, b) for a in range(len(texts)) for b in range(a + 1, len(texts))]
    better, worse = (np.array([pair[side] for pair in pairs], np.int32) for side in (0, 1))
    with open_spill(str(folder / "spill")) as file:
        verifier = Verifier(
            shingle_size=SIZE, digests=digests, read_texts=read_texts, file=file, workers=workers
        )
        half = len(pairs) // 2
        parts = [
            verifier.compare(better[:half], worse[:half]),
            verifier.compare(better[half:], worse[half:]),
        ]
    return Comparisons.concatenate(parts)


@settings(max_examples=150, deadline=None)
@given(texts=TEXTS, workers=st.sampled_from([1, 3]), batch=st.sampled_from([64, 1 << 26]))
def test_jaccard_is_that_of_the_texts(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], workers: int, batch: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "_COMPARE_BYTES", batch)
        found = compare(texts, tmp_path_factory.mktemp("verify"), workers=workers)
    sets = [brute_force_set(text) for text in texts]
    for place, (a, b) in enumerate(zip(found.better.tolist(), found.worse.tolist(), strict=True)):
        assert found.better_shingles[place] == len(sets[a])
        assert found.worse_shingles[place] == len(sets[b])
        assert found.shared[place] == len(sets[a] & sets[b])
        expected = len(sets[a] & sets[b]) / max(1, len(sets[a] | sets[b]))
        assert found.jaccard[place] == expected


def test_a_text_that_is_gone_or_another_one_is_never_compared(tmp_path: Path) -> None:
    texts = ["one two three four five six", "one two three four five six", "x", "y"]
    found = compare(texts, tmp_path, lost=frozenset({0, 3}))
    for a, b, jaccard, readable in zip(
        found.better.tolist(),
        found.worse.tolist(),
        found.jaccard.tolist(),
        found.is_readable.tolist(),
        strict=True,
    ):
        assert readable == (not {a, b} & {0, 3})
        assert math.isnan(jaccard) == bool({a, b} & {0, 3})


def test_nothing_readable_is_nothing_compared(tmp_path: Path) -> None:
    found = compare(["a b c", "a b c"], tmp_path, lost=frozenset({0, 1}))
    assert not found.is_readable.any()


def test_shingle_sets_do_not_depend_on_the_normal_form() -> None:
    text = "Zürich ist schön, Straße für Äpfel und Öl " * 3
    texts = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")] + ["plain words only"]
    sizes, sets = shingle_sets(*text_buffers(pa.array(texts)), SIZE)
    first, second = sets[: sizes[0]], sets[sizes[0] : sizes[0] + sizes[1]]
    assert sizes[0] == sizes[1] == len(brute_force_set(text))
    assert first.tolist() == second.tolist()


def test_bytes_that_are_not_utf8_have_no_set() -> None:
    sizes, sets = shingle_sets(*text_buffers(pa.array([b"\xff", b"a b", b"e\xcc\x81\xff"])), SIZE)
    assert sizes.tolist() == [-1, 1, -1]
    assert len(sets) == 1


def test_repeated_words_count_once() -> None:
    sizes, _ = shingle_sets(*text_buffers(pa.array(["a " * 100_000, "a b " * 100_000])), SIZE)
    assert sizes.tolist() == [1, 2]
