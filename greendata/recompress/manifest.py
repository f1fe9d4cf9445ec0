"""The dataset manifest, ``_greendata/manifest.json``: what a place holds, and how that was proved.

It is written last and create-only: a place without one is not finished. ``checksum`` is the SHA-256
of the document without it, as canonical JSON, so that a changed manifest is no proof of anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from greendata.errors import IntegrityError, ObjectNotFoundError
from greendata.recompress.digests import ALGORITHM, FileDigest
from greendata.stores.records import IF_ABSENT

if TYPE_CHECKING:
    from greendata.stores.base import Store

OWN_FOLDER = "_greendata"
MANIFEST_NAME = f"{OWN_FOLDER}/manifest.json"
MANIFEST_VERSION = 1

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestObject:
    """A stored object.

    Attributes:
        row_digest, row_set_digest: ordered and order-free, of all rows without ``_gd_pos``; 32
            hexadecimal digits of the manifest's ``row_digest_algorithm``.
    """

    uri: str
    etag: str
    size_bytes: int
    rows: int
    sha256: str
    row_digest: str
    row_set_digest: str

    def as_dict(self) -> dict[str, Any]:
        """As in the document, where ``size_bytes`` is called ``bytes``."""
        return {
            "uri": self.uri,
            "etag": self.etag,
            "bytes": self.size_bytes,
            "rows": self.rows,
            "sha256": self.sha256,
            "row_digest": self.row_digest,
            "row_set_digest": self.row_set_digest,
        }

    def has_rows_of(self, found: FileDigest) -> bool:
        """Whether these are the rows that were digested, in this order."""
        parts = found.as_dict()
        named = (parts["rows"], parts["ordered"], parts["unordered"])
        return named == (self.rows, self.row_digest, self.row_set_digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest that was read; ``document`` is all of it."""

    place: str
    dataset: str
    objects: tuple[ManifestObject, ...]
    document: Mapping[str, Any]


def make_manifest(
    dataset: str, objects: Sequence[ManifestObject], more: Mapping[str, Any]
) -> dict[str, Any]:
    """The document of a first generation; ``more`` is what the writing command adds."""
    from greendata import __version__

    document = {
        "schema_version": MANIFEST_VERSION,
        "dataset": dataset,
        "generation": 1,
        "row_digest_algorithm": ALGORITHM,
        "writer": {"greendata": __version__, **_versions()},
        "objects": [entry.as_dict() for entry in objects],
        **more,
    }
    return {**document, "checksum": checksum(document)}


def checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 of the document without its checksum."""
    rest = {key: value for key, value in document.items() if key != "checksum"}
    raw = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(raw).hexdigest()


def write_manifest(store: Store, place: str, document: Mapping[str, Any]) -> str:
    """Write it where none is; its URI.

    Raises:
        PreconditionFailedError: there is one.
    """
    uri = manifest_uri(place)
    raw = json.dumps(document, indent=1).encode()
    store.put(uri, raw, condition=IF_ABSENT)
    return uri


def read_manifest(store: Store, place: str) -> Manifest:
    """The manifest of a place.

    Raises:
        ObjectNotFoundError: it has none.
        IntegrityError: it is damaged, or of another version.
    """
    uri = manifest_uri(place)
    try:
        raw = store.read(uri)
    except ObjectNotFoundError as error:
        raise ObjectNotFoundError(
            f"{place}: has no {MANIFEST_NAME}: nothing that greendata finished is there.",
            hint="Name the folder that was given as -o.",
        ) from error
    try:
        document = json.loads(raw)
        if document["checksum"] != checksum(document):
            raise IntegrityError(
                f"{uri}: is not as it was written: its checksum differs.",
                hint="Restore it from a copy, or write the dataset again.",
            )
        if document["schema_version"] != MANIFEST_VERSION:
            raise IntegrityError(f"{uri}: is of version {document['schema_version']}.")
        objects = tuple(_object(entry) for entry in document["objects"])
        dataset = _text(document["dataset"])
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, IntegrityError):
            raise
        raise IntegrityError(
            f"{uri}: is no manifest: {error!r}", hint="Restore it from a copy."
        ) from error
    return Manifest(place=place.rstrip("/"), dataset=dataset, objects=objects, document=document)


def manifest_uri(place: str) -> str:
    """Where the manifest of a place is."""
    return f"{place.rstrip('/')}/{MANIFEST_NAME}"


def _object(entry: Mapping[str, Any]) -> ManifestObject:
    return ManifestObject(
        uri=_text(entry["uri"]),
        etag=_text(entry["etag"]),
        size_bytes=_of(int, entry["bytes"]),
        rows=_of(int, entry["rows"]),
        sha256=_text(entry["sha256"]),
        row_digest=_text(entry["row_digest"]),
        row_set_digest=_text(entry["row_set_digest"]),
    )


def _text(value: object) -> str:
    return _of(str, value)


def _of(kind: type[_Value], value: object) -> _Value:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _versions() -> dict[str, str]:
    import pyarrow as pa

    return {"pyarrow": pa.__version__, "format": "parquet 2.6, zstd, page checksums"}
