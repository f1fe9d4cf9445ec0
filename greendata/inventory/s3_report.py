"""S3 Inventory reports: CSV, Parquet and ORC, with every file's checksum compared.

A report is a ``manifest.json`` with ``manifest.checksum`` beside it, which S3 writes last. CSV has
no header, and URL-encoded keys; columns are those that ``fileSchema`` names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc

from greendata.errors import IntegrityError, ObjectNotFoundError
from greendata.inventory.columns import as_flag, as_named_texts, as_number, as_text, as_time
from greendata.inventory.schema import as_inventory
from greendata.inventory.tasks import Task, run_tasks

if TYPE_CHECKING:
    from greendata.stores.base import Store

MANIFEST = "manifest.json"
_CHECKSUM = "manifest.checksum"
_REQUIRED = ("bucket", "key")
_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file of a report."""

    uri: str
    size_bytes: int
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report that is complete; ``unknown_columns`` are in it and not read."""

    uri: str
    source_bucket: str
    created_at: datetime
    format: str
    columns: tuple[str, ...]
    unknown_columns: tuple[str, ...]
    files: tuple[DataFile, ...]

    @property
    def has_versions(self) -> bool:
        """Whether it lists versions, not only what is current."""
        return "version_id" in self.columns


def find_report(store: Store, uri: str) -> str:
    """The manifest of the newest complete report at or below ``uri``.

    Raises:
        ObjectNotFoundError: there is none.
    """
    if uri.endswith(f"/{MANIFEST}"):
        return uri
    listed = {item.uri for item in store.list(uri)}
    complete = [
        found
        for found in listed
        if found.endswith(f"/{MANIFEST}") and found.removesuffix(MANIFEST) + _CHECKSUM in listed
    ]
    if not complete:
        raise ObjectNotFoundError(
            f"{uri}: no complete inventory report ({MANIFEST} with {_CHECKSUM}) is there.",
            hint="S3 writes the checksum last: wait for it, or name an earlier report.",
        )
    return max(complete, key=lambda found: found.rsplit("/", 2)[1])  # named by their time


def open_report(store: Store, uri: str) -> Report:
    """Read and check a manifest.

    Raises:
        IntegrityError: it is incomplete, damaged, or lacks what is needed.
        ObjectNotFoundError, DeniedError, StoreUnreachableError.
    """
    raw = store.read(uri)
    try:
        told = store.read(uri.removesuffix(MANIFEST) + _CHECKSUM).decode("ascii", "replace").strip()
    except ObjectNotFoundError as error:
        raise IntegrityError(
            f"{uri}: the report is not complete: {_CHECKSUM} is missing.",
            hint="S3 writes it last: wait for it, or name an earlier report.",
        ) from error
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() != told:
        raise IntegrityError(f"{uri}: does not have the MD5 that {_CHECKSUM} says.")
    try:
        return _report(uri, json.loads(raw))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{uri}: is not a manifest of S3 Inventory: {error!r}") from error


def _report(uri: str, document: dict[str, Any]) -> Report:
    names = _column_names(document["fileFormat"], document["fileSchema"])
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise IntegrityError(f"{uri}: the report has no column {' and no '.join(missing)}.")
    known = {*_READERS, *_REQUIRED}
    root = _root(uri, document["files"][0]["key"]) if document["files"] else ""
    return Report(
        uri=uri,
        source_bucket=document["sourceBucket"],
        created_at=datetime.fromtimestamp(int(document["creationTimestamp"]) / 1000, UTC),
        format=document["fileFormat"].lower(),
        columns=names,
        unknown_columns=tuple(name for name in names if name not in known),
        files=tuple(
            DataFile(
                uri=root + entry["key"], size_bytes=int(entry["size"]), md5=entry["MD5checksum"]
            )
            for entry in document["files"]
        ),
    )


def _column_names(file_format: str, schema: str) -> tuple[str, ...]:
    """Columns in the file's order, as Parquet spells them."""
    if file_format == "CSV":
        return tuple(_snake(name.strip()) for name in schema.split(","))
    names = re.findall(r"(?:required|optional)\s+\w+\s+(\w+)", schema)  # message s3.inventory {…}
    names += [] if names else re.findall(r"(\w+):", schema)  # struct<bucket:string,…>
    return tuple(names)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("ETag", "E_Tag")).lower()


def _root(manifest: str, key: str) -> str:
    """What the keys of data files start from: the bucket, or the folder that stands for it."""
    report_folder = manifest.rsplit("/", 2)[0]
    prefix = key.rpartition("/data/")[0]
    if prefix and report_folder.endswith(f"/{prefix}"):
        return report_folder.removesuffix(prefix)
    scheme, _, rest = manifest.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/"


