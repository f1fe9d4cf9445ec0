"""Timestamps of the old Parquet type INT96, which pyarrow reads as nanoseconds of 64 bits.

Those end in 1677 and 2262, and what is outside wraps around without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.shards.base import translated_errors

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.stores.base import Store

_LAST_MICROSECOND = (2**63 - 1) // 1000


def check_int96(store: Store, item: StoredObject) -> None:
    """Read all INT96 values of a Parquet object, if it has such.

    Raises:
        RefusedSourceError: one is of a year that nanoseconds cannot hold.
    """
    with translated_errors(item.uri), store.open(item) as source:
        file = pq.ParquetFile(
            source, coerce_int96_timestamp_unit="us", page_checksum_verification=True
        )
        leaves = [file.schema.column(index) for index in range(len(file.schema))]
        paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
        for batch in file.iter_batches(columns=paths, use_threads=False) if paths else ():
            for column in batch.columns:
                if any(map(_is_outside, _timestamps(column))):
                    raise RefusedSourceError(
                        f"{item.uri}: a timestamp in {', '.join(paths)} is before 1677 or after"
                        " 2262, where INT96 is read wrongly.",
                        reason=RefusalReason.OUT_OF_RANGE,
                        hint="Write it with timestamps of microseconds instead.",
                    )


def _timestamps(column: pa.Array) -> Iterator[pa.Array]:
    """The leaves of a column."""
    if isinstance(column, pa.StructArray):
        for part in column.flatten():
            yield from _timestamps(part)
    elif isinstance(column, pa.MapArray):
        yield from _timestamps(column.keys)
        yield from _timestamps(column.items)
    elif isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        yield from _timestamps(column.flatten())
    else:
        yield column


def _is_outside(values: pa.Array) -> bool:
    counts = values.cast(pa.int64())
    extremes = pc.min_max(counts).as_py()
    if extremes["min"] is None:
        return False
    return bool(max(-extremes["min"], extremes["max"]) > _LAST_MICROSECOND)
