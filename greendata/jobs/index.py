"""A dataset's index without its data: fingerprints in one file, to be compared elsewhere.

The file is Parquet: a row a document (object number, row, digest, sizes, band keys), in its
metadata the parameters and the objects. Whoever imports it learns which documents are the same,
never what is in them; near-duplicates of them stay candidates, because there is no text to compare.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from greendata.catalog.failures import storage_errors
from greendata.catalog.schemas import SCHEMAS
from greendata.errors import (
    CatalogTooNewError,
    IntegrityError,
    ObjectNotFoundError,
    UsageError,
)
from greendata.jobs.changes import Changes, Found, KnownObjects
from greendata.jobs.request import ScanRequest
from greendata.jobs.results import catalog_place, open_catalog
from greendata.jobs.scan import Scanning
from greendata.jobs.scope import Scope
from greendata.model import (
    SCHEMA_VERSION,
    Dataset,
    FingerprintParameters,
    ScanSummary,
    StoredObject,
)
from greendata.shards.choosing import ChosenShard
from greendata.shards.opening import INDEX_FORMAT

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.catalog.staging import Staging
    from greendata.config import StoreSettings
    from greendata.progress import Progress

FORMAT_VERSION = 1
LAST_PRIORITY = -(2**31)
"""What is here is kept rather than what only an index tells of."""

_METADATA = b"greendata.index"
_BATCH_ROWS = 65_536
_KEPT = ("digest_high", "digest_low", "text_bytes", "tokens", "band_keys")
_SCHEMA = pa.schema(
    [
        ("object", pa.int32()),
        ("row", pa.int64()),
        *[SCHEMAS["documents"].field(name) for name in _KEPT],
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSummary:
    """An index file that was written."""

    dataset: str
    path: str
    objects: int
    documents: int
    text_bytes: int
    size_bytes: int
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``index export --json``."""
        return asdict(self)


def export_index(
    dataset: str,
    path: Path,
    *,
    catalog: str,
    stores: tuple[StoreSettings, ...] = (),
    overwrite: bool = False,
    now: datetime,
) -> IndexSummary:
    """Write the index of one dataset of the catalog.

    Raises:
        ObjectNotFoundError: the catalog has no such dataset.
        UsageError: the file is there already.
    """
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already", hint="--force replaces it.")
    with open_catalog(catalog, stores) as connection:
        objects = _objects(connection, dataset)
        ((parameters,),) = connection.execute(
            "SELECT parameters FROM scans ORDER BY sequence DESC LIMIT 1"
        ).fetchall()
        header = {
            "format_version": FORMAT_VERSION,
            "dataset": dataset,
            "exported_at": now.isoformat(),
            "parameters": json.loads(parameters),
            "objects": objects,
        }
        count = _write(connection, dataset, path, header)
    return IndexSummary(
        dataset=dataset,
        path=str(path),
        objects=len(objects),
        documents=count,
        text_bytes=sum(entry["text_bytes"] for entry in objects),
        size_bytes=path.stat().st_size,
    )


def _objects(connection: DuckDBPyConnection, dataset: str) -> list[dict[str, Any]]:
    names = ("uri", "etag", "size_bytes", "modified_at", "documents", "text_bytes")
    found = (  # as Arrow: DuckDB's own rows need pytz for times
        connection.sql(
            f"SELECT {', '.join(names)} FROM objects WHERE dataset = ? AND status = 'read'"
            " ORDER BY uri",
            params=[dataset],
        )
        .to_arrow_table()
        .to_pylist()
    )
    if not found:
        known = connection.execute("SELECT DISTINCT dataset FROM objects ORDER BY 1").fetchall()
        raise ObjectNotFoundError(
            f"the catalog has no dataset {dataset!r}",
            hint=f"It has {', '.join(repr(name) for (name,) in known) or 'none'}.",
        )
    return [entry | {"modified_at": entry["modified_at"].isoformat()} for entry in found]


