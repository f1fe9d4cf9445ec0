from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from greendata.catalog.inventory import INVENTORY_COLUMNS
from greendata.catalog.places import LocalPlace
from greendata.catalog.schemas import SCHEMAS
from greendata.catalog.tables import Catalog
from greendata.config import DatasetSettings
from greendata.errors import ConfigError, ObjectNotFoundError
from greendata.jobs.accesses import refresh_from_table
from tests.jobs.made_inventory import NOW, row, take, view


def days(count: float) -> datetime:
    return NOW - timedelta(days=count)


def test_the_view_has_the_columns_of_the_design(tmp_path: Path) -> None:
    take(tmp_path, [row("b/data/a.jsonl.zst")], "s3://b/")
    (found,) = view(tmp_path)
    assert tuple(found) == INVENTORY_COLUMNS
    known = {name: value for name, value in found.items() if value is not None}
    assert known == {
        "uri": "s3://b/data/a.jsonl.zst",
        "store": "s3",
        "store_id": "s3:aws",
        "bucket": "b",
        "key": "data/a.jsonl.zst",
        "size_bytes": 1_000,
        "format": "jsonl",
        "codec": "zst",
        "storage_class": "STANDARD",
        "tier": "hot",
        "modified_at": days(365),
        "age_days": 365,
        "days_in_tier": 365,
        "etag": "etag-b/data/a.jsonl.zst",
        "is_latest": True,
        "is_delete_marker": False,
        "verified_copies": 0,
        "monthly_cost_usd": Decimal("0.000000021420"),
    }


def test_any_choice_of_columns_tells_the_same(tmp_path: Path) -> None:
    take(tmp_path, [row("b/a"), row("b/b", storage_class="GLACIER")], "s3://b/")
    whole = view(tmp_path)
    for first in range(0, len(INVENTORY_COLUMNS), 4):  # those of a part stand together mostly
        names = INVENTORY_COLUMNS[first : first + 4]
        assert view(tmp_path, *names) == [{name: found[name] for name in names} for found in whole]


@pytest.mark.parametrize(
    ("uri", "storage_class", "tier"),
    [
        ("s3://b/a", None, "hot"),
        ("s3://b/a", "GLACIER_IR", "cold"),
        ("s3://b/a", "GLACIER", "archive"),
        ("s3://b/a", "DEEP_ARCHIVE", "deep_archive"),
        ("s3://b/a", "INTELLIGENT_TIERING", "intelligent"),
        ("s3://b/a", "SNOW", "unknown"),
        ("az://c@acct/a", "Archive", "archive"),
        ("az://c@acct/a", "Cool", "cool"),
        ("file:///data/a", None, "hot"),
    ],
)
def test_tiers(tmp_path: Path, uri: str, storage_class: str | None, tier: str) -> None:
    take(tmp_path, [row("b/a", uri=uri, storage_class=storage_class)], uri)
    (found,) = view(tmp_path, "tier", "monthly_cost_usd", "account")
    assert found["tier"] == tier
    assert (found["monthly_cost_usd"] is None) == (tier == "unknown" or uri.startswith("file"))
    assert found["account"] == ("acct" if uri.startswith("az") else None)


def test_datasets_are_those_of_the_configuration(tmp_path: Path) -> None:
    take(tmp_path, [row("b/crawl/1"), row("b/crawled/1"), row("b/one.bin")], "s3://b/")
    datasets = (
        DatasetSettings(
            name="web",
            prefixes=("s3://b/crawl", "s3://b/crawl/inner/"),
            owner="data",
            region="us-east-1",
            training_region="eu-north-1",
            residency=("eu", "us"),
        ),
        DatasetSettings(name="one", prefixes=("s3://b/one.bin",)),
    )
    crawl, crawled, one = view(
        tmp_path, "dataset", "owner", "region", "training_region", "residency", datasets=datasets
    )
    assert list(crawl.values()) == ["web", "data", "us-east-1", "eu-north-1", ["eu", "us"]]
    assert list(crawled.values()) == [None] * 5
    assert (one["dataset"], one["owner"]) == ("one", None)


