"""``greendata verify``: whether what is stored is still what a manifest says.

Quick compares sizes and ETags; full reads everything: SHA-256 of the bytes, the checksum of every
page, and the digests of all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from greendata.config import StoreSettings
from greendata.errors import GreendataError, ObjectNotFoundError
from greendata.model import SCHEMA_VERSION
from greendata.recompress.manifest import Manifest, ManifestObject, read_manifest
from greendata.recompress.publishing import read_digest
from greendata.stores.opening import Stores
from greendata.stores.transfer import sha256_of

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.progress import Progress
    from greendata.stores.base import Store


_OTHER_BYTES = "its bytes are not those that were written: their SHA-256 differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """Which place to verify; ``is_full`` reads every byte."""

    place: str
    stores: tuple[StoreSettings, ...] = ()
    is_full: bool = False
    workers: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedObject:
    """An object of the manifest; ``problem`` is None when nothing is wrong with it."""

    uri: str
    size_bytes: int
    rows: int
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySummary:
    """What was found.

    Attributes:
        is_moved: the objects are not where they were written: ETags were not compared.
        unknown: URIs of objects there that the manifest does not name.
    """

    place: str
    is_full: bool
    is_moved: bool
    objects: tuple[VerifiedObject, ...]
    unknown: tuple[str, ...]
    size_bytes: int
    rows: int
    schema_version: int = SCHEMA_VERSION

    @property
    def damaged(self) -> tuple[VerifiedObject, ...]:
        """Objects with a problem."""
        return tuple(entry for entry in self.objects if entry.problem is not None)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``verify --json``."""
        return asdict(self) | {"damaged": len(self.damaged)}


def verify(request: VerifyRequest, *, progress: Progress) -> VerifySummary:
    """Compare a place with its manifest.

    Raises:
        ObjectNotFoundError: there is no manifest.
        IntegrityError: the manifest itself is damaged.
    """
    store = Stores(request.stores)
    manifest = read_manifest(store, request.place)
    is_moved = manifest.dataset.rstrip("/") != manifest.place
    entries = [_here(entry, manifest) for entry in manifest.objects]
    progress.stage("verifying", sum(entry.size_bytes for entry in entries))

    def look(entry: ManifestObject) -> VerifiedObject:
        try:
            problem = _problem(store, entry, is_full=request.is_full, is_moved=is_moved)
        except GreendataError as error:
            problem = error.message.removeprefix(f"{entry.uri}: ")
        progress.advance(entry.size_bytes)
        return VerifiedObject(
            uri=entry.uri, size_bytes=entry.size_bytes, rows=entry.rows, problem=problem
        )

    with ThreadPoolExecutor(request.workers) as pool:
        found = tuple(pool.map(look, entries))
    found += tuple(_beside(store, manifest, is_full=request.is_full))
    return VerifySummary(
        place=manifest.place,
        is_full=request.is_full,
        is_moved=is_moved,
        objects=found,
        unknown=_unknown(store, manifest.place, entries),
        size_bytes=sum(entry.size_bytes for entry in entries),
        rows=sum(entry.rows for entry in entries),
    )


def _here(entry: ManifestObject, manifest: Manifest) -> ManifestObject:
    """The entry with its URI below the place that was named, should it have been moved."""
    inside = entry.uri.removeprefix(f"{manifest.dataset.rstrip('/')}/")
    return replace(entry, uri=f"{manifest.place}/{inside}")


def _problem(store: Store, entry: ManifestObject, *, is_full: bool, is_moved: bool) -> str | None:
    item = store.head(entry.uri)
    if item.size_bytes != entry.size_bytes:
        return f"has {item.size_bytes} bytes instead of {entry.size_bytes}"
    if is_full:
        return _content_problem(store, item, entry)
    if not is_moved and item.etag != entry.etag:
        return "was written again since: its ETag differs; --full tells whether its content does"
    return None


def _content_problem(store: Store, item: StoredObject, entry: ManifestObject) -> str | None:
    if sha256_of(store, item) != entry.sha256:
        return _OTHER_BYTES
    if not entry.has_rows_of(read_digest(store, item)):
        return "its rows are not those that were written: their digest differs"
    return None


def _beside(store: Store, manifest: Manifest, *, is_full: bool) -> Iterator[VerifiedObject]:
    """The table of what a deduplicated copy leaves out."""
    entry = manifest.document.get("left_out")
    if entry is None:
        return
    uri, size, problem = f"{manifest.place}/{entry['name']}", 0, None
    try:
        item = store.head(uri)
        size = item.size_bytes
        if is_full and sha256_of(store, item) != entry["sha256"]:
            problem = _OTHER_BYTES
    except GreendataError as error:
        problem = error.message.removeprefix(f"{uri}: ")
    yield VerifiedObject(uri=uri, size_bytes=size, rows=entry["rows"], problem=problem)


def _unknown(store: Store, place: str, entries: Sequence[ManifestObject]) -> tuple[str, ...]:
    known = {entry.uri for entry in entries}
    try:
        return tuple(item.uri for item in store.list(place) if item.uri not in known)
    except ObjectNotFoundError:
        return ()
