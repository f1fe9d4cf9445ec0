"""Whether what stands for an object in quarantine still does, right before it is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.errors import ObjectNotFoundError
from greendata.execute.copying import digest_of, same_checksum
from greendata.execute.records import Outcome, Survivor, skipped

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Context
    from greendata.execute.quarantine import Quarantined
    from greendata.model import StoredObject
    from greendata.stores.records import ObjectDetails

BYTES = "sha256:"
"""A survivor's basis that begins so has the very bytes of the object, or of what was made of it."""

ROWS = "rows:"
"""A basis that begins so, and ends with their number: all its rows stand in its survivors."""


def survived(
    held: Quarantined, survivor: Survivor, details: ObjectDetails, context: Context
) -> Outcome | str:
    """The survivor, read now; its SHA-256 where that of the object is the same."""
    try:
        there = context.store.details(survivor.uri)
    except ObjectNotFoundError:
        return skipped("no-survivor", f"{survivor.uri}: is not there any more.")
    if there.is_unreadable:
        return skipped("no-survivor", f"{survivor.uri}: is archived.")
    if _is_same_object(there.item, details.item):
        return skipped("no-survivor", f"{survivor.uri}: is the object in quarantine itself.")
    proved = survivor.basis.removeprefix(BYTES) if survivor.basis.startswith(BYTES) else None
    if proved is None:
        if there.item.etag != survivor.etag:
            return skipped("no-survivor", f"{survivor.uri}: is not what was compared.")
        digest_of(there.item, context)  # raises where it cannot be read to its end
        return ""
    found = digest_of(there.item, context)
    is_other_content = held.cause == "recompress"
    expected = (
        proved if is_other_content or details.is_unreadable else digest_of(details.item, context)
    )
    if found != expected:
        return skipped("no-survivor", f"{survivor.uri}: does not have the bytes any more.")
    return "" if is_other_content else found


def _is_same_object(one: StoredObject, other: StoredObject) -> bool:
    """Whether a survivor is only another name of what is to be removed, such as a link to it."""
    if one.uri.startswith("file:") and other.uri.startswith("file:"):
        return one.etag == other.etag  # which has the inode in it
    return (one.store_id, one.uri, one.version_id) == (other.store_id, other.uri, other.version_id)


def replaced(held: Quarantined, details: ObjectDetails, context: Context) -> Outcome | str:
    """Whether the current version, in another class, has the bytes of an earlier one."""
    try:
        there = context.store.details(held.uri)
    except ObjectNotFoundError:
        return skipped("no-survivor", f"{held.uri}: has no current version.")
    if there.item.size_bytes != details.item.size_bytes:
        return skipped("no-survivor", f"{held.uri}: its current version has another size.")
    archived = [entry for entry in (there, details) if entry.is_unreadable]
    if not archived:
        digest = digest_of(details.item, context)
        if digest_of(there.item, context) != digest:
            return skipped("no-survivor", f"{held.uri}: its current version has other bytes.")
        return digest
    is_same = same_checksum(there.checksums, details.checksums)
    if is_same is False:
        return skipped("no-survivor", f"{held.uri}: its current version has other bytes.")
    if is_same is None and there.item.etag != details.item.etag:
        return skipped("archived", f"{held.uri}: nothing compares it while it is archived.")
    return ""


def is_weak(held: Quarantined) -> bool:
    """Whether only rows prove it, and only ETags said that they are the same: those of local files
    are size, time and inode, which another file may have."""
    is_local = any(uri.startswith("file:") for uri in (held.uri, *(e.uri for e in held.survivors)))
    return is_local and all(entry.basis.startswith(ROWS) for entry in held.survivors)
