"""Which objects are rewritten, and as what they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.model import IgnoredObject
from greendata.recompress.columnar import ColumnarSource
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import Grade, open_source
from greendata.shards.base import ReadOptions
from greendata.shards.choosing import choose_shards
from greendata.shards.formats import name_hint

if TYPE_CHECKING:
    from greendata.jobs.scope import Scope
    from greendata.recompress.sources import Source
    from greendata.shards.choosing import ChosenShard
    from greendata.stores.base import Store

COLUMNAR = ("parquet", "arrow")
RESTORED_FORMATS = ("jsonl",)
"""Those of which grade exact gives the bytes back."""

REWRITTEN_FORMATS = (*COLUMNAR, "jsonl", "csv", "tsv")
_TABLES = ("csv", "tsv")
_NOT_REWRITTEN = "unsupported-format"
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.zst")


def choose_sources(
    store: Store, scope: Scope
) -> tuple[list[ChosenShard], list[IgnoredObject], list[tuple[str, str, str]]]:
    """Shards to rewrite, objects that are no data, and (uri, reason, detail) of what is neither."""
    tables = {item.uri for item in scope.objects if name_hint(item.uri).format in _TABLES}
    choice = choose_shards(
        store,
        scope.objects,
        ReadOptions(whole_rows=True),
        scope.named | tables,  # beside Parquet a scan takes them for lists; here they are data
        roots=scope.targets,
    )
    skipped = [(entry.uri, entry.reason.value, entry.detail) for entry in choice.skipped]
    skipped += [(entry.uri, entry.reason.value, entry.detail) for entry in scope.denied]
    shards = []
    for shard in choice.shards:
        if shard.format in REWRITTEN_FORMATS:
            shards.append(shard)
        else:
            detail = f"{shard.format} is not rewritten: Parquet, Arrow, JSON Lines, CSV and TSV are"
            skipped.append((shard.item.uri, _NOT_REWRITTEN, detail))
    ignored = []
    for entry in choice.ignored:
        if entry.uri.lower().endswith(_TAR):
            detail = (
                "a tar (WebDataset?) of files that are compressed already has nothing to gain;"
                " webdataset's own tools rewrite such shards"
            )
            skipped.append((entry.uri, _NOT_REWRITTEN, detail))
        else:
            ignored.append(entry)
    return shards, ignored, skipped


def open_any(store: Store, shard: ChosenShard, grade: Grade) -> Source:
    """Read an object to its end and know its schema.

    Raises:
        RefusedSourceError, ShardError, …: it cannot be kept exactly, or not be read.
    """
    if grade is Grade.EXACT and shard.format not in RESTORED_FORMATS:
        raise RefusedSourceError(
            f"{shard.item.uri}: the bytes of {shard.format} files are not restored.",
            reason=RefusalReason.NOT_RESTORABLE,
            hint="Use --grade logical, which keeps all values.",
        )
    if shard.format in COLUMNAR:
        return ColumnarSource(store, shard.item, shard.format)
    return open_source(store, shard.item, shard.format, shard.codec, grade)
