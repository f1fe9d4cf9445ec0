"""What a listing or a report can tell of one object; what it does not tell is null."""

from __future__ import annotations

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")

INVENTORY = pa.schema(
    [
        ("uri", pa.string()),
        ("store_id", pa.string()),
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("size_bytes", pa.int64()),
        ("storage_class", pa.string()),  # the provider's word
        ("created_at", TIME),
        ("modified_at", TIME),
        ("accessed_at", TIME),
        ("access_source", pa.string()),  # azure | it_reference
        ("tier_changed_at", TIME),
        ("etag", pa.string()),
        ("version_id", pa.string()),
        ("is_latest", pa.bool_()),
        ("is_delete_marker", pa.bool_()),
        ("is_held", pa.bool_()),
        ("retain_until", TIME),
        ("is_locked", pa.bool_()),
        ("encryption", pa.string()),
        ("replication_status", pa.string()),
        ("checksum_algorithm", pa.string()),
        ("format", pa.string()),  # upload, of an incomplete one
    ]
)


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
