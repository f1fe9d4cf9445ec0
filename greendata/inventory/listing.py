"""A store's own listing as inventory batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.inventory.schema import as_inventory
from greendata.schemas import TIME
from greendata.stores.uris import parse_uri

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.stores.base import Store

_ROWS = 50_000


def list_objects(
    store: Store, uri: str, *, with_versions: bool = False
) -> Iterator[pa.RecordBatch]:
    """Objects below ``uri``, or all their versions, then incomplete uploads; memory is bounded.

    Raises:
        ObjectNotFoundError, DeniedError, StoreUnreachableError: of ``uri``.
    """
    listed = iter(store.versions(uri) if with_versions else store.list(uri))
    while items := list(itertools.islice(listed, _ROWS)):
        yield _batch(items, with_versions=with_versions)
    uploads = iter(store.uploads(uri))
    while found := list(itertools.islice(uploads, _ROWS)):
        columns: dict[str, pa.Array | pa.Scalar] = {
            "uri": pa.array([upload.uri for upload in found]),
            "store_id": pa.array([upload.store_id for upload in found]),
            "created_at": pa.array([upload.started_at for upload in found], TIME),
            "size_bytes": pa.array([upload.size_bytes for upload in found], pa.int64()),
            "format": pa.scalar("upload"),
        }
        yield as_inventory(columns | _places([upload.uri for upload in found]), len(found))


def _batch(items: list[StoredObject], *, with_versions: bool) -> pa.RecordBatch:
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
    parsed = [parse_uri(uri) for uri in uris]
    return {
        "bucket": pa.array([place.container for place in parsed]),
        "key": pa.array([place.key for place in parsed]),
    }
