"""``greendata scan``: inventory, fingerprints, duplicates and overlaps into the catalog."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from greendata.catalog.commits import new_id
from greendata.catalog.failures import storage_errors
from greendata.catalog.queries import (
    Pending,
    create_current_views,
    create_objects,
    create_table,
    create_views,
)
from greendata.catalog.schemas import RESULTS, SCHEMAS
from greendata.catalog.staging import Staging
from greendata.errors import CommitConflictError
from greendata.jobs import spread as spreads
from greendata.jobs.accounting import Moment
from greendata.jobs.changes import (
    Changes,
    Found,
    KnownObjects,
    compare,
    object_rows,
    options_key,
)
from greendata.jobs.estimate import check_cost, cost_of, split_by_tier
from greendata.jobs.growth import narrow, show_all_duplicates
from greendata.jobs.guards import find_alarms
from greendata.jobs.housekeeping import compact, is_worthwhile
from greendata.jobs.keyindexes import keep_indexes
from greendata.jobs.reading import MAX_CRASHES
from greendata.jobs.request import ScanRequest, fingerprint_parameters
from greendata.jobs.resolve import ResolveSettings, resolve
from greendata.jobs.results import catalog_place
from greendata.jobs.spread_reading import shards_reader
from greendata.jobs.summarise import count_datasets, load_scope, warnings_of
from greendata.jobs.textcache import TextCache
from greendata.jobs.told import Told, list_and_record, tell
from greendata.jobs.writing import write_results
from greendata.model import ScanSummary, SkippedDocument, SkippedObject
from greendata.progress import TimedProgress
from greendata.sql import load_libraries, open_duckdb, query_errors

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from greendata.catalog.commits import Snapshot
    from greendata.catalog.staging import ReadObject
    from greendata.catalog.tables import Catalog
    from greendata.jobs.resolve import Resolution
    from greendata.jobs.scope import Scope
    from greendata.progress import Progress
    from greendata.shards.choosing import ChosenShard

_COMMIT_ATTEMPTS = 20
_COMPILE_NOTICE_SECONDS = 2.5
_EXAMPLES = 20
_CACHED_TIMES = 8
"""Texts just read are held for verification unless they are so many times what is held."""


def scan(
    request: ScanRequest,
    *,
    progress: Progress,
    now: datetime,
    denied: Sequence[SkippedObject] | None = None,
) -> ScanSummary:
    """Scan, commit, and say what was found.

    ``denied``: the catalog's inventory of these URIs was taken just now, without these folders,
    which could not be listed; nothing is listed again then.

    Raises:
        ObjectNotFoundError, DeniedError, StoreUnreachableError: of a URI that was asked for.
        UsageError: parameters that the catalog's fingerprints do not fit.
        CatalogError, CatalogTooNewError, DeniedError, LimitExceededError: of the catalog.
    """
    scanning = Scanning(request, progress, now, denied)
    with storage_errors(scanning.catalog.name):
        return scanning.run()


class Scanning:
    """One scan, step by step; the state is what several steps need."""

    def __init__(
        self,
        request: ScanRequest,
        progress: Progress,
        now: datetime,
        denied: Sequence[SkippedObject] | None = None,
    ) -> None:
        self.started = Moment.now()
        from greendata.catalog.tables import Catalog
        from greendata.stores.opening import Stores

        load_libraries()
        spreads.check_runner(request)
        self.request, self.now, self.denied = request, now, denied
        self.progress = TimedProgress(progress)
        self.scan_id = new_id(now)
        self.store = Stores(request.stores)
        self.catalog: Catalog = Catalog.open(
            catalog_place(request.catalog, request.stores), create=True
        )
        self.catalog.check_writable()
        self.base: Snapshot = self.catalog.snapshot()
        self.parameters = fingerprint_parameters(request, self.base)
        self.options = options_key(request.read_options)
        self.examples: list[SkippedDocument] = []
        self.duckdb_bytes = request.memory_bytes // 4
        self.texts = TextCache(request.memory_bytes // 8)
        self.spread: spreads.Spread | None = None
        self.read_text_bytes = 0
        self.is_narrowed = False
        self.startup = Moment.now() - self.started

    def run(self) -> ScanSummary:
        """Find out what is to be done, do it, resolve and commit."""
        collect = self.prepare()
        staging = Staging.create(self.catalog.staging_root, self.scan_id, self._depends_on())
        self.spread = spreads.open_spread(self.request, staging.folder, self.progress.warn)
        try:
            summary = self._conclude(staging, collect(staging))
            spreads.close(self.spread)
            staging.remove()
        finally:
            spreads.close(self.spread)
            staging.release()
        return summary

    def prepare(self) -> Callable[[Staging], Found]:
        """List and compare with the catalog; what comes back reads what changed."""
        self.progress.stage("listing")
        told = self._tell()
        known = told.known
        scope, chosen, skipped = self._choose(told)
        changes = compare(known, scope, chosen, [entry.uri for entry in skipped], self.options)
        changes.unchanged.extend(told.unchanged)

        def collect(staging: Staging) -> Found:
            staging.crashes = {
                shard.item.object_id: MAX_CRASHES
                for shard in changes.to_read
                if known.has_crashed(shard.item)
            }
            skipped.extend(self._read(staging, changes))
            rows = object_rows(
                known=known,
                scope=scope,
                changes=changes,
                read=staging.finished,
                skipped=skipped,
                options=self.options,
                scan_id=self.scan_id,
            )
            self._note_examples(staging.finished.values())
            return Found(scope=scope, changes=changes, skipped=skipped, rows=rows)

        return collect

    def known_rows(self) -> pa.Table:
        """The catalog's newest row of every object; none when starting over."""
        if self.request.starts_over or self.base.last is None:
            return SCHEMAS["objects"].empty_table()
        with self._connect() as connection:
            create_objects(connection, self.catalog, self.base)
            columns = ", ".join(SCHEMAS["objects"].names)
            return connection.sql(f"SELECT {columns} FROM objects").to_arrow_table()

    def _tell(self) -> Told:
        """What is to be looked at: from an inventory just taken, else from a listing."""
        if self.denied is None or self.request.starts_over or self.request.format is not None:
            known = KnownObjects(self.known_rows())
            return list_and_record(self.catalog, self.store, self.request, known, self.now)
        with self._connect() as connection:
            return tell(
                connection,
                self.catalog,
                self.store,
                self.request,
                base=self.base,
                options=self.options,
                denied=self.denied,
            )

    def _choose(self, told: Told) -> tuple[Scope, list[ChosenShard], list[SkippedObject]]:
        from greendata.shards.choosing import choose_shards

        request, scope, known = self.request, told.scope, told.known
        readable, unread = split_by_tier(scope.objects, known, self.options, request.read_tiers)
        scope = replace(scope, objects=readable, ignored=(*scope.ignored, *unread))
        choice = choose_shards(
            self.store,
            scope.objects,
            request.read_options,
            scope.named,
            roots=scope.targets,
            known={
                item.uri: (known.get(item.uri, "format"), known.get(item.uri, "codec"))
                for item in scope.objects
                if known.is_current(item, self.options)
            },
            formats=told.formats,
        )
        scope = replace(scope, ignored=(*scope.ignored, *choice.ignored))
        return scope, choice.shards, [*scope.denied, *choice.skipped]

    def _depends_on(self) -> dict[str, Any]:
        """What staged fingerprints are only good for."""
        document = self.parameters.as_dict()
        del document["threshold"], document["index_threshold"]
        return document | {"read_options": self.options, "format": self.request.format}

    def _read(self, staging: Staging, changes: Changes) -> list[SkippedObject]:
        """Fingerprint what changed; finished work of a dead scan is taken over first."""
        from greendata.dedup.fingerprint import Fingerprinter

        wanted = {shard.item.object_id for shard in changes.to_read}
        taken = staging.adopt(self.catalog.staging_root, self._depends_on(), wanted)
        if taken:
            self.progress.message(f"Going on from {taken} objects that an earlier scan finished.")
        rest = [shard for shard in changes.to_read if shard.item.object_id not in staging.finished]
        if not rest:
            return []
        check_cost(cost_of(shard.item for shard in rest), self.request.max_cost_usd)
        self._load_kernel()
        self.progress.stage("reading", sum(shard.item.size_bytes for shard in rest))
        reader = shards_reader(
            self.spread,
            store=self.store,
            options=self.request.read_options,
            fingerprinter=Fingerprinter(self.parameters),
            staging=staging,
            texts=self.texts,
            workers=self.request.worker_count,
            progress=self.progress,
        )
        before = set(staging.finished)
        skipped = reader.read(rest)
        self.read_text_bytes = sum(
            record.text_bytes
            for object_id, record in staging.finished.items()
            if object_id not in before
        )
        return skipped

    def _load_kernel(self) -> None:
        """Import the compiled kernel, as part of start-up; compiled once on a machine, and said."""
        self.startup += spreads.start(self.spread, self.progress)
        if "greendata.dedup.kernel.nominate" in sys.modules:
            return
        before = Moment.now()
        self.progress.stage("loading the kernel")
        notice = threading.Timer(
            _COMPILE_NOTICE_SECONDS,
            self.progress.message,
            ["Loading the kernel; compiling it, once for a processor, takes about ten seconds."],
        )
        notice.start()
        from greendata.dedup.kernel import digest, fingerprint, nominate, postings  # noqa: F401

        notice.cancel()
        self.startup += Moment.now() - before

    def _note_examples(self, finished: Iterable[ReadObject]) -> None:
        found = [
            SkippedDocument(uri=record.uri, row=row, detail=detail)
            for record in finished
            for row, detail in record.skipped_examples
        ]
        self.examples = sorted(found, key=lambda entry: (entry.uri, entry.row))[:_EXAMPLES]

    def _conclude(self, staging: Staging, found: Found) -> ScanSummary:
        """Resolve and commit; when another scan was committed meanwhile, with its rows, again."""
        last = self.base.last
        is_same = last is not None and last.parameters["threshold"] == self.parameters.threshold
        if found.rows.num_rows == 0 and is_same and not self.request.starts_over:
            return self._summarise_unchanged(found)
        self._load_kernel()
        if self.read_text_bytes > _CACHED_TIMES * self.request.memory_bytes // 8:
            self.texts = TextCache(0)  # holds too little of it to be worth its memory
        for attempt in range(_COMMIT_ATTEMPTS):
            with self._connect(staging) as connection:
                results_id = f"{self.scan_id}.{attempt}"
                resolution, duplicates = self._resolve(connection, staging, found)
                summary = self._summarise(connection, found, duplicates, resolution)
                try:
                    self._commit(connection, staging, found, summary, results_id, attempt)
                except CommitConflictError:
                    self.progress.message("Another scan was committed meanwhile; joining it.")
                    self._rebase()
                    continue
                needs_compaction = not self.request.starts_over and is_worthwhile(
                    connection, len(self.base.scans) + 1
                )
            self.catalog.drop_results_before(results_id)
            if self.request.starts_over:
                self.catalog.drop_forgotten_scans(self.scan_id)
            if needs_compaction:
                self._compact(staging)
            keep_indexes(self.catalog)
            return summary
        raise CommitConflictError(
            f"catalog {self.catalog.name}: other scans were committed {_COMMIT_ATTEMPTS} times"
            " before this one.",
            hint="Run the scan again; nothing will be read twice.",
        )

    def _compact(self, staging: Staging) -> None:
        with self._connect(staging) as connection:
            if compact(connection, self.catalog, staging.folder, now=self.now):
                self.progress.message("The catalog was compacted.")

    def _rebase(self) -> None:
        """Start from what another scan committed, if this one's work still fits it.

        Raises:
            UsageError, CommitConflictError: it does not.
        """
        before, self.base = self.base, self.catalog.snapshot()
        was_replaced = before.last is not None and before.scans[0] != self.base.scans[0]
        fits = fingerprint_parameters(self.request, self.base) == self.parameters
        if not self.request.starts_over and (was_replaced or not fits):
            raise CommitConflictError(
                f"catalog {self.catalog.name}: another scan made it anew meanwhile.",
                hint="Run the scan again.",
            )

    def _resolve(
        self, connection: DuckDBPyConnection, staging: Staging, found: Found
    ) -> tuple[Resolution, str]:
        """What was found, and the table that holds all duplicates."""
        base = replace(self.base, scans=()) if self.request.starts_over else self.base
        pending = Pending(
            scan_id=self.scan_id,
            objects=found.rows,
            document_files=[str(path) for path in staging.segments],
            pair_files=[str(path) for path in found.pairs],
        )
        self.is_narrowed = self._may_narrow(base) and narrow(
            connection,
            self.catalog,
            base,
            pending,
            threshold=self.parameters.threshold,
        )
        if not self.is_narrowed:
            create_views(connection, self.catalog, base, pending)
            create_table(connection, "settled_rows", SCHEMAS["settled"].empty_table())
        settings = ResolveSettings(
            is_narrowed=self.is_narrowed,
            parameters=self.parameters,
            workers=self.request.worker_count,
            filter_bytes=self.request.memory_bytes // 8,
            spill_folder=staging.folder,
            texts=self.texts,
            spread=self.spread,
        )
        resolution = resolve(connection, self.store, settings, self.progress)
        found.pairs += self._write(connection, "pairs", staging, len(found.pairs))
        connection.execute("DROP TABLE pair_rows")
        if self.is_narrowed:
            return resolution, show_all_duplicates(connection)
        return resolution, "duplicate_rows"

    def _write(
        self, connection: DuckDBPyConnection, name: str, staging: Staging, number: int
    ) -> list[Path]:
        folder = staging.folder / f"{name}-{number}"
        return write_results(connection, name, folder, memory_bytes=self.duckdb_bytes)

    def _may_narrow(self, base: Snapshot) -> bool:
        """Whether there are results that go on being right where nothing changed."""
        last = base.last
        return last is not None and last.parameters["threshold"] == self.parameters.threshold

    def _commit(
        self,
        connection: DuckDBPyConnection,
        staging: Staging,
        found: Found,
        summary: ScanSummary,
        results_id: str,
        attempt: int,
    ) -> None:
        """Write all rows, then the one that makes them visible."""
        catalog, scan_id = self.catalog, self.scan_id
        if attempt == 0:
            catalog.write("objects", scan_id, found.rows)
            catalog.adopt_files("documents", scan_id, staging.committable(found.read_ids()))
        catalog.adopt_files("pairs", scan_id, found.pairs[found.committed_pairs :])
        found.committed_pairs = len(found.pairs)
        for name in RESULTS:
            files = self._write(connection, name, staging, attempt)
            catalog.adopt_files(name, results_id, files)
        last = self.base.last
        row = {
            "scan_id": scan_id,
            "sequence": last.sequence + 1 if last else 1,
            "results_id": results_id,
            "earlier_results": json.dumps(
                last.results_ids if last is not None and self.is_narrowed else []
            ),
            "starts_over": self.request.starts_over,
            "started_at": self.now,
            "committed_at": self.now + timedelta(seconds=time.perf_counter() - self.started.wall),
            "parameters": json.dumps(self.parameters.as_dict()),
            "uris": json.dumps(self.request.uris),
            "summary": json.dumps(summary.as_dict()),
        }
        catalog.commit_scan(row, self.base)

    def _summarise_unchanged(self, found: Found) -> ScanSummary:
        with self._connect() as connection:
            self.base = create_current_views(connection, self.catalog)
            return self._summarise(connection, found, "duplicates", None)

    def _summarise(
        self,
        connection: DuckDBPyConnection,
        found: Found,
        duplicates: str,
        resolution: Resolution | None,
    ) -> ScanSummary:
        load_scope(connection, found.uris())
        datasets, nulls, skipped_documents = count_datasets(connection, duplicates)
        taken = Moment.now() - self.started - self.startup
        last = self.base.last
        return ScanSummary(
            scan_id=self.scan_id if resolution or last is None else last.scan_id,
            catalog=self.catalog.name,
            objects=sum(d.objects for d in datasets),
            object_bytes=sum(d.object_bytes for d in datasets),
            objects_read=len(found.changes.to_read) - len(found.skipped_reads()),
            objects_unchanged=len(found.changes.unchanged),
            objects_removed=len(found.changes.removed),
            documents=sum(d.documents for d in datasets),
            text_bytes=sum(d.text_bytes for d in datasets),
            exact_duplicate_documents=sum(d.exact_duplicate_documents for d in datasets),
            near_duplicate_documents=sum(d.near_duplicate_documents for d in datasets),
            redundant_documents=sum(d.redundant_documents for d in datasets),
            redundant_text_bytes=sum(d.redundant_text_bytes for d in datasets),
            skipped_documents=skipped_documents,
            null_documents=nulls,
            candidate_pairs=resolution.candidate_pairs if resolution else 0,
            verified_pairs=resolution.verified_pairs if resolution else 0,
            capped_comparisons=resolution.left_out if resolution else 0,
            unverified_candidates=resolution.unverified_pairs if resolution else 0,
            skipped=tuple(sorted(found.skipped, key=lambda entry: entry.uri)),
            skipped_document_examples=tuple(self.examples),
            ignored=found.scope.ignored,
            datasets=datasets,
            parameters=self.parameters,
            seconds=taken.wall,
            cpu_seconds=taken.cpu + spreads.cpu_seconds(self.spread),
            startup_seconds=self.startup.wall,
            startup_cpu_seconds=self.startup.cpu,
            read_text_bytes=self.read_text_bytes,
            peak_rss_bytes=spreads.peak_rss_bytes(self.spread),
            stages=self.progress.seconds(),
            warnings=warnings_of(found, resolution),
            alarms=find_alarms(
                connection,
                f"(SELECT * FROM {duplicates} WHERE kind <> 'candidate')",
                max_group=self.request.max_group,
                max_removal_share=self.request.max_removal_share,
            ),
        )

    @contextlib.contextmanager
    def _connect(self, staging: Staging | None = None) -> Iterator[DuckDBPyConnection]:
        """DuckDB, spilling into the staging folder."""
        folder = staging.folder if staging else self.catalog.staging_root
        connection = open_duckdb(
            memory_bytes=self.duckdb_bytes,
            spill_directory=folder / "spill",
            threads=self.request.worker_count,
        )
        try:
            with query_errors(self.catalog.name):
                yield connection
        finally:
            connection.close()
