"""Which objects' rows stand in others: equal texts nominate, digests of whole rows prove.

An object all of whose texts stand in others, by the last scan, is read with those others; what is
kept are the digests of all columns of each row, which a plan compares.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa

from greendata.catalog.commits import Cover, is_at_or_below, new_id
from greendata.catalog.inventory import create_objects_view
from greendata.catalog.queries import create_current_views, create_rows
from greendata.catalog.schemas import SCHEMAS
from greendata.errors import (
    DeniedError,
    GreendataError,
    LimitExceededError,
    ObjectArchivedError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UnreadableShardError,
)
from greendata.footprint.classes import read_cost, tier_of
from greendata.jobs.estimate import check_cost
from greendata.jobs.sources import COLUMNAR, REWRITTEN_FORMATS, open_any
from greendata.model import SkippedObject, SkipReason
from greendata.recompress.columnar import StoredRows, stored_schema
from greendata.recompress.digests import row_digests
from greendata.recompress.positions import without_position
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import Grade
from greendata.shards.base import ReadOptions, translated_errors
from greendata.shards.choosing import ChosenShard, choose_shards
from greendata.sql import temporary_duckdb

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from greendata.catalog.tables import Catalog
    from greendata.model import StoredObject
    from greendata.progress import Progress
    from greendata.stores.base import Store

MEMORY_BYTES = 1 << 30

_REQUEST_BYTES = 8 << 20
_DIGEST = np.dtype([("low", "<i8"), ("high", "<i8")])
_KEPT_ROWS = 1 << 18  # digests that go into the table at once
_SKIPPED = (
    UnreadableShardError, LimitExceededError, DeniedError, ObjectNotFoundError, ObjectArchivedError,
    ObjectChangedError, PreconditionFailedError, RefusedSourceError,
)  # fmt: skip
_REASONS = (
    (ObjectNotFoundError, SkipReason.GONE),
    (DeniedError, SkipReason.DENIED),
    ((ObjectChangedError, PreconditionFailedError), SkipReason.CHANGED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsSummary:
    """What reading proved: ``contained`` objects have no row that others of ``objects`` lack."""

    objects: int
    rows: int
    contained: int
    contained_bytes: int
    read_bytes: int
    skipped: tuple[SkippedObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    store_id: str
    uri: str
    etag: str
    size_bytes: int
    storage_class: str | None
    format: str
    codec: str

    @property
    def read_bytes(self) -> int:
        """Text is read once to be typed and once for its rows; columns to be hashed as well."""
        return 2 * self.size_bytes


def verify_rows(
    catalog: Catalog,
    store: Store,
    *,
    within: Sequence[Cover],
    read_tiers: Sequence[str],
    max_cost_usd: Decimal,
    workers: int,
    progress: Progress,
    now: datetime,
) -> RowsSummary:
    """Digest the rows of objects ``within`` whose texts others have, and those of the others.

    Versions that were read before are not read again. Objects outside of ``read_tiers``, and
    formats whose rows have no exact form, are left.

    Raises:
        LimitExceededError: reading all of them may cost more than ``max_cost_usd``.
    """
    candidates = [
        candidate
        for candidate in _candidates(catalog, within)
        if tier_of(candidate.uri, candidate.storage_class) in read_tiers
    ]
    check_cost(
        read_cost(
            (c.uri, c.storage_class, c.read_bytes, 4 + c.read_bytes // _REQUEST_BYTES)
            for c in candidates
        ),
        max_cost_usd,
    )
    progress.stage("comparing rows", sum(candidate.size_bytes for candidate in candidates))
    reading = _Reading(catalog, store, progress, new_id(now))
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(reading.take, candidates))
    reading.close()
    contained, contained_bytes = _contained(catalog, within)
    return RowsSummary(
        objects=reading.objects,
        rows=reading.rows,
        contained=contained,
        contained_bytes=contained_bytes,
        read_bytes=reading.read_bytes,
        skipped=tuple(sorted(reading.skipped, key=lambda entry: entry.uri)),
    )


_SHARED = """
CREATE TEMP TABLE covered AS
WITH placed AS (SELECT DISTINCT object_id, digest_high, digest_low FROM documents),
shared AS (SELECT *, count(*) OVER (PARTITION BY digest_high, digest_low) > 1 AS is_shared
           FROM placed)
