"""Whole files to and from stores, in bounded memory."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.errors import GreendataError, IntegrityError
from greendata.stores.records import ALWAYS, NOTHING_BESIDE, Condition, Properties

if TYPE_CHECKING:
    from collections.abc import Iterator

    from greendata.model import StoredObject
    from greendata.stores.base import Store
    from greendata.stores.records import UploadPart, Written

PART_BYTES = 16 << 20
"""Larger files go in parts of this size, and come in ranges of it."""


def upload(
    store: Store,
    path: Path,
    uri: str,
    *,
    condition: Condition = ALWAYS,
    properties: Properties = NOTHING_BESIDE,
) -> Written:
    """Write a local file as an object.

    Raises:
        PreconditionFailedError: what is there is not what ``condition`` says.
        DeniedError, StoreUnreachableError, UnsupportedError: no parts are left behind.
    """
    if path.stat().st_size <= PART_BYTES:
        return store.put(uri, path.read_bytes(), condition=condition, properties=properties)
    pending = store.start_upload(uri, properties)
    try:
        with path.open("rb") as stream:
            parts: list[UploadPart] = []
            while content := stream.read(PART_BYTES):
                parts.append(store.put_part(pending, len(parts) + 1, content))
        return store.complete_upload(pending, parts, condition=condition)
    except GreendataError:
        store.abort_upload(uri, pending.upload_id)
        raise


def download(store: Store, uri: str, path: Path, *, size_bytes: int) -> None:
    """Write an object of known size to a local file, which appears whole or not at all.

    Raises:
        IntegrityError: the object is shorter.
        ObjectNotFoundError, DeniedError, StoreUnreachableError.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("wb") as stream:
            for start in range(0, size_bytes, PART_BYTES):
                wanted = min(PART_BYTES, size_bytes - start)
                content = store.read(uri, start=start, size_bytes=wanted)
                if len(content) != wanted:
                    raise IntegrityError(f"{uri}: is shorter than the {size_bytes} bytes it had.")
                stream.write(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def content_of(store: Store, item: StoredObject) -> Iterator[bytes]:
    """The stored bytes of exactly this version, in ranges.

    Raises:
        As ``read_part``.
    """
    for start in range(0, item.size_bytes, PART_BYTES):
        yield read_part(store, item, start, min(PART_BYTES, item.size_bytes - start))


def read_part(store: Store, item: StoredObject, start: int, size_bytes: int) -> bytes:
    """One range of exactly this version.

    Raises:
        PreconditionFailedError: it is another one by now.
        IntegrityError: it is shorter than its size.
    """
    content = store.read(
        item.uri,
        start=start,
        size_bytes=size_bytes,
        etag=item.etag,
        version_id=item.version_id,
    )
    if len(content) != size_bytes:
        raise IntegrityError(f"{item.uri}: ends before its {item.size_bytes} bytes.")
    return content


def sha256_of(store: Store, item: StoredObject) -> str:
    """SHA-256 of the stored bytes of exactly this version.

    Raises:
        PreconditionFailedError: it is another one by now.
        IntegrityError: it is shorter than its size.
    """
    total = hashlib.sha256()
    for content in content_of(store, item):
        total.update(content)
    return total.hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a local file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