def test_datasets_that_overlap_are_refused(tmp_path: Path) -> None:
    take(tmp_path, [row("b/a")], "s3://b/")
    datasets = tuple(
        DatasetSettings(name=name, prefixes=(prefix,))
        for name, prefix in (("all", "s3://b/"), ("part", "s3://b/a"))
    )
    with pytest.raises(ConfigError, match="lies in s3://b of another dataset"):
        view(tmp_path, "dataset", datasets=datasets)


def test_nothing_listed_is_said(tmp_path: Path) -> None:
    Catalog.open(LocalPlace(tmp_path), create=True)
    with pytest.raises(ObjectNotFoundError, match="no object was listed"):
        view(tmp_path)


# Accesses


def accesses(path: Path, catalog: Catalog, *rows: tuple[str, datetime]) -> None:
    table = path.parent / f"{path.name}.csv"
    lines = [f"{uri},{at.isoformat()}" for uri, at in rows]
    table.write_text("\n".join(["uri,accessed_at", *lines]) + "\n")
    refresh_from_table(catalog, table, (), now=NOW)


def test_unknown_accesses_are_not_known(tmp_path: Path) -> None:
    take(tmp_path, [row("b/a")], "s3://b/")
    (found,) = view(tmp_path, "accessed_at", "idle_days", "access_source", "reads_30d")
    assert list(found.values()) == [None, None, None, None]


def test_the_newest_of_several_sources_counts(tmp_path: Path) -> None:
    told = {"accessed_at": days(50), "access_source": "it_reference"}
    rows = [row("b/a", **told), row("b/b", **told), row("b/c"), row("b/d", **told)]
    catalog = take(tmp_path / "c", rows, "s3://b/")
    accesses(
        tmp_path / "c",
        catalog,
        ("s3://b/a", days(10)),
        ("s3://b/b", days(90)),
        ("s3://b/c", days(20)),
        ("s3://b/c", days(25)),
    )
    found = view(tmp_path / "c", "accessed_at", "idle_days", "access_source", "reads_30d")
    assert [tuple(entry.values()) for entry in found] == [
        (days(10), 10, "table", 1),
        (days(50), 50, "it_reference", 0),
        (days(20), 20, "table", 2),
        (days(50), 50, "it_reference", None),
    ]


def test_an_object_is_idle_no_longer_than_it_is_there(tmp_path: Path) -> None:
    """A key that was read a year ago and overwritten yesterday holds new data."""
    rows = [row("b/a", modified_at=days(1))]
    catalog = take(tmp_path / "c", rows, "s3://b/")
    accesses(tmp_path / "c", catalog, ("s3://b/a", days(300)))
    (found,) = view(tmp_path / "c", "idle_days", "age_days")
    assert found == {"idle_days": 1, "age_days": 1}


def logged(catalog: Catalog, days_told: list[date], *reads: dict[str, Any]) -> None:
    """Access logs of bucket b that tell of some request on these days."""
    rows = [
        {"uri": "s3://b/", "day": day, "reads": 0, "read_bytes": 0, "accessed_at": NOW}
        for day in days_told
    ]
    rows += [{"reads": 1, "read_bytes": 10, "day": r["accessed_at"].date()} | r for r in reads]
    known = {"store_id": "s3:aws", "source": "access_logs"}
    table = pa.Table.from_pylist([known | r for r in rows], schema=SCHEMAS["accesses"])
    catalog.write("accesses", "logs", table)
    catalog.commit_refresh(
        {
            "scan_id": "logs",
            "kind": "accesses",
            "source": "access_logs",
            "as_of": NOW,
            "taken_at": NOW,
            "covers": '[{"store_id": "s3:aws", "uri": "s3://logs/"}]',
            "has_versions": False,
            "has_uploads": False,
            "objects": len(rows),
            "from_day": min(days_told).isoformat(),
        }
    )


def dates(*ages: int) -> list[date]:
    return [days(age).date() for age in ages]


