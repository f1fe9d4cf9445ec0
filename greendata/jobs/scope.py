"""What a scan is about: the objects its URIs name, and the dataset of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greendata.catalog.commits import is_at_or_below
from greendata.model import Dataset, IgnoredObject, SkippedObject, SkipReason, StoredObject
from greendata.stores.base import list_all
from greendata.stores.local import is_glob, path_to_uri, uri_to_path
from greendata.stores.opening import is_remote
from greendata.stores.remote import glob_expression

if TYPE_CHECKING:
    from greendata.stores.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The objects of a scan.

    Attributes:
        objects: all that were listed, by URI.
        named: URIs that an argument or glob names themselves.
        denied: folders that could not be listed; what the catalog has below them stays.
        ignored: names that are not followed.
    """

    uris: tuple[str, ...]
    targets: frozenset[str]
    rules: dict[str, Dataset]
    objects: tuple[StoredObject, ...]
    named: frozenset[str]
    denied: tuple[SkippedObject, ...]
    ignored: tuple[IgnoredObject, ...]

    def dataset(self, uri: str) -> Dataset:
        """The dataset of the longest prefix that holds this object."""
        for prefix in _prefixes(uri):
            if prefix in self.rules:
                return self.rules[prefix]
        return Dataset(name=uri, prefixes=(uri,))

    def covers(self, uri: str) -> bool:
        """Whether this scan would have listed the object if it were there."""
        denied = {skipped.uri for skipped in self.denied}
        parents = list(_prefixes(uri))
        if any(parent in denied for parent in parents):
            return False
        if any(parent in self.targets for parent in parents):
            return True
        globs = [glob_expression(pattern.rstrip("/")) for pattern in self.uris if is_glob(pattern)]
        return any(glob.fullmatch(parent) for glob in globs for parent in parents)


def list_scope(
    store: Store, uris: Sequence[str], datasets: Sequence[Dataset], catalog_uri: str
) -> Scope:
    """List everything the URIs name, but the catalog's own files.

    Raises:
        ObjectNotFoundError: a URI, or all of a glob, names nothing.
        DeniedError, StoreUnreachableError: of a URI itself.
    """
    denied: list[SkippedObject] = []
    ignored: list[IgnoredObject] = []
    listing = list_all(
        store,
        uris,
        on_denied=lambda uri, detail: denied.append(
            SkippedObject(uri=uri.rstrip("/"), reason=SkipReason.DENIED, detail=detail)
        ),
        on_ignored=lambda uri, detail: ignored.append(IgnoredObject(uri=uri, detail=detail)),
    )
    targets = {uri: store.expand(uri) for uri in uris}
    own = own_folders(catalog_uri, [t for found in targets.values() for t in found])
    return make_scope(
        targets,
        datasets,
        objects=(
            item
            for item in listing.objects
            if not any(is_at_or_below(item.uri, folder) for folder in own)
        ),
        named=listing.named,
        denied=denied,
        ignored=ignored,
    )


def make_scope(
    targets: dict[str, tuple[str, ...]],
    datasets: Sequence[Dataset],
    *,
    objects: Iterable[StoredObject],
    named: frozenset[str],
    denied: Iterable[SkippedObject] = (),
    ignored: Iterable[IgnoredObject] = (),
) -> Scope:
    """The scope of URIs, each with what it was expanded to."""
    return Scope(
        uris=tuple(targets),
        targets=frozenset(t.rstrip("/") for found in targets.values() for t in found),
        rules=dict(_rules(targets, datasets)),
        objects=tuple(objects),
        named=named,
        denied=tuple(denied),
        ignored=tuple(ignored),
    )


def own_folders(catalog_uri: str, targets: Iterable[str]) -> frozenset[str]:
    """The catalog's folder as it is named, and as links may make it appear below the targets."""
    if is_remote(catalog_uri):
        return frozenset({catalog_uri})
    real = os.path.realpath(uri_to_path(catalog_uri))
    names = {catalog_uri, path_to_uri(real)}
    for target in (uri_to_path(target) for target in targets if not is_remote(target)):
        real_target = os.path.realpath(target)
        if os.path.commonpath([real, real_target]) == real_target:
            inside = os.path.relpath(real, real_target)
            names.add(path_to_uri(os.path.normpath(os.path.join(target, inside))))
    return frozenset(names)


def _rules(
    targets: dict[str, tuple[str, ...]], datasets: Iterable[Dataset]
) -> Iterator[tuple[str, Dataset]]:
    """Prefixes and the dataset each stands for; later rules win over earlier ones."""
    declared = {prefix.rstrip("/"): d for d in datasets for prefix in d.prefixes}
    for uri, found in targets.items():
        for target in found:
            holders = [p for p in _prefixes(target.rstrip("/")) if p in declared]
            fallback = Dataset(name=uri, prefixes=(uri,))
            named = declared.get(uri.rstrip("/"))
            yield target.rstrip("/"), named or (declared[holders[0]] if holders else fallback)
    yield from declared.items()


def _prefixes(uri: str) -> Iterator[str]:
    """The URI itself, then each folder above it."""
    while True:
        yield uri
        parent = uri.rpartition("/")[0]
        if parent.endswith("/") or not parent:
            if uri != parent:
                yield parent.rstrip("/")  # as a target without its slash
            return
        uri = parent
