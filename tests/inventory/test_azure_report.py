from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.errors import IntegrityError, ObjectNotFoundError
from greendata.inventory.azure_report import find_blob_report, open_blob_report, read_blob_report
from greendata.schemas import INVENTORY
from greendata.stores.local import LocalStore, path_to_uri

AT = datetime(2024, 1, 19, 3, 59, 9, tzinfo=UTC)
HEADER = (
    "Name,Creation-Time,Last-Modified,LastAccessTime,Etag,Content-Length,AccessTier,"
    "AccessTierChangeTime,Snapshot,VersionId,IsCurrentVersion,Deleted,LegalHold,hdi_isfolder"
)


def csv_row(name: str, **changes: str) -> str:
    at = "2024-01-19T03:59:09.0000000Z"
    row = {
        "name": f'"{name}"', "created": at, "modified": at, "accessed": at, "etag": "0x1",
        "size": "12", "tier": "Cool", "changed": "", "snapshot": "", "version": "v1",
        "current": "true", "deleted": "", "held": "true", "folder": "",
    }  # fmt: skip
    return ",".join((row | changes).values()) + "\n"


def write_run(
    folder: Path,
    files: list[bytes],
    *,
    kind: str = "csv",
    day: str = "26",
    status: str = "Succeeded",
) -> str:
    """A run in a folder that stands for the destination container; the manifest's URI."""
    run = f"2021/05/{day}/13-25-36/Rule_1"
    place = folder / run
    place.mkdir(parents=True)
    entries = []
    for number, content in enumerate(files):
        name = f"{run}/Rule_1_{number}.{kind}"
        (folder / name).write_bytes(content)
        entries.append({"blob": name, "size": len(content)})
    document = {
        "destinationContainer": "inv",
        "endpoint": "https://acct.blob.core.windows.net",
        "files": entries,
        "inventoryCompletionTime": "2021-05-26T13:35:56Z",
        "ruleDefinition": {"format": kind},
        "ruleName": "Rule_1",
        "status": status,
    }
    raw = json.dumps(document).encode()
    (place / "Rule_1-manifest.json").write_bytes(raw)
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    (place / "Rule_1-manifest.checksum").write_text(digest)
    return path_to_uri(str(place / "Rule_1-manifest.json"))


def rows_of(uri: str) -> list[dict[str, Any]]:
    store = LocalStore()
    batches = list(read_blob_report(store, open_blob_report(store, uri)))
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, INVENTORY).to_pylist()
    return rows


def test_tags_are_read_as_far_as_they_are_told(tmp_path: Path) -> None:
    """Maps, or JSON in either of the shapes that the providers' lists of tags have."""
    told = [
        '{"owner": "a", "b": "2"}', '[{"Key": "owner", "Value": "a"}]', "{}", "", "{", "[1]",
        '{"a": 1}', '"x"', '{"a": "\\ud800"}', None, "[" * 100_000,
    ]  # fmt: skip
    made = pa.map_(pa.string(), pa.string())
    maps = [[("owner", "a")], None]
    files = []
    for tags in (pa.array(told), pa.array(maps, made), pa.array([1, 2])):
        names = [f"c/{number}" for number in range(len(tags))]
        target = io.BytesIO()
        pq.write_table(pa.table({"Name": names, "Tags": tags}), target)
        files.append(target.getvalue())
    found = [row["tags"] for row in rows_of(write_run(tmp_path, files, kind="parquet"))]
    some = {(("b", "2"), ("owner", "a")): 1, (("owner", "a"),): 2, (): 1, None: 11}
    assert Counter(None if tags is None else tuple(tags) for tags in found) == some


def test_csv_files_are_read(tmp_path: Path) -> None:
    files = [
        (HEADER + "\n" + csv_row("c/a b/é,x")).encode(),
        (HEADER + "\n" + csv_row("c/d", held="", accessed="")).encode(),
    ]
    first, second = sorted(rows_of(write_run(tmp_path, files)), key=lambda row: row["uri"])
    assert (first["uri"], first["bucket"], first["key"]) == ("az://c@acct/a b/é,x", "c", "a b/é,x")
    assert (first["size_bytes"], first["storage_class"], first["etag"]) == (12, "Cool", "0x1")
    assert (first["modified_at"], first["accessed_at"], first["access_source"]) == (AT, AT, "azure")
    assert (first["is_held"], first["is_latest"], first["tier_changed_at"]) == (True, True, None)
    assert (second["is_held"], second["accessed_at"], second["access_source"]) == (None, None, None)


def test_deleted_blobs_and_snapshots_are_not_current_and_folders_no_objects(tmp_path: Path) -> None:
    rows = [
        csv_row("c/deleted", deleted="true"),
        csv_row("c/snapshot", snapshot="2024-01-19T03:59:09Z", current=""),
        csv_row("c/old", current="false"),
        csv_row("c/folder", folder="true"),
        csv_row("c/a"),
    ]
    found = rows_of(write_run(tmp_path, [(HEADER + "\n" + "".join(rows)).encode()]))
    assert {row["key"]: row["is_latest"] for row in found} == {
        "deleted": False,
        "snapshot": False,
        "old": False,
        "a": True,
    }


def test_parquet_and_other_spellings_give_the_same(tmp_path: Path) -> None:
    table = pa.table(
        {
            "Name": ["c/k"],
            "ContentLength": pa.array([12], pa.int64()),
            "LastModified": pa.array([AT], pa.timestamp("ms")),
            "Access-Tier": ["Archive"],
            "legal-hold": [False],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    (row,) = rows_of(write_run(tmp_path, [sink.getvalue()], kind="parquet"))
    assert (row["size_bytes"], row["modified_at"], row["storage_class"]) == (12, AT, "Archive")
    assert (row["is_held"], row["is_latest"]) == (False, None)


def test_the_newest_complete_run_is_found(tmp_path: Path) -> None:
    write_run(tmp_path, [], day="26")
    newest = write_run(tmp_path, [], day="27")
    write_run(tmp_path, [], day="28")
    (tmp_path / "2021/05/28/13-25-36/Rule_1/Rule_1-manifest.checksum").unlink()
    assert find_blob_report(LocalStore(), path_to_uri(str(tmp_path))) == newest
    with pytest.raises(ObjectNotFoundError, match="no complete blob inventory"):
        find_blob_report(LocalStore(), path_to_uri(str(tmp_path / "2021/05/28")))


@pytest.mark.parametrize("what", ["incomplete", "manifest", "missing", "size", "status", "name"])
def test_a_damaged_run_is_refused(tmp_path: Path, what: str) -> None:
    header = HEADER.replace("Name", "Nome") if what == "name" else HEADER
    content = (header + "\n" + csv_row("c/a")).encode()
    uri = write_run(tmp_path, [content], status="Failed" if what == "status" else "Succeeded")
    place = tmp_path / "2021/05/26/13-25-36/Rule_1"
    if what == "incomplete":
        (place / "Rule_1-manifest.checksum").unlink()
    elif what == "manifest":
        (place / "Rule_1-manifest.json").write_text("{}")
    elif what == "missing":
        (place / "Rule_1_0.csv").unlink()
    elif what == "size":
        (place / "Rule_1_0.csv").write_bytes(content[:-3])
    with pytest.raises(IntegrityError, match="file://"):
        rows_of(uri)
