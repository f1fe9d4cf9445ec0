"""A catalog with chosen rows, for tests of what looks into catalogs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from greendata.catalog.places import LocalPlace
from greendata.catalog.schemas import SCHEMAS
from greendata.catalog.tables import Catalog

AT = datetime(2026, 1, 2, tzinfo=UTC)
SCAN_ID = "made"

DUPLICATE = {
    "document_row": 0,
    "kept_uri": "file:///kept",
    "kept_row": 0,
    "kind": "exact",
    "jaccard": 1.0,
    "containment": 1.0,
    "document_text_bytes": 100,
    "kept_text_bytes": 100,
    "document_dataset": "a",
    "kept_dataset": "a",
    "document_etag": "e",
    "kept_etag": "e",
    "document_row_group": -1,
    "kept_row_group": -1,
    "document_digest": "00",
    "kept_digest": "00",
}
OVERLAP = {
    "level": "dataset",
    "a_in_b_documents": 0.5,
    "a_in_b_text_bytes": 0.5,
    "b_in_a_documents": 0.25,
    "b_in_a_text_bytes": 0.25,
    "a_in_b_exact_documents": 0.5,
    "b_in_a_exact_documents": 0.25,
    "a_documents": 2,
    "b_documents": 4,
    "a_text_bytes": 20,
    "b_text_bytes": 40,
}
OBJECT = {
    "object_id": 1,
    "store_id": "local",
    "etag": "e",
    "dataset": "a",
    "priority": 0,
    "size_bytes": 10,
    "modified_at": AT,
    "format": "jsonl",
    "codec": "none",
    "text_column": "text",
    "documents": 2,
    "text_bytes": 20,
    "null_documents": 0,
    "skipped_documents": 0,
    "status": "read",
    "reason": None,
    "detail": None,
    "documents_scan_id": SCAN_ID,
    "read_options": json.dumps({"max_record_bytes": 2**20}),
}


def make_catalog(
    path: Path,
    *,
    duplicates: Sequence[Mapping[str, Any]] = (),
    overlaps: Sequence[Mapping[str, Any]] = (),
    objects: Sequence[Mapping[str, Any]] = (),
) -> str:
    """A catalog of one committed scan; each row is completed from the constants above."""
    catalog = Catalog.open(LocalPlace(path), create=True)
    base = catalog.snapshot()
    tables = {
        "duplicates": [DUPLICATE | dict(row) for row in duplicates],
        "overlaps": [OVERLAP | dict(row) for row in overlaps],
        "objects": [OBJECT | dict(row) for row in objects],
    }
    for name, rows in tables.items():
        catalog.write(name, SCAN_ID, pa.Table.from_pylist(rows, schema=SCHEMAS[name]))
    row = {
        "scan_id": SCAN_ID,
        "sequence": 1,
        "results_id": SCAN_ID,
        "starts_over": True,
        "started_at": AT,
        "committed_at": AT,
        "parameters": json.dumps({"whole_rows": False, "max_record_bytes": 2**20}),
        "uris": "[]",
        "summary": "{}",
    }
    catalog.commit_scan(row, base)
    return str(path)
