"""What changed between the catalog and a listing, and the rows of ``objects`` that say so."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.catalog.schemas import SCHEMAS
from greendata.model import SkippedObject, SkipReason, StoredObject

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.catalog.staging import ReadObject
    from greendata.jobs.scope import Scope
    from greendata.shards.base import ReadOptions
    from greendata.shards.choosing import ChosenShard


class KnownObjects:
    """The catalog's newest rows of objects, as an Arrow table with an index by URI."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows.combine_chunks()  # a place in many chunks is searched for
        self.index: dict[str, int] = {
            uri: place for place, uri in enumerate(rows["uri"].to_pylist())
        }

    def get(self, uri: str, column: str) -> Any:
        """One value of an object that is known."""
        return self.rows[column][self.index[uri]].as_py()

    def is_current(self, item: StoredObject, options: str) -> bool:
        """Whether this version of the object was read in the same way."""
        return (
            item.uri in self.index
            and self.get(item.uri, "etag") == item.etag
            and self.get(item.uri, "status") == "read"
            and self.get(item.uri, "read_options") == options
        )

    def has_crashed(self, item: StoredObject) -> bool:
        """Whether this version of the object was skipped because it killed its reader."""
        return (
            item.uri in self.index
            and self.get(item.uri, "etag") == item.etag
            and self.get(item.uri, "reason") == SkipReason.CRASHED.value
        )

    def take(self, uris: Sequence[str]) -> list[dict[str, Any]]:
        """Whole rows of these objects."""
        places = np.array([self.index[uri] for uri in uris], dtype=np.int64)
        found: list[dict[str, Any]] = self.rows.take(places).to_pylist()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a scan has to do.

    Attributes:
        to_read: objects that are new, changed, or were skipped the last time.
        unchanged: URIs of objects that are not read again.
        moved: those of them whose dataset or priority is another now.
        removed: URIs that are not shards of the scope any more.
    """

    to_read: list[ChosenShard]
    unchanged: list[str]
    moved: list[str]
    removed: list[str]


def options_key(options: ReadOptions) -> str:
    """Read options as they stand in ``objects.read_options``."""
    document = asdict(options)
    del document["batch_bytes"], document["format"]
    return json.dumps(document, sort_keys=True)


@dataclass(slots=True, kw_only=True)
class Found:
    """What reading came to; each attempt to commit adds a file of new ``pairs``."""

    scope: Scope
    changes: Changes
    skipped: list[SkippedObject]
    rows: pa.Table
    pairs: list[Path] = field(default_factory=list)
    committed_pairs: int = 0

    def uris(self) -> list[str]:
        """Objects that the summary is about."""
        return [shard.item.uri for shard in self.changes.to_read] + self.changes.unchanged

    def skipped_reads(self) -> set[str]:
        """Objects that should have been read and were not."""
        return {entry.uri for entry in self.skipped} & {
            shard.item.uri for shard in self.changes.to_read
        }

    def read_ids(self) -> set[int]:
        """Object versions whose documents count."""
        failed = self.skipped_reads()
        return {
            shard.item.object_id for shard in self.changes.to_read if shard.item.uri not in failed
        }


def compare(
    known: KnownObjects,
    scope: Scope,
    chosen: Iterable[ChosenShard],
    skipped: Collection[str],
    options: str,
) -> Changes:
    """Hold a listing against the catalog."""
    changes = Changes(to_read=[], unchanged=[], moved=[], removed=[])
    here = set(skipped)
    for shard in chosen:
        item = shard.item
        here.add(item.uri)
        if not known.is_current(item, options) or known.get(item.uri, "format") != shard.format:
            changes.to_read.append(shard)
            continue
        changes.unchanged.append(item.uri)
        dataset = scope.dataset(item.uri)
        held = (known.get(item.uri, "dataset"), known.get(item.uri, "priority"))
        if held != (dataset.name, dataset.priority):
            changes.moved.append(item.uri)
    changes.removed.extend(uri for uri in known.index if uri not in here and scope.covers(uri))
    return changes


def object_rows(
    *,
    known: KnownObjects,
    scope: Scope,
    changes: Changes,
    read: dict[int, ReadObject],
    skipped: Sequence[SkippedObject],
    options: str,
    scan_id: str,
) -> pa.Table:
    """Rows for everything that is not as the catalog has it, in its schema, by URI."""
    import pyarrow as pa

    listed = {item.uri: item for item in scope.objects}
    failed = {entry.uri: entry for entry in skipped if entry.uri in listed}
    rows = [
        _read_row(scope, shard.item, read[shard.item.object_id], options, scan_id)
        for shard in changes.to_read
        if shard.item.uri not in failed and shard.item.object_id in read
    ]
    rows += [
        _skipped_row(scope, listed[uri], entry, options)
        for uri, entry in failed.items()
        if not _is_same_failure(known, listed[uri], entry)
    ]
    for row in known.take(changes.moved):
        dataset = scope.dataset(row["uri"])
        rows.append(row | {"dataset": dataset.name, "priority": dataset.priority})
    rows += [row | {"status": "removed"} for row in known.take(changes.removed)]
    rows.sort(key=lambda row: str(row["uri"]))
    names = SCHEMAS["objects"].names
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in names} for row in rows], schema=SCHEMAS["objects"]
    )


def _is_same_failure(known: KnownObjects, item: StoredObject, entry: SkippedObject) -> bool:
    return (
        item.uri in known.index
        and known.get(item.uri, "status") == "skipped"
        and known.get(item.uri, "etag") == item.etag
        and known.get(item.uri, "reason") == entry.reason.value
    )


def _identity(scope: Scope, item: StoredObject, options: str) -> dict[str, Any]:
    dataset = scope.dataset(item.uri)
    return {
        "object_id": item.object_id,
        "uri": item.uri,
        "store_id": item.store_id,
        "etag": item.etag,
        "dataset": dataset.name,
        "priority": dataset.priority,
        "size_bytes": item.size_bytes,
        "modified_at": item.modified_at,
        "read_options": options,
        "accessed_at": item.accessed_at,
    }


def _read_row(
    scope: Scope, item: StoredObject, found: ReadObject, options: str, scan_id: str
) -> dict[str, Any]:
    return _identity(scope, item, options) | {
        "format": found.format,
        "codec": found.codec,
        "text_column": found.text_column,
        "documents": found.documents,
        "text_bytes": found.text_bytes,
        "null_documents": found.null_documents,
        "skipped_documents": found.skipped_documents,
        "empty_documents": found.empty_documents,
        "short_documents": found.short_documents,
        "invalid_documents": found.invalid_documents,
        "sampled_documents": found.sampled_documents,
        "repeated_lines": json.dumps(found.repeated_lines) if found.repeated_lines else None,
        "status": "read",
        "documents_scan_id": scan_id,
    }


def _skipped_row(
    scope: Scope, item: StoredObject, entry: SkippedObject, options: str
) -> dict[str, Any]:
    return _identity(scope, item, options) | {
        "status": "skipped",
        "reason": entry.reason.value,
        "detail": entry.detail,
    }
