"""Which objects have the same bytes: size nominates, a SHA-256 of what is read proves."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.catalog.commits import Cover, is_at_or_below, new_id
from greendata.catalog.inventory import create_objects_view
from greendata.catalog.queries import create_rows
from greendata.catalog.schemas import SCHEMAS
from greendata.errors import (
    DeniedError,
    ObjectArchivedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from greendata.footprint.classes import read_cost, tier_of
from greendata.jobs.estimate import check_cost
from greendata.model import SkippedObject, SkipReason
from greendata.sql import temporary_duckdb

if TYPE_CHECKING:
    from greendata.catalog.tables import Catalog
    from greendata.progress import Progress
    from greendata.stores.base import Store

HEAD_BYTES = 64 << 10
"""Read first of larger objects: most of the same size differ here already."""

_CHUNK_BYTES = 8 << 20
_MEMORY_BYTES = 512 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IdenticalSummary:
    """What reading proved. ``copies`` have the bytes of another object; groups count once."""

    groups: int
    copies: int
    copy_bytes: int
    read_bytes: int
    skipped: tuple[SkippedObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    store_id: str
    uri: str
    etag: str
    size_bytes: int
    storage_class: str | None


def verify_identical(
    catalog: Catalog,
    store: Store,
    *,
    within: Sequence[Cover],
    read_tiers: Sequence[str],
    max_cost_usd: Decimal,
    workers: int,
    progress: Progress,
    now: datetime,
) -> IdenticalSummary:
    """Read objects of equal size, of which at least one is ``within``, and keep their digests.

    Versions that were read before are not read again. Objects outside of ``read_tiers`` are left.

    Raises:
        LimitExceededError: reading all of them may cost more than ``max_cost_usd``.
    """
    known, candidates = _candidates(catalog, within, read_tiers)
    check_cost(
        read_cost(
            (c.uri, c.storage_class, c.size_bytes, 2 + c.size_bytes // _CHUNK_BYTES)
            for c in candidates
        ),
        max_cost_usd,
    )
    progress.stage("comparing bytes", sum(c.size_bytes for c in candidates))
    reading = _Reading(store, progress)
    with ThreadPoolExecutor(workers) as pool:
        heads = list(pool.map(reading.head, candidates))
        alike: dict[tuple[int, str], list[_Candidate]] = defaultdict(list)
        found = []
        for candidate, head in zip(candidates, heads, strict=True):
            if head is not None and candidate.size_bytes <= HEAD_BYTES:
                found.append((candidate, head))
            elif head is not None:
                alike[candidate.size_bytes, head].append(candidate)
        sizes_known = {size for size, _ in known}
        wanted = [
            candidate
            for (size, _), group in alike.items()
            if len(group) > 1 or size in sizes_known
            for candidate in group
        ]
        digests = list(pool.map(reading.digest, wanted))
    found += [(c, digest) for c, digest in zip(wanted, digests, strict=True) if digest is not None]
    _keep(catalog, found, now)
    return _summary(known, found, reading)


def _candidates(
    catalog: Catalog, within: Sequence[Cover], read_tiers: Sequence[str]
) -> tuple[list[tuple[int, str]], list[_Candidate]]:
    """(size, digest) of versions that were read before, and versions of an equal size to read."""
    with temporary_duckdb(catalog.name, memory_bytes=_MEMORY_BYTES, threads=2) as connection:
        create_objects_view(connection, catalog, catalog.refreshes())
        create_rows(connection, "digests", catalog.files("digests", None))
        rows = connection.execute(_CANDIDATES).fetchall()
    names = ("store_id", "uri", "etag", "size_bytes", "storage_class")
    by_size: dict[int, list[tuple[_Candidate, str | None]]] = defaultdict(list)
    for *values, sha256 in rows:
        candidate = _Candidate(**dict(zip(names, values, strict=True)))
        if sha256 or tier_of(candidate.uri, candidate.storage_class) in read_tiers:
            by_size[candidate.size_bytes].append((candidate, sha256))
    known, candidates = [], []
    for size, group in by_size.items():
        if len(group) < 2 or not any(_is_within(candidate, within) for candidate, _ in group):
            continue
        known += [(size, sha256) for _, sha256 in group if sha256]
        candidates += [candidate for candidate, sha256 in group if not sha256]
    return known, candidates


_CANDIDATES = """
SELECT i.store_id, i.uri, i.etag, i.size_bytes, any_value(i.storage_class), any_value(g.sha256)
FROM (
    SELECT *, count(*) OVER (PARTITION BY size_bytes) AS of_size FROM object_rows
    WHERE size_bytes > 0 AND coalesce(is_latest, true) AND format IS DISTINCT FROM 'upload'
        AND etag IS NOT NULL
) i
LEFT JOIN digests_rows g ON g.store_id = i.store_id AND g.uri = i.uri AND g.etag = i.etag
WHERE of_size > 1 GROUP BY ALL ORDER BY i.size_bytes, i.uri
"""


def _is_within(candidate: _Candidate, within: Sequence[Cover]) -> bool:
    return any(
        cover.store_id == candidate.store_id and is_at_or_below(candidate.uri, cover.uri)
        for cover in within
    )


class _Reading:
    """Reads versions, by their ETag, and counts; what cannot be read is skipped with a reason."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store, self._progress = store, progress
        self.skipped: list[SkippedObject] = []
        self.read_bytes = 0

    def head(self, candidate: _Candidate) -> str | None:
        """Digest of the first bytes; of a small object, these are all."""
        raw = self._read(candidate, 0, min(HEAD_BYTES, candidate.size_bytes))
        return None if raw is None else hashlib.sha256(raw).hexdigest()

    def digest(self, candidate: _Candidate) -> str | None:
        """SHA-256 of all bytes of this version."""
        digest = hashlib.sha256()
        for start in range(0, candidate.size_bytes, _CHUNK_BYTES):
            size = min(_CHUNK_BYTES, candidate.size_bytes - start)
            raw = self._read(candidate, start, size)
            if raw is None:
                return None
            digest.update(raw)
            self._progress.advance(len(raw))
        return digest.hexdigest()

    def _read(self, candidate: _Candidate, start: int, size_bytes: int) -> bytes | None:
        try:
            raw = self._store.read(
                candidate.uri, start=start, size_bytes=size_bytes, etag=candidate.etag
            )
        except PreconditionFailedError as error:
            self._skip(candidate, SkipReason.CHANGED, error.message)
        except ObjectNotFoundError as error:
            self._skip(candidate, SkipReason.GONE, error.message)
        except DeniedError as error:
            self._skip(candidate, SkipReason.DENIED, error.message)
        except ObjectArchivedError as error:
            self._skip(candidate, SkipReason.UNREADABLE, error.message)
        else:
            self.read_bytes += len(raw)
            if len(raw) == size_bytes:
                return raw
            detail = f"ends before {start + size_bytes} bytes"
            self._skip(candidate, SkipReason.CHANGED, detail)
        return None

    def _skip(self, candidate: _Candidate, reason: SkipReason, detail: str) -> None:
        self.skipped.append(SkippedObject(uri=candidate.uri, reason=reason, detail=detail))


