from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from greendata.catalog.commits import Cover
from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.errors import LimitExceededError
from greendata.jobs.identical import HEAD_BYTES, IdenticalSummary, verify_identical
from greendata.jobs.inventory import InventoryRequest, take_inventory
from greendata.progress import Progress
from greendata.stores.local import path_to_uri
from greendata.stores.opening import Stores
from tests.jobs.made_inventory import NOW, view


def take(folder: Path, catalog: Path, *names: str, verify: bool = True) -> IdenticalSummary | None:
    request = InventoryRequest(
        uris=tuple(path_to_uri(str(folder / name)) for name in names or ("",)),
        catalog=str(catalog),
        verify_bytes=verify,
    )
    return take_inventory(request, progress=Progress(), now=NOW).identical


def verify(catalog: Path, within: str, **options: Any) -> IdenticalSummary:
    known: dict[str, Any] = {"read_tiers": ("hot",), "max_cost_usd": Decimal(100), "workers": 2}
    return verify_identical(
        Catalog.open(LocalPlace(catalog), create=False),
        Stores(),
        within=[Cover(store_id="local", uri=within)],
        progress=Progress(),
        now=NOW,
        **(known | options),
    )


def names(catalog: Path) -> dict[str, tuple[str | None, int]]:
    return {
        Path(r["uri"]).name: (
            r["identical_to"] and Path(r["identical_to"]).name,
            r["verified_copies"],
        )
        for r in view(catalog, "uri", "identical_to", "verified_copies")
    }


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    big = os.urandom(HEAD_BYTES * 3 + 5)
    files = {
        "big-1": big,
        "big-2": big,
        "big-last-byte": big[:-1] + bytes([big[-1] ^ 1]),
        "big-first-byte": bytes([big[0] ^ 1]) + big[1:],
        "small-1": b"tiny",
        "small-2": b"tiny",
        "small-3": b"tins",
        "alone": b"of its own size",
        "empty-1": b"",
        "empty-2": b"",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


EXPECTED = {
    "big-1": (None, 1),
    "big-2": ("big-1", 1),
    "big-last-byte": (None, 0),
    "big-first-byte": (None, 0),
    "small-1": (None, 1),
    "small-2": ("small-1", 1),
    "small-3": (None, 0),
    "alone": (None, 0),
    "empty-1": (None, 0),
    "empty-2": (None, 0),
}


def test_equal_sizes_are_read_and_only_equal_bytes_are_identical(
    world: Path, tmp_path: Path
) -> None:
    found = take(world, tmp_path / "c")
    assert names(tmp_path / "c") == EXPECTED
    size = HEAD_BYTES * 3 + 5
    assert found is not None
    assert (found.groups, found.copies, found.copy_bytes) == (2, 2, size + 4)
    assert found.read_bytes == 4 * HEAD_BYTES + 3 * size + 3 * 4


def test_what_was_read_is_not_read_again(world: Path, tmp_path: Path) -> None:
    take(world, tmp_path / "c")
    take(world, tmp_path / "c")  # now the one that fell out early, too: others are known whole
    again = take(world, tmp_path / "c")
    assert again is not None
    assert (again.copies, again.read_bytes) == (2, 0)
    (world / "small-4").write_bytes(b"tiny")
    more = take(world, tmp_path / "c")
    assert more is not None
    assert more.copies == 3
    assert names(tmp_path / "c")["small-4"] == ("small-1", 2)


def test_without_reading_nothing_local_is_called_identical(world: Path, tmp_path: Path) -> None:
    assert take(world, tmp_path / "c", verify=False) is None
    assert set(names(tmp_path / "c").values()) == {(None, 0)}


def test_objects_outside_are_compared_with_those_inside(world: Path, tmp_path: Path) -> None:
    take(world, tmp_path / "c", verify=False)
    other = tmp_path / "other"
    other.mkdir()
    (other / "copy").write_bytes(b"tiny")
    found = take(other, tmp_path / "c")
    assert found is not None
    assert found.copies == 2
    assert names(tmp_path / "c")["big-2"] == (None, 0)  # nobody asked for that


def test_what_changed_or_went_since_is_skipped(world: Path, tmp_path: Path) -> None:
    take(world, tmp_path / "c", verify=False)
    (world / "big-2").unlink()
    (world / "small-2").write_bytes(b"1234")
    found = verify(tmp_path / "c", path_to_uri(str(world)))
    assert {(Path(s.uri).name, s.reason.value) for s in found.skipped} == {
        ("big-2", "gone"),
        ("small-2", "changed"),
    }
    assert found.copies == 0
    assert set(names(tmp_path / "c").values()) == {(None, 0)}


def test_a_price_above_the_limit_is_refused(s3: Any, bucket: str, tmp_path: Path) -> None:
    for key in ("a", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * 100_000)
    request = InventoryRequest(
        uris=(f"s3://{bucket}/",),
        catalog=str(tmp_path / "c"),
        verify_bytes=True,
        max_cost_usd=Decimal(0),
    )
    with pytest.raises(LimitExceededError, match="USD"):
        take_inventory(request, progress=Progress(), now=NOW)


def test_objects_in_colder_tiers_are_left(s3: Any, bucket: str, tmp_path: Path) -> None:
    for key, storage_class in (("a", "STANDARD"), ("b", "STANDARD_IA"), ("c", "GLACIER")):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * 9, StorageClass=storage_class)
    request = InventoryRequest(
        uris=(f"s3://{bucket}/",), catalog=str(tmp_path / "c"), verify_bytes=True
    )
    found = take_inventory(request, progress=Progress(), now=NOW).identical
    assert found is not None
    assert found.read_bytes == 0
    shown = names(tmp_path / "c")
    assert shown == {"a": (None, 0), "b": ("a", 0), "c": ("a", 0)}  # by their ETags: not verified