SELECT object_id FROM shared GROUP BY object_id HAVING bool_and(is_shared)
"""

_CANDIDATES = f"""
WITH wanted AS (
    SELECT c.object_id FROM covered c JOIN objects o USING (object_id) SEMI JOIN within w
    ON w.store_id = o.store_id AND (o.uri = w.uri OR starts_with(o.uri, w.prefix))
), texts AS (
    SELECT DISTINCT digest_high, digest_low FROM documents SEMI JOIN wanted USING (object_id)
), named AS (
    SELECT object_id FROM wanted
    UNION SELECT object_id FROM documents SEMI JOIN texts USING (digest_high, digest_low)
)
SELECT DISTINCT o.store_id, o.uri, o.etag, i.size_bytes, i.storage_class, o.format,
    coalesce(o.codec, 'none')
FROM objects o SEMI JOIN named USING (object_id)
JOIN object_rows i ON i.store_id = o.store_id AND i.uri = o.uri AND i.etag = o.etag
WHERE o.format IN {REWRITTEN_FORMATS} AND coalesce(i.is_latest, true)
    AND i.format IS DISTINCT FROM 'upload'
    AND (o.store_id, o.uri, o.etag) NOT IN (SELECT (store_id, uri, etag) FROM row_digests_rows)
ORDER BY o.uri
"""


def _candidates(catalog: Catalog, within: Sequence[Cover]) -> list[_Candidate]:
    """Objects whose texts all stand in others and lie ``within``, and all that share a text."""
    with temporary_duckdb(catalog.name, memory_bytes=MEMORY_BYTES, threads=2) as connection:
        create_current_views(connection, catalog)
        create_objects_view(connection, catalog, catalog.refreshes())
        create_rows(connection, "row_digests", catalog.files("row_digests", None))
        _create_within(connection, within)
        connection.execute(_SHARED)
        rows = connection.execute(_CANDIDATES).fetchall()
    names = ("store_id", "uri", "etag", "size_bytes", "storage_class", "format", "codec")
    return [_Candidate(**dict(zip(names, values, strict=True))) for values in rows]


def _create_within(connection: object, within: Sequence[Cover]) -> None:
    from greendata.catalog.queries import create_table

    schema = pa.schema([(name, pa.string()) for name in ("store_id", "uri", "prefix")])
    rows = [
        {"store_id": c.store_id, "uri": c.uri, "prefix": c.uri.rstrip("/") + "/"} for c in within
    ]
    create_table(connection, "within", pa.Table.from_pylist(rows, schema=schema))  # type: ignore[arg-type]


_CONTAINED = """
WITH rows AS (SELECT DISTINCT d.* FROM (
    SELECT store_id, uri, etag, digest_high, digest_low FROM row_digests_rows) d
    JOIN object_rows i USING (store_id, uri, etag) WHERE coalesce(i.is_latest, true)),
shared AS (SELECT *, count(*) OVER (PARTITION BY digest_high, digest_low) > 1 AS is_shared
           FROM rows),
