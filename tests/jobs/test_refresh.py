from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.jobs.refresh import refresh_objects
from greendata.schemas import INVENTORY
from tests.jobs.made_inventory import NOW, cover, row, take, view


def uris(path: Path) -> list[str]:
    return [found["uri"] for found in view(path, "uri")]


def test_the_newest_refresh_of_a_place_holds(tmp_path: Path) -> None:
    take(tmp_path, [row("b/a/1"), row("b/a/2"), row("b/c")], "s3://b/")
    take(tmp_path, [row("b/a/2"), row("b/a/3")], "s3://b/a/")
    assert uris(tmp_path) == ["s3://b/a/2", "s3://b/a/3", "s3://b/c"]
    take(tmp_path, [], "s3://b/c")
    assert uris(tmp_path) == ["s3://b/a/2", "s3://b/a/3"]
    take(tmp_path, [row("b/z")], "s3://b")
    assert uris(tmp_path) == ["s3://b/z"]


def test_names_that_only_begin_alike_are_left_alone(tmp_path: Path) -> None:
    take(tmp_path, [row("b/ab/1"), row("b/a'b/1"), row("b/a*/1")], "s3://b/")
    take(tmp_path, [row("b/a/1")], "s3://b/a")
    take(tmp_path, [], "s3://b/a'b/")
    assert uris(tmp_path) == ["s3://b/a*/1", "s3://b/a/1", "s3://b/ab/1"]


def test_many_named_objects_are_replaced_one_by_one(tmp_path: Path) -> None:
    take(tmp_path, [row(f"b/{n}") for n in range(100)], "s3://b/")
    named = [f"s3://b/{n}" for n in range(0, 100, 2)]
    take(tmp_path, [row("b/0", size_bytes=7)], *named)
    found = {entry["uri"]: entry["size_bytes"] for entry in view(tmp_path, "uri", "size_bytes")}
    assert len(found) == 51
    assert found["s3://b/0"] == 7
    assert found["s3://b/1"] == 1_000


def test_another_store_of_the_same_uri_is_another(tmp_path: Path) -> None:
    take(tmp_path, [row("b/a")], "s3://b/")
    take(tmp_path, [row("b/a", store_id="s3:here")], "s3://b/", store_id="s3:here")
    assert uris(tmp_path) == ["s3://b/a", "s3://b/a"]


def test_a_plain_listing_leaves_versions_and_uploads(tmp_path: Path) -> None:
    rows = [
        row("b/a", version_id="2", is_latest=True),
        row("b/a", version_id="1", is_latest=False),
        row("b/gone", version_id="3", is_latest=True, is_delete_marker=True),
        row("b/u", format="upload", version_id="9"),
    ]
    take(tmp_path, rows, "s3://b/", has_versions=True, has_uploads=True)
    take(tmp_path, [row("b/new")], "s3://b/")
    found = view(tmp_path, "uri", "version_id", "format")
    assert [(r["uri"], r["version_id"]) for r in found] == [
        ("s3://b/a", "1"),
        ("s3://b/new", None),
        ("s3://b/u", "9"),
    ]
    take(tmp_path, [row("b/new")], "s3://b/", has_uploads=True)
    assert uris(tmp_path) == ["s3://b/a", "s3://b/new"]
    take(tmp_path, [row("b/new")], "s3://b/", has_versions=True)
    assert uris(tmp_path) == ["s3://b/new"]


def test_what_a_listing_does_not_tell_of_the_same_version_is_kept(tmp_path: Path) -> None:
    read = NOW - timedelta(days=40)
    known = {"accessed_at": read, "access_source": "it_reference", "tier_changed_at": read}
    take(tmp_path, [row("b/a", **known), row("b/b", **known), row("b/c", **known)], "s3://b/")
    listed = [row("b/a"), row("b/b", etag="other"), row("b/c", storage_class="GLACIER")]
    take(tmp_path, listed, "s3://b/")
    a, b, c = view(tmp_path, "accessed_at", "access_source", "tier_changed_at")
    assert (a["accessed_at"], a["access_source"], a["tier_changed_at"]) == (
        read,
        "it_reference",
        read,
    )
    assert list(b.values()) == [None, None, None]
    assert (c["accessed_at"], c["tier_changed_at"]) == (read, None)


def test_what_was_denied_stays_as_it_was_known(tmp_path: Path) -> None:
    take(tmp_path, [row("b/a/1"), row("b/secret/1"), row("b/secret/2")], "s3://b/")
    take(tmp_path, [row("b/a/2")], "s3://b/", denied=["s3://b/secret/"])
    assert uris(tmp_path) == ["s3://b/a/2", "s3://b/secret/1", "s3://b/secret/2"]
    take(tmp_path, [], "s3://b/", denied=["s3://b/secret/"])
    assert uris(tmp_path) == ["s3://b/secret/1", "s3://b/secret/2"]


def test_a_refresh_that_fails_leaves_nothing(tmp_path: Path) -> None:
    take(tmp_path, [row("b/a")], "s3://b/")
    before = sorted(tmp_path.rglob("*.parquet"))

    def cut() -> object:
        yield pa.RecordBatch.from_pylist([row("b/x")] * 150_000, schema=INVENTORY)
        raise ValueError("cut")

    catalog = Catalog.open(LocalPlace(tmp_path), create=False)
    with pytest.raises(ValueError, match="cut"):
        refresh_objects(
            catalog,
            cut(),  # type: ignore[arg-type]
            covers=[cover("s3://b/")],
            source="listing",
            as_of=NOW,
            now=NOW,
        )
    assert uris(tmp_path) == ["s3://b/a"]
    assert sorted(tmp_path.rglob("*.parquet")) == before


def test_files_of_replaced_refreshes_are_dropped(tmp_path: Path) -> None:
    for _ in range(4):
        catalog = take(tmp_path, [row("b/a")], "s3://b/")
    assert len(catalog.files("inventory", None)) == 1
    assert len(catalog.refreshes().refreshes) == 4


def test_rows_of_a_refresh_that_died_are_dropped_a_day_later(tmp_path: Path) -> None:
    catalog = take(tmp_path, [row("b/a")], "s3://b/")
    died = pa.Table.from_pylist([row("b/x")], schema=INVENTORY)
    for age in (timedelta(hours=30), timedelta(hours=2)):
        catalog.write("inventory", f"{NOW - age:%Y%m%dT%H%M%S}-dead", died)
    assert uris(tmp_path) == ["s3://b/a"]
    take(tmp_path, [row("b/a")], "s3://b/")
    assert len(catalog.files("inventory", None)) == 2
