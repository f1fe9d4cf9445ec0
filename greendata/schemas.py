"""Arrow schemas of what crosses from one room to another in bulk."""

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
        ("tags", pa.map_(pa.string(), pa.string())),  # all of them, or null
    ]
)
"""What a listing or a report can tell of one object; what it does not tell is null."""
