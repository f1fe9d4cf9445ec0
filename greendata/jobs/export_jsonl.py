"""``greendata export-jsonl``: JSON Lines objects again, of what recompress made of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.config import StoreSettings
from greendata.errors import IntegrityError, UsageError
from greendata.jobs.destination import check_apart, target_names
from greendata.jobs.recompress_records import SkippedSource
from greendata.jobs.restoring import RestoredSource, restored_sources, rewritten_sources
from greendata.model import SCHEMA_VERSION
from greendata.recompress.manifest import read_manifest
from greendata.recompress.publishing import Destination
from greendata.recompress.rendering import restore_lines
from greendata.recompress.rolling import disk_errors
from greendata.recompress.sources import Grade
from greendata.recompress.workfolder import work_folder
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    from greendata.progress import Progress

_FORMAT = "jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJsonlRequest:
    """Which place, and where the lines go."""

    place: str
    destination: str
    stores: tuple[StoreSettings, ...] = ()
    memory_bytes: int = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedLines:
    """A written object; ``is_exact``: it is, byte for byte, what the source decoded to."""

    source_uri: str
    uri: str
    size_bytes: int
    records: int
    sha256: str
    is_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJsonlSummary:
    """What was written; ``skipped`` were no JSON Lines."""

    place: str
    destination: str
    objects: tuple[ExportedLines, ...]
    skipped: tuple[SkippedSource, ...]
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``export-jsonl --json``."""
        return asdict(self)


def export_jsonl(request: ExportJsonlRequest, *, progress: Progress) -> ExportJsonlSummary:
    """Write the lines of every source that was JSON Lines; compressed ones are written plain.

    Raises:
        UsageError: the destination is not empty, or no source was JSON Lines.
        IntegrityError: of grade exact, the bytes are not those of the source; nothing is published.
    """
    with work_folder("export") as folder:
        return _Exporting(request, folder, progress).run()


@dataclass(slots=True)
class _Exporting:
    request: ExportJsonlRequest
    folder: Path
    progress: Progress
    store: Stores = field(init=False)

    def __post_init__(self) -> None:
        self.store = Stores(self.request.stores)

    def run(self) -> ExportJsonlSummary:
        request = self.request
        manifest = read_manifest(self.store, request.place)
        known = [s for s in rewritten_sources(manifest) if s.format == _FORMAT]
        if not known:
            raise UsageError(
                f"{request.place}: none of its sources was JSON Lines.",
                hint="pyarrow, DuckDB or polars read its Parquet and write what is needed.",
            )
        check_apart([request.place], request.destination)
        names = target_names(
            manifest.document["roots"], request.destination, [s.uri for s in known], ".jsonl"
        )
        destination = Destination(
            store=self.store,
            place=request.destination,
            request={"export-jsonl": manifest.document["checksum"]},
        )
        destination.open()
        self.progress.stage("exporting", sum(entry.size_bytes for entry in manifest.objects))
        made: list[ExportedLines] = []
        skipped: list[SkippedSource] = []
        found = restored_sources(self.store, manifest, self.folder, request.memory_bytes)
        for entry in found:
            if entry.source.format == _FORMAT:
                made.append(self._write(entry, destination, names[entry.source.uri]))
                continue
            for _ in entry.batches:  # the next source's rows come after these
                pass
            skipped.append(
                SkippedSource(
                    uri=entry.source.uri,
                    reason="not-json-lines",
                    detail=f"it was {entry.source.format}",
                )
            )
        destination.close()
        return ExportJsonlSummary(
            place=request.place,
            destination=request.destination,
            objects=tuple(made),
            skipped=tuple(skipped),
        )

    def _write(self, entry: RestoredSource, destination: Destination, target: str) -> ExportedLines:
        source = entry.source
        path = self.folder / "lines"
        total = hashlib.sha256()
        with disk_errors(self.folder), path.open("wb") as stream:
            for piece in restore_lines(entry.batches, entry.schema.metadata or {}):
                total.update(piece)
                stream.write(piece)
        is_exact = source.grade == Grade.EXACT.value
        if is_exact and total.hexdigest() != source.content_sha256:
            raise IntegrityError(
                f"{source.uri}: the lines made of {self.request.place} are not its bytes.",
                hint=f"Look with: greendata verify {self.request.place} --full",
            )
        size = path.stat().st_size
        destination.put_file(path, target.removeprefix(f"{destination.place.rstrip('/')}/"))
        path.unlink()
        self.progress.advance(source.size_bytes)
        return ExportedLines(
            source_uri=source.uri,
            uri=target,
            size_bytes=size,
            records=source.rows,
            sha256=total.hexdigest(),
            is_exact=is_exact,
        )
