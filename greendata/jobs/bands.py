"""Band keys from rows of the ``documents`` table, and which documents these rows are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from greendata.catalog.queries import POSITION_BITS
from greendata.dedup.lsh import BandBatch

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

BAND_COLUMNS = ["digest_high", "digest_low", "tokens", "band_keys"]
BAND_ROWS = 65_536
FACTS = ["object_id", "row", "row_group", "text_bytes", "tokens"]
"""Columns of ``documents`` that an index of keys holds, too."""

_NONE = slice(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandFile:
    """A file of fingerprints.

    Attributes:
        first, rows: number of its first row, over all files, and how many it has.
        unusable: its rows, ascending, that are of no object any more or later copies of a text.
    """

    path: str
    first: int
    rows: int
    unusable: NDArray[np.int64]


def band_batch(
    batch: pa.RecordBatch,
    unusable: NDArray[np.int64] | slice = _NONE,
    facts: Sequence[str] = (),
) -> BandBatch:
    """Keys of a batch with BAND_COLUMNS, of which some rows, by position, are not to be used.

    ``facts`` are further columns.
    """
    usable = batch["tokens"].to_numpy() > 0
    usable[unusable] = False
    keys = batch["band_keys"].flatten().to_numpy().view(np.uint64)
    digests = np.stack([batch["digest_high"].to_numpy(), batch["digest_low"].to_numpy()], axis=1)
    told = np.empty((batch.num_rows, len(facts)), np.int64)
    for place, name in enumerate(facts):
        told[:, place] = batch[name].to_numpy()
    return BandBatch(
        digests=digests.view(np.uint64),
        keys=keys.reshape(batch.num_rows, -1),
        usable=usable,
        facts=told,
    )


def document_files(connection: DuckDBPyConnection) -> list[str]:
    """Names of the files of ``documents``, and table ``files`` of them."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE files AS"
        " SELECT filename, row_number() OVER (ORDER BY filename) - 1 AS file"
        " FROM (SELECT DISTINCT filename FROM documents_rows)"
    )
    names = connection.execute("SELECT filename FROM files ORDER BY file").fetchall()
    return [name for (name,) in names]


def band_files(connection: DuckDBPyConnection) -> list[BandFile]:
    """Files of ``documents``; of texts in the table ``copies`` only that position is used."""
    import pyarrow.parquet as pq

    names = document_files(connection)
    left_out = connection.execute(
        "SELECT f.file, d.file_row_number FROM documents_rows d JOIN files f USING (filename)"
        " LEFT JOIN objects o ON d.object_id = o.object_id AND d.scan_id = o.documents_scan_id"
        " AND o.status = 'read'"
        " LEFT JOIN copies c USING (digest_high, digest_low)"
        " WHERE o.uri IS NULL"
        f" OR c.position <> ((o.object_order << {POSITION_BITS}) | d.row)"
        " ORDER BY ALL"
    ).fetchnumpy()
    files, rows = np.asarray(left_out["file"]), np.asarray(left_out["file_row_number"], np.int64)
    found, first = [], 0
    for number, name in enumerate(names):
        lo, hi = np.searchsorted(files, [number, number + 1])
        count = pq.read_metadata(name).num_rows
        found.append(BandFile(path=name, first=first, rows=count, unusable=rows[lo:hi]))
        first += count
    return found


def read_bands(files: list[BandFile]) -> Iterator[BandBatch]:
    """Band keys of all rows, in order."""
    import pyarrow.parquet as pq

    for band_file in files:
        start = 0
        with pq.ParquetFile(band_file.path) as file:
            for batch in file.iter_batches(BAND_ROWS, columns=BAND_COLUMNS, use_threads=False):
                stop = start + batch.num_rows
                lo, hi = np.searchsorted(band_file.unusable, [start, stop])
                yield band_batch(batch, band_file.unusable[lo:hi] - start)
                start = stop
