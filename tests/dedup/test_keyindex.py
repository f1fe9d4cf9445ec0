from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup import keyindex
from greendata.dedup.keyindex import find_digests, find_keys, write_index
from greendata.dedup.lsh import BandBatch
from tests.examples import examples

# Few different keys, close together and far apart, so that buckets and checks are shared.
KEY = st.one_of(
    st.integers(0, 5),
    st.integers(0, 3).map(lambda n: n << 62),
    st.integers(0, 3).map(lambda n: (1 << 63) + n),
    st.integers(0, 2**64 - 1),
)
ROWS = st.lists(st.tuples(st.lists(KEY, min_size=3, max_size=3), st.booleans()), max_size=30)


def batches(rows: list[tuple[list[int], bool]], size: int) -> Iterator[BandBatch]:
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        numbers = np.arange(start, start + len(part), dtype=np.uint64)
        yield BandBatch(
            digests=np.stack([numbers, numbers + np.uint64(1000)], axis=1),
            keys=np.array([keys for keys, _ in part], np.uint64),
            usable=np.array([usable for _, usable in part], np.bool_),
            facts=np.stack([numbers, numbers * np.uint64(2)], axis=1).astype(np.int64),
        )


def found(path: Path, asked: list[int]) -> set[tuple[int, int]]:
    """(key, row) of all postings."""
    keys = np.array(sorted(set(asked)), np.uint64)
    return {
        (int(keys[place]), int(digest[0]))
        for part in find_keys(path, keys)
        for place, digest in zip(part.asked, part.digests, strict=True)
    }


@settings(max_examples=examples(150))
@given(ROWS, st.lists(KEY, max_size=20), st.integers(1, 10), st.integers(1, 12))
def test_every_document_with_a_key_is_found(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[list[int], bool]],
    asked: list[int],
    size: int,
    block: int,
) -> None:
    path = tmp_path_factory.mktemp("index") / "x.keys"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyindex, "BLOCK_ROWS", block)
        patch.setattr(keyindex, "_FOUND_ROWS", 2)
        write_index(path, batches(rows, size))
        got = found(path, asked)
    wanted = {
        (key, row)
        for row, (keys, usable) in enumerate(rows)
        for key in keys
        if usable and key in asked
    }
    assert wanted <= got
    # Others only where all bits of a key that are kept are equal.
    assert all(any(key >> 28 == other >> 28 for other in rows[row][0]) for key, row in got - wanted)


def test_an_index_that_is_cut_short_or_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.keys"
    write_index(path, batches([([1, 2, 3], True)] * 20, 7))
    whole = path.read_bytes()
    for content in (b"", b"{}", whole[:100], whole[-90:], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError):  # noqa: PT011 - of several modules
            found(path, [1])


@settings(max_examples=examples(50))
@given(st.integers(0, 40), st.lists(st.integers(0, 50), max_size=20), st.integers(1, 30))
def test_every_row_with_a_digest_is_found(
    tmp_path_factory: pytest.TempPathFactory, count: int, asked: list[int], block: int
) -> None:
    path = tmp_path_factory.mktemp("index") / "x.keys"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyindex, "BLOCK_ROWS", block)
        write_index(path, batches([([1, 2, 3], row % 2 == 0) for row in range(count)], 7))
    halves = np.array(asked, np.uint64)
    parts = list(find_digests(path, np.stack([halves, halves + np.uint64(1000)], axis=1)))
    rows = [row for part in parts for row in part.rows.tolist()]
    assert rows == sorted(set(rows))
    assert {row for row in asked if row < count} <= set(rows) <= set(range(count))
    for part in parts:
        assert part.digests[:, 0].tolist() == part.rows.tolist()
        assert part.facts.tolist() == [[row, 2 * row] for row in part.rows.tolist()]


def test_few_other_rows_are_found_with_the_digests_asked_for(tmp_path: Path) -> None:
    digests = np.random.default_rng(3).integers(0, 1 << 63, (100_000, 2), np.uint64)
    digests <<= np.uint64(1)
    batch = BandBatch(
        digests=digests,
        keys=np.zeros((len(digests), 1), np.uint64),
        usable=np.zeros(len(digests), np.bool_),
        facts=np.empty((len(digests), 0), np.int64),
    )
    write_index(tmp_path / "x.keys", iter([batch]))
    (found,) = find_digests(tmp_path / "x.keys", digests[::100].copy())
    assert set(range(0, len(digests), 100)) <= set(found.rows.tolist())
    assert len(found.rows) < 1000 + len(digests) / 400


def test_an_index_of_another_version_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.keys"
    write_index(path, batches([([1, 2, 3], True)], 1))
    path.write_bytes(path.read_bytes().replace(b'"version": 2', b'"version": 1'))
    with pytest.raises(ValueError, match="another version"):
        found(path, [1])


def test_nothing_is_left_behind_when_it_fails(tmp_path: Path) -> None:
    def failing() -> Iterator[BandBatch]:
        yield from batches([([1, 2, 3], True)], 1)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        write_index(tmp_path / "x.keys", failing())
    assert list(tmp_path.iterdir()) == []
