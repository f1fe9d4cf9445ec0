"""Copies between any two places, create-only, and whether two objects have the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.errors import IntegrityError, UnsupportedError
from greendata.execute.verified import properties_of, send
from greendata.stores.records import IF_ABSENT
from greendata.stores.transfer import sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from greendata.execute.handlers.base import Context
    from greendata.model import StoredObject
    from greendata.stores.records import ObjectDetails, Written

_COMPARED = ("sha256", "crc64nvme", "md5")
"""Checksums of the whole content that stores tell; equal ones spare reading both."""


def copy_object(
    item: StoredObject,
    target: str,
    context: Context,
) -> Written:
    """Copy exactly this version to where nothing is, with all that is beside its content.

    Inside one store that compares preconditions the bytes do not come here; else they are streamed
    in parts.

    Raises:
        PreconditionFailedError: the source is another version by now, or something is there.
        ObjectArchivedError, ObjectNotFoundError: of the source.
        IntegrityError: the source ends early.
    """
    is_same_root = context.way_of(item.uri).root == context.way_of(target).root
    if is_same_root and context.way_of(item.uri).copies_conditionally:
        try:
            return context.store.copy(
                item.uri,
                target,
                source_etag=item.etag,
                source_version_id=item.version_id,
                condition=IF_ABSENT,
            )
        except UnsupportedError:
            pass
    details = context.store.details(item.uri, version_id=item.version_id)
    properties = properties_of(details, context.store)
    return send(context.store, item, target, properties=properties)[0]


def require_same_bytes(one: StoredObject, other: StoredObject, context: Context) -> None:
    """Raises unless two objects, as they are stored, have the same bytes.

    What both stores have as a checksum of the whole content is compared; else both are read.

    Raises:
        IntegrityError: they differ.
        PreconditionFailedError, ObjectArchivedError, ObjectNotFoundError.
    """
    _require_same(one, other, context, with_beside=False)


def require_whole_copy(one: StoredObject, copy: StoredObject, context: Context) -> None:
    """Raises unless a copy has the same bytes, and beside them all that the object has.

    Raises:
        IntegrityError: something is lost.
        PreconditionFailedError, ObjectArchivedError, ObjectNotFoundError.
    """
    _require_same(one, copy, context, with_beside=True)


def _require_same(
    one: StoredObject, other: StoredObject, context: Context, *, with_beside: bool
) -> None:
    unlike = IntegrityError(f"{other.uri}: does not have the bytes of {one.uri}.")
    if one.size_bytes != other.size_bytes:
        raise unlike
    first = context.store.details(one.uri, version_id=one.version_id)
    second = context.store.details(other.uri, version_id=other.version_id)
    lost = lost_beside(first, second) if with_beside else ""
    if lost:
        raise IntegrityError(f"{other.uri}: lost the {lost} of {one.uri}.")
    if (first.item.etag, second.item.etag) == (one.etag, other.etag):
        is_same = same_checksum(first.checksums, second.checksums)
        if is_same is False:
            raise unlike
        if is_same:
            return
    if digest_of(one, context) != digest_of(other, context):
        raise unlike


def same_checksum(one: Mapping[str, str], other: Mapping[str, str]) -> bool | None:
    """Whether two contents are the same by their checksums; None where they have none alike."""
    for name in _COMPARED:
        if name in one and name in other:
            return one[name] == other[name]
    return None


def lost_beside(before: ObjectDetails, after: ObjectDetails) -> str:
    """What an object had beside its content and its copy has not, in words; empty if all is there.

    Of tags the number is compared: nothing else is told without asking for them.
    """
    lost = before.lost_in(after)
    if (before.tag_count or 0) != (after.tag_count or 0):
        lost = f"{lost}, tags" if lost else "tags"
    return lost


def digest_of(item: StoredObject, context: Context) -> str:
    """SHA-256 of the stored bytes of exactly this version, read now."""
    return sha256_of(context.store, item)
