"""Tiers: which stores have them, what may move where, and how long an archive takes to open."""

from __future__ import annotations

TIERS = ("hot", "intelligent", "cool", "cold", "archive", "deep_archive")
"""From the dearest to store to the cheapest."""

STORES = ("s3", "az", "file")

TIERS_OF = {
    "s3": TIERS,
    "az": ("hot", "cool", "cold", "archive"),
    "file": ("hot",),
}
ARCHIVES = ("archive", "deep_archive")
"""Nothing in these can be read before it is restored."""

RESTORE_HOURS = {
    ("s3", "archive"): 5,
    ("s3", "deep_archive"): 12,
    ("az", "archive"): 15,
}
"""The longest that a standard restore takes: S3 Glacier Flexible 3 to 5 h, Deep Archive within
12 h (S3 user guide, "Understanding archive retrieval options"); Azure standard priority up to 15 h
(Microsoft Learn, "Blob rehydration from the archive tier"). Other tiers answer at once."""
