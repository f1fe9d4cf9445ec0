"""What a scan leaves in the inventory; what it found is in the view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from greendata.jobs.request import ScanRequest
from greendata.jobs.scan import scan
from greendata.model import StoredObject
from greendata.progress import Progress
from greendata.stores.local import LocalStore, path_to_uri
from tests.jobs.made_inventory import row, take, view
from tests.jobs.made_scans import run_scan, text, variant, write_lines


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_lines(folder / "a.jsonl", [text(1), text(2), text(3), variant(text(4), 1)])
    write_lines(folder / "b.jsonl", [text(1), text(2), text(4)])
    write_lines(folder / "z.jsonl", [text(9)])
    (folder / "image.png").write_bytes(b"\x89PNG")
    return folder


def names(catalog: Path, *columns: str, **options: Any) -> dict[str, dict[str, Any]]:
    rows = view(catalog, "uri", *columns, **options)
    return {Path(found.pop("uri")).name: found for found in rows}


def test_a_scan_takes_inventory_of_everything_it_lists(data: Path, tmp_path: Path) -> None:
    run_scan(data, catalog=tmp_path / "c")
    found = names(tmp_path / "c", "format", "documents", "size_bytes")
    assert set(found) == {"a.jsonl", "b.jsonl", "z.jsonl", "image.png"}
    assert found["a.jsonl"]["documents"] == 4
    assert found["image.png"] == {"format": "png", "documents": None, "size_bytes": 4}


def test_what_a_scan_found_is_told_of_each_object(data: Path, tmp_path: Path) -> None:
    run_scan(data, catalog=tmp_path / "c")
    found = names(
        tmp_path / "c",
        "dataset",
        "text_bytes",
        "duplicate_documents",
        "duplicate_fraction",
        "redundant_bytes",
        "contained_in",
        "contained_fraction",
        "exact_contained_fraction",
    )
    a, b, z = found["a.jsonl"], found["b.jsonl"], found["z.jsonl"]
    assert a["dataset"] == path_to_uri(str(data))
    duplicates = a["duplicate_documents"] + b["duplicate_documents"]
    assert duplicates == 3
    worse = a if a["duplicate_documents"] else b
    size = (data / ("a.jsonl" if worse is a else "b.jsonl")).stat().st_size
    assert 0 < worse["redundant_bytes"] <= size
    assert b["contained_in"] == path_to_uri(str(data / "a.jsonl"))
    assert (b["contained_fraction"], b["exact_contained_fraction"]) == (1.0, pytest.approx(2 / 3))
    assert (z["duplicate_documents"], z["redundant_bytes"], z["contained_in"]) == (0, 0, None)
    image = found["image.png"]
    assert image["duplicate_documents"] is image["contained_fraction"] is None


def test_what_was_found_of_an_earlier_version_is_not_told(data: Path, tmp_path: Path) -> None:
    run_scan(data, catalog=tmp_path / "c")
    uri = path_to_uri(str(data / "a.jsonl"))
    changed = row("x", uri=uri, store_id="local", etag="changed")
    take(tmp_path / "c", [changed], uri, store_id="local")
    a = names(tmp_path / "c", "documents", "duplicate_documents", "contained_in")["a.jsonl"]
    assert list(a.values()) == [None, None, None]


def test_a_scan_of_one_file_leaves_the_rest_as_it_was(data: Path, tmp_path: Path) -> None:
    run_scan(data, catalog=tmp_path / "c")
    (data / "z.jsonl").unlink()
    run_scan(data / "a.jsonl", catalog=tmp_path / "c")
    assert "z.jsonl" in names(tmp_path / "c", "size_bytes")
    run_scan(data, catalog=tmp_path / "c")
    assert "z.jsonl" not in names(tmp_path / "c", "size_bytes")


class Clock:
    """Last access times, as an account with access tracking keeps them."""

    def __init__(self) -> None:
        self.accessed: dict[str, datetime] = {}


def test_our_own_reading_is_no_use_of_an_object(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    listing, opening = LocalStore.list, LocalStore.open

    def tracked(self: LocalStore, uri: str, **options: Any) -> Iterator[StoredObject]:
        for item in listing(self, uri, **options):
            yield replace(item, accessed_at=clock.accessed.get(item.uri))

    def touching(self: LocalStore, item: StoredObject) -> Any:
        clock.accessed[item.uri] = datetime.now(UTC)
        return opening(self, item)

    monkeypatch.setattr(LocalStore, "list", tracked)
    monkeypatch.setattr(LocalStore, "open", touching)
    used = path_to_uri(str(data / "a.jsonl"))
    before = datetime.now(UTC) - timedelta(days=100)
    clock.accessed[used] = before
    for _ in range(2):
        request = ScanRequest(uris=(path_to_uri(str(data)),), catalog=str(tmp_path / "c"))
        scan(request, progress=Progress(), now=datetime.now(UTC))
    assert clock.accessed[used] > before + timedelta(days=99)
    found = names(tmp_path / "c", "accessed_at", as_of=datetime.now(UTC))
    assert found["a.jsonl"]["accessed_at"] == before
    assert found["b.jsonl"]["accessed_at"] is None
    later = datetime.now(UTC) + timedelta(minutes=1)
    clock.accessed[used] = later
    scan(request, progress=Progress(), now=datetime.now(UTC))
    found = names(tmp_path / "c", "accessed_at", as_of=later)
    assert found["a.jsonl"]["accessed_at"] == later
