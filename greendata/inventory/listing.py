"""A store's own listing as inventory batches, many folders at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from greendata.errors import DeniedError, ObjectNotFoundError
from greendata.inventory.schema import as_inventory
from greendata.inventory.tasks import AddTask, Task, run_tasks
from greendata.model import StoredObject
from greendata.schemas import TIME
from greendata.stores.uris import parse_uri

if TYPE_CHECKING:
    from greendata.stores.base import Report, Store

Item = TypeVar("Item")
_ROWS = 20_000
LISTERS = 16
"""Folders listed at once: a page of 1,000 objects takes a server about 0.1 s."""

_SPLIT_FOLDERS = 64
"""Folders are taken apart until there are so many; then each is listed as a whole."""


def list_objects(
    store: Store,
    uri: str,
    *,
    with_versions: bool = False,
    on_denied: Report | None = None,
    listers: int = LISTERS,
) -> Iterator[pa.RecordBatch]:
    """Objects at and below ``uri``, or all their versions, then incomplete uploads.

    In no order; memory is bounded, whatever the number of objects. ``on_denied`` hears of folders
    that may not be listed; without it they raise.

    Raises:
        ObjectNotFoundError, DeniedError, StoreUnreachableError: of ``uri``.
    """
    is_folder = not uri.startswith("file:") and (uri.endswith("/") or not parse_uri(uri).key)
    if store.capabilities.has_folders and is_folder:
        yield from _list_folders(store, uri, with_versions, on_denied, listers)
    else:
        found = store.versions(uri) if with_versions else store.list(uri, on_denied=on_denied)
        for items in _chunks(found):
            yield object_batch(items, with_versions=with_versions)
    yield from list_uploads(store, uri)


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    remaining = iter(items)
    while chunk := list(itertools.islice(remaining, _ROWS)):
        yield chunk


def list_uploads(store: Store, uri: str) -> Iterator[pa.RecordBatch]:
    """Incomplete uploads at and below ``uri``; ``version_id`` is the upload's, which is as old as
    its beginning."""
    for uploads in _chunks(store.uploads(uri)):
        started = pa.array([upload.started_at for upload in uploads], TIME)
        columns: dict[str, pa.Array | pa.Scalar] = {
            "uri": pa.array([upload.uri for upload in uploads]),
            "store_id": pa.array([upload.store_id for upload in uploads]),
            "created_at": started,
            "modified_at": started,
            "size_bytes": pa.array([upload.size_bytes for upload in uploads], pa.int64()),
            "version_id": pa.array([upload.upload_id for upload in uploads]),
            "format": pa.scalar("upload"),
        }
        yield as_inventory(columns | _places([upload.uri for upload in uploads]), len(uploads))


def _list_folders(
    store: Store, uri: str, with_versions: bool, on_denied: Report | None, listers: int
) -> Iterator[pa.RecordBatch]:
    """Folder by folder in threads; few are taken apart, so that small ones cost no request each."""
    root = uri if uri.endswith("/") else f"{uri}/"
    seen = itertools.count()

    def task(folder: str) -> Task[pa.RecordBatch]:
        def run(add: AddTask[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            is_split = next(seen) < _SPLIT_FOLDERS
            objects = _entries(folder, is_split=is_split, on_folder=lambda found: add(task(found)))
            try:
                for items in _chunks(objects):
                    yield object_batch(items, with_versions=with_versions)
            except ObjectNotFoundError:
                if folder == root:
                    raise
            except DeniedError as error:
                if folder == root or on_denied is None:
                    raise
                on_denied(folder, error.message)

        return run

    def _entries(
        folder: str, *, is_split: bool, on_folder: Callable[[str], None]
    ) -> Iterator[StoredObject]:
        if not is_split:
            yield from store.versions(folder) if with_versions else store.list(folder)
            return
        for found in store.list_folder(folder, with_versions=with_versions):
            if isinstance(found, str):
                on_folder(found)
            else:
                yield found

    is_empty = True
    for batch in run_tasks([task(root)], listers):
        is_empty = False
        yield batch
    if is_empty and parse_uri(uri).key:
        raise ObjectNotFoundError(f"{uri}: no object is there.", hint="Check the prefix.")


def object_batches(items: Iterable[StoredObject]) -> Iterator[pa.RecordBatch]:
    """Objects that are listed already."""
    for chunk in _chunks(items):
        yield object_batch(chunk)


def object_batch(items: Sequence[StoredObject], *, with_versions: bool = False) -> pa.RecordBatch:
    """Listed objects as a batch of the inventory."""
    uris = [item.uri for item in items]
    columns: dict[str, pa.Array | pa.Scalar] = {
        "uri": pa.array(uris),
        "store_id": pa.array([item.store_id for item in items]),
        "size_bytes": pa.array([item.size_bytes for item in items], pa.int64()),
        "storage_class": pa.array([item.storage_class for item in items], pa.string()),
        "created_at": pa.array([item.created_at for item in items], TIME),
        "modified_at": pa.array([item.modified_at for item in items], TIME),
        "accessed_at": pa.array([item.accessed_at for item in items], TIME),
        "access_source": pa.array(
            [None if item.accessed_at is None else "azure" for item in items], pa.string()
        ),
        "tier_changed_at": pa.array([item.tier_changed_at for item in items], TIME),
        "etag": pa.array([item.etag for item in items]),
        "version_id": pa.array([item.version_id for item in items], pa.string()),
    }
    if with_versions:
        columns["is_latest"] = pa.array([item.is_latest for item in items])
        columns["is_delete_marker"] = pa.array([item.is_delete_marker for item in items])
    return as_inventory(columns | _places(uris), len(items))


def _places(uris: list[str]) -> dict[str, pa.Array | pa.Scalar]:
    """Bucket and key; local files have neither."""
    if not uris or uris[0].startswith("file://"):
        return {}
    parts = [uri.split("/", 3) for uri in uris]  # scheme, nothing, owner, key
    return {
        "bucket": pa.array([owner.partition("@")[0] for _, _, owner, _ in parts]),
        "key": pa.array([key for _, _, _, key in parts]),
    }
