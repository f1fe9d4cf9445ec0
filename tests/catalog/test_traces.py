"""What is known of objects because runs of this program did it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from greendata.catalog.schemas import SCHEMAS, WIDENED
from greendata.catalog.tables import Catalog
from greendata.catalog.traces import KNOWN_TAGS
from tests.jobs.made_inventory import NOW, row, take, view

AT = NOW - timedelta(hours=5)
"""When runs did something; the inventory is of ``NOW``, objects were written a year ago."""
AFTER = NOW + timedelta(hours=1)
RUN = "0f3a91c2b4d5e6f7-1"


def outcome(kind: str, key: str, *, number: int = 0, **values: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "run_id": RUN,
        "action_id": f"{kind} {key} {number}",
        "kind": kind,
        "uri": f"s3://b/{key}",
        "store_id": "s3:aws",
        "etag": f"etag-b/{key}",
        "status": "done",
        "part": "apply",
        "at": AT,
        "catalog_sequence": 1,
    }
    return known | values


def tag(key: str, **values: Any) -> dict[str, Any]:
    return outcome("tag", key, tags=[("owner", "a")], **values)


def write(catalog: Catalog, *rows: dict[str, Any]) -> None:
    catalog.write("outcomes", RUN, pa.Table.from_pylist(rows, schema=SCHEMAS["outcomes"]))


def told(path: Path, column: str) -> dict[str, Any]:
    """By key and version what a column says, where it says something."""
    found = view(path, "key", "version_id", column)
    return {
        row["key"] + (f"@{row['version_id']}" if row["version_id"] else ""): row[column]
        for row in found
        if row[column] is not None
    }


def test_tags_that_runs_set_are_known_of_that_very_version(tmp_path: Path) -> None:
    written_again = row("b/written", modified_at=AT + timedelta(minutes=1))
    names = ["set", "other-etag", "undone", "again", "failed", "two"]
    versions = [row("b/v", version_id=name, is_latest=name == "v2") for name in ("v1", "v2")]
    catalog = take(
        tmp_path, [*(row(f"b/{name}") for name in names), *versions, written_again], "s3://b/"
    )
    write(
        catalog,
        tag("set"),
        tag("other-etag", etag="before"),
        tag("undone"),
        tag("undone", part="undo", catalog_sequence=2),
        tag("again", part="undo"),
        tag("again", number=1, at=AT + timedelta(hours=1)),
        tag("failed", status="failed"),
        tag("two"),
        outcome("tag", "two", number=1, tags=[("class", "x"), ("owner", "b")], at=NOW),
        tag("v", version_id="v1"),
        tag("written"),
    )
    assert told(tmp_path, "tags") == {}  # no listing told any
    known = {key: dict(tags) for key, tags in told(tmp_path, KNOWN_TAGS).items() if tags}
    assert known.pop("undone") == {"owner": None}
    assert known == {
        "set": {"owner": "a"},
        "again": {"owner": "a"},
        "two": {"owner": "b", "class": "x"},
        "v@v1": {"owner": "a"},
    }


def test_what_a_listing_tells_comes_before_what_runs_did_earlier(tmp_path: Path) -> None:
    names = ["same", "later", "taken-back"]
    rows = [row(f"b/{name}", tags=[("owner", "z"), ("more", "1")]) for name in names]
    catalog = take(tmp_path, rows, "s3://b/")
    write(catalog, tag("same"), tag("later", at=AFTER), tag("taken-back", part="undo", at=AFTER))
    found = {key: dict(tags) for key, tags in told(tmp_path, "tags").items()}
    assert found == {
        "same": {"owner": "z", "more": "1"},
        "later": {"owner": "a", "more": "1"},
        "taken-back": {"owner": None, "more": "1"},
    }
    assert told(tmp_path, KNOWN_TAGS) == told(tmp_path, "tags")


def test_tags_go_with_an_object_through_its_classes(tmp_path: Path) -> None:
    """S3 writes it anew each time; what others wrote later has other tags, or none."""
    moved = [AT + timedelta(hours=hours) for hours in (1, 2)]
    rows = [
        row("b/k", version_id="v3", etag="third", modified_at=moved[1]),
        row("b/l", modified_at=moved[1]),
        row("b/m", modified_at=moved[1]),
    ]
    catalog = take(tmp_path, rows, "s3://b/")
    first: dict[str, Any] = {"left_version_id": "v2", "left_etag": "second"}
    second: dict[str, Any] = {"left_version_id": "v3", "left_etag": "third", "number": 2}
    write(
        catalog,
        tag("k", version_id="v1"),
        outcome("tier", "k", version_id="v1", at=moved[0], **first),
        outcome("tier", "k", version_id="v2", etag="second", at=moved[1], **second),
        tag("l"),
        outcome("tier", "l", at=moved[1], left_etag="etag-b/l"),
        tag("m"),
        outcome("tier", "m", at=moved[0], left_etag="etag-b/m"),
        outcome("tier", "m", number=1, version_id="v9", at=moved[1], left_etag="etag-b/m"),
    )
    known = {key: dict(tags) for key, tags in told(tmp_path, KNOWN_TAGS).items() if tags}
    assert known == {"k@v3": {"owner": "a"}, "l": {"owner": "a"}}


def test_holds_and_restored_copies_of_runs_are_known(tmp_path: Path) -> None:
    held = [row("b/held"), row("b/undone"), row("b/told", is_held=False)]
    cold = [row(f"b/{name}", storage_class="GLACIER") for name in ("asked", "read", "over")]
    catalog = take(tmp_path, held + cold, "s3://b/")
    write(
        catalog,
        *(outcome("hold", key) for key in ("held", "told")),
        outcome("hold", "undone", part="undo"),
        outcome("restore", "asked", status="pending"),
        outcome("restore", "read", readable_until=AFTER),
        outcome("restore", "over", readable_until=AT),
    )
    assert told(tmp_path, "is_held") == {"held": True, "told": False}
    assert told(tmp_path, "restore_state") == {"asked": "pending", "read": "restored"}


def test_what_stands_for_something_in_quarantine_names_the_run(tmp_path: Path) -> None:
    catalog = take(tmp_path, [row(f"b/{name}") for name in "abc"], "s3://b/")
    a, b = ([{"store_id": "s3:aws", "uri": f"s3://b/{name}"}] for name in "ab")
    write(
        catalog,
        outcome("quarantine", "x", survivors=a + b),
        outcome("quarantine", "y", survivors=a),
        outcome("quarantine", "z", survivors=b, run_id="purged-1"),
        outcome("quarantine", "z", part="purge", run_id="purged-1", catalog_sequence=2),
    )
    assert told(tmp_path, "pinned_by") == {"a": RUN, "b": RUN}


def test_files_of_an_older_program_lack_columns_and_are_read(tmp_path: Path) -> None:
    catalog = take(tmp_path, [row("b/a"), row("b/b")], "s3://b/")
    for name, rows in (("inventory", None), ("outcomes", [tag("a")])):
        if rows is not None:
            write(catalog, *rows)
        (path,) = catalog.files(name, None)
        pq.write_table(pq.ParquetFile(path).read().drop_columns(list(WIDENED[name])), path)
    for column in ("tags", KNOWN_TAGS, "pinned_by"):
        assert told(tmp_path, column) == {}
    write(catalog, tag("b"))  # beside the older file
    assert {key: dict(tags) for key, tags in told(tmp_path, KNOWN_TAGS).items()} == {
        "b": {"owner": "a"}
    }
