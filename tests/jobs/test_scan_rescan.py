from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greendata.jobs import growth
from greendata.model import ScanSummary, StoredObject
from greendata.stores.local import LocalStore
from tests.examples import examples
from tests.jobs.made_scans import (
    KEPT_DIGESTS,
    datasets,
    duplicates,
    kinds,
    queries,
    query,
    run_scan,
    text,
    uri,
    variant,
    write_lines,
    write_parquet,
)


def _pool() -> list[str]:
    """Chains of near-duplicates around the threshold, of several lengths, and odd ones."""
    found = ["", "!!! ...", "two words", "two words"]
    for seed in range(3):
        base = text(seed, 60 + seed)
        found += [base, variant(base, 1), variant(base, 2, 2), variant(base, 3, 3)]
        near = variant(base, 4)
        found += [variant(near, 5), f"{near} and a longer end", variant(variant(near, 6), 7)]
    return found


POOL = _pool()
FILES = st.sampled_from(["a/1.jsonl", "a/2.parquet", "b/1.jsonl", "b/2.parquet"])
CONTENT = st.lists(st.integers(0, len(POOL) - 1), max_size=5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), FILES, CONTENT),
        st.tuples(st.just("remove"), FILES, st.just([])),
        st.tuples(st.just("prefer"), FILES, st.just([])),
    ),
    min_size=2,
    max_size=6,
)


SHOWN = (
    "SELECT * FROM duplicates ORDER BY ALL",
    'SELECT * FROM "overlaps" ORDER BY ALL',
    (
        "SELECT list(DISTINCT hash(digest_high, digest_low) ORDER BY hash(digest_high, digest_low))"
        " AS texts FROM groups SEMI JOIN documents USING (digest_high, digest_low)"
        " GROUP BY text_group ORDER BY texts"
    ),
)
KINDS = "SELECT document_uri, document_row, kind FROM duplicates ORDER BY ALL"


class _World:
    """A folder that changes, its catalog, and catalogs made from scratch."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "data"
        self.priorities = {self.data / "a": 0, self.data / "b": 1}
        self.catalogs = 0
        for folder in self.priorities:
            folder.mkdir(parents=True)

    def step(self, kind: str, name: str, content: list[int]) -> None:
        path, texts = self.data / name, [POOL[index] for index in content]
        if kind == "remove":
            path.unlink(missing_ok=True)
        elif kind == "prefer":
            self.priorities[path.parent] += 2
        elif path.suffix == ".jsonl":
            write_lines(path, texts)
        else:
            write_parquet(path, texts)

    def scan(self, catalog: str, most_share: float = growth.MOST_SHARE) -> ScanSummary:
        named = datasets(self.priorities)
        with patch.object(growth, "MOST_SHARE", most_share):
            return run_scan(self.data, catalog=self.root / catalog, datasets=named)

    def check(self) -> None:
        """Resolved by touched groups alone, as a whole each time, and once from scratch."""
        self.scan("catalog", most_share=math.inf)
        self.scan("whole", most_share=-1)
        *shown, kept, found = queries(self.root / "catalog", *SHOWN, KEPT_DIGESTS, KINDS)
        assert shown == queries(self.root / "whole", *SHOWN)
        self.catalogs += 1
        fresh = f"fresh{self.catalogs}"
        self.scan(fresh)
        assert [kept, found] == queries(self.root / fresh, KEPT_DIGESTS, KINDS)

    def check_rest(self) -> None:
        last = query(self.root / "catalog", "SELECT max_by(scan_id, sequence) FROM scans")
        again = self.scan("catalog")
        assert (again.objects_read, again.objects_removed) == (0, 0)
        assert again.scan_id == last[0][0]


def _run(steps: list[tuple[str, str, list[int]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = _World(Path(folder))
        for step in steps:
            world.step(*step)
            world.check()
        world.check_rest()


@pytest.mark.xdist_group("histories")
@settings(max_examples=examples(2), suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_rescan_keeps_the_same_texts_as_a_scan_from_scratch(
    steps: list[tuple[str, str, list[int]]],
) -> None:
    _run(steps)


@pytest.mark.slow
@pytest.mark.xdist_group("many histories")
@settings(max_examples=examples(3), suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_rescan_keeps_the_same_texts_as_a_scan_from_scratch_often(
    steps: list[tuple[str, str, list[int]]],
) -> None:
    _run(steps)


Opened = list[str]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Names of all files that are opened, in order."""
    names: Opened = []
    original: Callable[..., object] = LocalStore.open

    def open_and_note(self: LocalStore, item: StoredObject) -> object:
        names.append(item.uri.rpartition("/")[2])
        return original(self, item)

    monkeypatch.setattr(LocalStore, "open", open_and_note)
    return names


