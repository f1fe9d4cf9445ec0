"""``greendata restore-order``: a place that was ordered by similarity, in its first order."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.config import StoreSettings
from greendata.errors import IntegrityError, UsageError
from greendata.jobs.destination import check_apart, part_names, target_names
from greendata.jobs.recompress_records import RewrittenSource
from greendata.jobs.restoring import RestoredSource, restored_sources, rewritten_sources
from greendata.jobs.rewriting import Rewriter
from greendata.model import SCHEMA_VERSION
from greendata.recompress.manifest import (
    Manifest,
    ManifestObject,
    make_manifest,
    read_manifest,
    write_manifest,
)
from greendata.recompress.publishing import Destination
from greendata.recompress.workfolder import work_folder
from greendata.shards.writer import PROFILES, changed_profile
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    from greendata.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """Which place, and where its rows go in their first order."""

    place: str
    destination: str
    stores: tuple[StoreSettings, ...] = ()
    profile: str = "stream"
    memory_bytes: int = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreSummary:
    """What was written: the rows of each source, in an object or more of its own."""

    place: str
    destination: str
    objects: tuple[ManifestObject, ...]
    sources: tuple[RewrittenSource, ...]
    rows: int
    size_bytes_in: int
    size_bytes_out: int
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``restore-order --json``."""
        return asdict(self) | {"objects": [entry.as_dict() for entry in self.objects]}


def restore_order(request: RestoreRequest, *, progress: Progress, now: datetime) -> RestoreSummary:
    """Write the rows as their sources had them; each source's ordered digest proves it.

    Raises:
        UsageError: the place is in its first order already, or the destination is not empty.
        IntegrityError: rows are not those of the source.
    """
    with work_folder("restore") as folder:
        return _Restoring(request, folder, progress, now).run()


@dataclass(slots=True)
class _Restoring:
    request: RestoreRequest
    folder: Path
    progress: Progress
    now: datetime
    store: Stores = field(init=False)
    rewriter: Rewriter = field(init=False)
    objects: list[ManifestObject] = field(default_factory=list)
    sources: list[RewrittenSource] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Stores(self.request.stores)
        self.rewriter = Rewriter(
            store=self.store,
            profile=changed_profile(PROFILES[self.request.profile], is_similar=False),
            folder=self.folder,
            progress=self.progress,
        )

    def run(self) -> RestoreSummary:
        request = self.request
        manifest = read_manifest(self.store, request.place)
        known = rewritten_sources(manifest)
        if not any(source.group is not None for source in known):
            raise UsageError(f"{request.place}: its rows are in their first order already.")
        check_apart([request.place], request.destination)
        identity = {"restore-order": manifest.document["checksum"], "profile": request.profile}
        destination = Destination(store=self.store, place=request.destination, request=identity)
        destination.open()
        names = target_names(
            manifest.document["roots"], request.destination, [source.uri for source in known]
        )
        before = f"{request.destination.rstrip('/')}/"
        self.progress.stage("restoring", sum(entry.size_bytes for entry in manifest.objects))
        found = restored_sources(self.store, manifest, self.folder, request.memory_bytes)
        for number, entry in enumerate(found):
            self._write(number, entry, destination, names[entry.source.uri].removeprefix(before))
        self._conclude(manifest)
        destination.close()
        return RestoreSummary(
            place=request.place,
            destination=request.destination,
            objects=tuple(self.objects),
            sources=tuple(self.sources),
            rows=sum(entry.rows for entry in self.objects),
            size_bytes_in=sum(entry.size_bytes for entry in manifest.objects),
            size_bytes_out=sum(entry.size_bytes for entry in self.objects),
        )

    def _write(
        self, number: int, entry: RestoredSource, destination: Destination, target: str
    ) -> None:
        source = entry.source
        digest, files = self.rewriter.write_rows(
            source.uri, f"source-{number}", entry.schema, entry.batches, self.rewriter.metadata([])
        )
        parts = digest.as_dict()
        if (parts["rows"], parts["ordered"]) != (source.rows, source.row_digest):
            raise IntegrityError(
                f"{source.uri}: its rows in {self.request.place} are not those it had.",
                hint=f"Look with: greendata verify {self.request.place} --full",
            )
        made = self.rewriter.publish(destination, files, part_names(target, len(files)))
        self.progress.advance(sum(each.size_bytes for each in files))
        self.objects += made
        self.sources.append(
            replace(
                source,
                outputs=tuple(each.uri for each in made),
                group=None,
                first_position=None,
                metadata=None,
            )
        )

    def _conclude(self, manifest: Manifest) -> None:
        self.objects.sort(key=lambda entry: entry.uri)
        place = self.request.destination
        more = {
            "command": "restore-order",
            "made_at": self.now.isoformat(),
            "restored_from": {
                "place": manifest.place,
                "checksum": manifest.document["checksum"],
            },
            "roots": manifest.document["roots"],
            "is_reordered": False,
            "sources": [asdict(source) for source in self.sources],
        }
        write_manifest(self.store, place, make_manifest(place, self.objects, more))
