from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from greendata.catalog.commits import CommittedRefresh, Cover, Refreshes, is_at_or_below

AT = datetime(2026, 1, 1, tzinfo=UTC)


def refresh(sequence: int, *uris: str, **values: Any) -> CommittedRefresh:
    known: dict[str, Any] = {
        "scan_id": f"r{sequence}",
        "sequence": sequence,
        "kind": "objects",
        "source": "listing",
        "as_of": AT,
        "taken_at": AT,
        "covers": tuple(Cover(store_id="s3:aws", uri=uri) for uri in uris),
        "objects": 1,
    }
    return CommittedRefresh(**(known | values))


def live(*refreshes: CommittedRefresh) -> list[str]:
    found = Refreshes(version=1, refreshes=refreshes)
    assert {entry.scan_id for entry in found.live("objects")} == {
        entry.scan_id for entry in refreshes
    } - found.replaced_ids()
    return [entry.scan_id for entry in found.live("objects")]


@pytest.mark.parametrize(
    ("uri", "folder", "is_inside"),
    [
        ("s3://b/a/x", "s3://b/a", True),
        ("s3://b/a/x", "s3://b/a/", True),
        ("s3://b/a", "s3://b/a", True),
        ("s3://b/ab", "s3://b/a", False),
        ("s3://b/a", "s3://b/", True),
        ("s3://b2/a", "s3://b", False),
    ],
)
def test_folders_hold_whole_names(uri: str, folder: str, is_inside: bool) -> None:
    assert is_at_or_below(uri, folder) is is_inside


def test_a_later_refresh_of_the_same_or_more_replaces() -> None:
    assert live(refresh(1, "s3://b/a/"), refresh(2, "s3://b/a")) == ["r2"]
    assert live(refresh(1, "s3://b/a/"), refresh(2, "s3://b/")) == ["r2"]
    assert live(refresh(1, "s3://b/a/", "s3://b/c/"), refresh(2, "s3://b/a/")) == ["r1", "r2"]
    assert live(refresh(1, "s3://b/"), refresh(2, "s3://b/a/")) == ["r1", "r2"]


def test_several_later_ones_replace_together() -> None:
    both = refresh(1, "s3://b/a/", "s3://b/c/")
    assert live(both, refresh(2, "s3://b/a/"), refresh(3, "s3://b/c/")) == ["r2", "r3"]


def test_another_store_or_kind_replaces_nothing() -> None:
    other = refresh(2, covers=(Cover(store_id="s3:127.0.0.1:9000", uri="s3://b/"),))
    assert live(refresh(1, "s3://b/"), other) == ["r1", "r2"]
    accesses = refresh(2, "s3://b/", kind="accesses")
    found = Refreshes(version=1, refreshes=(refresh(1, "s3://b/"), accesses))
    assert [entry.scan_id for entry in found.live("objects")] == ["r1"]


def test_one_that_tells_less_leaves_versions_and_uploads_to_earlier_ones() -> None:
    whole = refresh(1, "s3://b/", has_versions=True, has_uploads=True)
    plain = refresh(2, "s3://b/")
    assert live(whole, plain) == ["r1", "r2"]
    assert live(whole, plain, refresh(3, "s3://b/", has_versions=True, has_uploads=True)) == ["r3"]


def test_accesses_of_later_days_leave_the_earlier_ones() -> None:
    early = refresh(1, "s3://logs/", kind="accesses", from_day="2026-01-01")
    late = refresh(2, "s3://logs/", kind="accesses", from_day="2026-01-05")
    again = refresh(3, "s3://logs/", kind="accesses", from_day="2026-01-01")
    found = Refreshes(version=1, refreshes=(early, late))
    assert [entry.scan_id for entry in found.live("accesses")] == ["r1", "r2"]
    assert [entry.scan_id for entry in found.over(early)] == ["r2"]
    found = Refreshes(version=1, refreshes=(early, late, again))
    assert [entry.scan_id for entry in found.live("accesses")] == ["r3"]
