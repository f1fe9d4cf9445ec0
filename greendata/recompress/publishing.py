"""New objects appear whole, proved and under their final name at once, or not at all.

A file is first stored in a staging folder of the destination that no listing shows. Its rows are
read back from there, every page checksum compared, and digested; only when the digests are those of
the source it is copied to its name, create-only. A killed run leaves nothing but staging, which the
next run into the same place sweeps, and whole objects, which it recognises by their SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    GreendataError,
    IntegrityError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UsageError,
)
from greendata.recompress.columnar import StoredRows
from greendata.recompress.digests import FileDigest, row_digests
from greendata.recompress.manifest import OWN_FOLDER, ManifestObject, manifest_uri
from greendata.recompress.positions import POSITION, without_position
from greendata.stores.base import OWN_FOLDERS
from greendata.stores.records import IF_ABSENT
from greendata.stores.transfer import sha256_of, sha256_of_file, upload

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from greendata.model import StoredObject
    from greendata.recompress.rolling import LocalFile
    from greendata.stores.base import Store

    OnRead = Callable[[pa.RecordBatch, npt.NDArray[np.uint64]], None]

STAGING_FOLDER = ".greendata/staging"
_RUN_NAME = f"{OWN_FOLDER}/run.json"
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A stored object without its name yet; ``sha256`` is that of the file it was made of."""

    name: str
    item: StoredObject
    sha256: str


@dataclass(slots=True)
class Destination:
    """A place that one run fills.

    Attributes:
        request: what is written, as JSON; a run that was killed goes on only with the same.
    """

    store: Store
    place: str
    request: Mapping[str, Any]

    def open(self) -> None:
        """Make sure that the place is empty, or what an earlier run of this request left of it.

        Raises:
            UsageError: something else is there.
        """
        place = self.place.rstrip("/")
        if self._exists(manifest_uri(place)):
            raise UsageError(
                f"{place}: is finished already.", hint="Write to another place, or verify this one."
            )
        raw = json.dumps(self.request, sort_keys=True, indent=1).encode()
        run = f"{place}/{_RUN_NAME}"
        is_begun = self._exists(run)
        is_same = is_begun and self.store.read(run) == raw
        content = None if is_same else self._content()
        if content is not None and is_begun:
            raise UsageError(
                f"{place}: holds an unfinished run of another request, or of sources that changed"
                f" since: {content} is there.",
                hint="Run that one again, or write to another place.",
            )
        if content is not None:
            raise UsageError(
                f"{place}: is not empty: {content} is there.", hint="Name an empty place."
            )
        if is_begun:
            self.sweep()
        if is_begun and not is_same:
            self.store.delete(run)
        if not is_same:
            self.store.put(run, raw, condition=IF_ABSENT)

    def sweep(self) -> None:
        """Remove what a killed run left: staged objects, partial files and open uploads."""
        for item in list(self.store.own_objects(self.place)):
            if f"/{STAGING_FOLDER}/" in item.uri or item.uri.endswith(_PARTIAL):
                self.store.delete(item.uri)
        for pending in list(self.store.uploads(self.place)):
            self.store.abort_upload(pending.uri, pending.upload_id)

    def close(self) -> None:
        """The run is over and its manifest is written: it needs not be recognised any more."""
        self.store.delete(f"{self.place.rstrip('/')}/{_RUN_NAME}")

    def stage(self, path: Path, name: str) -> Staged:
        """Store a local file where nobody looks for it."""
        uri = f"{self.place.rstrip('/')}/{STAGING_FOLDER}/{name}"
        digest = sha256_of_file(path)
        written = upload(self.store, path, uri)
        if written.size_bytes != path.stat().st_size:
            raise IntegrityError(f"{uri}: has not the size that was written.")
        return Staged(name=name, item=self.store.head(uri), sha256=digest)

    def publish(self, staged: Staged, digest: FileDigest) -> ManifestObject:
        """Give a staged object, whose rows were read back and compared, its name.

        Raises:
            UsageError: another object has that name.
        """
        target = f"{self.place.rstrip('/')}/{staged.name}"
        item = staged.item
        try:
            etag = self.store.copy(
                item.uri, target, source_etag=item.etag, condition=IF_ABSENT
            ).etag
        except PreconditionFailedError as error:
            etag = self._same(target, staged.sha256, error)
        self.drop(staged)
        parts = digest.as_dict()
        return ManifestObject(
            uri=target,
            etag=etag,
            size_bytes=item.size_bytes,
            rows=digest.rows,
            sha256=staged.sha256,
            row_digest=parts["ordered"],
            row_set_digest=parts["unordered"],
        )

    def put_file(self, path: Path, name: str) -> str:
        """Store a file that is no data of the dataset; its SHA-256.

        Raises:
            UsageError: another object has that name.
        """
        target = f"{self.place.rstrip('/')}/{name}"
        digest = sha256_of_file(path)
        try:
            upload(self.store, path, target, condition=IF_ABSENT)
        except PreconditionFailedError as error:
            self._same(target, digest, error)
        return digest

    def _same(self, target: str, digest: str, error: PreconditionFailedError) -> str:
        """The ETag of the object that is there, if its content is the one that was meant."""
        found = self.store.head(target)
        if sha256_of(self.store, found) != digest:
            raise UsageError(
                f"{target}: is there already, with other content.",
                hint="Write to an empty place.",
            ) from error
        return found.etag

    def drop(self, staged: Staged) -> None:
        """Remove a staged object."""
        self.store.delete(staged.item.uri)

    def _exists(self, uri: str) -> bool:
        try:
            self.store.head(uri)
        except ObjectNotFoundError:
            return False
        return True

    def _content(self) -> str | None:
        """The URI of something that is there, but for what this program keeps to itself."""
        try:
            for item in self.store.versions(self.place):
                if OWN_FOLDERS.isdisjoint(item.uri.split("/")):
                    return item.uri
        except ObjectNotFoundError:
            pass
        return None


def publish_verified(destination: Destination, file: LocalFile, name: str) -> ManifestObject:
    """Store a local file, read its rows back, compare them with those handed in, and name it.

    The local file is removed.

    Raises:
        IntegrityError: the rows are others; nothing was published.
        UsageError: another object has that name.
    """
    staged = destination.stage(file.path, name)
    try:
        found = read_digest(destination.store, staged.item)
        if found.as_dict() != file.digest.as_dict():
            raise not_the_same(staged.item.uri)
        made = destination.publish(staged, found)
    except GreendataError:
        destination.drop(staged)
        raise
    file.path.unlink()
    return made


def not_the_same(uri: str) -> IntegrityError:
    """The error for rows that changed between a source and what was stored of it."""
    return IntegrityError(
        f"{uri}: the rows that were read back are not those of the source.",
        hint="Nothing of it was published. Check memory and disks, then run again.",
    )


def read_digest(store: Store, item: StoredObject, on_read: OnRead | None = None) -> FileDigest:
    """Digest of the rows of a stored object, page checksums compared, without ``_gd_pos``.

    Raises:
        ShardError: it is damaged.
    """
    found = FileDigest()
    for batch in StoredRows(store, item).batches():
        digests = row_digests(without_position(batch))
        if on_read is not None and POSITION in batch.schema.names:
            on_read(batch, digests)
        found.add(digests, found.rows)
    return found
