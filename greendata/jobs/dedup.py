"""``greendata dedup``: a copy of datasets without their redundant documents; nothing else changes.

The keep decision is made anew over the sources alone, from the pairs the catalog has; pairs that it
lacks are compared first. Each document that is left out, and each that stands for it, has its
digest compared once more when its object is copied, and the rows of every object must balance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from greendata.config import StoreSettings
from greendata.errors import (
    IntegrityError,
    LimitExceededError,
    ObjectChangedError,
    ObjectNotFoundError,
    UsageError,
)
from greendata.jobs.candidates import OBJECT_ORDERS
from greendata.jobs.copying import Marks, check_digests, rows_of, write_copy
from greendata.jobs.destination import check_apart, target_names
from greendata.jobs.guards import find_alarms
from greendata.jobs.left_out import write_left_out
from greendata.jobs.request import asked_threshold
from greendata.jobs.rereading import KnownObject, known_objects
from greendata.jobs.resolve import ResolveSettings, resolve
from greendata.jobs.results import catalog_place
from greendata.jobs.scope import Scope, list_scope
from greendata.jobs.textcache import TextCache
from greendata.model import (
    SCHEMA_VERSION,
    Alarm,
    FingerprintParameters,
    IgnoredObject,
    KeepOrder,
    SkippedObject,
)
from greendata.recompress.manifest import ManifestObject, make_manifest, write_manifest
from greendata.recompress.publishing import Destination, publish_verified
from greendata.recompress.workfolder import work_folder
from greendata.shards.opening import open_shard
from greendata.shards.writer import PROFILES
from greendata.sql import open_duckdb, query_errors
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from greendata.catalog.tables import Catalog
    from greendata.progress import Progress
    from greendata.shards.base import Shard

COPIED_FORMATS = ("parquet", "jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupRequest:
    """What to copy, and where to.

    Attributes:
        keep: which of several alike is kept; SCORE is by ``score_column``, the highest first.
        is_exact_only: only identical texts are left out.
        is_mark: leave nothing out, add the columns ``duplicate_of`` and ``copies``.
        threshold: Jaccard from which a document is redundant; None is that of the last scan.
        profile: of the writer; the order of rows is kept with any.
        is_confirmed: go on although a guard raises an alarm.
    """

    uris: tuple[str, ...]
    destination: str
    catalog: str
    stores: tuple[StoreSettings, ...] = ()
    keep: KeepOrder = KeepOrder.LONGEST
    score_column: str | None = None
    is_exact_only: bool = False
    is_mark: bool = False
    profile: str = "stream"
    threshold: float | None = None
    max_group: int = 10_000
    max_removal_share: float = 0.9
    is_confirmed: bool = False
    workers: int = 2
    memory_bytes: int = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedObject:
    """An object and its copy; ``rows_in`` are ``rows_out`` and those left out."""

    source_uri: str
    source_etag: str
    uri: str
    rows_in: int
    rows_out: int
    left_out: int
    size_bytes_in: int
    size_bytes_out: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupSummary:
    """What was copied and what was left out."""

    destination: str
    objects: tuple[CopiedObject, ...]
    rows_in: int
    rows_out: int
    left_out_exact: int
    left_out_near: int
    left_out_text_bytes: int
    size_bytes_in: int
    size_bytes_out: int
    not_copied: tuple[IgnoredObject, ...]
    skipped: tuple[SkippedObject, ...]
    alarms: tuple[Alarm, ...]
    threshold: float
    keep: str
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``dedup --json``."""
        return asdict(self)


def dedup(request: DedupRequest, *, progress: Progress, now: datetime) -> DedupSummary:
    """Write the copy; ``_greendata/manifest.json`` is written last, and says that it is whole.

    Raises:
        UsageError: the destination is in a source or not empty, or a format cannot be copied yet.
        ObjectChangedError: a source is not as the catalog knows it.
        LimitExceededError: a guard raised an alarm, and nobody confirmed.
    """
    from greendata.catalog.tables import Catalog

    catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=False)
    with work_folder("dedup") as folder:
        return _Copying(request, catalog, folder, progress, now).run()


