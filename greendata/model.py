"""Records that more than one room needs: objects, datasets, parameters, what a scan found."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

SCHEMA_VERSION = 1
"""Version of every JSON document on standard output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One stored file as a listing saw it.

    ``etag`` changes when the content does; for local files it is made of size, mtime and inode.
    ``storage_class`` is the provider's word. What a listing does not carry is None.
    """

    uri: str
    store_id: str
    size_bytes: int
    etag: str
    modified_at: datetime
    storage_class: str | None = None
    version_id: str | None = None
    is_latest: bool = True
    is_delete_marker: bool = False
    created_at: datetime | None = None
    accessed_at: datetime | None = None
    tier_changed_at: datetime | None = None

    @property
    def object_id(self) -> int:
        """63-bit identity of (store, URI, ETag): the same version has the same in every scan."""
        return object_id(self.store_id, self.uri, self.etag)


def object_id(store_id: str, uri: str, etag: str) -> int:
    """63-bit number of an object version, from BLAKE2b over its length-prefixed identity."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (store_id, uri, etag):
        raw = part.encode("utf-8", "surrogateescape")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return int.from_bytes(digest.digest(), "little") >> 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A named set of URI prefixes; documents of a higher ``priority`` are kept first."""

    name: str
    prefixes: tuple[str, ...]
    priority: int = 0


class KeepOrder(StrEnum):
    """Which of several alike is kept; a higher dataset priority always comes first.

    ``SCORE`` is by column ``score`` of the view ``documents``, the highest first.
    """

    LONGEST = "longest"
    NEWEST = "newest"
    OLDEST = "oldest"
    FIRST = "first"
    SCORE = "score"


class SkipReason(StrEnum):
    """Why an object that should have been read was not, or not wholly."""

    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    CHANGED = "changed"
    DENIED = "denied"
    NO_TEXT_COLUMN = "no-text-column"
    TOO_LARGE = "too-large"
    CRASHED = "crashed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedObject:
    """An object that should have been read and could not be; makes the exit code 3."""

    uri: str
    reason: SkipReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredObject:
    """An object that is not a shard of the dataset; listed, but no failure."""

    uri: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedDocument:
    """One record that could not become a document, with its zero-based row."""

    uri: str
    row: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FingerprintParameters:
    """Everything that decides what a fingerprint is; stored with the results.

    Fingerprints are comparable only when all fields but ``threshold`` are equal. The bands were
    chosen for ``index_threshold``; any ``threshold`` at or above it can be asked for.
    """

    threshold: float
    index_threshold: float
    shingle_size: int
    num_perm: int
    seed: int
    bands: int
    rows_per_band: int
    tokenizer: str
    signature_scheme: str
    digest_algorithm: str

    def as_dict(self) -> dict[str, Any]:
        """Field names to values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedLine:
    """A line that stands in several of the documents that were sampled."""

    line: str
    documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityHints:
    """Counts of documents that train nothing, and lines that stand in many.

    ``short_documents`` have fewer words than a shingle; ``repeated_lines`` are of a sample.
    """

    empty_documents: int = 0
    short_documents: int = 0
    invalid_documents: int = 0
    sampled_documents: int = 0
    repeated_lines: tuple[RepeatedLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One reason to look before anything is left out; ``examples`` are documents, as URI#row."""

    name: Literal["large-group", "large-removal"]
    subject: str
    message: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSummary:
    """What a scan found in one dataset; text bytes are UTF-8 bytes, object bytes stored ones.

    ``*_within`` counts redundant documents whose kept partner is in the same dataset,
    ``*_across`` the others.
    """

    name: str
    objects: int
    object_bytes: int
    documents: int
    text_bytes: int
    exact_duplicate_documents: int
    near_duplicate_documents: int
    redundant_documents: int
    redundant_text_bytes: int
    redundant_documents_within: int
    redundant_documents_across: int
    text_columns: tuple[str, ...] = ()
    quality: QualityHints = QualityHints()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSummary:
    """The result of one scan over the objects it was asked for."""

    scan_id: str
    catalog: str
    objects: int
    object_bytes: int
    objects_read: int
    objects_unchanged: int
    objects_removed: int
    documents: int
    text_bytes: int
    exact_duplicate_documents: int
    near_duplicate_documents: int
    redundant_documents: int
    redundant_text_bytes: int
    skipped_documents: int
    null_documents: int
    candidate_pairs: int
    verified_pairs: int
    capped_comparisons: int
    unverified_candidates: int
    skipped: tuple[SkippedObject, ...]
    skipped_document_examples: tuple[SkippedDocument, ...]
    ignored: tuple[IgnoredObject, ...]
    datasets: tuple[DatasetSummary, ...]
    parameters: FingerprintParameters
    seconds: float
    cpu_seconds: float
    startup_seconds: float
    startup_cpu_seconds: float
    read_text_bytes: int
    peak_rss_bytes: int
    stages: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``scan --json``."""
        return {"schema_version": self.schema_version} | asdict(self)