whole AS (SELECT store_id, uri, etag FROM shared GROUP BY ALL HAVING bool_and(is_shared))
SELECT store_id, uri, any_value(i.size_bytes) FROM whole JOIN object_rows i
USING (store_id, uri, etag) GROUP BY ALL
"""


def _contained(catalog: Catalog, within: Sequence[Cover]) -> tuple[int, int]:
    """How many objects within have no row that no other object has, and their bytes."""
    with temporary_duckdb(catalog.name, memory_bytes=MEMORY_BYTES, threads=2) as connection:
        create_objects_view(connection, catalog, catalog.refreshes())
        create_rows(connection, "row_digests", catalog.files("row_digests", None))
        rows = connection.execute(_CONTAINED).fetchall()
    sizes = [
        size
        for store_id, uri, size in rows
        if any(c.store_id == store_id and is_at_or_below(uri, c.uri) for c in within)
    ]
    return len(sizes), sum(sizes)


class _Reading:
    """Reads versions, by their ETag, and adds their digests to one file of the table."""

    def __init__(self, catalog: Catalog, store: Store, progress: Progress, place: str) -> None:
        self._catalog, self._store, self._progress = catalog, store, progress
        self._place = place
        self._lock = threading.Lock()
        self._writer: pq.ParquetWriter | None = None
        self.skipped: list[SkippedObject] = []
        self.objects = self.rows = self.read_bytes = 0

    def take(self, candidate: _Candidate) -> None:
        """All rows of one version, or none of them: the digests wait in a temporary file."""
        with tempfile.TemporaryFile(prefix="greendata-") as waiting:
            try:
                rows = self._digest(candidate, waiting)
            except _SKIPPED as error:
                self._skip(candidate, error)
                return
            waiting.seek(0)
            with self._lock:
                while raw := waiting.read(_KEPT_ROWS * 16):
                    self._keep(candidate, raw)
                self.objects += 1
                self.rows += rows
                self.read_bytes += candidate.read_bytes
        self._progress.advance(candidate.size_bytes)

    def close(self) -> None:
        """Add the file to the table."""
        if self._writer is not None:
            self._writer.close()
            self._catalog.add_files("row_digests", self._place, [self._path])

    def _digest(self, candidate: _Candidate, waiting: IO[bytes]) -> int:
        item = self._store.head(candidate.uri)
        if item.etag != candidate.etag:
            raise ObjectChangedError(
                f"{candidate.uri}: changed since it was scanned.", hint="Scan it again."
            )
        shard = ChosenShard(item, candidate.format, candidate.codec)
        rows = 0
        with translated_errors(candidate.uri):
            for batch, schema in _rows(self._store, shard):
                waiting.write(row_digests(batch, schema).tobytes())
                rows += batch.num_rows
        if self._store.head(candidate.uri).etag != candidate.etag:
            raise ObjectChangedError(f"{candidate.uri}: changed while it was read.")
        return rows

    def _keep(self, candidate: _Candidate, raw: bytes) -> None:
        import pyarrow.parquet as pq

        if self._writer is None:
            self._path = self._catalog.new_file("row_digests", self._place)
            self._writer = pq.ParquetWriter(
                self._path, SCHEMAS["row_digests"], compression="zstd",
                use_dictionary=["store_id", "uri", "etag"],
            )  # fmt: skip
        halves = np.unique(np.frombuffer(raw, "<i8").reshape(-1, 2), axis=0)
        names = (candidate.store_id, candidate.uri, candidate.etag)
        columns = [pa.array([name]).take(pa.array(np.zeros(len(halves), np.int64)))
                   for name in names]  # fmt: skip
        columns += [pa.array(np.ascontiguousarray(halves[:, place])) for place in (1, 0)]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMAS["row_digests"]))

    def _skip(self, candidate: _Candidate, error: GreendataError) -> None:
        reason = next(
            (word for kinds, word in _REASONS if isinstance(error, kinds)), SkipReason.UNREADABLE
        )
        detail = error.message.removeprefix(f"{candidate.uri}: ")
        with self._lock:
            self.skipped.append(SkippedObject(uri=candidate.uri, reason=reason, detail=detail))
        self._progress.advance(candidate.size_bytes)


def rows_stand(
    store: Store, item: StoredObject, survivors: Sequence[StoredObject], count: int
) -> bool:
    """Whether an object has so many different rows, and they all stand in others, as they are now.

    What cannot be read as rows any more has none.
    """
    try:
        left = _distinct(store, item)
        if len(left) != count:
            return False
        for survivor in survivors:
            left = np.setdiff1d(left, _distinct(store, survivor), assume_unique=True)
    except _SKIPPED:
        return False
    return not len(left)


def _distinct(store: Store, item: StoredObject) -> NDArray[np.void]:
    """The digests of an object's rows, each once."""
    choice = choose_shards(store, [item], ReadOptions(whole_rows=True), {item.uri})
    found = [np.empty(0, _DIGEST)]
    with translated_errors(item.uri):
        for shard in choice.shards:
            for batch, schema in _rows(store, shard):
                digests = np.frombuffer(row_digests(batch, schema).tobytes(), _DIGEST)
                found.append(np.unique(digests))
    return np.unique(np.concatenate(found))


def _rows(store: Store, shard: ChosenShard) -> Iterator[tuple[pa.RecordBatch, pa.Schema]]:
    """Batches of an object with the types as which their columns count.

    What this program wrote counts as what it was made of.
    """
    try:
        source = open_any(store, shard, Grade.LOGICAL)
    except RefusedSourceError as error:
        if shard.format not in COLUMNAR or error.reason is not RefusalReason.RESERVED_COLUMN:
            raise
        for batch in StoredRows(store, shard.item).batches():
            plain = without_position(batch)
            yield plain, plain.schema
    else:
        schema = stored_schema(source.schema)
        for batch in source.batches():
            yield batch, schema
