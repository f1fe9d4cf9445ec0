"""Folders that belong to a table format: their files are not ours to rewrite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from greendata.errors import DeniedError, ObjectNotFoundError

if TYPE_CHECKING:
    from greendata.stores.base import Store

_FORMATS = (
    ("Delta Lake", "OPTIMIZE (delta-rs: DeltaTable.optimize.compact)", r"/_delta_log/"),
    ("Iceberg", "the rewrite_data_files procedure", r"/metadata/[^/]*\.metadata\.json$"),
    ("Hudi", "clustering (run_clustering)", r"/\.hoodie/"),
    ("Lance", "dataset.optimize.compact_files()", r"/_versions/[^/]*\.manifest$"),
)
_MARKERS = ("_delta_log/", "metadata/", ".hoodie/", "_versions/")


def table_format(uris: Iterable[str]) -> tuple[str, str] | None:
    """The table format whose files are among these, and the command that rewrites its tables."""
    for uri in uris:
        for name, command, pattern in _FORMATS:
            if re.search(pattern, uri):
                return name, command
    return None


def table_above(store: Store, uri: str) -> tuple[str, str] | None:
    """The same of the folders that hold ``uri``."""
    for folder in _parents(uri):
        for marker in _MARKERS:
            found = table_format(_first_objects(store, folder + marker))
            if found is not None:
                return found
    return None


def _parents(uri: str) -> Iterator[str]:
    """The folder itself and those above it, to the top of the store, each with its slash."""
    scheme, _, path = uri.partition("://")
    names = path.strip("/").split("/")
    least = 1 if scheme == "file" else 2
    for count in range(len(names), least - 1, -1):
        slash = "/" if scheme == "file" else ""
        yield f"{scheme}://{slash}{'/'.join(names[:count])}/"


def _first_objects(store: Store, folder: str) -> Iterator[str]:
    """Some of what is in a folder: a table's marks are among the first."""
    try:
        for number, item in enumerate(store.list(folder)):
            yield item.uri
            if number >= 1_000:
                return
    except (ObjectNotFoundError, DeniedError):  # what may not be listed cannot be looked at
        return