def test_what_logs_never_tell_of_was_idle_since_they_began(tmp_path: Path) -> None:
    catalog = take(tmp_path, [row("b/a"), row("b/b"), row("b2/a")], "s3://b/", "s3://b2/")
    read = {"uri": "s3://b/b", "accessed_at": datetime(2026, 2, 20, 12, tzinfo=UTC)}
    logged(catalog, dates(*range(61)), read)
    found = view(
        tmp_path, "accessed_at", "idle_days", "access_source", "reads_30d", "read_bytes_30d"
    )
    assert [tuple(entry.values()) for entry in found] == [
        (None, 60, "access_logs", 0, 0),
        (read["accessed_at"], 9, "access_logs", 1, 10),
        (None, None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("ages", "idle"),
    [
        ([*range(11), *range(14, 60)], 10),  # interrupted
        ([*range(0, 60, 2)], 58),  # a quiet day is no interruption
        ([*range(10, 60)], None),  # over
    ],
)
def test_interrupted_logs_tell_of_the_time_since_only(
    tmp_path: Path, ages: list[int], idle: int | None
) -> None:
    catalog = take(tmp_path, [row("b/a")], "s3://b/")
    logged(catalog, dates(*ages))
    (found,) = view(tmp_path, "idle_days", "reads_30d")
    assert found["idle_days"] == idle
    if idle is None or idle < 30:
        assert found["reads_30d"] is None


# Identical objects

MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def digest(catalog: Catalog, *keys: str, sha256: str = "ab" * 32, size: int = 1_000) -> None:
    rows = [
        {
            "store_id": "s3:aws",
            "uri": f"s3://{key}",
            "etag": f"etag-{key}",
            "size_bytes": size,
            "sha256": sha256,
        }
        for key in keys
    ]
    catalog.write("digests", "-".join(keys), pa.Table.from_pylist(rows, schema=SCHEMAS["digests"]))


def identical(path: Path, **options: Any) -> dict[str, tuple[str | None, int]]:
    found = view(path, "uri", "identical_to", "verified_copies", **options)
    return {r["uri"]: (r["identical_to"], r["verified_copies"]) for r in found}


def test_equal_etags_are_shown_as_not_verified(tmp_path: Path) -> None:
    rows = [
        row("b/a", etag=MD5),
        row("b/b", etag=MD5),
        row("b/size", etag=MD5, size_bytes=9),
        row("b/parts-1", etag=f"{MD5}-3"),
        row("b/parts-2", etag=f"{MD5}-3"),
        row("b/opaque-1", etag="0x8DB"),
        row("b/opaque-2", etag="0x8DB"),
        row("b/old", etag=MD5, is_latest=False),
        row("b/empty-1", etag=MD5, size_bytes=0),
        row("b/empty-2", etag=MD5, size_bytes=0),
    ]
    take(tmp_path, rows, "s3://b/")
    found = identical(tmp_path)
    assert {uri: value for uri, value in found.items() if value != (None, 0)} == {
        "s3://b/b": ("s3://b/a", 0),
        "s3://b/parts-2": ("s3://b/parts-1", 0),
    }


def test_what_was_read_is_verified_whatever_the_etag(tmp_path: Path) -> None:
    catalog = take(tmp_path, [row(f"b/{name}") for name in "abcd"], "s3://b/")
    digest(catalog, "b/a", "b/b", "b/c")
    digest(catalog, "b/d", sha256="cd" * 32)
    assert identical(tmp_path) == {
        "s3://b/a": (None, 2),
        "s3://b/b": ("s3://b/a", 2),
        "s3://b/c": ("s3://b/a", 2),
        "s3://b/d": (None, 0),
    }


def test_a_digest_is_of_one_version(tmp_path: Path) -> None:
    catalog = take(tmp_path, [row("b/a"), row("b/b")], "s3://b/")
    digest(catalog, "b/a", "b/b")
    take(tmp_path, [row("b/a", etag="changed"), row("b/b")], "s3://b/")
    assert identical(tmp_path) == {"s3://b/a": (None, 0), "s3://b/b": (None, 0)}


def test_the_copy_of_the_dataset_of_higher_priority_is_the_first(tmp_path: Path) -> None:
    catalog = take(tmp_path, [row("b/a/1"), row("b/z/1")], "s3://b/")
    digest(catalog, "b/a/1", "b/z/1")
    datasets = (DatasetSettings(name="z", prefixes=("s3://b/z/",), priority=5),)
    assert identical(tmp_path, datasets=datasets)["s3://b/a/1"] == ("s3://b/z/1", 1)
