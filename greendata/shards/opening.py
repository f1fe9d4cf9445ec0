"""Opens an object as the shard its content says it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.shards.base import ShardError
from greendata.shards.formats import inspect

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.shards.base import ReadOptions, Shard
    from greendata.stores.base import Store


INDEX_FORMAT = "index"
"""Of objects whose fingerprints were imported: there are no texts to read."""


def open_shard(
    store: Store,
    item: StoredObject,
    options: ReadOptions,
    file_format: str | None = None,
    codec: str = "none",
) -> Shard:
    """Open an object for reading documents; ``choose_shards`` knows its format and codec.

    Without ``file_format`` the object is looked into again.

    Raises:
        UnreadableShardError: with a ``reason``; NoTextColumnError is one.
        LimitExceededError: with a ``reason``.
        DeniedError, ObjectNotFoundError, ObjectChangedError, StoreUnreachableError: the store's.
    """
    if file_format == INDEX_FORMAT:
        raise ShardError(f"{item.uri}: is known by its index only.")
    if file_format is None:
        content = inspect(store, item)
        file_format, codec = options.format or content.format, content.codec
    if file_format == "parquet":
        from greendata.shards.parquet import ParquetShard

        return ParquetShard(store, item, options)
    if file_format == "arrow":
        from greendata.shards.arrow import ArrowShard

        return ArrowShard(store, item, options)
    if file_format == "jsonl":
        from greendata.shards.jsonl import JsonLinesShard

        return JsonLinesShard(store, item, options, codec)
    if file_format in ("csv", "tsv"):
        from greendata.shards.delimited import DelimitedShard

        return DelimitedShard(store, item, options, file_format, codec)
    if file_format in ("text", "json", "lines", "empty"):
        from greendata.shards.text import TextShard

        is_lines = file_format == "lines" or options.lines
        return TextShard(store, item, options, "lines" if is_lines else "text", codec)
    raise ShardError(f"{item.uri}: of no known format.")
