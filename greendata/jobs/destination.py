"""Where a copy of datasets goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from greendata.errors import ObjectNotFoundError, UsageError

if TYPE_CHECKING:
    from greendata.stores.base import Store


def check_destination(store: Store, sources: Sequence[str], destination: str) -> None:
    """A copy goes to an empty place that is in no source, nor a source in it.

    Raises:
        UsageError: it does not.
    """
    place = destination.rstrip("/") + "/"
    for uri in sources:
        source = uri.rstrip("/") + "/"
        if place.startswith(source) or source.startswith(place):
            raise UsageError(
                f"{destination}: is in {uri}, or {uri} in it.",
                hint="Write the copy beside the source.",
            )
    try:
        found = next(iter(store.versions(destination)), None)
    except ObjectNotFoundError:
        return
    if found is not None:
        raise UsageError(f"{destination}: is not empty: {found.uri} is there.")


def target_names(sources: Sequence[str], destination: str, uris: Sequence[str]) -> dict[str, str]:
    """Where the copy of each object goes: its path below its source, as ``.parquet``."""
    roots = sorted((uri.rstrip("/") for uri in sources), key=len, reverse=True)
    found: dict[str, str] = {}
    for uri in uris:
        root = next((r for r in roots if uri.startswith(f"{r}/")), uri.rpartition("/")[0])
        inside = uri[len(root) + 1 :]
        stem = inside.removesuffix(".zst").removesuffix(".gz")
        for ending in (".parquet", ".jsonl", ".ndjson", ".json"):
            stem = stem.removesuffix(ending)
        folder = f"{root.rpartition('/')[2]}/" if len(roots) > 1 else ""
        target = f"{destination.rstrip('/')}/{folder}{stem}.parquet"
        if target in found.values():
            raise UsageError(
                f"{uri}: two objects would be copied to {target}.",
                hint="Copy the sources one by one.",
            )
        found[uri] = target
    return found
