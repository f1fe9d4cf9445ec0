from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.errors import LimitExceededError
from greendata.jobs import growth, resolve
from tests.jobs.made_scans import (
    duplicates,
    kept_digests,
    kinds,
    query,
    run_scan,
    text,
    variant,
    write_lines,
)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Thirty unlike texts and a pair of near-duplicates, scanned into ``c``."""
    write_lines(tmp_path / "data" / "a.jsonl", [text(number) for number in range(30)])
    write_lines(tmp_path / "data" / "b.jsonl", [variant(text(3), 1)])
    run_scan(tmp_path / "data", catalog=tmp_path / "c")
    return tmp_path


def settled(catalog: Path) -> int:
    """Texts that the last scan looked at again; 0 where it looked at all."""
    opened = Catalog.open(LocalPlace(catalog), create=False)
    last = opened.snapshot().last
    assert last is not None
    files = opened.files("settled", {last.results_id})
    return sum(query(catalog, f"SELECT count(*) FROM '{file}'")[0][0] for file in files)


def indexes(catalog: Path) -> list[Path]:
    return sorted((catalog / "keys").iterdir())


def test_a_scan_looks_only_at_the_groups_that_it_touches(world: Path) -> None:
    assert settled(world / "c") == 0
    write_lines(world / "data" / "c.jsonl", [text(100), variant(text(3), 2), text(7)])
    run_scan(world / "data", catalog=world / "c")
    assert settled(world / "c") == 5  # the three, and the two of the group
    run_scan(world / "data", catalog=world / "whole")
    assert kept_digests(world / "c") == kept_digests(world / "whole")
    assert len(duplicates(world / "c")) == 2


def test_a_removed_object_settles_its_group(world: Path) -> None:
    (world / "data" / "b.jsonl").unlink()
    run_scan(world / "data", catalog=world / "c")
    assert settled(world / "c") == 2
    assert duplicates(world / "c") == []


def test_a_scan_that_touches_much_looks_at_all(world: Path) -> None:
    write_lines(world / "data" / "c.jsonl", [text(number) for number in range(20)])
    run_scan(world / "data", catalog=world / "c")
    assert settled(world / "c") == 0
    assert len(duplicates(world / "c")) == 21


def test_each_file_of_fingerprints_has_an_index(world: Path) -> None:
    (first,) = indexes(world / "c")
    write_lines(world / "data" / "c.jsonl", [text(100)])
    run_scan(world / "data", catalog=world / "c")
    assert len(indexes(world / "c")) == 2
    run_scan(world / "data", catalog=world / "c", starts_over=True)
    assert len(indexes(world / "c")) == 1
    assert first not in indexes(world / "c")


@pytest.mark.parametrize("harm", ["removed", "cut", "empty"])
def test_an_index_that_is_gone_or_damaged_is_made_again(world: Path, harm: str) -> None:
    (index,) = indexes(world / "c")
    whole = index.read_bytes()
    if harm == "removed":
        index.unlink()
    else:
        index.write_bytes(whole[:200] if harm == "cut" else b"")
    write_lines(world / "data" / "c.jsonl", [variant(text(9), 1)])
    run_scan(world / "data", catalog=world / "c")
    assert len(duplicates(world / "c")) == 2
    assert index.read_bytes() == whole


def test_an_index_that_a_dead_scan_left_in_parts_is_swept(world: Path) -> None:
    old, new = (world / "c" / "keys" / f"x.keys.{name}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    write_lines(world / "data" / "c.jsonl", [text(100)])
    run_scan(world / "data", catalog=world / "c")
    assert not old.exists()
    assert new.exists()


def test_a_text_that_could_not_be_read_is_tried_again(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "MOST_SHARE", math.inf)
    first, hidden = world / "data" / "a.jsonl", world / "hidden"
    write_lines(world / "data" / "c.jsonl", [variant(text(9), 1)])
    first.rename(hidden)
    hidden_stat = hidden.stat()
    # Only a part is scanned, so that the object that is gone stays in the catalog.
    run_scan(world / "data" / "c.jsonl", catalog=world / "c")
    assert "candidate" in kinds(world / "c").values()
    hidden.rename(first)
    os.utime(first, ns=(hidden_stat.st_atime_ns, hidden_stat.st_mtime_ns))
    write_lines(world / "data" / "d.jsonl", [text(200)])
    run_scan(world / "data" / "d.jsonl", catalog=world / "c")
    assert "candidate" not in kinds(world / "c").values()


def test_copies_elsewhere_of_a_text_that_is_touched_are_looked_at_too(world: Path) -> None:
    write_lines(world / "data" / "c.jsonl", [text(3), text(11), text(3)])
    run_scan(world / "data", catalog=world / "c")
    write_lines(world / "data" / "d.jsonl", [variant(text(3), 2)])
    run_scan(world / "data", catalog=world / "c")
    assert settled(world / "c") == 3
    run_scan(world / "data", catalog=world / "whole")
    assert kept_digests(world / "c") == kept_digests(world / "whole")
    assert len(duplicates(world / "c")) == len(duplicates(world / "whole")) == 4


def test_more_documents_than_can_be_numbered_are_refused(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "MOST_ROWS", 30)
    with pytest.raises(LimitExceededError, match="has 31 documents"):
        run_scan(world / "data", catalog=world / "c", starts_over=True)
