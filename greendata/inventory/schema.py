"""Batches of the object table from what a listing or a report tells."""

from __future__ import annotations

import pyarrow as pa

from greendata.schemas import INVENTORY


def as_inventory(columns: dict[str, pa.Array | pa.Scalar], count: int) -> pa.RecordBatch:
    """A batch of the schema; a scalar stands for all rows, a column that is not there is null."""
    arrays = []
    for field in INVENTORY:
        found = columns.get(field.name)
        if found is None:
            arrays.append(pa.nulls(count, field.type))
        elif isinstance(found, pa.Scalar):
            arrays.append(pa.repeat(found.cast(field.type), count))
        else:
            arrays.append(found.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=INVENTORY)
