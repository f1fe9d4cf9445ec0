"""Synthetic S3 Inventory reports: what no test server produces.

python scripts/bench/generate_report.py FOLDER --rows 1000000 --format parquet

The folder stands for the destination bucket. Keys are like those of a crawl, one in fifty with
characters that CSV encodes; ETags are random, a tenth of the rows are noncurrent versions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

BUCKET = "made"
PREFIX = f"reports/{BUCKET}/all"
CSV_SCHEMA = (
    "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass,"
    " IsMultipartUploaded, ReplicationStatus, EncryptionStatus, IntelligentTieringAccessTier"
)
PARQUET_SCHEMA = (
    "message s3.inventory { required binary bucket (STRING); required binary key (STRING);"
    " optional binary version_id (STRING); optional boolean is_latest;"
    " optional boolean is_delete_marker; optional int64 size;"
    " optional int64 last_modified_date (TIMESTAMP(MILLIS,true)); optional binary e_tag (STRING);"
    " optional binary storage_class (STRING); optional boolean is_multipart_uploaded;"
    " optional binary replication_status (STRING); optional binary encryption_status (STRING);"
    " optional binary intelligent_tiering_access_tier (STRING); }"
)
_ROWS = """
SELECT '{bucket}' AS bucket,
    'crawl/2024-' || lpad(((i // 50000) % 52)::VARCHAR, 2, '0') || '/segment-'
        || lpad((i // 100)::VARCHAR, 8, '0') || '/part-' || lpad(i::VARCHAR, 10, '0')
        || CASE WHEN i % 50 = 0 THEN ' copy (é).warc.gz' ELSE '.warc.gz' END AS key,
    substr(md5('v' || i), 1, 32) AS version_id,
    i % 10 <> 0 AS is_latest, false AS is_delete_marker,
    (hash(i) % 1000000000)::BIGINT AS size,
    TIMESTAMPTZ '2024-01-01 00:00:00+00' + INTERVAL 1 SECOND * (i % 20000000)::INTEGER
        AS last_modified_date,
    md5(i::VARCHAR) AS e_tag,
    CASE i % 4 WHEN 0 THEN 'GLACIER' WHEN 1 THEN 'STANDARD_IA' ELSE 'STANDARD' END
        AS storage_class,
    size > 8388608 AS is_multipart_uploaded, 'COMPLETED' AS replication_status,
    'SSE-S3' AS encryption_status, NULL::VARCHAR AS intelligent_tiering_access_tier
FROM range({start}, {stop}) r(i)
"""


def write_file(folder: Path, kind: str, start: int, stop: int) -> dict[str, Any]:
    """One data file; its entry in the manifest."""
    import duckdb

    name = f"{PREFIX}/data/{start:012}.{'csv.gz' if kind == 'csv' else kind}"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    query = _ROWS.format(bucket=BUCKET, start=start, stop=stop)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if kind == "csv":
            columns = (
                "bucket, url_encode(key), version_id, is_latest, is_delete_marker, size,"
                " strftime(last_modified_date, '%Y-%m-%dT%H:%M:%S.000Z'), e_tag, storage_class,"
                " is_multipart_uploaded, replication_status, encryption_status,"
                " coalesce(intelligent_tiering_access_tier, '')"
            )
            connection.execute(
                f"COPY (SELECT {columns} FROM ({query})) TO '{path}'"
                " (FORMAT csv, HEADER false, FORCE_QUOTE *, COMPRESSION gzip)"
            )
        else:
            _write_arrow(connection.sql(query).to_arrow_table(), path, kind)
    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {"key": name, "size": len(content), "MD5checksum": md5}


def _write_arrow(table: Any, path: Path, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import orc

    place = table.schema.get_field_index("last_modified_date")
    moments = table["last_modified_date"].cast(pa.timestamp("ms", tz="UTC"))
    table = table.set_column(place, "last_modified_date", moments)
    if kind == "parquet":
        pq.write_table(table, path, compression="snappy")
    else:
        orc.write_table(table, str(path), compression="zlib")


def write_report(folder: Path, *, rows: int, kind: str, rows_a_file: int = 500_000) -> None:
    """A whole report, its manifest and checksum last."""
    starts = range(0, rows, rows_a_file)
    entries = [write_file(folder, kind, start, min(start + rows_a_file, rows)) for start in starts]
    manifest = {
        "sourceBucket": BUCKET,
        "destinationBucket": "arn:aws:s3:::reports",
        "version": "2016-11-30",
        "creationTimestamp": "1729296000000",
        "fileFormat": {"csv": "CSV", "parquet": "Parquet", "orc": "ORC"}[kind],
        "fileSchema": CSV_SCHEMA if kind == "csv" else PARQUET_SCHEMA,
        "files": entries,
    }
    place = folder / PREFIX / "2024-10-19T00-00Z"
    place.mkdir(parents=True, exist_ok=True)
    raw = json.dumps(manifest).encode()
    (place / "manifest.json").write_bytes(raw)
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    (place / "manifest.checksum").write_text(digest)


def main(arguments: list[str] | None = None) -> int:
    """Write a report and say what is in it."""
    parser = argparse.ArgumentParser(description="Synthetic S3 Inventory reports.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=["csv", "parquet", "orc"], default="parquet")
    given = parser.parse_args(arguments)
    write_report(given.folder, rows=given.rows, kind=given.format)
    size = sum(path.stat().st_size for path in given.folder.rglob("*") if path.is_file())
    print(json.dumps({"rows": given.rows, "format": given.format, "size_bytes": size}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
