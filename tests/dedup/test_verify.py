from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup import verify
from greendata.dedup.fingerprint import text_buffers, text_digests
from greendata.dedup.keep import is_verified
from greendata.dedup.tokens import tokens
from greendata.dedup.verify import (
    Comparisons,
    Consume,
    ShingleStore,
    Verifier,
    open_spill,
    shingle_sets,
    table_size,
)
from tests.dedup import texts as made
from tests.examples import examples

SIZE = 5
PIECES = st.lists(st.sampled_from(["a", "b", "\u00e9", "e\u0301", "東", "x-y", "?"]), max_size=30)
TEXTS = st.lists(PIECES.map(" ".join), min_size=2, max_size=8)


def brute_force_set(text: str, size: int = SIZE) -> set[tuple[str, ...]]:
    found = tokens(text)
    if 0 < len(found) < size:
        return {tuple(found)}
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}


def compare(
    texts: list[str],
    folder: Path,
    *,
    lost: Set[int] = frozenset(),
    workers: int = 1,
    read: list[int] | None = None,
) -> Comparisons:
    """All pairs of ranks, in two goes; ``lost`` ranks cannot be read, odd ones have changed."""
    array = pa.array(texts)
    digests = text_digests(*text_buffers(array))

    def batches(ranks: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Array]]:
        held = [rank for rank in ranks.tolist() if rank not in lost or rank % 2]
        for start in range(0, len(held), 3):
            part = held[start : start + 3]
            words = ["another text" if rank in lost else texts[rank] for rank in part]
            yield np.array(part), pa.array(words)

    def read_texts(ranks: np.ndarray, consume: Consume) -> None:
        if read is not None:
            read.extend(ranks.tolist())
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda batch: consume(*batch), batches(ranks)))

    pairs = list(combinations(range(len(texts)), 2))
    better, worse = (np.array([pair[side] for pair in pairs], np.int32) for side in (0, 1))
    with open_spill(str(folder / "spill")) as file:
        verifier = Verifier(
            shingle_size=SIZE, digests=digests, read_texts=read_texts, file=file, workers=workers
        )
        half = len(pairs) // 2
        parts = [
            verifier.compare(better[:half], worse[:half], np.empty(0, np.int64)),
            verifier.compare(better[half:], worse[half:], np.empty(0, np.int64)),
        ]
    return Comparisons.concatenate(parts)


@settings(max_examples=examples(150))
@given(
    texts=TEXTS,
    workers=st.sampled_from([1, 3]),
    batch=st.sampled_from([1, 64, 1 << 26]),
    lost=st.sets(st.integers(0, 7), max_size=2),
)
def test_jaccard_is_that_of_the_texts(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    workers: int,
    batch: int,
    lost: set[int],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "_COMPARE_BYTES", batch)
        folder = tmp_path_factory.mktemp("verify")
        found = compare(texts, folder, workers=workers, lost=lost)
    sets = [brute_force_set(text) for text in texts]
    pairs = zip(found.better.tolist(), found.worse.tolist(), strict=True)
    verified = is_verified(found, 0.5).tolist()
    for place, (a, b) in enumerate(pairs):
        if {a, b} & lost:
            assert found.shared[place] == -1
            assert math.isnan(found.jaccard[place])
            assert not verified[place]
            continue
        assert found.better_shingles[place] == len(sets[a])
        assert found.worse_shingles[place] == len(sets[b])
        assert found.shared[place] == len(sets[a] & sets[b])
        expected = len(sets[a] & sets[b]) / max(1, len(sets[a] | sets[b]))
        assert found.jaccard[place] == expected
        assert verified[place] == (expected >= 0.5)


def test_a_text_that_is_gone_or_another_one_is_never_verified(tmp_path: Path) -> None:
    texts = ["one two three four five six"] * 4
    found = compare(texts, tmp_path, lost={0, 3})
    verified = {
        (a, b)
        for a, b, good in zip(
            found.better.tolist(),
            found.worse.tolist(),
            is_verified(found, 0.0).tolist(),
            strict=True,
        )
        if good
    }
    assert verified == {(1, 2)}
    assert np.isnan(found.jaccard).sum() == 5


def test_each_text_is_asked_for_once(tmp_path: Path) -> None:
    read: list[int] = []
    compare([f"text number {number}" for number in range(9)], tmp_path, lost={2, 5}, read=read)
    assert sorted(read) == list(range(9))


def test_several_workers_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_COMPARE_BYTES", 4000)
    random = np.random.RandomState(3)
    words = [f"w{number}" for number in range(30)]
    texts = [" ".join(random.choice(words, 60 + 5 * step)) for step in range(25)]
    texts += [text + " and more" for text in texts]
    alone, together = (compare(texts, tmp_path, workers=workers) for workers in (1, 4))
    assert alone.shared.tolist() == together.shared.tolist()
    assert alone.better_shingles.tolist() == together.better_shingles.tolist()
    assert is_verified(alone, 0.8).sum() == 25


def test_nothing_readable_is_nothing_compared(tmp_path: Path) -> None:
    found = compare(["a b c", "a b c"], tmp_path, lost=frozenset({0, 1}))
    assert not found.is_readable.any()


@settings(max_examples=examples(400))
@given(st.lists(made.TEXTS, max_size=6), st.sampled_from([1, 2, 5, 32]))
def test_shingle_sets_have_the_sizes_of_sets_of_tokens(texts: list[str], size: int) -> None:
    sizes, sets = shingle_sets(*text_buffers(pa.array(texts, pa.string())), size)
    wanted = [brute_force_set(text, size) for text in texts]
    assert sizes.tolist() == [len(found) for found in wanted]
    pieces = np.split(sets, np.cumsum(sizes)[:-1]) if texts else []
    for (a, left), (b, right) in combinations(enumerate(pieces), 2):
        shared = set(left.tolist()) & set(right.tolist())
        assert len(shared) == len(wanted[a] & wanted[b])


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


@given(st.integers(0, 1 << 40))
def test_tables_are_powers_of_two_that_are_at_most_half_full(shingles: int) -> None:
    slots = table_size(shingles)
    assert slots & (slots - 1) == 0
    assert 2 * shingles <= slots <= max(64, 4 * shingles)


@settings(max_examples=examples(150))
@given(
    st.lists(st.sets(st.integers(1, 40)), min_size=1, max_size=9),
    st.sampled_from([1, 100, 1 << 26]),
    st.sampled_from([1, 3]),
)
def test_shared_shingles_are_the_intersection_of_sets(
    tmp_path_factory: pytest.TempPathFactory, held: list[set[int]], batch: int, workers: int
) -> None:
    pairs = [(a, b) for a in range(len(held)) for b in range(len(held))]
    left, right = (np.array([pair[side] for pair in pairs], np.int32) for side in (0, 1))
    with (
        open_spill(str(tmp_path_factory.mktemp("store") / "spill")) as file,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(verify, "_COMPARE_BYTES", batch)
        store = ShingleStore(len(held), file)
        for rank in reversed(range(len(held) - 1)):  # the last one is missing
            values = np.array(sorted(held[rank]), np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            store.append(np.array([rank]), np.array([len(values)]), values)
        found = store.compare(left, right, workers)
    last = len(held) - 1
    wanted = [-1 if last in (a, b) else len(held[a] & held[b]) for a, b in pairs]
    assert found.tolist() == wanted