def _write(connection: DuckDBPyConnection, dataset: str, path: Path, header: dict[str, Any]) -> int:
    import pyarrow.parquet as pq

    query = (
        "SELECT (row_number() OVER (ORDER BY uri) - 1)::INTEGER AS object, object_id,"
        " documents_scan_id FROM objects WHERE dataset = ? AND status = 'read'"
    )
    columns = ", ".join(f"d.{name}" for name in _KEPT)
    relation = connection.sql(
        f"SELECT o.object, d.row, {columns} FROM documents_rows d JOIN ({query}) o"
        " ON d.object_id = o.object_id AND d.scan_id = o.documents_scan_id"
        " ORDER BY o.object, d.row",
        params=[dataset],
    )
    schema = _SCHEMA.with_metadata({_METADATA: json.dumps(header).encode()})
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    count = 0
    try:
        with pq.ParquetWriter(
            partial, schema, compression="zstd", write_page_checksum=True
        ) as writer:
            for batch in relation.to_arrow_reader(_BATCH_ROWS):
                writer.write_batch(batch.cast(_SCHEMA))
                count += batch.num_rows
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def read_header(path: Path) -> dict[str, Any]:
    """What an index file says of itself.

    Raises:
        ObjectNotFoundError, IntegrityError: it is not there, or no index.
        CatalogTooNewError: of a newer program.
    """
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        header: dict[str, Any] = json.loads(metadata[_METADATA])
        version = int(header["format_version"])
        FingerprintParameters(**header["parameters"])
    except FileNotFoundError as error:
        raise ObjectNotFoundError(f"{path}: not found.", hint="Check the path.") from error
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise IntegrityError(
            f"{path}: is no index that greendata wrote: {error!r}",
            hint="Make one with `greendata index export`.",
        ) from error
    if version > FORMAT_VERSION:
        raise CatalogTooNewError(
            f"{path}: its format {version} is newer than this program's {FORMAT_VERSION}.",
            hint="Install a newer greendata.",
        )
    return header


def import_index(
    path: Path,
    request: ScanRequest,
    *,
    name: str | None = None,
    progress: Progress,
    now: datetime,
) -> ScanSummary:
    """Add an index to the catalog as a dataset; one of that name is replaced.

    Args:
        request: of a scan of nothing, for its catalog, memory and workers.
        name: of the dataset; None is the one it was exported as.

    Raises:
        UsageError: it was made with other parameters than the catalog, or the catalog has data in
            a dataset of that name.
        IntegrityError, CatalogTooNewError: of the file.
    """
    header = read_header(path)
    held = FingerprintParameters(**header["parameters"])
    request = replace(
        request,
        threshold=_threshold(request, held),
        shingle_size=held.shingle_size,
        num_perm=held.num_perm,
        seed=held.seed,
    )
    try:
        scanning = _Importing(path, header, name or header["dataset"], request, progress, now)
    except UsageError as error:
        raise UsageError(
            f"{path}: was made with other settings. {error.message}", hint=error.hint
        ) from error
    with storage_errors(scanning.catalog.name):
        return scanning.run()


def _threshold(request: ScanRequest, held: FingerprintParameters) -> float:
    """That of the catalog's last scan; of a new catalog the one that the index was made for."""
    from greendata.catalog.tables import Catalog

    try:
        catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=False)
    except ObjectNotFoundError:
        return held.index_threshold
    last = catalog.snapshot().last
    return held.index_threshold if last is None else float(last.parameters["threshold"])


