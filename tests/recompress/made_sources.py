"""Sources written to a folder, opened and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from greendata.recompress.rendering import restore_lines
from greendata.recompress.sources import Grade, Source, SourceOptions, open_source
from greendata.stores.local import LocalStore


def opened(
    path: Path,
    raw: bytes,
    *,
    grade: Grade = Grade.LOGICAL,
    file_format: str = "jsonl",
    codec: str = "none",
    options: SourceOptions | None = None,
) -> Source:
    """``raw`` written to ``path`` and opened."""
    path.write_bytes(raw)
    store = LocalStore()
    return open_source(store, store.head(path.as_uri()), file_format, codec, grade, options)


def table_of(source: Source) -> pa.Table:
    """All rows, each batch checked."""
    batches = list(source.batches())
    for batch in batches:
        batch.validate(full=True)
    table = pa.Table.from_batches(batches, source.schema)
    assert table.num_rows == source.rows
    return table


def rows_of(source: Source) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table_of(source).to_pylist()
    return rows


def restored(source: Source) -> bytes:
    return b"".join(restore_lines(source.batches(), source.metadata))