@dataclass(slots=True)
class _Copying:
    """One copy, step by step."""

    request: DedupRequest
    catalog: Catalog
    folder: Path
    progress: Progress
    now: datetime
    store: Stores = field(init=False)
    objects: list[ManifestObject] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Stores(self.request.stores)

    def run(self) -> DedupSummary:
        request = self.request
        check_apart(request.uris, request.destination)
        self.progress.stage("listing")
        scope = list_scope(self.store, request.uris, (), self.catalog.place.uri)
        with self._connect() as connection:
            parameters = self._create_views(connection, scope)
            known = sorted(known_objects(connection).items())
            self._check_sources(connection, scope, [entry for _, entry in known])
            alarms = self._resolve(connection, parameters)
            if alarms and not request.is_confirmed:
                raise LimitExceededError(
                    "; ".join(alarm.message for alarm in alarms),
                    hint="Look at the examples with `greendata duplicates`; --confirm goes on.",
                )
            self.progress.stage("copying", sum(entry.item.size_bytes for _, entry in known))
            names = target_names(
                request.uris, request.destination, [entry.item.uri for _, entry in known]
            )
            place = self._open_destination(parameters, [entry for _, entry in known])
            copied = [
                self._copy(connection, entry, place, names[entry.item.uri]) for _, entry in known
            ]
            summary = self._conclude(connection, scope, parameters, place, copied, alarms)
            place.close()
            return summary

    def _open_destination(
        self, parameters: FingerprintParameters, known: Sequence[KnownObject]
    ) -> Destination:
        request = self.request
        place = Destination(
            store=self.store,
            place=request.destination,
            request={
                "dedup": {entry.item.uri: entry.item.etag for entry in known},
                "parameters": parameters.as_dict(),
                "keep": [request.keep.value, request.score_column],
                "is_exact_only": request.is_exact_only,
                "is_mark": request.is_mark,
                "profile": request.profile,
            },
        )
        place.open()
        return place

    @contextmanager
    def _connect(self) -> Iterator[DuckDBPyConnection]:
        connection = open_duckdb(
            memory_bytes=self.request.memory_bytes // 4,
            spill_directory=self.folder / "spill",
            threads=self.request.workers,
        )
        with connection, query_errors(self.catalog.name):
            yield connection

    def _create_views(self, connection: DuckDBPyConnection, scope: Scope) -> FingerprintParameters:
        """The catalog's views, of the sources alone and in the keep order."""
        from greendata.catalog.queries import create_current_views, create_table

        request = self.request
        snapshot = create_current_views(connection, self.catalog)
        if snapshot.last is None:
            raise ObjectNotFoundError(
                f"{self.catalog.name}: nothing was scanned into this catalog yet",
                hint=f"Run: greendata scan {' '.join(request.uris)}",
            )
        uris = [item.uri for item in scope.objects]
        create_table(connection, "sources", pa.table({"uri": pa.array(uris, pa.string())}))
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE objects AS SELECT * EXCLUDE object_order,"
            f" row_number() OVER (ORDER BY {OBJECT_ORDERS[request.keep]}) - 1 AS object_order"
            " FROM objects SEMI JOIN sources USING (uri)"
        )
        parameters = FingerprintParameters(**snapshot.last.parameters)
        threshold = asked_threshold(parameters, request.threshold)
        return FingerprintParameters(**parameters.as_dict() | {"threshold": threshold})

    def _check_sources(
        self, connection: DuckDBPyConnection, scope: Scope, known: Sequence[KnownObject]
    ) -> None:
        """Everything that holds documents must be as it was scanned, and of a format we write."""
        if not known:
            raise ObjectNotFoundError(
                f"{', '.join(self.request.uris)}: no scanned object is there.",
                hint="Scan it first.",
            )
        listed = {item.uri: item for item in scope.objects}
        for entry in known:
            if listed[entry.item.uri].etag != entry.item.etag:
                raise ObjectChangedError(
                    f"{entry.item.uri}: changed since it was scanned.", hint="Scan it again."
                )
            if entry.format not in COPIED_FORMATS:
                raise UsageError(
                    f"{entry.item.uri}: {entry.format} cannot be copied yet.",
                    hint="Parquet and JSON Lines can.",
                )
        self._refuse_new(connection, scope)

    def _refuse_new(self, connection: DuckDBPyConnection, scope: Scope) -> None:
        from greendata.shards.base import ReadOptions
        from greendata.shards.choosing import choose_shards

        rows = connection.execute("SELECT uri FROM objects").fetchall()
        scanned = {uri for (uri,) in rows}
        new = [item for item in scope.objects if item.uri not in scanned]
        choice = choose_shards(self.store, new, ReadOptions(), roots=scope.targets)
        for shard in choice.shards:
            if shard.format in COPIED_FORMATS:
                raise ObjectChangedError(
                    f"{shard.item.uri}: is new since the last scan.", hint="Scan it first."
                )

    def _resolve(
        self, connection: DuckDBPyConnection, parameters: FingerprintParameters
    ) -> tuple[Alarm, ...]:
        if self.request.keep is KeepOrder.SCORE:
            self._load_scores(connection)
        settings = ResolveSettings(
            parameters=parameters,
            workers=self.request.workers,
            filter_bytes=self.request.memory_bytes // 8,
            spill_folder=self.folder,
            texts=TextCache(0),
            keep=self.request.keep,
            is_exact_only=self.request.is_exact_only,
            is_for_catalog=False,
        )
        resolve(connection, self.store, settings, self.progress)
        return find_alarms(
            connection,
            "(SELECT * FROM duplicate_rows WHERE kind <> 'candidate')",
            max_group=self.request.max_group,
            max_removal_share=self.request.max_removal_share,
        )

    def _load_scores(self, connection: DuckDBPyConnection) -> None:
        """View ``documents`` with the column ``score``, read from the sources."""
        connection.execute(
            "CREATE TEMP TABLE scores(object_order BIGINT, row BIGINT, score DOUBLE)"
        )
        for order, entry in sorted(known_objects(connection).items()):
            for first, scores in self._scores_of(entry):
                rows = {
                    "object_order": np.full(len(scores), order),
                    "row": np.arange(first, first + len(scores)),
                    "score": scores,
                }
                connection.register("arrow_rows", pa.table(rows))
                connection.execute("INSERT INTO scores SELECT * FROM arrow_rows")
                connection.unregister("arrow_rows")
        connection.execute("ALTER VIEW documents RENAME TO unscored_documents")
        connection.execute(
            "CREATE TEMP VIEW documents AS SELECT d.*, s.score FROM unscored_documents d"
            " LEFT JOIN scores s USING (object_order, row)"
        )

    def _scores_of(self, entry: KnownObject) -> Iterator[tuple[int, NDArray[np.float64]]]:
        name, first = self.request.score_column or "", 0
        shard = self._open(entry)
        schema, batches = rows_of(shard)
        if name not in schema.names and shard.format != "jsonl":
            raise UsageError(f"{entry.item.uri}: has no column {name!r} to keep by.")
        for batch in batches:
            # records without the name have no score, be it that none of a file has it
            column = batch[name] if name in schema.names else pa.nulls(batch.num_rows)
            try:
                scores = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            except pa.ArrowException as error:
                raise UsageError(
                    f"{entry.item.uri}: column {name!r} is not a number: {error}"
                ) from error
            yield first, scores
            first += len(scores)

    def _open(self, entry: KnownObject) -> Shard:
        return open_shard(self.store, entry.item, entry.options, entry.format, entry.codec)

    def _copy(
        self, connection: DuckDBPyConnection, entry: KnownObject, place: Destination, target: str
    ) -> CopiedObject:
        """One object: check what is left out, write the rest, store and publish it."""
        uri = entry.item.uri
        found = connection.execute(
            "SELECT document_row, kept_uri, kept_row FROM duplicate_rows"
            " WHERE document_uri = ? AND kind <> 'candidate' ORDER BY document_row",
            [uri],
        ).fetchnumpy()
        redundant = np.asarray(found["document_row"], np.int64)
        shard = self._open(entry)
        check_digests(shard, *self._proved(connection, uri))
        marks = self._marks(connection, uri, found) if self.request.is_mark else None
        profile = PROFILES[self.request.profile]
        rows_in, file = write_copy(shard, self.folder, profile, redundant, marks)
        rows_out = file.digest.rows
        left_out = 0 if self.request.is_mark else len(redundant)
        if rows_in != rows_out + left_out:
            raise IntegrityError(
                f"{uri}: {rows_in} rows were read, {rows_out} written and {left_out} left out."
            )
        now = self.store.head(uri)
        if now.etag != entry.item.etag:
            raise ObjectChangedError(f"{uri}: changed while it was copied.", hint="Scan it again.")
        name = target.removeprefix(f"{self.request.destination.rstrip('/')}/")
        made = publish_verified(place, file, name)
        self.objects.append(made)
        self.progress.advance(entry.item.size_bytes)
        return CopiedObject(
            source_uri=uri,
            source_etag=entry.item.etag,
            uri=target,
            rows_in=rows_in,
            rows_out=rows_out,
            left_out=left_out,
            size_bytes_in=entry.item.size_bytes,
            size_bytes_out=made.size_bytes,
            sha256=made.sha256,
        )

    def _proved(
        self, connection: DuckDBPyConnection, uri: str
    ) -> tuple[NDArray[np.int64], list[str]]:
        """Rows that are left out, or that others are left out for, with their digests."""
        found = connection.execute(
            "SELECT DISTINCT row, digest FROM ("
            " SELECT document_row AS row, document_digest AS digest FROM duplicate_rows"
            "  WHERE document_uri = $uri AND kind <> 'candidate'"
            " UNION ALL SELECT kept_row, kept_digest FROM duplicate_rows"
            "  WHERE kept_uri = $uri AND kind <> 'candidate') ORDER BY row",
            {"uri": uri},
        ).fetchnumpy()
        return np.asarray(found["row"], np.int64), [str(digest) for digest in found["digest"]]

    def _marks(self, connection: DuckDBPyConnection, uri: str, found: dict[str, Any]) -> Marks:
        kept = connection.execute(
            "SELECT kept_row, count(*) AS copies FROM duplicate_rows WHERE kept_uri = ?"
            " AND kind <> 'candidate' GROUP BY kept_row ORDER BY kept_row",
            [uri],
        ).fetchnumpy()
        partners = zip(found["kept_uri"], found["kept_row"], strict=True)
        return Marks(
            redundant=np.asarray(found["document_row"], np.int64),
            duplicate_of=[f"{partner}#{row}" for partner, row in partners],
            kept=np.asarray(kept["kept_row"], np.int64),
            copies=np.asarray(kept["copies"], np.int64),
        )

    def _conclude(
        self,
        connection: DuckDBPyConnection,
        scope: Scope,
        parameters: FingerprintParameters,
        place: Destination,
        copied: list[CopiedObject],
        alarms: tuple[Alarm, ...],
    ) -> DedupSummary:
        left_out = write_left_out(connection, place, self.folder)
        counts = dict(
            connection.execute(
                "SELECT kind, count(*) FROM duplicate_rows WHERE kind <> 'candidate' GROUP BY kind"
            ).fetchall()
        )
        ((text_bytes,),) = connection.execute(
            "SELECT coalesce(sum(document_text_bytes), 0) FROM duplicate_rows"
            " WHERE kind <> 'candidate'"
        ).fetchall()
        failed = connection.execute(
            "SELECT uri, reason, detail FROM objects WHERE status = 'skipped' ORDER BY uri"
        ).fetchall()
        sources = {entry.source_uri for entry in copied} | {uri for uri, _, _ in failed}
        summary = DedupSummary(
            destination=self.request.destination,
            objects=tuple(copied),
            rows_in=sum(entry.rows_in for entry in copied),
            rows_out=sum(entry.rows_out for entry in copied),
            left_out_exact=counts.get("exact", 0),
            left_out_near=counts.get("near", 0),
            left_out_text_bytes=int(text_bytes),
            size_bytes_in=sum(entry.size_bytes_in for entry in copied),
            size_bytes_out=sum(entry.size_bytes_out for entry in copied),
            not_copied=tuple(
                IgnoredObject(uri=item.uri, detail="holds no documents")
                for item in scope.objects
                if item.uri not in sources
            ),
            skipped=tuple(
                SkippedObject(uri=uri, reason=reason, detail=detail)
                for uri, reason, detail in failed
            ),
            alarms=alarms,
            threshold=parameters.threshold,
            keep=self.request.score_column or self.request.keep.value,
        )
        self._write_manifest(summary, parameters, left_out)
        return summary

    def _write_manifest(
        self, summary: DedupSummary, parameters: FingerprintParameters, left_out: dict[str, Any]
    ) -> None:
        more = summary.as_dict()
        copies = more.pop("objects")
        del more["schema_version"]
        manifest = make_manifest(
            self.request.destination,
            self.objects,
            {
                "command": "dedup",
                "made_at": self.now.isoformat(),
                "catalog": self.catalog.name,
                "parameters": parameters.as_dict(),
                "is_marked": self.request.is_mark,
                "profile": self.request.profile,
                "left_out": left_out,
                "copies": copies,
                **more,
            },
        )
        write_manifest(self.store, self.request.destination, manifest)
