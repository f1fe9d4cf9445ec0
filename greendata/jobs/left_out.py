"""The table of documents that a deduplicated copy leaves out, or marks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from greendata.recompress.manifest import OWN_FOLDER
from greendata.shards.writer import PROFILES, write_shard

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.recompress.publishing import Destination

LEFT_OUT = pa.schema(
    [
        ("source_uri", pa.string()),
        ("source_row", pa.int64()),
        ("kept_uri", pa.string()),
        ("kept_row", pa.int64()),
        ("kind", pa.string()),
        ("jaccard", pa.float64()),
        ("text_bytes", pa.int64()),
        ("digest", pa.string()),
    ]
)
"""Rows of ``_greendata/left_out.parquet``: what is not in the copy, and what stands for it."""


def write_left_out(
    connection: DuckDBPyConnection, place: Destination, folder: Path
) -> dict[str, Any]:
    """The table of what is left out (or marked), beside the copy."""
    query = (
        "SELECT document_uri AS source_uri, document_row AS source_row, kept_uri, kept_row,"
        " kind, jaccard, document_text_bytes AS text_bytes, document_digest AS digest"
        " FROM duplicate_rows WHERE kind <> 'candidate' ORDER BY ALL"
    )
    path = folder / "left_out.parquet"
    found = connection.sql(query).to_arrow_reader(65_536)
    rows = (batch.cast(LEFT_OUT) for batch in found)
    count = write_shard(path, LEFT_OUT, rows, PROFILES["stream"])
    name = f"{OWN_FOLDER}/left_out.parquet"
    return {"name": name, "rows": count, "sha256": place.put_file(path, name)}
