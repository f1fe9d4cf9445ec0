from __future__ import annotations

import gzip
import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from greendata.errors import IntegrityError, ObjectNotFoundError
from greendata.inventory.s3_report import find_report, open_report, read_report
from greendata.schemas import INVENTORY
from greendata.stores.local import LocalStore, path_to_uri

CSV_SCHEMA = (
    "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass,"
    " ObjectLockLegalHoldStatus, IntelligentTieringReferenceDate, Novelty"
)
ODD = [
    "plain",
    "with blank",
    'quo"te',
    "new\nline",
    "comma,",
    "per%cent",
    "plus+",
    "emoji-😀",
    "a//b",
]
MODIFIED = "2024-01-19T03:59:09.000Z"
AT = datetime(2024, 1, 19, 3, 59, 9, tzinfo=UTC)


def csv_row(
    key: str, version: str = "v1", *, latest: bool = True, marker: bool = False
) -> list[str]:
    size = "" if marker else "12"
    state = [str(latest).lower(), str(marker).lower(), size, MODIFIED]
    return [
        "b",
        quote_plus(key, safe="/"),
        version,
        *state,
        "" if marker else "e",
        "STANDARD",
        "On",
        MODIFIED,
        "x",
    ]


def csv_file(rows: list[list[str]]) -> bytes:
    lines = "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    return gzip.compress(lines.encode())


def write_report(
    folder: Path, files: list[bytes], *, kind: str = "CSV", schema: str = CSV_SCHEMA, at: str = "1"
) -> str:
    """A report in a folder that stands for the destination bucket; the manifest's URI."""
    place = folder / "reports" / "b" / "all"
    entries = []
    for number, content in enumerate(files):
        name = f"reports/b/all/data/{at}-{number}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        entries.append({"key": name, "size": len(content), "MD5checksum": md5})
    document = {
        "sourceBucket": "b",
        "creationTimestamp": "1729296000000",
        "fileFormat": kind,
        "fileSchema": schema,
        "files": entries,
    }
    target = place / f"2024-10-1{at}T00-00Z"
    target.mkdir(parents=True)
    raw = json.dumps(document).encode()
    (target / "manifest.json").write_bytes(raw)
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    (target / "manifest.checksum").write_text(digest)
    return path_to_uri(str(target / "manifest.json"))


def rows_of(uri: str) -> list[dict[str, Any]]:
    store = LocalStore()
    batches = list(read_report(store, open_report(store, uri)))
    assert all(batch.schema == INVENTORY for batch in batches)
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, INVENTORY).to_pylist()
    return rows


def test_csv_is_read_with_its_keys_decoded(tmp_path: Path) -> None:
    found = rows_of(write_report(tmp_path, [csv_file([csv_row(key) for key in ODD])]))
    assert [row["key"] for row in found] == ODD
    assert [row["uri"] for row in found] == [f"s3://b/{key}" for key in ODD]
    first = found[0]
    assert (first["size_bytes"], first["modified_at"], first["etag"]) == (12, AT, "e")
    assert (first["is_held"], first["access_source"], first["accessed_at"]) == (
        True,
        "it_reference",
        AT,
    )


def test_versions_and_delete_markers_are_told_apart(tmp_path: Path) -> None:
    rows = [csv_row("a", "v3", marker=True), csv_row("a", "v2", latest=False), csv_row("c", "")]
    found = rows_of(write_report(tmp_path, [csv_file(rows)]))
    told = [
        (r["version_id"], r["is_latest"], r["is_delete_marker"], r["size_bytes"]) for r in found
    ]
    assert told == [("v3", True, True, None), ("v2", False, False, 12), (None, True, False, 12)]


@pytest.mark.parametrize("kind", ["Parquet", "ORC"])
def test_parquet_and_orc_give_the_same(tmp_path: Path, kind: str) -> None:
    stamp = pa.array([AT], pa.timestamp("ms"))
    table = pa.table(
        {
            "bucket": ["b"],
            "key": ["per%20cent+plus"],
            "size": pa.array([12], pa.int64()),
            "last_modified_date": stamp,
            "e_tag": ["e"],
            "storage_class": ["GLACIER"],
            "novelty": [1],
        }
    )
    sink = io.BytesIO()
    (pq.write_table if kind == "Parquet" else orc.write_table)(table, sink)
    schema = "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); "
    schema += " ".join(f"optional binary {name};" for name in table.schema.names[2:]) + "}"
    if kind == "ORC":
        schema = "struct<" + ",".join(f"{name}:string" for name in table.schema.names) + ">"
    uri = write_report(tmp_path, [sink.getvalue()], kind=kind, schema=schema)
    assert open_report(LocalStore(), uri).unknown_columns == ("novelty",)
    (row,) = rows_of(uri)
    assert (row["key"], row["size_bytes"], row["modified_at"]) == ("per%20cent+plus", 12, AT)
    assert (row["storage_class"], row["is_latest"]) == ("GLACIER", None)


def test_many_files_are_all_read(tmp_path: Path) -> None:
    files = [csv_file([csv_row(f"{number}-{n}") for n in range(50)]) for number in range(7)]
    found = rows_of(write_report(tmp_path, files))
    assert sorted(row["key"] for row in found) == sorted(
        f"{n}-{m}" for n in range(7) for m in range(50)
    )


def test_the_newest_complete_report_is_found(tmp_path: Path) -> None:
    for at in ("1", "3", "2"):
        newest = write_report(tmp_path, [csv_file([csv_row(at)])], at=at)
    (tmp_path / "reports/b/all/2024-10-13T00-00Z/manifest.checksum").unlink()
    assert find_report(LocalStore(), path_to_uri(str(tmp_path))) == newest
    assert rows_of(newest)[0]["key"] == "2"


def test_no_report_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(ObjectNotFoundError, match="no complete inventory report"):
        find_report(LocalStore(), path_to_uri(str(tmp_path)))


def damaged(tmp_path: Path, what: str) -> str:
    uri = write_report(tmp_path, [csv_file([csv_row("a")])])
    manifest = Path(uri.removeprefix("file://"))
    data = tmp_path / "reports/b/all/data/1-0"
    if what == "incomplete":
        (manifest.parent / "manifest.checksum").unlink()
    elif what == "changed manifest":
        manifest.write_bytes(manifest.read_bytes() + b" ")
    elif what == "missing file":
        data.unlink()
    elif what == "changed file":
        data.write_bytes(csv_file([csv_row("b")]))
    return uri


@pytest.mark.parametrize("what", ["incomplete", "changed manifest", "missing file", "changed file"])
def test_a_damaged_report_is_refused(tmp_path: Path, what: str) -> None:
    with pytest.raises(IntegrityError, match="file://"):
        rows_of(damaged(tmp_path, what))


@pytest.mark.parametrize(
    "content",
    [
        csv_file([csv_row("a")])[:-12],
        b"no gzip",
        gzip.compress(b'"b","\xff","v"\n'),
        gzip.compress(b'"b"\n'),
    ],
    # gzip writes the time, and processes that collect a second apart would differ
    ids=["cut off", "no gzip", "no UTF-8", "too few columns"],
)
def test_a_file_that_cannot_be_decoded_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be decoded"):
        rows_of(write_report(tmp_path, [content]))


def test_a_report_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no column key"):
        rows_of(write_report(tmp_path, [b""], schema="Bucket, Size"))
