"""Azure Blob Inventory reports: CSV and Parquet, many files, any spelling of the field names.

A run is a ``RULE-manifest.json`` with ``RULE-manifest.checksum`` beside it, below
``YYYY/MM/DD/HH-MM-SS/RULE/``. The manifest names its files but has no checksum of them, so their
sizes are compared.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from greendata.errors import IntegrityError, ObjectNotFoundError
from greendata.inventory.columns import as_flag, as_named_texts, as_number, as_text, as_time
from greendata.inventory.schema import as_inventory
from greendata.inventory.tasks import Task, run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from greendata.stores.base import Store

_MANIFEST = "-manifest.json"
_CHECKSUM = "-manifest.checksum"
_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobReport:
    """A run of an inventory rule that succeeded."""

    uri: str
    account: str
    rule: str
    completed_at: datetime
    format: str
    files: tuple[tuple[str, int], ...]
    has_versions: bool = False


def find_blob_report(store: Store, uri: str) -> str:
    """The manifest of the newest complete run at or below ``uri``.

    Raises:
        ObjectNotFoundError: there is none.
    """
    if uri.endswith(_MANIFEST):
        return uri
    listed = {item.uri for item in store.list(uri)}
    complete = [
        found
        for found in listed
        if found.endswith(_MANIFEST) and found.removesuffix(_MANIFEST) + _CHECKSUM in listed
    ]
    if not complete:
        raise ObjectNotFoundError(
            f"{uri}: no complete blob inventory (RULE{_MANIFEST} with RULE{_CHECKSUM}) is there.",
            hint="Azure writes the checksum last: wait for it, or name an earlier run.",
        )
    return max(complete, key=_run_of)


def _run_of(manifest: str) -> str:
    """The time in a manifest's path, which sorts as text."""
    found = re.search(r"\d{4}/\d{2}/\d{2}/\d{2}-\d{2}-\d{2}/", manifest)
    return found[0] if found else ""


def open_blob_report(store: Store, uri: str) -> BlobReport:
    """Read and check a manifest.

    Raises:
        IntegrityError: it is incomplete, damaged, or of a run that did not succeed.
        ObjectNotFoundError, DeniedError, StoreUnreachableError.
    """
    raw = store.read(uri)
    try:
        told = store.read(uri.removesuffix(_MANIFEST) + _CHECKSUM).decode("ascii", "replace")
    except ObjectNotFoundError as error:
        raise IntegrityError(
            f"{uri}: the run is not complete: its {_CHECKSUM} is missing.",
            hint="Azure writes it last: wait for it, or name an earlier run.",
        ) from error
    digest = hashlib.md5(raw, usedforsecurity=False).digest()
    if told.strip() not in (digest.hex(), base64.b64encode(digest).decode()):
        raise IntegrityError(f"{uri}: does not have the MD5 that its checksum file says.")
    try:
        return _blob_report(uri, json.loads(raw))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{uri}: is not a manifest of Blob Inventory: {error!r}") from error


def _blob_report(uri: str, document: dict[str, Any]) -> BlobReport:
    if document["status"] != "Succeeded":
        raise IntegrityError(
            f"{uri}: the run ended as {document['status']}.", hint="Name an earlier run."
        )
    root = _root(uri, document["files"][0]["blob"]) if document["files"] else ""
    rule = document["ruleDefinition"]
    completed = datetime.fromisoformat(document["inventoryCompletionTime"])
    return BlobReport(
        uri=uri,
        account=(urlsplit(document["endpoint"]).hostname or "").partition(".")[0],
        rule=document["ruleName"],
        completed_at=completed if completed.tzinfo else completed.replace(tzinfo=UTC),
        format=rule["format"].lower(),
        has_versions="versionid" in {_plain(name) for name in rule.get("schemaFields", ())},
        files=tuple((root + entry["blob"], int(entry["size"])) for entry in document["files"]),
    )


def _root(manifest: str, blob: str) -> str:
    """What the names of files start from: the container, or the folder that stands for it."""
    folder, run = manifest.rpartition("/")[0], blob.rpartition("/")[0]
    if run and folder.endswith(f"/{run}"):
        return folder.removesuffix(run)
    scheme, _, rest = manifest.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/"


def read_blob_report(
    store: Store, report: BlobReport, *, workers: int = 2
) -> Iterator[pa.RecordBatch]:
    """All rows of a run as inventory batches, files in parallel, in no order.

    Raises:
        IntegrityError: a file is missing, has another size, or cannot be decoded.
    """

    def task(file: tuple[str, int]) -> Task[pa.RecordBatch]:
        return lambda add: _read_file(store, report, *file)

    yield from run_tasks(map(task, report.files), workers)


