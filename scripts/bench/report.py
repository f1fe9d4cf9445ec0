"""The report as one page, for a catalog of a million objects with what a scan found of them.

The inventory is a synthetic report (generate_report.py); the rows of the scan are made beside it:
nine in twenty objects read, two duplicates each, all pairs of 52 datasets.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import inventory, measure

MOST_SECONDS = 20.0
MOST_FILE_BYTES = 5 * 10**6
MOST_BYTES = 2 * measure.GIBIBYTE
DATASETS = 52

CONFIG = "datasets:\n" + "".join(
    f'  - {{name: week-{week:02}, prefixes: ["s3://made/crawl/2024-{week:02}/"],'
    f" region: {'us-east-1' if week % 2 else 'eu-north-1'}}}\n"
    for week in range(DATASETS)
)
_OBJECTS = """
SELECT row_number() OVER (ORDER BY uri) AS object_id, uri, store_id, etag,
    'week-' || regexp_extract(uri, '2024-([0-9]{{2}})', 1) AS dataset, 0 AS priority, size_bytes,
    modified_at, 'warc' AS format, 'gzip' AS codec, 'text' AS text_column, 100 AS documents,
    size_bytes * 3 AS text_bytes, 0 AS null_documents, 0 AS skipped_documents, 'read' AS status,
    '{scan_id}' AS documents_scan_id
FROM inventory_rows WHERE is_latest AND storage_class = 'STANDARD'
"""
_DUPLICATES = """
SELECT uri AS document_uri, n AS document_row, 's3://made/' || hash(uri, n) % 100000 AS kept_uri,
    n AS kept_row, CASE WHEN n % 2 = 0 THEN 'exact' ELSE 'near' END AS kind,
    CASE WHEN n % 2 = 0 THEN 1.0 ELSE 0.8 + (hash(uri, n) % 200) / 1000 END AS jaccard,
    0.9 AS containment, text_bytes // 100 AS document_text_bytes, text_bytes // 100
    AS kept_text_bytes, dataset AS document_dataset,
    'week-' || lpad((hash(uri, n) % {datasets})::VARCHAR, 2, '0') AS kept_dataset,
    etag AS document_etag, etag AS kept_etag, -1 AS document_row_group, -1 AS kept_row_group,
    md5(uri || n) AS document_digest, md5(uri || -n) AS kept_digest
FROM made_objects, range(2) r(n)
"""
_OVERLAPS = """
SELECT 'dataset' AS level, 'week-' || lpad(i::VARCHAR, 2, '0') AS a,
    'week-' || lpad(j::VARCHAR, 2, '0') AS b, (hash(i, j) % 1000) / 1000 AS a_in_b_documents,
    (hash(i, j) % 1000) / 1000 AS a_in_b_text_bytes, (hash(j, i) % 1000) / 1000
    AS b_in_a_documents, (hash(j, i) % 1000) / 1000 AS b_in_a_text_bytes,
    0.0 AS a_in_b_exact_documents, 0.0 AS b_in_a_exact_documents, 1000 AS a_documents,
    1000 AS b_documents, 1000000 AS a_text_bytes, 1000000 AS b_text_bytes
FROM range({datasets}) a(i), range({datasets}) b(j) WHERE i < j
"""


def add_scan(place: Path) -> dict[str, int]:
    """What a scan would have found; the number of rows of each table."""
    import duckdb

    from greendata.catalog.places import LocalPlace
    from greendata.catalog.schemas import SCHEMAS
    from greendata.catalog.tables import Catalog

    scan_id = "20240101T000000-00000000"
    catalog = Catalog.open(LocalPlace(place), create=False)
    files = catalog.files("inventory", None)
    rows = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE VIEW inventory_rows AS FROM read_parquet({files})")
        objects = _OBJECTS.format(scan_id=scan_id)
        connection.execute(f"CREATE TABLE made_objects AS {objects}")
        for name, query, rows_of in (
            ("objects", "FROM made_objects", scan_id),
            ("duplicates", _DUPLICATES.format(datasets=DATASETS), f"{scan_id}.0"),
            ("overlaps", _OVERLAPS.format(datasets=DATASETS), f"{scan_id}.0"),
        ):
            nulls = _null_columns(connection, query, SCHEMAS[name])
            table = connection.sql(f"SELECT *{nulls} FROM ({query})").to_arrow_table()
            table = table.select(SCHEMAS[name].names).cast(SCHEMAS[name])
            catalog.write(name, rows_of, table)
            rows[name] = table.num_rows
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    summary = dict.fromkeys(
        ("objects", "object_bytes", "documents", "text_bytes", "redundant_documents",
         "redundant_text_bytes", "seconds", "cpu_seconds"), 1,
    )  # fmt: skip
    row = {
        "scan_id": scan_id, "sequence": 1, "results_id": f"{scan_id}.0", "earlier_results": "[]",
        "starts_over": False, "started_at": moment, "committed_at": moment, "parameters": "{}",
        "uris": '["s3://made/"]', "summary": json.dumps(summary),
    }  # fmt: skip
    catalog.commit_scan(row, catalog.snapshot())
    return rows


def _null_columns(connection: Any, query: str, schema: Any) -> str:
    """Columns of the schema that the query does not have, as NULL."""
    known = set(connection.sql(query).columns)
    return "".join(f", NULL AS {name}" for name in schema.names if name not in known)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("The report of a large catalog.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    with measure.working_folder(given.folder) as folder:
        data = inventory.make(folder / "reports", "parquet", given.rows)
        (folder / "greendata.yaml").write_text(CONFIG)
        settings = ("--config", folder / "greendata.yaml", "--catalog", folder / "catalog")
        measure.run(
            measure.greendata(
                *settings, *("inventory", folder / "reports", "--from-reports", "--json")
            )
        )
        data |= add_scan(folder / "catalog")
        page = folder / "report.html"
        runs = [
            measure.run(measure.greendata(*settings, "-q", "report", "-o", page, "--force"))
            for _ in range(given.repeats)
        ]
        finished = min(runs, key=lambda entry: entry.wall_seconds)
        size = page.stat().st_size
    result = measure.document(
        "report",
        data=data,
        parameters={"datasets": DATASETS, "repeats": given.repeats},
        measured=finished.figures()
        | {
            "page_bytes": size,
            "all_wall_seconds": [round(entry.wall_seconds, 2) for entry in runs],
        },
        budgets={
            "wall_seconds": measure.at_most(finished.wall_seconds, MOST_SECONDS),
            "page_bytes": measure.at_most(size, MOST_FILE_BYTES),
            "peak_rss_bytes": measure.at_most(finished.peak_rss_bytes, MOST_BYTES),
        },
        notes=["Start-up of the program is in the time."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
