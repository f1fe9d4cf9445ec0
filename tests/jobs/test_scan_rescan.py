from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greendata.model import ScanSummary, StoredObject
from greendata.stores.local import LocalStore
from tests.jobs.made_scans import (
    datasets,
    duplicates,
    kept_digests,
    kinds,
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

    def scan(self, catalog: str) -> ScanSummary:
        named = datasets(self.priorities)
        return run_scan(self.data, catalog=self.root / catalog, datasets=named)

    def check(self) -> None:
        self.scan("catalog")
        self.catalogs += 1
        fresh = f"fresh{self.catalogs}"
        self.scan(fresh)
        assert kept_digests(self.root / "catalog") == kept_digests(self.root / fresh)
        assert kinds(self.root / "catalog") == kinds(self.root / fresh)

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


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(STEPS)
def test_rescan_keeps_the_same_texts_as_a_scan_from_scratch(
    steps: list[tuple[str, str, list[int]]],
) -> None:
    _run(steps)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_rescan_keeps_the_same_texts_as_a_scan_from_scratch_often(
    steps: list[tuple[str, str, list[int]]],
) -> None:
    _run(steps)