def _keep(catalog: Catalog, found: Sequence[tuple[_Candidate, str]], now: datetime) -> None:
    rows = [
        {
            "store_id": candidate.store_id,
            "uri": candidate.uri,
            "etag": candidate.etag,
            "size_bytes": candidate.size_bytes,
            "sha256": digest,
        }
        for candidate, digest in found
    ]
    keep_digests(catalog, rows, now)


def keep_digests(catalog: Catalog, rows: Sequence[Mapping[str, object]], now: datetime) -> None:
    """Add rows of the table ``digests``: facts, that nothing takes back."""
    catalog.write("digests", new_id(now), pa.Table.from_pylist(rows, schema=SCHEMAS["digests"]))


def _summary(
    known: Sequence[tuple[int, str]],
    found: Sequence[tuple[_Candidate, str]],
    reading: _Reading,
) -> IdenticalSummary:
    members: dict[tuple[int, str], int] = defaultdict(int)
    for key in [*known, *((candidate.size_bytes, digest) for candidate, digest in found)]:
        members[key] += 1
    groups = {key: count for key, count in members.items() if count > 1}
    return IdenticalSummary(
        groups=len(groups),
        copies=sum(count - 1 for count in groups.values()),
        copy_bytes=sum(size * (count - 1) for (size, _), count in groups.items()),
        read_bytes=reading.read_bytes,
        skipped=tuple(sorted(reading.skipped, key=lambda entry: entry.uri)),
    )
