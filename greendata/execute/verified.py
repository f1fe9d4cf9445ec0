"""Copies that are created only where nothing is, carry what is beside the content, and are proved.

Whatever this program writes carries the id of its step in its metadata, so that a step that is
tried again knows its own work. Local files have no metadata: there equal bytes, at a name that was
free before, are the same work.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    GreendataError,
    IntegrityError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UnsupportedError,
)
from greendata.execute.handlers.base import planned_details
from greendata.execute.records import Action, Outcome, Survivor, skipped
from greendata.stores.local import SCHEME as LOCAL
from greendata.stores.records import IF_ABSENT, Condition, Properties, Written
from greendata.stores.transfer import (
    PART_BYTES,
    read_part,
    sha256_of,
    sha256_of_file,
    upload,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from greendata.execute.handlers.base import Context
    from greendata.model import StoredObject
    from greendata.stores.base import Store
    from greendata.stores.records import ObjectDetails, UploadPart

STEP_KEY = "greendatastep"
"""Metadata of what a step wrote; a name that S3 and Azure both take."""

STAGING = "staging"
"""Folder, below ``.greendata/``, of what has no name of its own yet."""

MOST_PARTS = 10_000
"""Of a multipart upload to S3; Azure takes 50 000 blocks."""

_UNREADABLE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE", "Archive", "ARCHIVE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A stored object that was read back; ``made_at`` is by the clock of its store."""

    uri: str
    store_id: str
    etag: str
    size_bytes: int
    sha256: str
    version_id: str | None = None
    made_at: datetime | None = None
    moved_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "uri": self.uri,
            "store_id": self.store_id,
            "etag": self.etag,
            "version_id": self.version_id,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }

    def as_survivor(self) -> Survivor:
        """As what stands for others."""
        return Survivor(
            uri=self.uri,
            store_id=self.store_id,
            etag=self.etag,
            version_id=self.version_id,
            basis=f"sha256:{self.sha256}",
        )


def copy_from(document: Mapping[str, Any]) -> Copy:
    """What the journal has."""
    names = ("uri", "store_id", "etag", "version_id", "size_bytes", "sha256")
    return Copy(**{name: document[name] for name in names})


def copy_of(item: StoredObject, sha256: str) -> Copy:
    """A stored object that was read, as a record."""
    return Copy(
        uri=item.uri,
        store_id=item.store_id,
        etag=item.etag,
        version_id=item.version_id,
        size_bytes=item.size_bytes,
        sha256=sha256,
        made_at=item.modified_at,
    )


def current_details(action: Action, context: Context) -> ObjectDetails | Outcome:
    """The planned object, if it is the current version and may be read and changed."""
    found = planned_details(replace(action, version_id=None), context, is_read=True)
    if isinstance(found, Outcome) or action.version_id in (None, found.item.version_id):
        return found
    return skipped("changed", f"{action.uri}: a newer version has its name.")


def found_at(store: Store, uri: str) -> ObjectDetails | None:
    """What is there now, if anything is."""
    try:
        return store.details(uri)
    except ObjectNotFoundError:
        return None


def is_local(uri: str) -> bool:
    """Whether it is a file of this machine."""
    return uri.startswith(LOCAL)


def is_of_step(found: ObjectDetails, step: str) -> bool:
    """Whether the step wrote it; of local files nothing tells."""
    return found.metadata.get(STEP_KEY) == step


def properties_of(details: ObjectDetails, store: Store) -> Properties:
    """All that is beside the content, tags too.

    Raises:
        UnsupportedError: the store does not tell all of it.
    """
    return details.as_properties(tags_of(details, store))


def tags_of(details: ObjectDetails, store: Store) -> dict[str, str]:
    """The tags of exactly this version, if its store has any."""
    if details.tag_count == 0:
        return {}
    try:
        return store.tags(details.item.uri, version_id=details.item.version_id)
    except UnsupportedError:
        return {}


def marked(properties: Properties, step: str) -> Properties:
    """The same, and whose work it is."""
    return replace(properties, metadata={**properties.metadata, STEP_KEY: step})


def is_unreadable(storage_class: str | None) -> bool:
    """Whether what is written in this class cannot be read back."""
    return storage_class in _UNREADABLE_CLASSES


