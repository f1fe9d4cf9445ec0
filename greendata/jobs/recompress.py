"""``greendata recompress``: sources as zstd Parquet, where it pays, and proved to be the same rows.

Nothing is changed in the sources. What a gate predicts to save too little, or what turns out to, is
left alone; everything else is written, stored, read back and compared before it has a name, and
``_greendata/manifest.json`` is written last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    DeniedError,
    GreendataError,
    LimitExceededError,
    ObjectNotFoundError,
    UnreadableShardError,
    UnsupportedError,
    UsageError,
)
from greendata.jobs.destination import check_apart, part_names, target_names
from greendata.jobs.identical import keep_digests
from greendata.jobs.measures import Measure, keep_measures
from greendata.jobs.recompress_records import (
    COLUMN,
    KEEP,
    SIMILAR,
    LeftAlone,
    PredictedDataset,
    RecompressRequest,
    RecompressSummary,
    RewrittenSource,
    SkippedSource,
)
from greendata.jobs.regrouping import Group, group_sources, reorder
from greendata.jobs.results import catalog_place
from greendata.jobs.rewriting import Rewriter, Written
from greendata.jobs.scope import Scope, list_scope
from greendata.jobs.similarity import known_catalog
from greendata.jobs.sources import choose_sources, open_any
from greendata.model import IgnoredObject
from greendata.recompress.columnar import encode_metadata
from greendata.recompress.gate import Prediction, predict
from greendata.recompress.manifest import ManifestObject, make_manifest, write_manifest
from greendata.recompress.publishing import Destination
from greendata.recompress.sources import Grade
from greendata.recompress.table_formats import table_above, table_format
from greendata.recompress.unifying import unify
from greendata.recompress.workfolder import work_folder
from greendata.shards.writer import PROFILES
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.progress import Progress
    from greendata.shards.choosing import ChosenShard

_GROUPS_A_MEMORY = 6
"""Row groups that one writing thread holds at most, as rows and as pages."""

LEAST_ORDER_SAVING = 0.118
"""What ordering by text saved at least of four corpora; what it comes to is measured after it."""

_SKIPPED = (UnreadableShardError, LimitExceededError, DeniedError, ObjectNotFoundError)


def recompress(
    request: RecompressRequest, *, progress: Progress, now: datetime
) -> RecompressSummary:
    """Rewrite, or with ``is_dry_run`` only say what would come of it.

    Raises:
        UsageError: the destination is in a source, not empty, or missing.
        UnsupportedError: a source belongs to a table format.
        ObjectChangedError: a source changed while it was read.
        IntegrityError: what was stored is not what was read; it was not published.
    """
    with work_folder("recompress") as folder:
        return _Recompressing(request, folder, progress, now).run()


@dataclass(slots=True)
class _Recompressing:
    """One run, step by step."""

    request: RecompressRequest
    folder: Path
    progress: Progress
    now: datetime
    store: Stores = field(init=False)
    rewriter: Rewriter = field(init=False)
    objects: list[ManifestObject] = field(default_factory=list)
    sources: list[RewrittenSource] = field(default_factory=list)
    left: list[LeftAlone] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    skipped: list[SkippedSource] = field(default_factory=list)
    ignored: list[IgnoredObject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Stores(self.request.stores)
        self.rewriter = Rewriter(
            store=self.store,
            profile=self.request.writer_profile(),
            folder=self.folder,
            progress=self.progress,
            grade=self.request.grade,
        )

    def run(self) -> RecompressSummary:
        request = self.request
        if request.destination is not None:
            check_apart(request.uris, request.destination)
        elif not request.is_dry_run:
            raise UsageError("Where to is missing.", hint="Add -o DEST, or --dry-run.")
        self.progress.stage("listing")
        catalog = catalog_place(request.catalog, request.stores).uri
        scope = list_scope(self.store, request.uris, request.datasets, catalog)
        self._refuse_tables(scope)
        chosen = self._choose(scope)
        passed, predicted = self._gate(scope, chosen)
        if not request.is_dry_run and request.destination is not None and passed:
            self._write(scope, passed, request.destination)
        self._tell_measures()
        return self._summary(predicted)

    def _tell_measures(self) -> None:
        """Keep what the profile comes to, if it is one as it stands and there is a catalog."""
        catalog = known_catalog(catalog_place(self.request.catalog, self.request.stores))
        if catalog is not None and self.rewriter.profile == PROFILES[self.request.profile]:
            keep_measures(catalog, self.store, self.request.profile, self.measures, self.now)

    def _refuse_tables(self, scope: Scope) -> None:
        found = table_format(item.uri for item in scope.objects)
        for uri in self.request.uris:
            found = found or table_above(self.store, uri)
        if found is not None:
            raise UnsupportedError(
                f"{', '.join(self.request.uris)}: holds files of a {found[0]} table, which only"
                " its engine may rewrite.",
                hint=f"Use {found[1]}, with zstd as its codec.",
            )

    def _choose(self, scope: Scope) -> list[ChosenShard]:
        chosen, self.ignored, skipped = choose_sources(self.store, scope)
        self.skipped += [SkippedSource(uri=u, reason=r, detail=d) for u, r, d in skipped]
        return chosen

    def _gate(
        self, scope: Scope, chosen: Sequence[ChosenShard]
    ) -> tuple[list[ChosenShard], tuple[PredictedDataset, ...]]:
        """Those that a sample says are worth it, and what it says of each dataset."""
        self.progress.stage("sampling", sum(shard.item.size_bytes for shard in chosen))
        shares = self._order_shares(chosen)
        with ThreadPoolExecutor(self.request.workers) as pool:
            found = list(pool.map(self._predict, chosen))
        passed: list[ChosenShard] = []
        by_dataset: dict[str, list[tuple[Prediction, bool]]] = {}
        for shard, prediction in zip(chosen, found, strict=True):
            if prediction is None:
                continue
            share = shares.get(shard.item.uri, 0.0)
            if self.rewriter.profile.is_similar:
                share = max(share, LEAST_ORDER_SAVING)
            smaller = prediction.reduced(share)
            self._measure(shard.item, smaller.predicted_bytes, is_sampled=True)
            is_worth = smaller.saving >= self.request.min_saving
            by_dataset.setdefault(scope.dataset(shard.item.uri).name, []).append(
                (smaller, is_worth)
            )
            if is_worth:
                passed.append(shard)
            else:
                self.left.append(
                    LeftAlone(
                        uri=shard.item.uri,
                        size_bytes=smaller.size_bytes,
                        would_be_bytes=smaller.predicted_bytes,
                        is_measured=False,
                    )
                )
        return passed, tuple(_dataset(*entry) for entry in sorted(by_dataset.items()))

    def _predict(self, shard: ChosenShard) -> Prediction | None:
        try:
            found = predict(
                self.store, shard.item, shard.format, shard.codec, self.rewriter.profile
            )
        except _SKIPPED as error:
            self._skip(shard.item.uri, error)
            return None
        self.progress.advance(shard.item.size_bytes)
        return found

    def _order_shares(self, chosen: Sequence[ChosenShard]) -> dict[str, float]:
        """Share of each object that similar rows next to it make superfluous, by the last scan."""
        if not self.rewriter.profile.is_similar:
            return {}
        from greendata.jobs.regrouping import superfluous_shares

        etags = {shard.item.uri: shard.item.etag for shard in chosen}
        found = superfluous_shares(self.request.catalog, self.request.stores, etags)
        if set(found) != set(etags):
            self.notes.append(
                f"{len(etags) - len(found)} of {len(etags)} objects are not in the catalog as they"
                " are now: their rows are ordered by text alone. `greendata scan` finds the groups"
                " that make them smaller still."
            )
        return found

    def _write(self, scope: Scope, passed: Sequence[ChosenShard], place: str) -> None:
        destination = Destination(
            store=self.store, place=place, request=self._identity(place, passed)
        )
        names = target_names(self.request.uris, place, [shard.item.uri for shard in passed])
        destination.open()
        if self.request.is_reordered:
            self._write_reordered(scope, passed, destination)
        else:
            self._write_in_order(passed, destination, names)
        if not self.objects:
            destination.close()
            return
        self.objects.sort(key=lambda entry: entry.uri)
        write_manifest(self.store, place, self._manifest(place))
        destination.close()
        self._tell_catalog()

    def _tell_catalog(self) -> None:
        """Keep the SHA-256 of what was read and written, if there is a catalog."""
        catalog = known_catalog(catalog_place(self.request.catalog, self.request.stores))
        if catalog is None:
            return
        pairs = [(entry.uri, entry.etag, entry.size_bytes, entry.sha256) for entry in self.objects]
        pairs += [(entry.uri, entry.etag, entry.size_bytes, entry.sha256) for entry in self.sources]
        keep_digests(
            catalog,
            [
                {
                    "store_id": self.store.store_of(uri).store_id,
                    "uri": uri,
                    "etag": etag,
                    "size_bytes": size_bytes,
                    "sha256": digest,
                }
                for uri, etag, size_bytes, digest in pairs
            ],
            self.now,
        )

    def _write_in_order(
        self, passed: Sequence[ChosenShard], destination: Destination, names: Mapping[str, str]
    ) -> None:
        self.progress.stage("writing", sum(shard.item.size_bytes for shard in passed))
        before = f"{destination.place.rstrip('/')}/"

        def rewrite(numbered: tuple[int, ChosenShard]) -> None:
            number, shard = numbered
            target = names[shard.item.uri].removeprefix(before)
            self._write_one(number, shard, destination, target)

        with ThreadPoolExecutor(self._writers()) as pool:
            for _ in pool.map(rewrite, enumerate(passed)):
                pass
        self.sources.sort(key=lambda entry: entry.uri)

    def _write_one(
        self, number: int, shard: ChosenShard, destination: Destination, target: str
    ) -> None:
        written = self._written(shard, f"source-{number}")
        if written is None:
            return
        self._measure(shard.item, written.size_bytes, is_sampled=False)
        if self._misses_gate(shard.item.size_bytes, written.size_bytes):
            self._leave([written], written.size_bytes)
            return
        names = part_names(target, len(written.files))
        made = self.rewriter.publish(destination, written.files, names)
        self.objects += made
        self.sources.append(_rewritten(written, self.request.grade, made))

    def _measure(self, item: StoredObject, written_bytes: int, *, is_sampled: bool) -> None:
        self.measures.append(Measure(item=item, written_bytes=written_bytes, is_sampled=is_sampled))

    def _written(self, shard: ChosenShard, name: str) -> Written | None:
        try:
            source = open_any(self.store, shard, self.request.grade)
            return self.rewriter.write(source, name)
        except _SKIPPED as error:
            self._skip(shard.item.uri, error)
            for path in self.folder.glob(f"{name}-*.parquet"):
                path.unlink()
            return None

    def _write_reordered(
        self, scope: Scope, passed: Sequence[ChosenShard], destination: Destination
    ) -> None:
        self.progress.stage("reading", sum(shard.item.size_bytes for shard in passed))
        opened = []
        with ThreadPoolExecutor(self.request.workers) as pool:
            for shard, source in zip(passed, pool.map(self._opened, passed), strict=True):
                if source is not None:
                    opened.append((scope.dataset(shard.item.uri).name, source))
        for name in sorted({name for name, _ in opened}):
            unify([source for dataset, source in opened if dataset == name])
        groups = group_sources(opened)
        for number, group in enumerate(groups):
            prefix = f"group-{number}/" if len(groups) > 1 else ""
            self._write_group(group, destination, prefix)

    def _opened(self, shard: ChosenShard) -> Any:
        try:
            return open_any(self.store, shard, self.request.grade)
        except _SKIPPED as error:
            self._skip(shard.item.uri, error)
            return None

    def _write_group(self, group: Group, destination: Destination, prefix: str) -> None:
        ordered = reorder(
            group,
            self.rewriter,
            catalog=self.request.catalog,
            stores=self.request.stores,
            column=self.request.order_column if self.request.order == COLUMN else None,
            memory_bytes=self.request.memory_bytes,
            threads=self.request.workers,
            on_skip=self._skip,
        )
        if not ordered.sources:
            return
        size = sum(entry.source.item.size_bytes for entry in ordered.sources)
        total = sum(entry.size_bytes for entry in ordered.files)
        if self._misses_gate(size, total):
            self._leave(ordered.sources, total)
            for entry in ordered.files:
                entry.path.unlink()
            return
        names = [f"{prefix}part-{part:05d}.parquet" for part in range(len(ordered.files))]
        made = self.rewriter.publish_ordered(
            destination, ordered.sources, ordered.starts, ordered.files, names
        )
        self.objects += made
        for source, start in zip(ordered.sources, ordered.starts, strict=False):
            self.sources.append(
                _rewritten(source, self.request.grade, made, group=group.number, start=start)
            )

    def _misses_gate(self, size_bytes: int, written_bytes: int) -> bool:
        return written_bytes > (1 - self.request.min_saving) * size_bytes or (
            written_bytes >= size_bytes > 0
        )

    def _leave(self, written: Sequence[Written], total_bytes: int) -> None:
        """Discard results that are not small enough; shares of a group by size."""
        size = sum(entry.source.item.size_bytes for entry in written)
        for entry in written:
            own = entry.source.item.size_bytes
            for file in entry.files:
                file.path.unlink()
            self.left.append(
                LeftAlone(
                    uri=entry.source.item.uri,
                    size_bytes=own,
                    would_be_bytes=round(total_bytes * own / max(1, size)),
                    is_measured=True,
                )
            )

    def _writers(self) -> int:
        """Threads that write, so that their row groups fit into the memory."""
        most = self.request.memory_bytes // (
            _GROUPS_A_MEMORY * self.rewriter.profile.row_group_bytes
        )
        return max(1, min(self.request.workers, most))

    def _skip(self, uri: str, error: GreendataError) -> None:
        reason = getattr(error, "reason", None)
        detail = error.message.removeprefix(f"{uri}: ")
        self.skipped.append(
            SkippedSource(
                uri=uri,
                reason=str(reason.value) if reason is not None else type(error).__name__,
                detail=f"{detail} {error.hint}" if error.hint else detail,
            )
        )

    def _identity(self, place: str, passed: Sequence[ChosenShard]) -> dict[str, Any]:
        """What makes two runs the same."""
        from greendata import __version__

        request = self.request
        return {
            "greendata": __version__,
            "destination": place,
            "sources": {shard.item.uri: shard.item.etag for shard in passed},
            "profile": asdict(self.rewriter.profile),
            "order": [request.order, request.order_column],
            "grade": request.grade.value,
            "min_saving": request.min_saving,
        }

    def _manifest(self, place: str) -> dict[str, Any]:
        summary = self._summary(())
        said = summary.as_dict()
        kept = ("profile", "order", "grade", "sources", "left_alone", "skipped", "notes",
                "size_bytes_in", "size_bytes_out")  # fmt: skip
        more = {name: said[name] for name in kept}
        return make_manifest(
            place,
            self.objects,
            {
                "command": "recompress",
                "made_at": self.now.isoformat(),
                "roots": self.request.uris,
                "is_reordered": self.request.is_reordered,
                "writer_profile": asdict(self.rewriter.profile),
                **more,
            },
        )

    def _summary(self, predicted: tuple[PredictedDataset, ...]) -> RecompressSummary:
        request = self.request
        order = request.order or (SIMILAR if self.rewriter.profile.is_similar else KEEP)
        return RecompressSummary(
            destination=request.destination,
            profile=request.profile,
            order=f"{order}:{request.order_column}" if order == COLUMN else order,
            grade=request.grade.value,
            is_dry_run=request.is_dry_run,
            predicted=predicted,
            objects=tuple(self.objects),
            sources=tuple(self.sources),
            left_alone=tuple(sorted(self.left, key=lambda entry: entry.uri)),
            skipped=tuple(sorted(self.skipped, key=lambda entry: entry.uri)),
            ignored=tuple(self.ignored),
            size_bytes_in=sum(entry.size_bytes for entry in self.sources),
            size_bytes_out=sum(entry.size_bytes for entry in self.objects),
            cpu_seconds={k: round(v, 3) for k, v in self.rewriter.watch.seconds.items()},
            notes=tuple(self.notes),
        )


def _dataset(name: str, found: Sequence[tuple[Prediction, bool]]) -> PredictedDataset:
    worth = [prediction for prediction, is_worth in found if is_worth]
    return PredictedDataset(
        dataset=name,
        objects=len(found),
        left_alone=len(found) - len(worth),
        size_bytes=sum(prediction.size_bytes for prediction, _ in found),
        predicted_bytes=sum(
            prediction.predicted_bytes if is_worth else prediction.size_bytes
            for prediction, is_worth in found
        ),
        seconds=round(sum(prediction.seconds for prediction in worth), 3),
    )


def _rewritten(
    written: Written,
    grade: Grade,
    made: Sequence[ManifestObject],
    *,
    group: int | None = None,
    start: int | None = None,
) -> RewrittenSource:
    source, digest = written.source, written.digest.as_dict()
    return RewrittenSource(
        uri=source.item.uri,
        etag=source.item.etag,
        size_bytes=source.item.size_bytes,
        sha256=source.sha256,
        format=source.format,
        codec=source.codec,
        grade=grade.value,
        rows=digest["rows"],
        row_digest=digest["ordered"],
        row_set_digest=digest["unordered"],
        outputs=tuple(entry.uri for entry in made),
        group=group,
        first_position=start,
        metadata=None if group is None else encode_metadata(source.metadata),
        content_sha256=source.content_sha256 if grade is Grade.EXACT else None,
        notes=source.notes,
    )