def _read_file(
    store: Store, report: BlobReport, uri: str, size_bytes: int
) -> Iterator[pa.RecordBatch]:
    try:
        raw = store.read(uri)
    except ObjectNotFoundError as error:
        raise IntegrityError(f"{report.uri}: its file {uri} is missing.") from error
    if len(raw) != size_bytes:
        raise IntegrityError(f"{uri}: has {len(raw)} bytes, its manifest says {size_bytes}.")
    decode = _csv_batches if report.format == "csv" else _parquet_batches
    try:
        for batch in decode(raw):
            yield _convert(report, uri, batch)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{uri}: cannot be decoded: {error}") from error


def _csv_batches(raw: bytes) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    header = raw.partition(b"\n")[0].decode("utf-8-sig").strip()
    names = [name.strip().strip('"') for name in header.split(",")]
    yield from csv.open_csv(
        pa.BufferReader(raw),
        read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )


def _parquet_batches(raw: bytes) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(raw)) as file:
        yield from file.iter_batches(_BATCH_ROWS, use_threads=False)


def _convert(report: BlobReport, uri: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    names = {_plain(name): name for name in batch.schema.names}
    if "name" not in names:
        raise IntegrityError(f"{uri}: has no column Name.")
    name = batch[names["name"]].cast(pa.string())  # container/path
    parts = pc.extract_regex(name, r"(?s)^(?P<container>[^/]*)/(?P<key>.*)$")
    container, key = pc.struct_field(parts, "container"), pc.struct_field(parts, "key")
    place = pc.binary_join_element_wise(container, report.account, "@")
    columns: dict[str, pa.Array | pa.Scalar] = {
        "store_id": pa.scalar(f"az:{report.account}"),
        "bucket": container,
        "key": key,
        "uri": pc.binary_join_element_wise("az:/", place, key, "/"),
    }
    for spelled, (target, read) in _READERS.items():
        if spelled in names:
            columns[target] = read(batch[names[spelled]])
    if "accessed_at" in columns:
        known = pc.is_valid(columns["accessed_at"])
        columns["access_source"] = pc.if_else(known, "azure", pa.scalar(None, pa.string()))
    columns["is_latest"] = _is_current(batch, names, columns.get("is_latest"))
    converted = as_inventory(columns, batch.num_rows)
    if "hdiisfolder" not in names:
        return converted
    return converted.filter(pc.invert(_is_true(batch[names["hdiisfolder"]])))


def _is_current(
    batch: pa.RecordBatch, names: dict[str, str], told: pa.Array | pa.Scalar | None
) -> pa.Array | pa.Scalar | None:
    """What was deleted softly, and snapshots, are not current, whatever the rest says."""
    gone = [_is_true(batch[names["deleted"]])] if "deleted" in names else []
    gone += [_has_text(batch[names["snapshot"]])] if "snapshot" in names else []
    for mask in gone:
        before = pa.scalar(None, pa.bool_()) if told is None else told
        told = pc.if_else(mask, pa.scalar(False), before)
    return told


def _is_true(column: pa.Array) -> pa.Array:
    return pc.fill_null(as_flag(column), False)


def _plain(name: str) -> str:
    """A field's name without case and hyphens: documents and API spell them differently."""
    return re.sub(r"[-_ ]", "", name).lower()


def _has_text(column: pa.Array) -> pa.Array:
    return pc.is_valid(as_text(column))


# Field of a report, plainly spelled, to column of the inventory, and how it is read.
_READERS: dict[str, tuple[str, Callable[[pa.Array], pa.Array]]] = {
    "contentlength": ("size_bytes", as_number),
    "accesstier": ("storage_class", as_text),
    "creationtime": ("created_at", as_time),
    "lastmodified": ("modified_at", as_time),
    "lastaccesstime": ("accessed_at", as_time),
    "accesstierchangetime": ("tier_changed_at", as_time),
    "etag": ("etag", as_text),
    "versionid": ("version_id", as_text),
    "iscurrentversion": ("is_latest", as_flag),
    "legalhold": ("is_held", as_flag),
    "immutabilitypolicyuntildate": ("retain_until", as_time),
    "immutabilitypolicymode": ("is_locked", _has_text),
    "encryptionscope": ("encryption", as_text),
    "tags": ("tags", as_named_texts),
}
