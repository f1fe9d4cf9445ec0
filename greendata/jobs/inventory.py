"""``greendata inventory``: every object below some URIs, from listings or from reports."""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.errors import ObjectNotFoundError
from greendata.footprint.classes import tier_of
from greendata.model import SCHEMA_VERSION
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.config import StoreSettings
    from greendata.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRequest:
    """What to take stock of.

    Attributes:
        from_reports: the URIs hold S3 Inventory or Azure Blob Inventory reports, of which the
            newest complete one counts.
        with_versions: earlier versions and delete markers too; reports have them or not.
        output: a Parquet file for the rows, or None.
    """

    uris: tuple[str, ...]
    stores: tuple[StoreSettings, ...] = ()
    from_reports: bool = False
    with_versions: bool = False
    output: Path | None = None
    workers: int = 2


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
    """What is stored, by place, storage class and state; largest first."""

    uris: tuple[str, ...]
    objects: int
    size_bytes: int
    groups: tuple[StoredGroup, ...]
    unknown_columns: tuple[str, ...]
    output: str | None
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``inventory --json``."""
        return asdict(self)


def take_inventory(request: InventoryRequest, progress: Progress) -> InventorySummary:
    """Go through all objects once, in bounded memory.

    Raises:
        ObjectNotFoundError, DeniedError, StoreUnreachableError: of a URI.
        IntegrityError: a report is incomplete or damaged; no output is left then.
    """
    progress.stage("inventory")
    unknown: list[str] = []
    totals: dict[tuple[str, str | None, str], list[int]] = defaultdict(lambda: [0, 0])
    with _writing(request.output) as write:
        for batch in _batches(request, unknown):
            _count(batch, totals)
            progress.advance(batch.num_rows)
            write(batch)
    groups = [
        StoredGroup(
            place=place,
            storage_class=storage_class,
            tier=tier_of(place, storage_class),
            state=state,
            objects=objects,
            size_bytes=size_bytes,
        )
        for (place, storage_class, state), (objects, size_bytes) in totals.items()
    ]
    groups.sort(key=lambda group: (-group.size_bytes, group.place, group.state))
    return InventorySummary(
        uris=request.uris,
        objects=sum(group.objects for group in groups),
        size_bytes=sum(group.size_bytes for group in groups),
        groups=tuple(groups),
        unknown_columns=tuple(sorted(set(unknown))),
        output=None if request.output is None else str(request.output),
    )


def _batches(request: InventoryRequest, unknown: list[str]) -> Iterator[pa.RecordBatch]:
    from greendata.inventory.listing import list_objects

    store = Stores(request.stores)
    for uri in request.uris:
        if request.from_reports:
            yield from _report_batches(store, uri, unknown, request.workers)
        else:
            yield from list_objects(store, uri, with_versions=request.with_versions)


def _report_batches(
    store: Stores, uri: str, unknown: list[str], workers: int
) -> Iterator[pa.RecordBatch]:
    """The newest report below a URI: one of S3, else one of Azure."""
    from greendata.inventory import azure_report, s3_report

    try:
        manifest = s3_report.find_report(store, uri)
    except ObjectNotFoundError as error:
        try:
            manifest = azure_report.find_blob_report(store, uri)
        except ObjectNotFoundError:
            raise error from None
        yield from azure_report.read_blob_report(
            store, azure_report.open_blob_report(store, manifest)
        )
        return
    report = s3_report.open_report(store, manifest)
    unknown.extend(report.unknown_columns)
    yield from s3_report.read_report(store, report, workers=workers)


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


@contextlib.contextmanager
def _writing(path: Path | None) -> Iterator[Any]:
    """A function that writes batches to a Parquet file, which gets its name when all is well."""
    if path is None:
        yield lambda batch: None
        return
    import pyarrow.parquet as pq

    from greendata.schemas import INVENTORY

    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with pq.ParquetWriter(partial, INVENTORY, compression="zstd") as writer:
            yield writer.write_batch
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