def read_report(store: Store, report: Report, *, workers: int = 2) -> Iterator[pa.RecordBatch]:
    """All rows of a report as inventory batches, files in parallel, in no order.

    Raises:
        IntegrityError: a file is missing, has another checksum, or cannot be decoded.
    """

    def task(file: DataFile) -> Task[pa.RecordBatch]:
        return lambda add: _read_file(store, report, file)

    yield from run_tasks(map(task, report.files), workers)


def _read_file(store: Store, report: Report, file: DataFile) -> Iterator[pa.RecordBatch]:
    if report.format not in _DECODERS:
        raise IntegrityError(f"{report.uri}: the format {report.format} is not known.")
    try:
        raw = store.read(file.uri)
    except ObjectNotFoundError as error:
        raise IntegrityError(
            f"{report.uri}: its file {file.uri} is missing.", hint="Name another report."
        ) from error
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() != file.md5:
        raise IntegrityError(f"{file.uri}: does not have the MD5 that its manifest says.")
    try:
        for batch in _DECODERS[report.format](report, raw):
            yield _convert(report, batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{file.uri}: cannot be decoded: {error}") from error


def _csv_batches(report: Report, raw: bytes) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    strings = dict.fromkeys(report.columns, pa.string())
    with pa.CompressedInputStream(pa.BufferReader(raw), "gzip") as stream:
        yield from csv.open_csv(
            stream,
            read_options=csv.ReadOptions(
                column_names=list(report.columns), use_threads=False, block_size=_BLOCK_BYTES
            ),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=strings, strings_can_be_null=False),
        )


def _parquet_batches(report: Report, raw: bytes) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(raw)) as file:
        wanted = [name for name in file.schema_arrow.names if name not in report.unknown_columns]
        yield from file.iter_batches(_BATCH_ROWS, columns=wanted, use_threads=False)


def _orc_batches(report: Report, raw: bytes) -> Iterator[pa.RecordBatch]:
    from pyarrow import orc

    file = orc.ORCFile(pa.BufferReader(raw))
    wanted = [name for name in file.schema.names if name not in report.unknown_columns]
    for stripe in range(file.nstripes):
        yield file.read_stripe(stripe, columns=wanted)


_DECODERS: dict[str, Callable[[Report, bytes], Iterator[pa.RecordBatch]]] = {
    "csv": _csv_batches,
    "parquet": _parquet_batches,
    "orc": _orc_batches,
}


def _convert(report: Report, batch: pa.RecordBatch) -> pa.RecordBatch:
    columns: dict[str, pa.Array | pa.Scalar] = {"store_id": pa.scalar("s3:aws")}
    key = batch["key"].cast(pa.string())
    columns["bucket"] = batch["bucket"].cast(pa.string())
    columns["key"] = _decoded(key) if report.format == "csv" else key
    columns["uri"] = pc.binary_join_element_wise("s3:/", columns["bucket"], columns["key"], "/")
    for name in batch.schema.names:
        if name in _READERS:
            target, read = _READERS[name]
            columns[target] = read(batch[name])
    if "accessed_at" in columns:
        known = pc.is_valid(columns["accessed_at"])
        columns["access_source"] = pc.if_else(known, "it_reference", pa.scalar(None, pa.string()))
    return as_inventory(columns, batch.num_rows)


def _decoded(keys: pa.Array) -> pa.Array:
    """Keys without URL encoding; few have any, and only those are touched one by one."""
    is_encoded = pc.match_substring_regex(keys, "[%+]")
    if not pc.any(is_encoded).as_py():
        return keys
    plain = [unquote_plus(key, errors="strict") for key in keys.filter(is_encoded).to_pylist()]
    return pc.replace_with_mask(keys, is_encoded, pa.array(plain, pa.string()))


def _is_on(column: pa.Array) -> pa.Array:
    return pc.equal(pc.utf8_lower(as_text(column)), "on")


def _is_set(column: pa.Array) -> pa.Array:
    return pc.is_valid(as_text(column))


# Column of a report to column of the inventory, and how it is read.
_READERS: dict[str, tuple[str, Callable[[pa.Array], pa.Array]]] = {
    "version_id": ("version_id", as_text),
    "is_latest": ("is_latest", as_flag),
    "is_delete_marker": ("is_delete_marker", as_flag),
    "size": ("size_bytes", as_number),
    "last_modified_date": ("modified_at", as_time),
    "e_tag": ("etag", as_text),
    "storage_class": ("storage_class", as_text),
    "replication_status": ("replication_status", as_text),
    "encryption_status": ("encryption", as_text),
    "object_lock_retain_until_date": ("retain_until", as_time),
    "object_lock_mode": ("is_locked", _is_set),
    "object_lock_legal_hold_status": ("is_held", _is_on),
    "checksum_algorithm": ("checksum_algorithm", as_text),
    "intelligent_tiering_reference_date": ("accessed_at", as_time),
    "object_tags": ("tags", as_named_texts),  # of S3 Metadata; S3 Inventory has none of its own
}