def _write_three(data: Path) -> None:
    """``a`` and ``b`` share a near-duplicate, ``c`` shares nothing."""
    base = text(1)
    write_lines(data / "a.jsonl", [base, text(2)])
    write_lines(data / "b.jsonl", [variant(base, 1), text(3)])
    write_parquet(data / "c.parquet", [text(number) for number in range(10, 16)])


def test_rescan_opens_nothing_when_nothing_changed(tmp_path: Path, opened: Opened) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    _write_three(data)
    first = run_scan(data, catalog=catalog)
    assert {"a.jsonl", "b.jsonl", "c.parquet"} <= set(opened)
    opened.clear()
    second = run_scan(data, catalog=catalog)
    assert opened == []
    assert (second.objects_read, second.objects_unchanged) == (0, 3)
    assert second.scan_id == first.scan_id
    assert second.redundant_documents == first.redundant_documents == 1


def test_rescan_reads_only_what_is_new(tmp_path: Path, opened: Opened) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    _write_three(data)
    run_scan(data, catalog=catalog)
    opened.clear()
    write_lines(data / "d.jsonl", [text(99)])
    assert run_scan(data, catalog=catalog).objects_read == 1
    assert set(opened) == {"d.jsonl"}


def test_rescan_reads_other_texts_only_to_compare_them_with_new_ones(
    tmp_path: Path, opened: Opened
) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    _write_three(data)
    run_scan(data, catalog=catalog)
    opened.clear()
    write_lines(data / "d.jsonl", [variant(text(12), 1)])
    assert run_scan(data, catalog=catalog).redundant_documents == 2
    assert set(opened) == {"d.jsonl", "c.parquet"}


def test_rescan_compares_no_pair_again(tmp_path: Path, opened: Opened) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    _write_three(data)
    run_scan(data, catalog=catalog)
    opened.clear()
    (data / "c.parquet").unlink()
    assert run_scan(data, catalog=catalog).objects_removed == 1
    assert opened == []
    assert list(kinds(catalog).values()) == ["near"]
    pairs = query(
        catalog, "SELECT count(*), count(DISTINCT (a_digest_low, b_digest_low)) FROM pairs"
    )
    assert pairs[0][0] == pairs[0][1]


def test_rescan_after_the_kept_document_left_keeps_another(tmp_path: Path) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    base = text(1)
    write_lines(data / "a.jsonl", [f"{base} and more"])
    write_lines(data / "b.jsonl", [base])
    write_lines(data / "c.jsonl", [base])
    run_scan(data, catalog=catalog)
    assert kinds(catalog) == {
        (uri(data / "b.jsonl"), 0): "near",
        (uri(data / "c.jsonl"), 0): "near",
    }
    (data / "a.jsonl").unlink()
    run_scan(data, catalog=catalog)
    assert kinds(catalog) == {(uri(data / "c.jsonl"), 0): "exact"}


def test_rescan_with_a_longer_document_keeps_that_one(tmp_path: Path) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    base = text(1)
    write_lines(data / "a.jsonl", [base, variant(base, 1)])
    run_scan(data, catalog=catalog)
    write_lines(data / "z.jsonl", [f"{base} and more"])
    run_scan(data, catalog=catalog)
    assert {row[2] for row in duplicates(catalog)} == {uri(data / "z.jsonl")}


def test_rescan_with_other_priorities_reads_nothing_and_keeps_the_preferred(
    tmp_path: Path, opened: Opened
) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    write_lines(data / "a" / "1.jsonl", [text(1)])
    write_lines(data / "b" / "1.jsonl", [text(1)])
    run_scan(data, catalog=catalog, datasets=datasets({data / "a": 1, data / "b": 0}))
    assert list(kinds(catalog)) == [(uri(data / "b" / "1.jsonl"), 0)]
    opened.clear()
    run_scan(data, catalog=catalog, datasets=datasets({data / "a": 1, data / "b": 2}))
    assert list(kinds(catalog)) == [(uri(data / "a" / "1.jsonl"), 0)]
    assert opened == []


def test_rescan_of_a_part_leaves_the_rest_as_it_is(tmp_path: Path) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    write_lines(data / "a" / "1.jsonl", [text(1)])
    write_lines(data / "b" / "1.jsonl", [text(1)])
    run_scan(data, catalog=catalog)
    (data / "a" / "1.jsonl").unlink()
    write_lines(data / "b" / "2.jsonl", [text(1)])
    run_scan(data / "b", catalog=catalog)
    assert list(kinds(catalog)) == [
        (uri(data / "b" / "1.jsonl"), 0),
        (uri(data / "b" / "2.jsonl"), 0),
    ]
    run_scan(data, catalog=catalog)
    assert list(kinds(catalog)) == [(uri(data / "b" / "2.jsonl"), 0)]


