"""The manifest of a dataset, switched by compare-and-swap: readers see the old or the new objects.

``recompress.manifest`` writes such documents; people may write their own: all that is needed is
``schema_version`` 1 and ``objects`` with a ``uri`` each. Whatever else is in it stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greendata.errors import IntegrityError, ObjectChangedError, PreconditionFailedError
from greendata.execute.verified import properties_of
from greendata.recompress.manifest import MANIFEST_VERSION, checksum
from greendata.stores.records import Condition, Properties

if TYPE_CHECKING:
    from greendata.stores.base import Store

ATTEMPTS = 8
"""How often a switch is tried when others write the manifest meanwhile."""

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetManifest:
    """A manifest as it is stored; ``entries`` of its objects by URI."""

    uri: str
    etag: str
    document: Mapping[str, Any]
    entries: Mapping[str, Entry]
    properties: Properties

    @property
    def generation(self) -> int:
        """Raised by each switch."""
        return int(self.document.get("generation", 1))


def read_dataset_manifest(store: Store, uri: str) -> DatasetManifest:
    """What is stored now.

    Raises:
        ObjectNotFoundError: there is none.
        IntegrityError: it is no manifest, was damaged, or is of another version.
    """
    details = store.details(uri)
    raw = store.read(uri, etag=details.item.etag)
    try:
        document = json.loads(raw)
        if document["schema_version"] != MANIFEST_VERSION:
            raise IntegrityError(f"{uri}: is of version {document['schema_version']}.")
        if document.get("checksum") not in (None, checksum(document)):
            raise IntegrityError(f"{uri}: is not as it was written: its checksum differs.")
        if not isinstance(document.get("generation", 1), int):
            raise TypeError("generation is no number")
        entries = {entry["uri"]: entry for entry in document["objects"]}
        if len(entries) != len(document["objects"]):
            raise ValueError("an object is named twice")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, IntegrityError):
            raise
        raise IntegrityError(f"{uri}: is no manifest: {error!r}") from error
    return DatasetManifest(
        uri=uri,
        etag=details.item.etag,
        document=document,
        entries=entries,
        properties=properties_of(details, store),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A manifest after a switch."""

    generation: int
    etag: str


def is_switched(manifest: DatasetManifest, changes: Mapping[str, Entry]) -> bool:
    """Whether it names all the new objects and none of the old."""
    return all(
        manifest.entries.get(new["uri"], {}).get("sha256") == new["sha256"]
        and (old == new["uri"] or old not in manifest.entries)
        for old, new in changes.items()
    )


def switch(store: Store, uri: str, changes: Mapping[str, Entry]) -> Switched:
    """Name other objects instead: ``changes`` are new entries by the URIs they replace.

    A switch that is done already changes nothing. What others write into the manifest meanwhile,
    about other objects, stays.

    Raises:
        ObjectChangedError: it does not name what is to be replaced, or is written all the time.
        IntegrityError, ObjectNotFoundError: as ``read_dataset_manifest``.
    """
    for _ in range(ATTEMPTS):
        manifest = read_dataset_manifest(store, uri)
        if is_switched(manifest, changes):
            return Switched(generation=manifest.generation, etag=manifest.etag)
        missing = sorted(set(changes) - set(manifest.entries))
        if missing:
            raise ObjectChangedError(f"{uri}: does not name {missing[0]}.")
        named = {old: new["uri"] for old, new in changes.items()}
        taken = [new for old, new in named.items() if new != old and new in manifest.entries]
        if taken:
            raise ObjectChangedError(f"{uri}: names {taken[0]} already.")
        document = _changed(manifest.document, changes)
        try:
            written = store.put(
                uri,
                json.dumps(document, indent=1).encode(),
                condition=Condition(etag=manifest.etag),
                properties=manifest.properties,
            )
        except PreconditionFailedError:
            continue  # somebody else, or we ourselves if the answer was lost
        return Switched(generation=manifest.generation + 1, etag=written.etag)
    raise ObjectChangedError(f"{uri}: is written by others all the time.")


def _changed(document: Mapping[str, Any], changes: Mapping[str, Entry]) -> dict[str, Any]:
    objects = [{**entry, **changes.get(entry["uri"], {})} for entry in document["objects"]]
    names = {old: new["uri"] for old, new in changes.items()}
    changed = {
        **document,
        "objects": objects,
        "generation": int(document.get("generation", 1)) + 1,
    }
    if isinstance(document.get("sources"), list):
        changed["sources"] = [_renamed(source, names) for source in document["sources"]]
    if "checksum" in document:
        changed["checksum"] = checksum(changed)
    return changed


def _renamed(source: Any, names: Mapping[str, str]) -> Any:
    """A source of the manifest, whose ``outputs`` are names of objects."""
    if not isinstance(source, Mapping) or not isinstance(source.get("outputs"), list):
        return source
    return {**source, "outputs": [names.get(uri, uri) for uri in source["outputs"]]}
