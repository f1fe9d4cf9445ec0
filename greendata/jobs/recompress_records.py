"""What ``greendata recompress`` is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from greendata.config import StoreSettings
from greendata.errors import UsageError
from greendata.model import SCHEMA_VERSION, Dataset, IgnoredObject
from greendata.recompress.manifest import ManifestObject
from greendata.recompress.sources import Grade
from greendata.shards.writer import PROFILES, WriterProfile, changed_profile

KEEP, SIMILAR, COLUMN = "keep", "similar", "column"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecompressRequest:
    """What to rewrite, and how.

    Attributes:
        destination: None for a dry run.
        order: keep, similar or column; None is the profile's.
        order_column: of order ``column``.
        min_saving: share of the stored bytes that must be saved.
    """

    uris: tuple[str, ...]
    destination: str | None
    catalog: str
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    profile: str = "stream"
    level: int | None = None
    file_bytes: int | None = None
    row_group_bytes: int | None = None
    min_saving: float = 0.15
    order: str | None = None
    order_column: str | None = None
    grade: Grade = Grade.LOGICAL
    is_dry_run: bool = False
    workers: int = 2
    memory_bytes: int = 2 << 30

    def writer_profile(self) -> WriterProfile:
        """The profile with what was asked for otherwise.

        Raises:
            UsageError: no such profile, level or order.
        """
        if self.profile not in PROFILES:
            raise UsageError(f"--profile: {self.profile!r} is none of {', '.join(PROFILES)}.")
        return changed_profile(
            PROFILES[self.profile],
            level=self.level,
            row_group_bytes=self.row_group_bytes,
            file_bytes=self.file_bytes,
            is_similar=None if self.order is None else self.order == SIMILAR,
        )

    @property
    def is_reordered(self) -> bool:
        """Whether rows leave their places."""
        return self.order == COLUMN or self.writer_profile().is_similar


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedSource:
    """An object that could not be rewritten; makes the exit code 3."""

    uri: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """An object that rewriting would not make small enough."""

    uri: str
    size_bytes: int
    would_be_bytes: int
    is_measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenSource:
    """A source whose rows are in the destination, and what proves it.

    Attributes:
        outputs: URIs of the objects that hold its rows.
        group, first_position: where its rows are, by ``_gd_pos``; None when their order was kept.
        row_digest, row_set_digest: ordered and order-free.
        metadata: of the first schema, base64, where outputs may hold rows of several sources.
    """

    uri: str
    etag: str
    size_bytes: int
    sha256: str
    format: str
    codec: str
    grade: str
    rows: int
    row_digest: str
    row_set_digest: str
    outputs: tuple[str, ...]
    group: int | None = None
    first_position: int | None = None
    metadata: Mapping[str, str] | None = None
    content_sha256: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedDataset:
    """What the sample says of a dataset: objects that pass the gate, and the others."""

    dataset: str
    objects: int
    left_alone: int
    size_bytes: int
    predicted_bytes: int
    seconds: float

    @property
    def saving(self) -> float:
        return 1 - self.predicted_bytes / self.size_bytes if self.size_bytes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecompressSummary:
    """What was written, left alone and skipped.

    Attributes:
        size_bytes_in, size_bytes_out: stored bytes of the sources that were rewritten, and now.
        cpu_seconds: of all threads: for ``proof`` (digests of the rows that are read), to
            ``publish`` (store, read back, compare), and ``all`` with both.
    """

    destination: str | None
    profile: str
    order: str
    grade: str
    is_dry_run: bool
    predicted: tuple[PredictedDataset, ...]
    objects: tuple[ManifestObject, ...]
    sources: tuple[RewrittenSource, ...]
    left_alone: tuple[LeftAlone, ...]
    skipped: tuple[SkippedSource, ...]
    ignored: tuple[IgnoredObject, ...]
    size_bytes_in: int
    size_bytes_out: int
    cpu_seconds: Mapping[str, float]
    notes: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``recompress --json``."""
        found = asdict(self)
        for entry, predicted in zip(found["predicted"], self.predicted, strict=True):
            entry["saving"] = round(predicted.saving, 4)
        found["objects"] = [entry.as_dict() for entry in self.objects]
        return found
