"""Where a copy of datasets goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import unquote

from greendata.errors import UsageError
from greendata.stores.local import path_to_uri, uri_to_path
from greendata.stores.opening import is_remote

_ENDINGS = (".parquet", ".pq", ".jsonl", ".ndjson", ".jsonlines", ".json", ".csv", ".tsv", ".tab",
            ".arrow", ".arrows", ".feather", ".ipc")  # fmt: skip


def check_apart(sources: Sequence[str], destination: str) -> None:
    """A copy is in no source, nor a source in it.

    Raises:
        UsageError: it is.
    """
    place = _real(destination)
    for uri in sources:
        source = _real(uri)
        if place.startswith(source):
            raise UsageError(
                f"{destination}: is in the source {uri}.", hint="Write the copy beside the source."
            )
        if source.startswith(place):
            raise UsageError(
                f"{destination}: the source {uri} is in it.",
                hint="Write the copy beside the source.",
            )


def _real(uri: str) -> str:
    """With a slash at its end, and without links on the way of a local one."""
    if not is_remote(uri):
        uri = path_to_uri(os.path.realpath(uri_to_path(uri)))
    return uri.rstrip("/") + "/"


def part_names(name: str, count: int) -> list[str]:
    """Names of so many files of one object, of which the first has its own."""
    stem = name.removesuffix(".parquet")
    return [name, *(f"{stem}-{part:05d}.parquet" for part in range(1, count))]


def target_names(
    sources: Sequence[str], destination: str, uris: Sequence[str], ending: str = ".parquet"
) -> dict[str, str]:
    """Where the copy of each object goes: its path below its source, with another ending."""
    roots = sorted((uri.rstrip("/") for uri in sources), key=len, reverse=True)
    found: dict[str, str] = {}
    for uri in uris:
        root = next((r for r in roots if uri.startswith(f"{r}/")), uri.rpartition("/")[0])
        inside = uri[len(root) + 1 :]
        stem = inside.removesuffix(".zst").removesuffix(".gz")
        for known in _ENDINGS:
            stem = stem.removesuffix(known)
        folder = f"{root.rpartition('/')[2]}/" if len(roots) > 1 else ""
        name = _key(f"{folder}{stem}", uri, destination)
        target = f"{destination.rstrip('/')}/{name}{ending}"
        if target in found.values():
            raise UsageError(
                f"{uri}: two objects would be copied to {target}.",
                hint="Copy the sources one by one.",
            )
        found[uri] = target
    return found


def _key(inside: str, source: str, destination: str) -> str:
    """Part of a source's URI as the destination's URIs write it: local ones are escaped."""
    if is_remote(source) == is_remote(destination):
        return inside
    if is_remote(destination):
        return unquote(inside)
    return path_to_uri(f"/{inside}").removeprefix(path_to_uri("/"))
