"""Arrow schemas of the catalog's tables. Text bytes are UTF-8 bytes; shares are 0..1."""

from __future__ import annotations

import pyarrow as pa

from greendata.schemas import INVENTORY, TIME

SCHEMAS: dict[str, pa.Schema] = {
    # One row a scan; ``sequence`` counts commits, ``results_id`` names the rows of results that it
    # wrote, ``earlier_results`` is a JSON list of those before, oldest first, that hold where the
    # later ones say nothing, ``starts_over`` forgets all scans before.
    "scans": pa.schema(
        [
            ("scan_id", pa.string()),
            ("sequence", pa.int64()),
            ("results_id", pa.string()),
            ("earlier_results", pa.string()),
            ("starts_over", pa.bool_()),
            ("started_at", TIME),
            ("committed_at", TIME),
            ("parameters", pa.string()),
            ("uris", pa.string()),
            ("summary", pa.string()),
        ]
    ),
    # The newest row of a URI holds; ``documents_scan_id`` names the scan that fingerprinted it.
    "objects": pa.schema(
        [
            ("object_id", pa.int64()),
            ("uri", pa.string()),
            ("store_id", pa.string()),
            ("etag", pa.string()),
            ("dataset", pa.string()),
            ("priority", pa.int32()),
            ("size_bytes", pa.int64()),
            ("modified_at", TIME),
            ("format", pa.string()),
            ("codec", pa.string()),
            ("text_column", pa.string()),
            ("documents", pa.int64()),
            ("text_bytes", pa.int64()),
            ("null_documents", pa.int64()),
            ("skipped_documents", pa.int64()),
            ("status", pa.string()),  # read | skipped | removed
            ("reason", pa.string()),
            ("detail", pa.string()),
            ("documents_scan_id", pa.string()),
            ("read_options", pa.string()),
            ("accessed_at", TIME),  # before the scan read it
            ("empty_documents", pa.int64()),  # without a token
            ("short_documents", pa.int64()),  # of fewer tokens than a shingle has
            ("invalid_documents", pa.int64()),  # not UTF-8
            ("sampled_documents", pa.int64()),
            ("repeated_lines", pa.string()),  # JSON list of [line, sampled documents with it]
        ]
    ),
    # One row a refresh of the inventory; ``covers`` is a JSON list of {store_id, uri}.
    "refreshes": pa.schema(
        [
            ("scan_id", pa.string()),
            ("sequence", pa.int64()),
            ("kind", pa.string()),  # objects | accesses
            ("source", pa.string()),  # listing | report | access_logs | table
            ("as_of", TIME),
            ("taken_at", TIME),
            ("covers", pa.string()),
            ("has_versions", pa.bool_()),
            ("has_uploads", pa.bool_()),
            ("objects", pa.int64()),
            ("from_day", pa.string()),
        ]
    ),
    "inventory": INVENTORY,
    # Reads by day. A URI that ends with a slash is a container: that it was told of at all.
    "accesses": pa.schema(
        [
            ("store_id", pa.string()),
            ("uri", pa.string()),
            ("day", pa.date32()),
            ("accessed_at", TIME),
            ("reads", pa.int64()),
            ("read_bytes", pa.int64()),
            ("source", pa.string()),
        ]
    ),
    # SHA-256 of all bytes of an object version; a fact, so visible at once.
    "digests": pa.schema(
        [
            ("store_id", pa.string()),
            ("uri", pa.string()),
            ("etag", pa.string()),
            ("size_bytes", pa.int64()),
            ("sha256", pa.string()),
        ]
    ),
    # What ``doctor`` found out about a store, as its JSON document.
    "diagnoses": pa.schema(
        [
            ("store_id", pa.string()),
            ("uri", pa.string()),
            ("checked_at", TIME),
            ("document", pa.string()),
        ]
    ),
    "documents": pa.schema(
        [
            ("object_id", pa.int64()),
            ("row", pa.int64()),
            ("row_group", pa.int32()),
            ("digest_high", pa.int64()),
            ("digest_low", pa.int64()),
            ("text_bytes", pa.int64()),
            ("tokens", pa.int64()),
            ("band_keys", pa.list_(pa.int64())),
        ]
    ),
    # Every compared pair of texts, by digest, failures included; ``a`` outranks ``b``.
    "pairs": pa.schema(
        [
            ("a_digest_high", pa.int64()),
            ("a_digest_low", pa.int64()),
            ("b_digest_high", pa.int64()),
            ("b_digest_low", pa.int64()),
            ("a_shingles", pa.int64()),
            ("b_shingles", pa.int64()),
            ("shared_shingles", pa.int64()),
            ("jaccard", pa.float64()),
        ]
    ),
    # ``containment`` is the share of the document's shingles that the kept one has too.
    "duplicates": pa.schema(
        [
            ("document_uri", pa.string()),
            ("document_row", pa.int64()),
            ("kept_uri", pa.string()),
            ("kept_row", pa.int64()),
            ("kind", pa.string()),  # exact | near | candidate
            ("jaccard", pa.float64()),
            ("containment", pa.float64()),
            ("document_text_bytes", pa.int64()),
            ("kept_text_bytes", pa.int64()),
            ("document_dataset", pa.string()),
            ("kept_dataset", pa.string()),
            ("document_etag", pa.string()),
            ("kept_etag", pa.string()),
            ("document_row_group", pa.int32()),
            ("kept_row_group", pa.int32()),
            ("document_digest", pa.string()),
            ("kept_digest", pa.string()),
        ]
    ),
    # Texts that share band keys, or did when the scan looked; ``text_group`` is any number.
    "groups": pa.schema(
        [("digest_high", pa.int64()), ("digest_low", pa.int64()), ("text_group", pa.int64())]
    ),
    # Texts of which a scan wrote all that is true of them, nothing included.
    "settled": pa.schema([("digest_high", pa.int64()), ("digest_low", pa.int64())]),
    # a < b; ``*_exact_documents`` are the shares by identical text alone.
    "overlaps": pa.schema(
        [
            ("level", pa.string()),  # dataset | object
            ("a", pa.string()),
            ("b", pa.string()),
            ("a_in_b_documents", pa.float64()),
            ("a_in_b_text_bytes", pa.float64()),
            ("b_in_a_documents", pa.float64()),
            ("b_in_a_text_bytes", pa.float64()),
            ("a_in_b_exact_documents", pa.float64()),
            ("b_in_a_exact_documents", pa.float64()),
            ("a_documents", pa.int64()),
            ("b_documents", pa.int64()),
            ("a_text_bytes", pa.int64()),
            ("b_text_bytes", pa.int64()),
        ]
    ),
}

