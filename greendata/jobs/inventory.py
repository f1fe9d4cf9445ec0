"""``greendata inventory``: every object below some URIs, from listings or from reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.catalog.commits import Cover
from greendata.errors import GreendataError, ObjectNotFoundError
from greendata.footprint.classes import tier_of
from greendata.jobs.accesses import AccessesSummary, refresh_from_logs, refresh_from_table
from greendata.jobs.identical import IdenticalSummary, verify_identical
from greendata.jobs.refresh import refresh_objects
from greendata.jobs.request import DEFAULT_MAX_COST_USD, check_read_tiers
from greendata.jobs.results import catalog_place
from greendata.jobs.scope import own_folders
from greendata.jobs.whole_rows import RowsSummary, verify_rows
from greendata.model import SCHEMA_VERSION, SkippedObject, SkipReason
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.catalog.tables import Catalog
    from greendata.config import StoreSettings
    from greendata.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRequest:
    """What to take stock of.

    Attributes:
        from_reports: the URIs hold S3 Inventory or Azure Blob Inventory reports, of which the
            newest complete one counts.
        with_versions: earlier versions and delete markers too; reports have them or not.
        with_uploads: list incomplete uploads of the buckets that reports are about.
        access_logs: prefixes of S3 server access logs.
        accesses: a Parquet or CSV file of (uri, accessed_at), or None.
        verify_bytes: read objects of equal size, to prove which are identical.
        verify_rows: read objects whose texts others have, to prove whose rows others have.
    """

    uris: tuple[str, ...]
    catalog: str
    stores: tuple[StoreSettings, ...] = ()
    from_reports: bool = False
    with_versions: bool = False
    with_uploads: bool = False
    access_logs: tuple[str, ...] = ()
    accesses: Path | None = None
    verify_bytes: bool = False
    verify_rows: bool = False
    read_tiers: tuple[str, ...] = ("hot",)
    max_cost_usd: Decimal = DEFAULT_MAX_COST_USD
    workers: int = 2

    def __post_init__(self) -> None:
        check_read_tiers(self.read_tiers)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGroup:
    """Objects of one bucket in one storage class and state.

    ``state`` is ``current``, ``noncurrent``, ``delete marker`` or ``upload``.
    """

    place: str
    storage_class: str | None
    tier: str
    state: str
    objects: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InventorySummary:
    """What is stored, by place, storage class and state, largest first; ``skipped`` was denied."""

    uris: tuple[str, ...]
    catalog: str
    objects: int
    size_bytes: int
    groups: tuple[StoredGroup, ...]
    unknown_columns: tuple[str, ...]
    accesses: tuple[AccessesSummary, ...]
    identical: IdenticalSummary | None
    contained: RowsSummary | None
    skipped: tuple[SkippedObject, ...]
    warnings: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION

    @property
    def denied(self) -> tuple[SkippedObject, ...]:
        """Folders that could not be listed."""
        read = (self.identical, self.contained)
        others = {entry for found in read if found is not None for entry in found.skipped}
        return tuple(entry for entry in self.skipped if entry not in others)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``inventory --json``."""
        return asdict(self)


def take_inventory(
    request: InventoryRequest, *, progress: Progress, now: datetime
) -> InventorySummary:
    """Refresh the catalog's object table, URI by URI, in bounded memory.

    Raises:
        ObjectNotFoundError, DeniedError, StoreUnreachableError: of a URI.
        IntegrityError: a report is incomplete or damaged; what the catalog has stays.
        LimitExceededError: verifying would cost more than allowed.
    """
    from greendata.catalog.tables import Catalog

    catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=True)
    catalog.check_writable()
    taking = _Taking(request, catalog, progress, now)
    for uri in request.uris:
        taking.take(uri)
    accesses = [
        refresh_from_logs(catalog, taking.store, uri, progress=progress, now=now)
        for uri in request.access_logs
    ]
    if request.accesses is not None:
        accesses.append(refresh_from_table(catalog, request.accesses, request.stores, now=now))
    reading: dict[str, Any] = {
        "within": tuple(taking.covers),
        "read_tiers": request.read_tiers,
        "max_cost_usd": request.max_cost_usd,
        "workers": request.workers,
        "progress": progress,
        "now": now,
    }
    store = taking.store
    identical = verify_identical(catalog, store, **reading) if request.verify_bytes else None
    contained = verify_rows(catalog, store, **reading) if request.verify_rows else None
    return taking.summary(tuple(accesses), identical, contained)


