"""Writing sources as verified Parquet: one by one in their order, or many in another."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from greendata import __version__
from greendata.errors import GreendataError, ObjectChangedError
from greendata.recompress.columnar import StoredRows, stored_schema, to_stored
from greendata.recompress.digests import FileDigest, row_digests
from greendata.recompress.positions import SourceDigests, with_positions
from greendata.recompress.publishing import (
    Destination,
    Staged,
    not_the_same,
    publish_verified,
    read_digest,
)
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.rendering import restore_lines
from greendata.recompress.rolling import LocalFile, RollingWriter, disk_errors
from greendata.recompress.sources import SOURCE_KEY, WRITER_KEY, Grade
from greendata.shards.base import translated_errors
from greendata.stores.local import path_to_uri

if TYPE_CHECKING:
    from greendata.progress import Progress
    from greendata.recompress.manifest import ManifestObject
    from greendata.recompress.order import Buckets, Ranks
    from greendata.recompress.sources import Source
    from greendata.shards.writer import WriterProfile
    from greendata.stores.base import Store

OnBatch = Callable[[int, pa.RecordBatch], None]
"""Called with the number of the first row."""


class Watch:
    """Processor seconds of all threads by what they were spent on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count what this thread does meanwhile."""
        started = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - started
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A source and what became of it.

    Attributes:
        digest: of its rows.
        files: local ones, of this source alone; those of a group are with the group.
    """

    source: Source
    digest: FileDigest
    files: tuple[LocalFile, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Of the files."""
        return sum(entry.size_bytes for entry in self.files)


@dataclass(slots=True)
class Rewriter:
    """What writing needs to know, and what it has learnt."""

    store: Store
    profile: WriterProfile
    folder: Path
    progress: Progress
    grade: Grade = Grade.LOGICAL
    watch: Watch = field(default_factory=Watch)

    def write(self, source: Source, name: str) -> Written:
        """All rows of a source, in order, to local files."""
        schema = stored_schema(source.schema)

        def batches() -> Iterator[pa.RecordBatch]:
            done = rows = 0
            for batch in source.batches():
                yield batch
                rows += batch.num_rows
                done = self._advance(source, done, rows)

        found, files = self.write_rows(
            source.item.uri, name, schema, batches(), self.metadata([source])
        )
        self.check_unchanged(source)
        if self.grade is Grade.EXACT:
            self._check_lines(source, self._read_back(files))
        return Written(source=source, digest=found, files=files)

    def _read_back(self, files: Sequence[LocalFile]) -> Iterator[pa.RecordBatch]:
        for entry in files:
            item = self.store.head(path_to_uri(str(entry.path)))
            yield from StoredRows(self.store, item).batches()

    def _check_lines(self, source: Source, batches: Iterable[pa.RecordBatch]) -> None:
        """Raises RefusedSourceError when these rows do not give the bytes of the source."""
        total = hashlib.sha256()
        with self.watch.on("all"), self.watch.on("proof"):
            for piece in restore_lines(batches, source.metadata):
                total.update(piece)
        if total.hexdigest() != source.content_sha256:
            raise RefusedSourceError(
                f"{source.item.uri}: its lines cannot be restored byte for byte.",
                reason=RefusalReason.NOT_RESTORABLE,
                hint="Use --grade logical, which keeps all values.",
            )

    def write_rows(
        self,
        uri: str,
        name: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        metadata: Mapping[bytes, bytes],
    ) -> tuple[FileDigest, tuple[LocalFile, ...]]:
        """Rows of ``uri`` to local files, as the stored ``schema`` has them, and their digest."""
        found = FileDigest()
        with (
            translated_errors(uri),
            disk_errors(self.folder),
            self.watch.on("all"),
            RollingWriter(self.folder, name, schema, self.profile, metadata) as writer,
        ):
            for batch in batches:
                with self.watch.on("proof"):
                    digests = row_digests(batch, schema)
                    found.add(digests, found.rows)
                writer.write(to_stored(batch, schema), digests)
        return found, tuple(writer.files)

    def digest(self, source: Source, on_batch: OnBatch) -> Written:
        """Read a source for the digest of its rows; ``on_batch(first row, batch)`` sees them."""
        schema = stored_schema(source.schema)
        found = FileDigest()
        with translated_errors(source.item.uri), self.watch.on("all"):
            for batch in source.batches():
                on_batch(found.rows, batch)
                with self.watch.on("proof"):
                    found.add(row_digests(batch, schema), found.rows)
        if self.grade is Grade.EXACT:
            self._check_lines(source, source.batches())
        return Written(source=source, digest=found)

    def write_ordered(
        self,
        group: Sequence[Written],
        starts: Sequence[int],
        ranks: Ranks,
        buckets: Buckets,
        schema: pa.Schema,
        name: str,
    ) -> tuple[LocalFile, ...]:
        """The rows of all sources of a group by rank, with their positions, to local files."""
        import numpy as np

        with self.watch.on("all"):
            for entry, start in zip(group, starts, strict=False):
                position, done = start, 0
                with translated_errors(entry.source.item.uri), disk_errors(self.folder):
                    for batch in entry.source.batches():
                        positions = np.arange(position, position + batch.num_rows)
                        stored = to_stored(batch, stored_schema(entry.source.schema))
                        buckets.add(
                            with_positions(stored, positions, schema), ranks.of_position[positions]
                        )
                        position += batch.num_rows
                        done = self._advance(entry.source, done, position - start)
                self.check_unchanged(entry.source)
            metadata = self.metadata([entry.source for entry in group])
            with (
                translated_errors(str(self.folder)),
                disk_errors(self.folder),
                RollingWriter(self.folder, name, schema, self.profile, metadata) as writer,
            ):
                for batch in buckets.rows():
                    writer.write(batch, None)
        return tuple(writer.files)

    def check_unchanged(self, source: Source) -> None:
        """Raises ObjectChangedError when the source is another object by now."""
        if self.store.head(source.item.uri).etag != source.item.etag:
            raise ObjectChangedError(
                f"{source.item.uri}: changed while it was read.",
                hint="Run again once nobody writes to it.",
            )

    def publish(
        self, destination: Destination, files: Sequence[LocalFile], names: Sequence[str]
    ) -> list[ManifestObject]:
        """Store files, read them back, compare, and name them."""
        made = []
        for entry, name in zip(files, names, strict=True):
            with self.watch.on("all"), self.watch.on("publish"):
                made.append(publish_verified(destination, entry, name))
        return made

    def publish_ordered(
        self,
        destination: Destination,
        group: Sequence[Written],
        starts: Sequence[int],
        files: Sequence[LocalFile],
        names: Sequence[str],
    ) -> list[ManifestObject]:
        """The same for rows in another order: they are compared when all can be read back."""
        found = SourceDigests(starts)
        staged: list[Staged] = []
        digests: list[FileDigest] = []
        try:
            for entry, name in zip(files, names, strict=True):
                staged.append(destination.stage(entry.path, name))
                entry.path.unlink()
                with self.watch.on("all"), self.watch.on("publish"):
                    digests.append(read_digest(self.store, staged[-1].item, found.add))
            wrong = found.wrong([entry.digest for entry in group])
            if wrong or sum(digest.rows for digest in digests) != starts[-1]:
                raise not_the_same(destination.place)
            pairs = zip(staged, digests, strict=True)
            return [destination.publish(stored, digest) for stored, digest in pairs]
        except GreendataError:
            for stored in staged:
                destination.drop(stored)
            raise

    def _advance(self, source: Source, done: int, rows: int) -> int:
        """Tell the progress how many stored bytes stand for the rows so far."""
        now = source.item.size_bytes * min(rows, source.rows) // max(1, source.rows)
        self.progress.advance(now - done)
        return now

    def metadata(self, sources: Sequence[Source]) -> dict[bytes, bytes]:
        """What a file says of how it was made: nothing that differs from run to run."""
        import json

        writer: dict[str, Any] = {
            "greendata": __version__,
            "pyarrow": pa.__version__,
            "profile": self.profile.name,
            "level": self.profile.level,
        }
        made = {WRITER_KEY: json.dumps(writer).encode()}
        if len(sources) == 1:
            source = sources[0]
            said = {"uri": source.item.uri, "sha256": source.sha256, "rows": source.rows}
            made[SOURCE_KEY] = json.dumps(said).encode()
        return made
