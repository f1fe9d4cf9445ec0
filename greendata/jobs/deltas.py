"""What a quarantine by texts alone gives up, written down before it begins.

Where only the texts of an object stand elsewhere, or nearly, its other columns and small
differences are lost when it is purged. Its delta manifest names, row by row, the document that
stays in its favour and how alike they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.jobs.results import open_catalog

if TYPE_CHECKING:
    from greendata.config import StoreSettings

DELTA_NAME = "delta.parquet"

_WANTED = (
    "SELECT uri, survivors[1].uri AS survivor_uri FROM read_parquet($actions)"
    " WHERE kind = 'quarantine'"
    " AND json_extract_string(\"to\", '$.allow') IS NOT NULL"
)


def write_delta(catalog: str, stores: Sequence[StoreSettings], actions: Path, path: Path) -> int:
    """Write the delta manifest of a plan's actions; how many rows it has, none of which no file.

    Columns: ``uri, row, digest, kept_uri, kept_row, kept_digest, kind, jaccard``, sorted.
    """
    if not _has_any(actions):
        return 0
    with open_catalog(catalog, stores) as connection:
        connection.execute(
            "CREATE TEMP TABLE delta AS SELECT d.document_uri AS uri, d.document_row AS row,"
            " d.document_digest AS digest, d.kept_uri, d.kept_row, d.kept_digest, d.kind, d.jaccard"
            f" FROM duplicates d JOIN ({_WANTED}) w ON w.uri = d.document_uri"
            " AND w.survivor_uri = d.kept_uri ORDER BY ALL",
            {"actions": str(actions)},
        )
        escaped = str(path).replace("'", "''")
        connection.execute(
            f"COPY (FROM delta ORDER BY uri, row) TO '{escaped}' (FORMAT parquet, COMPRESSION zstd)"
        )
        ((count,),) = connection.execute("SELECT count(*) FROM delta").fetchall()
    return int(count)


def _has_any(actions: Path) -> bool:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    column = pq.read_table(actions, columns=["kind", "to"])
    texts = column.filter(pc.equal(column["kind"], "quarantine"))["to"]
    return bool(pc.any(pc.match_substring(texts, '"allow":"')).as_py())
