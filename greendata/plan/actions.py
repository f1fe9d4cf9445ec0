"""What a plan consists of: the tables of actions and of decisions, and the words in them."""

from __future__ import annotations

import pyarrow as pa

KINDS = (
    "tag", "hold", "restore", "recompress", "tier", "relocate", "quarantine", "expire",
    "abort_uploads",
)  # fmt: skip
"""In the order in which the actions of one object are taken."""

REVERSIBILITY = ("reversible", "costly", "irreversible")
"""Undone for the price of a request; undone for what reading and writing costs; or not at all once
purged."""

TARGET_CLASS = {
    ("s3", "hot"): "STANDARD",
    ("s3", "intelligent"): "INTELLIGENT_TIERING",
    ("s3", "cool"): "STANDARD_IA",
    ("s3", "cold"): "GLACIER_IR",
    ("s3", "archive"): "GLACIER",
    ("s3", "deep_archive"): "DEEP_ARCHIVE",
    ("az", "hot"): "Hot",
    ("az", "cool"): "Cool",
    ("az", "cold"): "Cold",
    ("az", "archive"): "Archive",
}
"""The class that a tier is, by provider: of several the one that is stored in several zones."""

KEPT_DAYS = 30
"""How long what a tier, relocate or recompress action replaces stays before it is purged."""

MOVED_DAYS = 2 * KEPT_DAYS
"""How long the source of a move is billed: until readers have gone over, and then in quarantine."""

MOST_SURVIVORS = 64
"""That stand for one object together: each is looked at and pinned before it goes, and read again
before it is purged."""

MONEY = pa.decimal128(24, 12)

SURVIVOR = pa.struct([(name, pa.string()) for name in ("uri", "store_id", "version_id", "etag")])

ACTIONS = pa.schema(
    [
        ("action_id", pa.string()),  # 32 hex digits; an attempt is added when it is carried out
        ("group_id", pa.string()),  # actions of one group switch together or not at all
        ("kind", pa.string()),
        ("uri", pa.string()),
        ("store_id", pa.string()),
        ("version_id", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("from_", pa.string()),  # JSON: storage class, tier, region and is_latest
        ("to", pa.string()),  # JSON: the action's parameters
        ("policy", pa.string()),
        ("reason", pa.string()),
        ("survivors", pa.list_(SURVIVOR)),  # of a quarantine: what stays, nearly always one copy
        # what they prove together: sha256:HEX, rows:blake2b-128:N of N different rows, or the texts
        # that were compared
        ("survivor_basis", pa.string()),
        ("fees_usd", MONEY),  # once
        ("monthly_saving_usd", MONEY),  # null where it depends on what is not known
        ("payback_days", pa.int64()),  # null: never, or not known
        ("energy_kwh_low", pa.float64()),  # saved a month; below zero where more is stored
        ("energy_kwh_central", pa.float64()),
        ("energy_kwh_high", pa.float64()),
        ("carbon_kgco2e_low", pa.float64()),
        ("carbon_kgco2e_central", pa.float64()),
        ("carbon_kgco2e_high", pa.float64()),
        ("reversibility", pa.string()),
        ("is_hold_checked_at_apply", pa.bool_()),  # nothing tells whether it is held or locked
    ]
)
"""One row an action, sorted by store, URI, version and the order of ``KINDS``."""

DECISIONS = pa.schema(
    [
        ("uri", pa.string()),
        ("store_id", pa.string()),
        ("version_id", pa.string()),
        ("policy", pa.string()),
        ("reason", pa.string()),
        ("because", pa.string()),
    ]
)
"""One row an object in the scope that no action touches, sorted by store, URI and version."""

REFUSALS = {
    "no-region": "no region is declared, so there is no price",
    "no-price": "a price is not known (scripts/refresh_prices reads the provider's list)",
    "no-way": "the provider allows no such transition",
    "unmeasured": "no recompression of it was measured",
    "no-saving": "it would cost more each month than it saves",
    "payback": "it does not pay back in time",
    "no-place": "greendata.yaml names no single store to take it to",
    "taken": "another object has the name it would get",
    "replicated": "a copy is there already",
    "no-proof": "nothing proves that all of it is stored elsewhere",
    "several": "its rows stand in others, but more of them would have to stay for it than the"
    f" {MOST_SURVIVORS} that may",
    "survivor": "it is the copy that stays",
    "no-survivor": "no copy that may stand for it stays",
    "archived": "it must be restored before it can be moved to quarantine",
    "group": "another object of its dataset cannot go along",
    "guard": "the policy as a whole goes beyond its guard",
}
"""Why an action that the policies decided is not in the plan."""
