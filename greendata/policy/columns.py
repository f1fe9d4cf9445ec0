"""Columns that an expression may name, with their kinds; and what else stands between them."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a value is: values of one kind may be compared."""

    TEXT = "text"
    TRUTH = "true or false"
    TIME = "a time"
    BYTES = "bytes"
    DAYS = "days"
    USD = "USD"
    NUMBER = "a number"
    TEXTS = "a list of texts"
    NAMED_TEXTS = "texts by name"


NUMBERS = (Kind.NUMBER, Kind.BYTES, Kind.DAYS, Kind.USD)

VIEW_COLUMNS: dict[str, Kind] = {
    "uri": Kind.TEXT,
    "store": Kind.TEXT,
    "store_id": Kind.TEXT,
    "account": Kind.TEXT,
    "bucket": Kind.TEXT,
    "key": Kind.TEXT,
    "dataset": Kind.TEXT,
    "owner": Kind.TEXT,
    "region": Kind.TEXT,
    "training_region": Kind.TEXT,
    "residency": Kind.TEXTS,
    "size_bytes": Kind.BYTES,
    "format": Kind.TEXT,
    "codec": Kind.TEXT,
    "storage_class": Kind.TEXT,
    "tier": Kind.TEXT,
    "created_at": Kind.TIME,
    "modified_at": Kind.TIME,
    "age_days": Kind.DAYS,
    "accessed_at": Kind.TIME,
    "idle_days": Kind.DAYS,
    "access_source": Kind.TEXT,
    "reads_30d": Kind.NUMBER,
    "read_bytes_30d": Kind.BYTES,
    "tier_changed_at": Kind.TIME,
    "days_in_tier": Kind.DAYS,
    "etag": Kind.TEXT,
    "version_id": Kind.TEXT,
    "is_latest": Kind.TRUTH,
    "is_delete_marker": Kind.TRUTH,
    "tags": Kind.NAMED_TEXTS,
    "metadata": Kind.NAMED_TEXTS,
    "is_held": Kind.TRUTH,
    "retain_until": Kind.TIME,
    "is_locked": Kind.TRUTH,
    "encryption": Kind.TEXT,
    "restore_state": Kind.TEXT,
    "replication_status": Kind.TEXT,
    "documents": Kind.NUMBER,
    "text_bytes": Kind.BYTES,
    "duplicate_documents": Kind.NUMBER,
    "duplicate_fraction": Kind.NUMBER,
    "redundant_bytes": Kind.BYTES,
    "identical_to": Kind.TEXT,
    "verified_copies": Kind.NUMBER,
    "contained_in": Kind.TEXT,
    "contained_fraction": Kind.NUMBER,
    "exact_contained_fraction": Kind.NUMBER,
    "recompress_ratio": Kind.NUMBER,
    "pinned_by": Kind.TEXT,
    "monthly_cost_usd": Kind.USD,
}
"""Columns of the inventory view (design, section 6)."""

VERSION_COLUMNS: dict[str, Kind] = {"noncurrent_days": Kind.DAYS, "newer_versions": Kind.NUMBER}
"""Of earlier versions: days since the next one replaced it, and earlier versions that are newer.

They are computed over the versions of an object where a policy names them, not stored.
"""

COLUMNS = VIEW_COLUMNS | VERSION_COLUMNS

ACCESS_COLUMNS = ("accessed_at", "idle_days", "access_source", "reads_30d", "read_bytes_30d")
"""Columns that are unknown of an object whose reads nothing tells of."""

IF_MODIFIED = {"accessed_at": "modified_at", "idle_days": "age_days"}
"""What stands for an unknown access with ``unknown_access: modified``."""

REDUNDANCY_COLUMNS = (
    "duplicate_documents",
    "duplicate_fraction",
    "redundant_bytes",
    "identical_to",
    "verified_copies",
    "contained_in",
    "contained_fraction",
    "exact_contained_fraction",
)
