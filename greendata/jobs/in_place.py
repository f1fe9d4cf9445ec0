"""``greendata recompress --in-place``: a plan of one policy, and what applying it writes with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.errors import UnsupportedError
from greendata.execute.handlers.recompress import Rewrite, Rewritten
from greendata.jobs.rewriting import Rewriter
from greendata.jobs.sources import REWRITTEN_FORMATS, open_any
from greendata.progress import Progress
from greendata.recompress.sources import Grade
from greendata.recompress.table_formats import table_above
from greendata.shards.base import ShardError
from greendata.shards.choosing import ChosenShard
from greendata.shards.formats import inspect
from greendata.shards.writer import PROFILES
from greendata.stores.opening import normalise_uri

if TYPE_CHECKING:
    from greendata.config import DatasetSettings, StoreSettings
    from greendata.execute.records import Action
    from greendata.model import StoredObject
    from greendata.stores.base import Store

_ONE_FILE = 1 << 62
"""An object becomes one object, however large."""


def rewriting(store: Store) -> Rewrite:
    """Writes single objects with the profiles of ``greendata recompress``, in their order of rows.

    Similar rows are put together across the shards of a dataset; one shard alone gains little, and
    its readers expect its order.
    """

    @functools.lru_cache(maxsize=4096)
    def table_of(folder: str) -> tuple[str, str] | None:
        return table_above(store, folder)

    def rewrite(item: StoredObject, profile: str, folder: Path) -> Rewritten:
        table = table_of(item.uri.rpartition("/")[0])
        if table is not None:
            raise UnsupportedError(
                f"{item.uri}: belongs to a {table[0]} table, which only its engine may rewrite:"
                f" use {table[1]}."
            )
        content = inspect(store, item)
        if content.format not in REWRITTEN_FORMATS:
            raise ShardError(f"{item.uri}: {content.format} is nothing that can be written again.")
        source = open_any(store, ChosenShard(item, content.format, content.codec), Grade.LOGICAL)
        writer = Rewriter(
            store=store,
            profile=replace(PROFILES[profile], file_bytes=_ONE_FILE, is_similar=False),
            folder=folder,
            progress=Progress(),
        )
        written = writer.write(source, "new")
        return Rewritten(
            path=written.files[0].path,
            digest=written.digest,
            source_sha256=source.sha256,
            source_format=source.format,
        )

    return rewrite


def manifests(
    datasets: Sequence[DatasetSettings], stores: Sequence[StoreSettings]
) -> Callable[[Action], str | None]:
    """The manifest of the dataset that an action's object is in, by its longest prefix.

    A relative ``manifest`` is below that prefix.
    """
    found = {
        normalise_uri(prefix, stores).rstrip("/"): entry.manifest
        for entry in datasets
        for prefix in entry.prefixes
    }

    def manifest_of(action: Action) -> str | None:
        above = [prefix for prefix in found if action.uri.startswith(f"{prefix}/")]
        prefix = max(above, key=len, default=None)
        manifest = None if prefix is None else found[prefix]
        if manifest is None:
            return None
        return manifest if "://" in manifest else f"{prefix}/{manifest}"

    return manifest_of
