"""Records of what was committed: scans, and refreshes of the inventory."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedScan:
    """A row of ``scans``."""

    scan_id: str
    sequence: int
    results_id: str
    earlier_results: tuple[str, ...]
    starts_over: bool
    started_at: datetime
    committed_at: datetime
    parameters: dict[str, Any]
    summary: dict[str, Any]

    @property
    def results_ids(self) -> tuple[str, ...]:
        """Ids of all results that hold, oldest first."""
        return (*self.earlier_results, self.results_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The committed scans that hold, oldest first, and the version they were read at."""

    version: int
    scans: tuple[CommittedScan, ...]

    @property
    def last(self) -> CommittedScan | None:
        """The newest scan, if there is one."""
        return self.scans[-1] if self.scans else None

    @property
    def scan_ids(self) -> frozenset[str]:
        """Ids of the scans whose rows are visible."""
        return frozenset(scan.scan_id for scan in self.scans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """What a refresh was about: everything at and below a URI of a store, whole folders only."""

    store_id: str
    uri: str

    def holds(self, other: Cover) -> bool:
        """Whether everything that ``other`` covers is covered by this one too."""
        return self.store_id == other.store_id and is_at_or_below(other.uri, self.uri)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedRefresh:
    """A row of ``refreshes``; what it covers is told by its rows alone from then on.

    Attributes:
        kind: ``objects`` (rows of ``inventory``) or ``accesses``.
        as_of: when the stores were as it says: the report's time, or when listing began.
        has_versions, has_uploads: whether it told of noncurrent versions and of incomplete uploads;
            one that did not leaves what earlier refreshes told of them.
        from_day: of accesses: earlier days are told by earlier refreshes still.
    """

    scan_id: str
    sequence: int
    kind: str
    source: str
    as_of: datetime
    taken_at: datetime
    covers: tuple[Cover, ...]
    objects: int
    has_versions: bool = False
    has_uploads: bool = False
    from_day: str | None = None

    def tells_as_much(self, other: CommittedRefresh) -> bool:
        """Whether this one, being later, shows all that ``other`` does where it covers."""
        return (
            self.has_versions >= other.has_versions
            and self.has_uploads >= other.has_uploads
            and (other.from_day is None or (self.from_day or other.from_day) <= other.from_day)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshes:
    """All refreshes, oldest first, and the version they were read at."""

    version: int
    refreshes: tuple[CommittedRefresh, ...]

    def live(self, kind: str) -> tuple[CommittedRefresh, ...]:
        """Those of a kind whose rows are not all replaced by later ones."""
        found = [entry for entry in self.refreshes if entry.kind == kind]
        return tuple(entry for entry in found if not _is_replaced(entry, found))

    def later(self, refresh: CommittedRefresh) -> tuple[tuple[CommittedRefresh, Cover], ...]:
        """Later refreshes of its kind and what they cover of what this one covers."""
        return tuple(
            (entry, cover)
            for entry in self.refreshes
            if entry.kind == refresh.kind and entry.sequence > refresh.sequence
            for cover in entry.covers
            if any(own.holds(cover) or cover.holds(own) for own in refresh.covers)
        )

    def over(self, refresh: CommittedRefresh) -> tuple[CommittedRefresh, ...]:
        """Later refreshes of its kind that cover all that this one covers."""
        return tuple(
            entry
            for entry in self.refreshes
            if entry.kind == refresh.kind
            and entry.sequence > refresh.sequence
            and all(any(cover.holds(own) for cover in entry.covers) for own in refresh.covers)
        )

    def replaced_ids(self) -> frozenset[str]:
        """Ids of refreshes that show nothing any more."""
        kept = {entry.scan_id for kind in ("objects", "accesses") for entry in self.live(kind)}
        return frozenset(entry.scan_id for entry in self.refreshes) - kept


def _is_replaced(entry: CommittedRefresh, others: list[CommittedRefresh]) -> bool:
    later = [
        cover
        for other in others
        if other.sequence > entry.sequence and other.tells_as_much(entry)
        for cover in other.covers
    ]
    return all(any(cover.holds(own) for cover in later) for own in entry.covers)


def new_id(now: datetime) -> str:
    """The id of a scan or refresh: when it began, and what makes it the only one."""
    return f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def started_at(scan_id: str) -> datetime | None:
    """When it began, by its id; None where that does not tell."""
    try:
        return datetime.strptime(scan_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def is_at_or_below(uri: str, folder: str) -> bool:
    """Whether a URI is another one, or below it as a folder."""
    return uri == folder or uri.startswith(folder.rstrip("/") + "/")


def committed_scan(row: dict[str, Any]) -> CommittedScan:
    """A row of the table ``scans``."""
    return CommittedScan(
        scan_id=row["scan_id"],
        sequence=row["sequence"],
        results_id=row["results_id"],
        earlier_results=tuple(json.loads(row["earlier_results"] or "[]")),
        starts_over=row["starts_over"],
        started_at=row["started_at"],
        committed_at=row["committed_at"],
        parameters=json.loads(row["parameters"]),
        summary=json.loads(row["summary"]),
    )


def committed_refresh(row: dict[str, Any]) -> CommittedRefresh:
    """A row of the table ``refreshes``."""
    return CommittedRefresh(
        scan_id=row["scan_id"],
        sequence=row["sequence"],
        kind=row["kind"],
        source=row["source"],
        as_of=row["as_of"],
        taken_at=row["taken_at"],
        covers=tuple(Cover(**cover) for cover in json.loads(row["covers"])),
        objects=row["objects"],
        has_versions=bool(row["has_versions"]),
        has_uploads=bool(row["has_uploads"]),
        from_day=row["from_day"],
    )
