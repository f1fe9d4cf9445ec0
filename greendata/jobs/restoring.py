"""The rows of a recompressed place by source again, each in its first order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from greendata.errors import IntegrityError, UsageError
from greendata.jobs.recompress_records import RewrittenSource
from greendata.recompress.columnar import StoredRows, decode_metadata
from greendata.recompress.order import Buckets, bucket_bytes_for
from greendata.recompress.positions import POSITION, without_field, without_position
from greendata.recompress.rolling import disk_errors

if TYPE_CHECKING:
    from greendata.recompress.manifest import Manifest
    from greendata.stores.base import Store

_HELD_SHARE = 8
_COMMANDS = ("recompress", "restore-order")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredSource:
    """A source by its rows; ``batches`` must be used up before the next source is asked for."""

    source: RewrittenSource
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def rewritten_sources(manifest: Manifest) -> tuple[RewrittenSource, ...]:
    """What the manifest of a recompressed place says of its sources.

    Raises:
        UsageError: another command made the place.
        IntegrityError: it says something else.
    """
    document = manifest.document
    if document.get("command") not in _COMMANDS:
        raise UsageError(
            f"{manifest.place}: was not made by `greendata recompress`.",
            hint="Name the folder that it was given as -o.",
        )
    try:
        return tuple(_source(entry) for entry in document["sources"])
    except (TypeError, KeyError) as error:
        raise IntegrityError(f"{manifest.place}: its manifest lacks something: {error}") from error


def _source(entry: Mapping[str, Any]) -> RewrittenSource:
    return RewrittenSource(
        **{**entry, "outputs": tuple(entry["outputs"]), "notes": tuple(entry["notes"])}
    )


def restored_sources(
    store: Store, manifest: Manifest, folder: Path, memory_bytes: int
) -> Iterator[RestoredSource]:
    """Every source with its rows in their first order."""
    sources = rewritten_sources(manifest)
    groups: dict[int, list[RewrittenSource]] = {}
    for source in sources:
        if source.group is None:
            yield _in_order(store, manifest, source)
        else:
            groups.setdefault(source.group, []).append(source)
    for number, group in sorted(groups.items()):
        below = folder / f"group-{number}"
        below.mkdir()
        group.sort(key=lambda source: source.first_position or 0)
        yield from _reordered(store, manifest, group, below, memory_bytes)


def _stored(store: Store, manifest: Manifest, uri: str) -> StoredRows:
    inside = uri.removeprefix(f"{manifest.dataset.rstrip('/')}/")
    return StoredRows(store, store.head(f"{manifest.place}/{inside}"))


def _in_order(store: Store, manifest: Manifest, source: RewrittenSource) -> RestoredSource:
    parts = [_stored(store, manifest, uri) for uri in source.outputs]
    return RestoredSource(
        source=source,
        schema=parts[0].schema,
        batches=(batch for part in parts for batch in part.batches()),
    )


def _reordered(
    store: Store,
    manifest: Manifest,
    group: Sequence[RewrittenSource],
    folder: Path,
    memory_bytes: int,
) -> Iterator[RestoredSource]:
    parts = [_stored(store, manifest, uri) for uri in group[0].outputs]
    rows = sum(source.rows for source in group)
    total = sum(part.decoded_bytes for part in parts)
    limit = bucket_bytes_for(total, memory_bytes)
    step = max(1, limit * max(1, rows) // max(1, total))
    starts = np.arange(0, max(1, rows), step, dtype=np.int64)
    schema = parts[0].schema
    buckets = Buckets(folder, schema, starts, memory_bytes // _HELD_SHARE)
    with disk_errors(folder):
        for part in parts:
            for batch in part.batches():
                buckets.add(batch, batch[POSITION].to_numpy())
        ordered = _Cut(buckets.rows())
        for source in group:
            metadata = decode_metadata(source.metadata or {})
            own = without_field(schema)
            yield RestoredSource(
                source=source,
                schema=own.with_metadata(metadata or None),
                batches=ordered.take(source.rows),
            )


class _Cut:
    """Takes so many rows after another off a sequence of batches."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._rest: pa.RecordBatch | None = None

    def take(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The next rows, without their positions."""
        while rows > 0:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            if batch is None:
                return
            chosen = batch.slice(0, rows)
            self._rest = batch.slice(rows) if batch.num_rows > rows else None
            rows -= chosen.num_rows
            yield without_position(chosen)