def send(
    store: Store,
    item: StoredObject,
    target: str,
    *,
    condition: Condition = IF_ABSENT,
    properties: Properties,
) -> tuple[Written, str]:
    """Copy through this machine, a part at a time; what was written, and SHA-256 of what was read.

    Raises:
        PreconditionFailedError: the source is another one by now, or ``condition`` does not hold.
        IntegrityError: the source is shorter than it was.
    """
    total = hashlib.sha256()
    if item.size_bytes <= PART_BYTES:
        content = read_part(store, item, 0, item.size_bytes)
        total.update(content)
        written = store.put(target, content, condition=condition, properties=properties)
        return written, total.hexdigest()
    pending = store.start_upload(target, properties)
    try:
        step = max(PART_BYTES, -(-item.size_bytes // MOST_PARTS))
        parts: list[UploadPart] = []
        for start in range(0, item.size_bytes, step):
            content = read_part(store, item, start, min(step, item.size_bytes - start))
            total.update(content)
            parts.append(store.put_part(pending, len(parts) + 1, content))
        return store.complete_upload(pending, parts, condition=condition), total.hexdigest()
    except GreendataError:
        store.abort_upload(target, pending.upload_id)
        raise


def staging_uri(context: Context, near: str, step: str) -> str:
    """Where a step keeps what has no name yet, in the root of ``near``."""
    return context.own_uri(near, STAGING, step, "0")


def stage(
    path: Path, near: str, context: Context, step: str, properties: Properties
) -> tuple[StoredObject, str]:
    """Store a local file where nobody looks for it, and read it back; its SHA-256.

    It has the content type and all else already, which Azure copies from it, but for its class.

    Raises:
        IntegrityError: what was stored is not the file; it was removed.
    """
    store = context.store
    uri = staging_uri(context, near, step)
    digest = sha256_of_file(path)
    sweep_uploads(store, uri)
    there = found_at(store, uri)
    if there is not None:  # of a try that was killed, whole or not
        drop_staged(store, uri)
    with suppress(PreconditionFailedError):  # an answer was lost
        upload(
            store,
            path,
            uri,
            condition=IF_ABSENT,
            properties=replace(properties, storage_class=None),
        )
    staged = store.details(uri).item
    if staged.size_bytes != path.stat().st_size or sha256_of(store, staged) != digest:
        drop_staged(store, uri)
        raise IntegrityError(f"{uri}: what was stored is not what was written.")
    return staged, digest


def sweep_uploads(store: Store, uri: str) -> None:
    """Throw away what an earlier attempt of the step left half sent at exactly this URI."""
    for pending in list(store.uploads(uri)):
        if pending.uri == uri:
            store.abort_upload(uri, pending.upload_id)


def drop_staged(store: Store, uri: str) -> None:
    """Remove what was staged, without a trace where versions are kept."""
    found = found_at(store, uri)
    if found is not None:
        store.delete(uri, version_id=found.item.version_id)


def publish(
    staged: StoredObject,
    target: str,
    context: Context,
    *,
    condition: Condition = IF_ABSENT,
    properties: Properties,
) -> tuple[Written, int]:
    """Give what was staged and read back its name; one conditional write, and bytes moved for it.

    Raises:
        PreconditionFailedError: of ``condition``; nothing was written.
    """
    store = context.store
    if context.way_of(target).copies_conditionally:
        try:
            written = store.copy(
                staged.uri,
                target,
                source_etag=staged.etag,
                source_version_id=staged.version_id,
                condition=condition,
                properties=properties,
            )
        except UnsupportedError:
            pass  # it is in another store
        else:
            return written, 0
    written, _ = send(store, staged, target, condition=condition, properties=properties)
    return written, 2 * staged.size_bytes


def drop_staging(context: Context, step: str, *uris: str) -> None:
    """Remove all that a step staged near these, half sent or whole."""
    for uri in sorted({staging_uri(context, near, step) for near in uris}):
        sweep_uploads(context.store, uri)
        drop_staged(context.store, uri)


def make_copy(
    details: ObjectDetails,
    target: str,
    properties: Properties,
    context: Context,
    *,
    step: str,
    is_resumed: bool,
) -> Copy | Outcome:
    """Copy the object that ``details`` tells of, unless the step did before; both sides are read.

    The copy has ``properties`` and the mark of the step. Where its class cannot be read, it is
    verified before it gets its name.

    Raises:
        PreconditionFailedError: the source is another one by now.
        IntegrityError: what was stored is not what was read; it was removed.
    """
    store, item = context.store, details.item
    there = found_at(store, target)
    if there is not None and not _may_be_ours(there, details, step, is_resumed=is_resumed):
        return _taken(target)
    etag, digest, moved = None, None, 0
    is_ours = there is not None and is_of_step(there, step)
    if there is None:
        wanted = marked(properties, step)
        etag, digest, moved = _write(details, target, wanted, context, step, is_resumed=is_resumed)
        there = store.details(target)
        is_ours = is_of_step(there, step) or there.item.etag == etag
        if not is_ours:  # somebody was there at once
            return _taken(target)
    if is_ours and not is_local(target):
        _require_beside(marked(properties, step), there, context, is_new=there.item.etag == etag)
    try:
        if digest is None:
            digest, moved = sha256_of(store, item), moved + item.size_bytes
    except (ObjectChangedError, ObjectNotFoundError):
        if is_ours:
            withdraw(there, context)  # it may hold either
        raise
    is_same = there.item.size_bytes == item.size_bytes
    if is_same and not is_unreadable(there.item.storage_class):  # else it was read when staged
        is_same, moved = sha256_of(store, there.item) == digest, moved + item.size_bytes
    if not is_same:
        if not is_ours:
            return _taken(target)
        withdraw(there, context)
        raise IntegrityError(f"{target}: what was stored is not what was read of {item.uri}.")
    if is_resumed:
        drop_staged(store, staging_uri(context, target, step))
    return replace(copy_of(there.item, digest), moved_bytes=moved)


def _require_beside(
    wanted: Properties, there: ObjectDetails, context: Context, *, is_new: bool
) -> None:
    """Raises unless the copy has all that was written beside its content; a new one goes then."""
    lost = wanted.lost_in(there)
    if lost:
        if is_new:
            withdraw(there, context)
        raise IntegrityError(f"{there.item.uri}: the store did not keep the {lost} of the object.")


def withdraw(there: ObjectDetails, context: Context) -> bool:
    """Remove an object that this step wrote and nobody was told of; whether that was possible."""
    item = there.item
    way = context.way_of(item.uri)
    if item.version_id is not None:
        context.store.delete(item.uri, version_id=item.version_id)
    elif way.deletes_conditionally:
        context.store.delete(item.uri, etag=item.etag)
    elif way.is_exclusive:
        context.store.delete(item.uri)
    else:
        return False
    return True


def _taken(target: str) -> Outcome:
    return skipped("conflict", f"{target}: an object of somebody else has this name.")


def _may_be_ours(
    there: ObjectDetails, source: ObjectDetails, step: str, *, is_resumed: bool
) -> bool:
    if is_local(there.item.uri):
        return is_resumed and there.item.size_bytes == source.item.size_bytes
    return is_of_step(there, step)


def _write(
    details: ObjectDetails,
    target: str,
    properties: Properties,
    context: Context,
    step: str,
    *,
    is_resumed: bool,
) -> tuple[str | None, str | None, int]:
    """Make the copy; its ETag if that is known, SHA-256 of the source if it was read for that, and
    bytes moved."""
    store, item = context.store, details.item
    is_sealed = is_unreadable(properties.storage_class)
    try:
        if not is_sealed and context.way_of(target).copies_conditionally:
            try:
                written = store.copy(
                    item.uri,
                    target,
                    source_etag=item.etag,
                    condition=IF_ABSENT,
                    properties=properties,
                )
            except UnsupportedError:
                pass  # it is in another store
            else:
                return written.etag, None, 0
        if item.size_bytes <= PART_BYTES and not is_sealed:
            written, digest = send(store, item, target, properties=properties)
            return written.etag, digest, 2 * item.size_bytes
        return _write_staged(details, target, properties, context, step, is_resumed=is_resumed)
    except PreconditionFailedError:
        # an answer may have been lost: what is there now tells
        there = found_at(store, target)
        if there is None or not _may_be_ours(there, details, step, is_resumed=True):
            raise
        return None, None, 0


def _write_staged(
    details: ObjectDetails,
    target: str,
    properties: Properties,
    context: Context,
    step: str,
    *,
    is_resumed: bool,
) -> tuple[str, str, int]:
    """By way of a key of our own, so that nothing half sent is ever left beside other objects."""
    store, item = context.store, details.item
    uri = staging_uri(context, target, step)
    if is_resumed:
        sweep_uploads(store, uri)
        if not context.way_of(target).copies_conditionally:
            sweep_uploads(store, target)
        drop_staged(store, uri)
    beside = replace(properties, storage_class=None)
    _, digest = send(store, item, uri, properties=beside)
    staged = store.details(uri).item
    if sha256_of(store, staged) != digest:
        drop_staged(store, uri)
        raise IntegrityError(f"{uri}: what was stored is not what was read of {item.uri}.")
    written, moved = publish(staged, target, context, properties=properties)
    drop_staged(store, uri)
    return written.etag, digest, 3 * item.size_bytes + moved