class _Importing(Scanning):
    """A scan whose fingerprints are there already."""

    def __init__(
        self,
        path: Path,
        header: dict[str, Any],
        name: str,
        request: ScanRequest,
        progress: Progress,
        now: datetime,
    ) -> None:
        super().__init__(request, progress, now)
        self.path, self.header, self.name = path, header, name
        self._check_parameters()

    def _check_parameters(self) -> None:
        theirs, ours = self.header["parameters"], self.parameters.as_dict()
        different = [
            f"{key} {theirs.get(key)!r} instead of {value!r}"
            for key, value in ours.items()
            if key != "threshold" and theirs.get(key) != value
        ]
        if different:
            raise UsageError(
                f"It has {', '.join(different)}, which {self.catalog.name} uses.",
                hint="Scan both with the same settings, or import into another catalog.",
            )

    def prepare(self) -> Callable[[Staging], Found]:
        self.progress.stage("reading the index")
        items = [self._item(entry) for entry in self.header["objects"]]
        known = KnownObjects(self.known_rows())
        self._refuse_data(known)
        own = f"index://{self.name}/"
        here = {item.uri for item in items}
        changes = Changes(
            to_read=[ChosenShard(item=item, format=INDEX_FORMAT, codec="none") for item in items],
            unchanged=[],
            moved=[],
            removed=[uri for uri in known.index if uri.startswith(own) and uri not in here],
        )
        dataset = Dataset(name=self.name, prefixes=(own,), priority=LAST_PRIORITY)
        scope = Scope(
            uris=(own,),
            targets=frozenset(),
            rules={own.rstrip("/"): dataset},
            objects=tuple(items),
            named=frozenset(),
            denied=(),
            ignored=(),
        )

        def collect(staging: Staging) -> Found:
            self._stage(staging, items)
            return Found(
                scope=scope, changes=changes, skipped=[], rows=self._rows(items, known, changes)
            )

        return collect

    def _refuse_data(self, known: KnownObjects) -> None:
        """Of a dataset's data and an index under one name no overlap would be told."""
        import pyarrow.compute as pc

        is_read_here = (
            (pc.field("dataset") == self.name)
            & (pc.field("format") != INDEX_FORMAT)
            & (pc.field("status") == "read")
        )
        if known.rows.filter(is_read_here).num_rows:
            raise UsageError(
                f"{self.path}: {self.catalog.name} has data of its own in dataset {self.name!r}.",
                hint="--name gives what is imported another name.",
            )

    def _item(self, entry: dict[str, Any]) -> StoredObject:
        return StoredObject(
            uri=f"index://{self.name}/{entry['uri']}",
            store_id=f"index:{self.name}",
            size_bytes=int(entry["size_bytes"]),
            etag=str(entry["etag"]),
            modified_at=datetime.fromisoformat(entry["modified_at"]),
        )

    def _rows(self, items: list[StoredObject], known: KnownObjects, changes: Changes) -> pa.Table:
        rows: list[dict[str, Any]] = [
            {
                "object_id": item.object_id,
                "uri": item.uri,
                "store_id": item.store_id,
                "etag": item.etag,
                "dataset": self.name,
                "priority": LAST_PRIORITY,
                "size_bytes": item.size_bytes,
                "modified_at": item.modified_at,
                "format": INDEX_FORMAT,
                "codec": "none",
                "documents": entry["documents"],
                "text_bytes": entry["text_bytes"],
                "null_documents": 0,
                "skipped_documents": 0,
                "status": "read",
                "documents_scan_id": self.scan_id,
                "read_options": self.options,
            }
            for item, entry in zip(items, self.header["objects"], strict=True)
        ]
        rows += [row | {"status": "removed"} for row in known.take(changes.removed)]
        names = SCHEMAS["objects"].names
        return pa.Table.from_pylist(
            [{name: row.get(name) for name in names} for row in rows], schema=SCHEMAS["objects"]
        )

    def _stage(self, staging: Staging, items: list[StoredObject]) -> None:
        """The documents as a segment of this scan."""
        import pyarrow.parquet as pq

        from greendata.catalog.staging import PARQUET_OPTIONS

        ids = np.array([item.object_id for item in items], np.int64)
        target = staging.next_segment()
        count = 0
        with pq.ParquetWriter(target, SCHEMAS["documents"], **PARQUET_OPTIONS) as writer:
            for batch in self._batches():
                writer.write_batch(_document_rows(batch, ids, str(self.path)))
                count += batch.num_rows
        told = sum(int(entry["documents"]) for entry in self.header["objects"])
        if count != told:
            raise IntegrityError(f"{self.path}: has {count} documents, its header says {told}.")

    def _batches(self) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                yield from file.iter_batches(_BATCH_ROWS, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise IntegrityError(f"{self.path}: cannot be read: {error}") from error


def _document_rows(batch: pa.RecordBatch, ids: Any, name: str) -> pa.RecordBatch:
    numbers = batch["object"].to_numpy()
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(ids)):
        raise IntegrityError(f"{name}: names an object that it does not have.")
    columns = {
        "object_id": pa.array(ids[numbers]),
        "row": batch["row"],
        "row_group": pa.array(np.full(len(numbers), -1, np.int32)),
    } | {column: batch[column] for column in _KEPT}
    return pa.RecordBatch.from_arrays(
        [columns[field.name].cast(field.type) for field in SCHEMAS["documents"]],
        schema=SCHEMAS["documents"],
    )