def test_rescan_with_another_text_column_reads_again(tmp_path: Path) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    data.mkdir()
    (data / "a.jsonl").write_text('{"text": "one", "other": "same"}\n{"other": "same"}\n')
    assert run_scan(data, catalog=catalog).redundant_documents == 0
    again = run_scan(data, catalog=catalog, text_column="other")
    assert (again.objects_read, again.redundant_documents) == (1, 1)


def test_rescan_as_another_format_reads_again(tmp_path: Path) -> None:
    table, catalog = tmp_path / "a.csv", tmp_path / "catalog"
    table.write_text("text\nhello there\nfoo\n")
    assert run_scan(table, catalog=catalog).documents == 2
    again = run_scan(table, catalog=catalog, format="text")
    assert (again.objects_read, again.documents) == (1, 1)


def test_rescan_sees_a_change_that_keeps_the_size(tmp_path: Path) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    path = write_lines(data / "a.jsonl", ["one", "two"])
    run_scan(data, catalog=catalog)
    before = path.stat()
    write_lines(path, ["one", "one"])
    assert path.stat().st_size == before.st_size
    assert run_scan(data, catalog=catalog).exact_duplicate_documents == 1


def test_rescan_tries_a_skipped_object_again_and_commits_nothing_for_the_same_failure(
    tmp_path: Path,
) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    _write_three(data)
    good = (data / "c.parquet").read_bytes()
    (data / "c.parquet").write_bytes(good[:-20])
    first = run_scan(data, catalog=catalog)
    second = run_scan(data, catalog=catalog)
    assert [entry.uri for entry in second.skipped] == [uri(data / "c.parquet")]
    assert second.scan_id == first.scan_id
    (data / "c.parquet").write_bytes(good)
    third = run_scan(data, catalog=catalog)
    assert (third.skipped, third.objects_read, third.documents) == ((), 1, 10)


def test_rescan_of_an_object_that_broke_forgets_its_documents(tmp_path: Path) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    _write_three(data)
    run_scan(data, catalog=catalog)
    (data / "c.parquet").write_bytes((data / "c.parquet").read_bytes()[:-20])
    run_scan(data, catalog=catalog)
    assert query(catalog, "SELECT count(*) FROM documents WHERE uri LIKE '%c.parquet'") == [(0,)]


def test_raising_the_threshold_filters_without_reading(tmp_path: Path, opened: Opened) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    base = text(1)
    write_lines(data / "a.jsonl", [base, variant(base, 1), f"{base} more"])
    assert run_scan(data, catalog=catalog).redundant_documents == 2
    opened.clear()
    assert run_scan(data, catalog=catalog, threshold=0.95).redundant_documents == 1
    assert run_scan(data, catalog=catalog, threshold=0.8).redundant_documents == 2
    assert set(opened) <= {"a.jsonl"}  # a pair that was not compared for want of need


def test_a_document_that_cannot_be_read_back_is_a_candidate_and_compared_later(
    tmp_path: Path,
) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    base = text(1)
    write_lines(data / "a" / "1.jsonl", [base])
    run_scan(data / "a", catalog=catalog)
    (data / "a" / "1.jsonl").rename(tmp_path / "away")
    write_lines(data / "b" / "1.jsonl", [variant(base, 1)])
    second = run_scan(data / "b", catalog=catalog)
    assert (second.redundant_documents, second.unverified_candidates) == (0, 1)
    assert any("1.jsonl" in warning for warning in second.warnings)
    assert list(kinds(catalog).values()) == ["candidate"]
    (tmp_path / "away").rename(data / "a" / "1.jsonl")
    write_lines(data / "b" / "2.jsonl", ["something else"])
    third = run_scan(data / "b", catalog=catalog)
    assert third.unverified_candidates == 0
    assert list(kinds(catalog).values()) == ["near"]


def test_a_hard_link_is_no_second_object(tmp_path: Path) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    path = write_lines(data / "b.jsonl", [text(1)])
    os.link(path, data / "c.jsonl")
    assert run_scan(data, catalog=catalog).objects == 1
    os.link(path, data / "a.jsonl")
    again = run_scan(data, catalog=catalog)
    assert (again.objects, again.redundant_documents) == (1, 0)
    assert query(catalog, "SELECT uri FROM objects") == [(uri(data / "a.jsonl"),)]


def test_a_duplicate_whose_first_object_is_renamed_is_still_one(tmp_path: Path) -> None:
    data, catalog = tmp_path / "data", tmp_path / "catalog"
    path = write_lines(data / "a.jsonl", [text(1)])
    write_lines(data / "b.jsonl", [text(1)])
    run_scan(data, catalog=catalog)
    path.rename(data / "c.jsonl")
    again = run_scan(data, catalog=catalog)
    assert (again.objects_read, again.objects_removed) == (1, 1)
    assert list(kinds(catalog)) == [(uri(data / "c.jsonl"), 0)]