OUTCOME_MONEY = pa.decimal128(24, 12)

SCHEMAS |= {
    # Runs of plans. The newest row of a run holds; ``totals`` and ``reasons`` are JSON objects.
    "runs": pa.schema(
        [
            ("run_id", pa.string()),
            ("plan_id", pa.string()),
            ("attempt", pa.int32()),
            # running | finished | partial | pending | stopped | undone | purged
            ("state", pa.string()),
            ("started_at", TIME),
            ("finished_at", TIME),
            ("owner", pa.string()),
            ("policy_digest", pa.string()),
            ("catalog_sequence", pa.int64()),  # counts within the run
            ("totals", pa.string()),
            ("reasons", pa.string()),  # {reason: actions}
        ]
    ),
    # What came of each action of a run; the newest row of an action holds. ``purge_after``,
    # ``quarantine_uri`` and ``survivors`` are of what waits to be purged still; ``left_*`` name the
    # version that it made of the object, where it made one.
    "outcomes": pa.schema(
        [
            ("run_id", pa.string()),
            ("action_id", pa.string()),
            ("kind", pa.string()),
            ("policy", pa.string()),
            ("uri", pa.string()),
            ("store_id", pa.string()),
            ("version_id", pa.string()),
            ("dataset", pa.string()),
            ("status", pa.string()),  # done | pending | skipped | failed
            ("reason", pa.string()),
            ("detail", pa.string()),
            ("size_bytes", pa.int64()),
            ("fees_usd", OUTCOME_MONEY),
            ("monthly_saving_usd", OUTCOME_MONEY),
            ("carbon_kgco2e_low", pa.float64()),  # saved a month
            ("carbon_kgco2e_central", pa.float64()),
            ("carbon_kgco2e_high", pa.float64()),
            ("at", TIME),
            ("due_at", TIME),
            ("purge_after", TIME),
            ("quarantine_uri", pa.string()),
            ("part", pa.string()),  # apply | undo | purge: whose outcome it is
            ("catalog_sequence", pa.int64()),
            ("etag", pa.string()),  # of the object as it was planned
            ("tags", pa.map_(pa.string(), pa.string())),  # that a tag action sets
            ("left_version_id", pa.string()),
            ("left_etag", pa.string()),
            ("readable_until", TIME),  # of what was restored
            ("survivors", pa.list_(pa.struct([("store_id", pa.string()), ("uri", pa.string())]))),
        ]
    ),
    # BLAKE2b-128 of whole rows of an object version (``recompress.digests``), once for each row
    # that occurs in it; all of a version are added together. A fact, so visible at once.
    "row_digests": pa.schema(
        [
            ("store_id", pa.string()),
            ("uri", pa.string()),
            ("etag", pa.string()),
            ("digest_high", pa.int64()),
            ("digest_low", pa.int64()),
        ]
    ),
    # What writing an object version again with a profile comes to; the newest row holds.
    "recompressions": pa.schema(
        [
            ("store_id", pa.string()),
            ("uri", pa.string()),
            ("etag", pa.string()),
            ("profile", pa.string()),
            ("size_bytes", pa.int64()),
            ("written_bytes", pa.int64()),
            ("is_sampled", pa.bool_()),  # a sample was written, not all of it
            ("measured_at", TIME),
        ]
    ),
}

LATE = ("runs", "outcomes", "row_digests", "recompressions")
"""Tables that are made when they are first written, also in catalogs that are older than they."""

_TAGS = "MAP(VARCHAR, VARCHAR)"

WIDENED: dict[str, dict[str, str]] = {
    "inventory": {"tags": _TAGS},
    "outcomes": {
        "etag": "VARCHAR",
        "tags": _TAGS,
        "left_version_id": "VARCHAR",
        "left_etag": "VARCHAR",
        "readable_until": "TIMESTAMPTZ",
        "survivors": "STRUCT(store_id VARCHAR, uri VARCHAR)[]",
    },
}
"""Columns that older files of tables do not have, with their SQL types: there they are null.

A table that was made before keeps its schema in its log, so that other readers do not see them."""

COMMITS = ("scans", "refreshes")
"""Tables without partitions; a row in one of them makes rows of others visible."""

REFRESHED = ("inventory", "accesses")
"""Tables whose rows hold until a later refresh covers them."""

SCANNED = ("objects", "documents", "pairs")
"""Tables whose rows hold while the scan that wrote them is in force."""

RESULTS = ("duplicates", "groups", "settled", "overlaps")
"""What follows from documents and pairs. ``overlaps`` are written whole by each scan that changes
something; of the others it writes those of the texts in ``settled``, or all when there are none."""
