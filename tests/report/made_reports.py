"""A small catalog whose names are hostile, and the report of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from greendata.catalog.schemas import SCHEMAS
from greendata.catalog.tables import Catalog
from greendata.config import DatasetSettings
from greendata.jobs.report import ReportRequest, make_report
from greendata.report.document import Report
from tests.jobs.made_inventory import NOW, row, take

HOSTILE = (
    "<script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 2">',
    "</style></script><svg onload='window.ran = 3'>",
    "javascript:window.ran=4 {{ 7 * 7 }} ${7*7} `x` | a | b",
    "\u202egnp.exe \x1b[31m \x00 نصوص",
)
NAMES = ("crawl", "books", "code", *HOSTILE)
SCAN = "20260301T000000-00000001"


def object_row(name: str, number: int, **values: Any) -> dict[str, Any]:
    """Of the table ``objects``: a hundred documents of ten kB in 400 kB."""
    uri = f"s3://b/d{NAMES.index(name) if name in NAMES else name}/{number}"
    return {
        "object_id": zlib.crc32(uri.encode()),
        "uri": uri,
        "store_id": "s3:aws",
        "etag": f"etag-{uri.removeprefix('s3://')}",
        "dataset": name,
        "priority": 0,
        "size_bytes": 400_000,
        "documents": 100,
        "text_bytes": 1_000_000,
        "status": "read",
        "documents_scan_id": SCAN,
    } | values


def duplicate_row(name: str, kept: str, document: int, **values: Any) -> dict[str, Any]:
    """Document of object 0 of one dataset, redundant because of another's."""
    uri = object_row(name, 0)["uri"]
    return {
        "document_uri": uri,
        "document_row": document,
        "kept_uri": object_row(kept, 0)["uri"] + HOSTILE[0],
        "kept_row": 7,
        "kind": "near",
        "jaccard": 0.875,
        "containment": 0.9,
        "document_text_bytes": 10_000,
        "kept_text_bytes": 10_000,
        "document_dataset": name,
        "kept_dataset": kept,
        "document_etag": f"etag-{uri.removeprefix('s3://')}",
        "kept_etag": "e",
        "document_row_group": -1,
        "kept_row_group": -1,
        "document_digest": f"{NAMES.index(name):016x}{document:016x}",
        "kept_digest": "0" * 32,
    } | values


def overlap_row(a: str, b: str, share: float) -> dict[str, Any]:
    shares = {
        f"{way}_{what}": share if way == "a_in_b" else share / 2
        for way in ("a_in_b", "b_in_a")
        for what in ("documents", "text_bytes", "exact_documents")
    }
    counts = {f"{x}_{what}": 1000 for x in "ab" for what in ("documents", "text_bytes")}
    return {"level": "dataset", "a": a, "b": b} | shares | counts


def add_scan(
    catalog: Catalog,
    objects: Sequence[dict[str, Any]],
    duplicates: Sequence[dict[str, Any]] = (),
    overlaps: Sequence[dict[str, Any]] = (),
    *,
    scan_id: str = SCAN,
    days_ago: float = 0,
    starts_over: bool = False,
    **summary: Any,
) -> None:
    """Commit a scan of these rows."""
    for name, rows, partition in (
        ("objects", objects, scan_id),
        ("duplicates", duplicates, f"{scan_id}.0"),
        ("overlaps", overlaps, f"{scan_id}.0"),
    ):
        catalog.write(name, partition, pa.Table.from_pylist(list(rows), schema=SCHEMAS[name]))
    counts = dict.fromkeys(
        ("objects", "object_bytes", "documents", "text_bytes", "redundant_documents",
         "redundant_text_bytes", "seconds", "cpu_seconds"), 10,
    )  # fmt: skip
    base = catalog.snapshot()
    moment = NOW - timedelta(days=days_ago)
    row = {
        "scan_id": scan_id, "sequence": base.last.sequence + 1 if base.last else 1,
        "results_id": f"{scan_id}.0", "earlier_results": "[]", "starts_over": starts_over,
        "started_at": moment, "committed_at": moment, "parameters": json.dumps({"threshold": 0.8}),
        "uris": json.dumps([f"s3://b/{HOSTILE[1]}"]), "summary": json.dumps(counts | summary),
    }  # fmt: skip
    catalog.commit_scan(row, base)


def datasets() -> tuple[DatasetSettings, ...]:
    regions = ("us-east-1", "eu-north-1", None)
    return tuple(
        DatasetSettings(name=name, prefixes=(f"s3://b/d{place}",), region=regions[place % 3])
        for place, name in enumerate(NAMES)
    )


def make_catalog(folder: Path) -> Path:
    """Three objects of each dataset in three classes, an upload, an unknown class, two scans."""
    classes = ("STANDARD", "STANDARD_IA", "DEEP_ARCHIVE")
    rows = [
        row(
            f"b/d{place}/{number}",
            size_bytes=400_000 if number == 0 else 10**12 // (place + 1),
            storage_class=classes[number],
            format=None,
        )
        for place in range(len(NAMES))
        for number in range(3)
    ]
    rows += [row(f"b/d0/{name}") for name in HOSTILE]
    rows.append(row("b/d0/u", size_bytes=None, format="upload", version_id="u"))
    rows.append(row("b/else", size_bytes=5, storage_class=HOSTILE[0]))
    catalog = take(folder, rows, "s3://b/", has_uploads=True)
    add_scan(catalog, [], scan_id="20260201T000000-00000000", days_ago=28, text_bytes=50)
    objects = [object_row(name, 0) for name in NAMES]
    duplicates = [duplicate_row(NAMES[i], NAMES[i - 1], n) for i in (1, 2, 3) for n in range(i)]
    duplicates.append(duplicate_row("books", "books", 50, kind="exact", jaccard=1.0))
    duplicates.append(duplicate_row("books", "code", 51, kind="candidate", jaccard=None))
    overlaps = [
        overlap_row(min(name, NAMES[0]), max(name, NAMES[0]), 0.1 * place)
        for place, name in enumerate(NAMES[1:], start=1)
    ]
    add_scan(catalog, objects, duplicates, overlaps)
    return folder


def make(folder: Path, **options: Any) -> Report:
    """The report of such a catalog in ``folder``, which is made where there is none."""
    if not folder.exists():
        make_catalog(folder)
    request = ReportRequest(catalog=str(folder), as_of=NOW, **({"datasets": datasets()} | options))
    return make_report(request)
