"""Putting an object into quarantine, in the form its store has for that; never deleting its bytes.

In a versioned bucket a delete marker hides it. Local files are renamed. Elsewhere it is copied to
``.greendata/quarantine/RUN/STEP/NAME``, the copy is compared, and then the object is deleted under
the condition that it is still the one that was copied. A version that is not the current one stays
where it is and only waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from greendata.errors import (
    GreendataError,
    LockedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnreachableError,
    UnsupportedError,
)
from greendata.execute.copying import copy_object, require_whole_copy
from greendata.execute.quarantine import QUARANTINE, CopyKeptError, Quarantined
from greendata.execute.verified import found_at

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Context
    from greendata.execute.quarantine import Form
    from greendata.execute.records import Action, Survivor
    from greendata.model import StoredObject

_LONGEST_NAME = 100


def retire(
    action: Action,
    item: StoredObject,
    context: Context,
    *,
    grace_days: int,
    survivors: tuple[Survivor, ...] = (),
    is_whole: bool = True,
) -> Quarantined:
    """Put ``item``, the planned object as it is now, into quarantine.

    Raises:
        PreconditionFailedError: it was replaced meanwhile; what replaced it is not touched.
        CopyKeptError: so it was, and its copy waits.
        ObjectHeldError, DeniedError, ObjectArchivedError, UnsupportedError.
        IntegrityError: the copy is not the same; the object is where it was.
    """
    record = _Recorder(action, context, grace_days, survivors, is_whole)
    way = context.way_of(action.uri)
    if action.uri.startswith("file:"):
        moved = _move(action, item, context)
        return record.of("moved", held_uri=moved, held_etag=item.etag)
    if not action.source.get("is_latest", True):  # also where no more versions are kept
        return record.of(
            "version", held_uri=item.uri, held_version_id=item.version_id, held_etag=item.etag
        )
    if not way.is_versioned:
        return _moved_aside(action, item, record, context)
    marker = context.store.delete(action.uri, etag=item.etag).marker_version_id
    if marker is None:  # the answer that named it was lost
        found = _hidden_version(action, context)
        marker = found[0] if found else None
    return record.of(
        "version",
        held_uri=item.uri,
        held_version_id=item.version_id,
        held_etag=item.etag,
        marker_version_id=marker,
    )


def find_retired(
    action: Action,
    context: Context,
    *,
    grace_days: int,
    survivors: tuple[Survivor, ...] = (),
    is_whole: bool = True,
) -> Quarantined | None:
    """What an earlier try of this same step left in quarantine, when the object is gone."""
    record = _Recorder(action, context, grace_days, survivors, is_whole)
    if context.way_of(action.uri).is_versioned:
        found = _hidden_version(action, context)
        if found is None:
            return None
        marker, version = found
        return record.of(
            "version",
            held_uri=action.uri,
            held_version_id=version,
            held_etag=action.etag,
            marker_version_id=marker,
        )
    for uri in held_places(action, context):
        with suppress(ObjectNotFoundError):
            held = context.store.head(uri)
            return record.of("moved", held_uri=held.uri, held_etag=held.etag)
    return None


def retire_version(
    action: Action,
    context: Context,
    version_id: str,
    *,
    grace_days: int,
    survivors: tuple[Survivor, ...],
) -> Quarantined:
    """An earlier version that a change of the object left behind: it waits where it is."""
    record = _Recorder(action, context, grace_days, survivors, True)
    return record.of("version", held_uri=action.uri, held_version_id=version_id)


def retire_marker(action: Action, context: Context, *, grace_days: int) -> Quarantined:
    """A delete marker that hides nothing."""
    record = _Recorder(action, context, grace_days, (), True)
    return record.of("marker", held_uri=action.uri, held_version_id=action.version_id)


class _Recorder:
    """Fills in what is the same for all forms."""

    def __init__(
        self,
        action: Action,
        context: Context,
        grace_days: int,
        survivors: tuple[Survivor, ...],
        is_whole: bool,
    ) -> None:
        self._action = action
        self._now = context.now()
        self._grace = timedelta(days=grace_days)
        self._survivors = survivors
        self._is_whole = is_whole

    def of(
        self,
        form: Form,
        *,
        held_uri: str,
        held_version_id: str | None = None,
        held_etag: str | None = None,
        marker_version_id: str | None = None,
    ) -> Quarantined:
        action = self._action
        return Quarantined(
            form=form,
            uri=action.uri,
            store_id=action.store_id,
            etag=action.etag,
            size_bytes=action.size_bytes or 0,
            held_uri=held_uri,
            held_version_id=held_version_id,
            held_etag=held_etag,
            quarantined_at=self._now,
            purge_after=self._now + self._grace,
            cause=action.kind,
            policy=action.policy,
            marker_version_id=marker_version_id,
            survivors=self._survivors,
            is_whole=self._is_whole,
        )


def _hidden_version(action: Action, context: Context) -> tuple[str, str] | None:
    """The delete marker that is on top of the planned version now, and that version."""
    found = [item for item in context.store.versions(action.uri) if item.uri == action.uri]
    if len(found) < 2 or not found[0].is_delete_marker:
        return None
    marker, below = found[0].version_id, found[1]
    if below.is_delete_marker or below.etag != action.etag:
        return None
    if marker is None or below.version_id is None:
        return None
    return marker, below.version_id


def held_places(action: Action, context: Context) -> Iterator[str]:
    """Where it may lie: in quarantine of the root; on another file system beside itself."""
    folder, _, name = action.uri.rpartition("/")
    parts = (QUARANTINE, context.run_id, context.step_id(action), name[-_LONGEST_NAME:])
    yield context.own_uri(action.uri, *parts)
    if action.uri.startswith("file:"):
        beside = f"{folder}/.greendata/{'/'.join(parts)}"
        if context.own_uri(action.uri, *parts) != beside:
            yield beside


def _move(action: Action, item: StoredObject, context: Context) -> str:
    *others, last = held_places(action, context)
    for uri in others:
        with suppress(UnsupportedError):
            context.store.move(action.uri, uri, etag=item.etag)
            return uri
    context.store.move(action.uri, last, etag=item.etag)
    return last


def _moved_aside(
    action: Action, item: StoredObject, record: _Recorder, context: Context
) -> Quarantined:
    (uri,) = held_places(action, context)
    is_made = False
    try:
        with suppress(PreconditionFailedError):  # made by an earlier try
            copy_object(item, uri, context)
            is_made = True
        held = _copy_aside(action, item, uri, context)
        context.store.delete(action.uri, etag=item.etag)
    except (StoreUnreachableError, LockedError):
        raise  # what was begun is found when it is tried again
    except GreendataError as error:
        kept = found_at(context.store, uri)
        if kept is None and is_made:  # then nothing is found here any more, such as the bucket
            words = f"{uri}: is not found, and was put there a moment ago."
            raise StoreUnreachableError(words, hint="Look whether its bucket is there.") from error
        if kept is None or drop_copy(action, context):
            raise
        left = record.of("moved", held_uri=uri, held_etag=kept.item.etag)
        raise CopyKeptError(f"{error.message} Its copy waits in quarantine.", left) from error
    return record.of("moved", held_uri=held.uri, held_etag=held.etag)


def _copy_aside(action: Action, item: StoredObject, uri: str, context: Context) -> StoredObject:
    """The verified copy in quarantine, made now or by an earlier try."""
    try:
        held = context.store.head(uri)
    except ObjectNotFoundError as error:  # then the condition that failed was the source's
        raise PreconditionFailedError(f"{action.uri}: was replaced while it was copied.") from error
    require_whole_copy(item, held, context)
    return held


def drop_copy(action: Action, context: Context) -> bool:
    """Whether the object surely is as it was; what was copied of it is taken away again then."""
    (uri,) = held_places(action, context)
    try:
        if context.store.head(action.uri).etag != action.etag:
            return False
    except ObjectNotFoundError:
        return False
    context.store.delete(uri)
    return True
