"""Small shards for the tests, and all of what a reader gives for one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard

from greendata.shards.base import ReadOptions, Shard, TextBatch
from greendata.shards.opening import open_shard
from greendata.stores.local import LocalStore, path_to_uri

STORE = LocalStore()


def open_path(path: Path, **options: Any) -> Shard:
    item = STORE.head(path_to_uri(str(path)))
    return open_shard(STORE, item, ReadOptions(**options))


def batches(shard: Shard) -> list[TextBatch]:
    return [batch for part in shard.parts() for batch in shard.read(part)]


def as_bytes(texts: pa.Array) -> list[bytes | None]:
    kind = pa.large_binary() if "large" in str(texts.type) else pa.binary()
    found: list[bytes | None] = texts.view(kind).to_pylist()
    return found


def found(shard: Shard) -> dict[int, bytes | None]:
    """Row to text, of all of a shard; the batches are checked on the way."""
    result: dict[int, bytes | None] = {}
    read = batches(shard)
    assert sum(batch.source_bytes for batch in read) == (shard.item.size_bytes if read else 0)
    for batch in read:
        assert batch.rows.dtype == np.int64
        assert isinstance(
            batch.texts,
            pa.StringArray | pa.LargeStringArray | pa.BinaryArray | pa.LargeBinaryArray,
        )
        result |= dict(zip(batch.rows.tolist(), as_bytes(batch.texts), strict=True))
    assert list(result) == sorted(result)
    return result


def texts(shard: Shard) -> list[str | None]:
    return [None if text is None else text.decode() for text in found(shard).values()]


def skipped(shard: Shard) -> dict[int, str]:
    return dict(pair for batch in batches(shard) for pair in batch.skipped)


def picked(shard: Shard, rows: Iterable[int]) -> dict[int, bytes | None]:
    read = shard.read_rows(np.array(sorted(rows), dtype=np.int64), None)
    pairs = [
        pair
        for batch in read
        for pair in zip(batch.rows.tolist(), as_bytes(batch.texts), strict=True)
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def json_lines(records: Sequence[object]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def compressed(data: bytes, codec: str) -> bytes:
    if codec == "gzip":
        return gzip.compress(data, mtime=0)
    if codec == "zstd":
        return zstandard.ZstdCompressor().compress(data)
    return data
