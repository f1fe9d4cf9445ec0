"""A catalog that has read every object of listing.py's bucket already: rows, and the scan's commit.

Reading a million objects would take hours; what a later pass finds is the same.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pyarrow as pa

from greendata.catalog.commits import new_id
from greendata.catalog.schemas import SCHEMAS
from greendata.catalog.tables import Catalog
from greendata.jobs.changes import options_key
from greendata.jobs.request import ScanRequest, fingerprint_parameters
from greendata.jobs.results import catalog_place
from greendata.model import object_id
from greendata.stores.opening import Stores
from scripts.bench.listing import key_of, size_of

BUCKET = "s3://bucket/"
_ROWS = 100_000


def main() -> None:
    """``known_objects.py CATALOG OBJECTS``, in the environment of the bucket."""
    catalog = Catalog.open(catalog_place(sys.argv[1], ()), create=True)
    objects = int(sys.argv[2])
    request = ScanRequest(uris=(BUCKET,), catalog=sys.argv[1])
    now = datetime.now(UTC)
    scan_id, base = new_id(now), catalog.snapshot()
    store_id = Stores().store_of(BUCKET).store_id
    options = options_key(request.read_options)
    parts = [
        rows(range(start, min(start + _ROWS, objects)), objects, store_id, options, scan_id)
        for start in range(0, objects, _ROWS)
    ]
    catalog.write("objects", scan_id, pa.concat_tables(parts))
    row = {
        "scan_id": scan_id,
        "sequence": 1,
        "results_id": f"{scan_id}.0",
        "earlier_results": "[]",
        "starts_over": False,
        "started_at": now,
        "committed_at": now,
        "parameters": json.dumps(fingerprint_parameters(request, base).as_dict()),
        "uris": json.dumps(request.uris),
        "summary": "{}",
    }
    catalog.commit_scan(row, base)


def rows(numbers: range, objects: int, store_id: str, options: str, scan_id: str) -> pa.Table:
    """Objects of these numbers as a scan leaves them that found them without a document."""
    uris = [f"{BUCKET}{key_of(number, objects)}" for number in numbers]
    etags = [f"{number:032x}" for number in numbers]
    ids = [object_id(store_id, uri, etag) for uri, etag in zip(uris, etags, strict=True)]
    same = {
        "store_id": store_id,
        "dataset": BUCKET,
        "priority": 0,
        "modified_at": datetime(2024, 1, 1, tzinfo=UTC),
        "format": "parquet",
        "codec": "none",
        "text_column": "text",
        "documents": 0,
        "text_bytes": 0,
        "null_documents": 0,
        "skipped_documents": 0,
        "status": "read",
        "documents_scan_id": scan_id,
        "read_options": options,
    }
    sizes = [size_of(number) for number in numbers]
    single = {"object_id": ids, "uri": uris, "etag": etags, "size_bytes": sizes}
    schema = SCHEMAS["objects"]
    return pa.table(
        {
            field.name: pa.array(single[field.name], field.type)
            if field.name in single
            else pa.repeat(pa.scalar(same.get(field.name), field.type), len(uris))
            for field in schema
        },
        schema=schema,
    )


if __name__ == "__main__":
    main()