@dataclass(slots=True)
class _Taking:
    """One pass over some URIs; counts everything that goes by."""

    request: InventoryRequest
    catalog: Catalog
    progress: Progress
    now: datetime
    store: Stores = field(init=False)
    covers: list[Cover] = field(default_factory=list)
    totals: dict[tuple[str, str | None, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )
    unknown: set[str] = field(default_factory=set)
    skipped: list[SkippedObject] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Stores(self.request.stores)

    def take(self, uri: str) -> None:
        """Refresh what one URI names, from its listing or its report."""
        self.progress.stage(f"inventory of {uri}")
        if self.request.from_reports:
            self._take_report(uri)
        else:
            self._take_listing(uri)

    def _take_listing(self, uri: str) -> None:
        from greendata.inventory.listing import list_objects

        store = self.store.store_of(uri)
        targets = store.expand(uri)
        covers = [Cover(store_id=store.store_id, uri=target) for target in targets]
        own = own_folders(self.catalog.place.uri, targets)
        denied: list[str] = []

        def on_denied(folder: str, detail: str) -> None:
            denied.append(folder)
            reason = SkipReason.DENIED
            self.skipped.append(SkippedObject(uri=folder, reason=reason, detail=detail))

        listed = (
            _without(batch, own)
            for target in targets
            for batch in list_objects(
                store, target, with_versions=self.request.with_versions, on_denied=on_denied
            )
        )
        refresh_objects(
            self.catalog,
            self._counted(listed),
            covers=covers,
            denied=denied,
            source="listing",
            as_of=self.now,
            now=self.now,
            has_versions=self.request.with_versions,
            has_uploads=True,
        )
        self.covers += covers

    def _take_report(self, uri: str) -> None:
        """The newest report below a URI: one of S3, else one of Azure."""
        from greendata.inventory import azure_report, s3_report

        workers = self.request.workers
        try:
            manifest = s3_report.find_report(self.store, uri)
        except ObjectNotFoundError as error:
            try:
                manifest = azure_report.find_blob_report(self.store, uri)
            except ObjectNotFoundError:
                raise error from None
            blobs = azure_report.open_blob_report(self.store, manifest)
            batches = azure_report.read_blob_report(self.store, blobs, workers=workers)
            as_of, has_versions = blobs.completed_at, blobs.has_versions
            container, has_uploads = None, False
        else:
            report = s3_report.open_report(self.store, manifest)
            self.unknown.update(report.unknown_columns)
            batches = s3_report.read_report(self.store, report, workers=workers)
            as_of, has_versions = report.created_at, report.has_versions
            container, has_uploads = f"s3://{report.source_bucket}/", self.request.with_uploads
        covers: list[Cover] = []
        counted = self._counted(batches)
        if has_uploads and container is not None:
            counted = _chained(counted, self._uploads(container))
        refresh_objects(
            self.catalog,
            _covering(counted, covers),
            covers=covers,
            source="report",
            as_of=as_of,
            now=self.now,
            has_versions=has_versions,
            has_uploads=has_uploads,
        )
        self.covers += covers

    def _uploads(self, container: str) -> Iterator[pa.RecordBatch]:
        """Incomplete uploads of a bucket; that they cannot be listed is told, and no failure."""
        from greendata.inventory.listing import list_uploads

        try:
            yield from self._counted(list_uploads(self.store.store_of(container), container))
        except GreendataError as error:
            self.warnings.append(f"Incomplete uploads are not known: {error.message}")

    def _counted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            _count(batch, self.totals)
            self.progress.advance(batch.num_rows)
            yield batch

    def summary(
        self,
        accesses: tuple[AccessesSummary, ...],
        identical: IdenticalSummary | None,
        contained: RowsSummary | None,
    ) -> InventorySummary:
        """What went by."""
        groups = [
            StoredGroup(
                place=place,
                storage_class=storage_class,
                tier=tier_of(place, storage_class),
                state=state,
                objects=objects,
                size_bytes=size_bytes,
            )
            for (place, storage_class, state), (objects, size_bytes) in self.totals.items()
        ]
        groups.sort(key=lambda group: (-group.size_bytes, group.place, group.state))
        return InventorySummary(
            uris=self.request.uris,
            catalog=self.catalog.name,
            objects=sum(group.objects for group in groups),
            size_bytes=sum(group.size_bytes for group in groups),
            groups=tuple(groups),
            unknown_columns=tuple(sorted(self.unknown)),
            accesses=accesses,
            identical=identical,
            contained=contained,
            skipped=(
                *self.skipped,
                *(identical.skipped if identical else ()),
                *(contained.skipped if contained else ()),
            ),
            warnings=tuple(self.warnings),
        )


def _chained(*parts: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        yield from part


def _without(batch: pa.RecordBatch, folders: Iterable[str]) -> pa.RecordBatch:
    """The rows that are not in these folders."""
    import pyarrow.compute as pc

    for folder in folders:
        inside = pc.starts_with(batch["uri"], folder.rstrip("/") + "/")
        batch = batch.filter(pc.invert(inside))
    return batch


def _covering(batches: Iterable[pa.RecordBatch], covers: list[Cover]) -> Iterator[pa.RecordBatch]:
    """The batches; at the end ``covers`` has, for each store, the folder that holds all of them.

    A manifest does not tell which prefix its report was limited to, so that a report is taken to
    cover no more than what it names.
    """
    import pyarrow.compute as pc

    bounds: dict[str, tuple[str, str]] = {}
    for batch in batches:
        if batch.num_rows:
            store_id = batch["store_id"][0].as_py()
            found = pc.min_max(batch["uri"]).as_py()
            low, high = bounds.get(store_id, (found["min"], found["max"]))
            bounds[store_id] = (min(low, found["min"]), max(high, found["max"]))
        yield batch
    for store_id, (low, high) in bounds.items():
        covers.append(Cover(store_id=store_id, uri=_common_folder(low, high)))


def _common_folder(low: str, high: str) -> str:
    """The deepest folder that holds both, with its slash; one URI is itself."""
    if low == high:
        return low
    pairs = zip(low.split("/"), high.split("/"), strict=False)
    names = takewhile(lambda pair: pair[0] == pair[1], pairs)
    return "".join(f"{name}/" for name, _ in names)


def _count(batch: pa.RecordBatch, totals: dict[tuple[str, str | None, str], list[int]]) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    def is_true(column: pa.Array) -> pa.Array:
        return pc.fill_null(column, False)

    found = pc.extract_regex(batch["uri"], r"^(?P<place>(?:s3|az)://[^/]+/)")
    place = pc.coalesce(pc.struct_field(found, "place"), pa.scalar("file://"))
    state = pc.case_when(
        pc.make_struct(
            is_true(pc.equal(batch["format"], "upload")),
            is_true(batch["is_delete_marker"]),
            is_true(pc.invert(batch["is_latest"])),
        ),
        "upload",
        "delete marker",
        "noncurrent",
        "current",
    )
    table = pa.table(
        {
            "place": place,
            "class": batch["storage_class"],
            "state": state,
            "size": pc.fill_null(batch["size_bytes"], 0),
        }
    )
    grouped = table.group_by(["place", "class", "state"]).aggregate(
        [("size", "count"), ("size", "sum")]
    )
    for row in grouped.to_pylist():
        total = totals[row["place"], row["class"], row["state"]]
        total[0] += row["size_count"]
        total[1] += row["size_sum"]
