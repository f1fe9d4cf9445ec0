"""What is rewritten: rows with one exact schema, which can be read again and again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from greendata.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.model import StoredObject
    from greendata.stores.base import Store

RAW_COLUMN = "_gd_raw"
"""Grade exact: the bytes of a record that its values and the dialect do not give, else null."""

MISSING_COLUMN = "_gd_missing"
"""Bit n (from the lowest of the first byte) of a row: its n-th such name is missing, not null."""

OWN_PREFIX = "_gd_"
DIALECT_KEY = b"greendata:dialect"
"""Schema metadata: a JSON document that says how the rows stood in their source."""

WRITER_KEY = b"greendata:writer"
"""Schema metadata of a file that was written: with what, as a JSON document."""

SOURCE_KEY = b"greendata:source"
"""Schema metadata of a file of one source: its ``uri``, ``sha256`` and ``rows``, as JSON."""


class Grade(StrEnum):
    """``logical`` keeps the values of all rows, ``exact`` also the bytes they were written with."""

    LOGICAL = "logical"
    EXACT = "exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """``max_record_bytes`` a source may have in one record; ``batch_bytes`` read for a batch."""

    max_record_bytes: int = 256 * 2**20
    batch_bytes: int = 8 * 2**20

    def __post_init__(self) -> None:
        if not 1 <= self.max_record_bytes <= 2**30:
            raise UsageError(
                f"max_record_bytes is {self.max_record_bytes}, not between 1 and 1 GiB."
            )
        if self.batch_bytes < 1:
            raise UsageError(f"batch_bytes is {self.batch_bytes}, not above zero.")


class Source(ABC):
    """An object that was read once to its end; each call of ``batches`` reads it again.

    Attributes:
        schema: of every batch; its metadata is to be stored with the rows.
        rows: how many there are.
        sha256: of the stored bytes, 64 hexadecimal digits.
        content_sha256: of the decoded bytes, which grade ``exact`` restores.
        content_bytes: how many decoded bytes there are.
        notes: what a reader of the result should know, one sentence each.
    """

    item: StoredObject
    format: str
    codec: str
    schema: pa.Schema
    rows: int
    sha256: str
    content_sha256: str
    content_bytes: int
    notes: tuple[str, ...]

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """The schema's metadata."""
        found: dict[bytes, bytes] = self.schema.metadata or {}
        return found

    @abstractmethod
    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in order, from about ``batch_bytes`` of the decoded source each.

        Raises:
            ObjectChangedError: the bytes are not those that were read before.
            RefusedSourceError, GreendataError: as ``open_source``.
        """


def open_source(
    store: Store,
    item: StoredObject,
    file_format: str,
    codec: str,
    grade: Grade = Grade.LOGICAL,
    options: SourceOptions | None = None,
) -> Source:
    """Read an object of text (``jsonl``, ``csv`` or ``tsv``) to its end and type its rows.

    ``codec`` is ``none``, ``gzip`` or ``zstd``. Memory is bounded by ``options``.

    Raises:
        RefusedSourceError: it cannot be kept exactly; ``reason`` says why in one word.
        UsageError: grade ``exact`` for what is not JSON Lines, or another format.
        UnreadableShardError, LimitExceededError: damaged, or past a limit of expansion.
        DeniedError, ObjectNotFoundError, ObjectChangedError, StoreUnreachableError: the store's.
    """
    options = options or SourceOptions()
    if file_format == "jsonl":
        from greendata.recompress.jsonlines import JsonLinesSource

        return JsonLinesSource(store, item, codec, grade, options)
    if grade is Grade.EXACT:
        raise UsageError(
            f"{item.uri}: grade exact restores JSON Lines; this is {file_format}.",
            hint="Use --grade logical.",
        )
    if file_format in ("csv", "tsv"):
        from greendata.recompress.tables import DelimitedSource

        return DelimitedSource(store, item, file_format, codec, options)
    raise UsageError(f"{item.uri}: {file_format} is no format of text.")
