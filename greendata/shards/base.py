"""What every shard reader gives and takes, and how a failing one speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from greendata.errors import (
    DeniedError,
    GreendataError,
    LimitExceededError,
    ObjectChangedError,
    ObjectNotFoundError,
    UnreadableShardError,
    UsageError,
)
from greendata.model import SkippedObject, SkipReason, StoredObject
from greendata.stores.base import Store, store_error

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Texts: TypeAlias = pa.StringArray | pa.LargeStringArray | pa.BinaryArray | pa.LargeBinaryArray
    Rows: TypeAlias = npt.NDArray[np.int64]

FORMATS = ("parquet", "arrow", "jsonl", "csv", "tsv", "text")
"""Words of ``--format``; ``text`` read by lines is called ``lines``."""

MAX_RECORD_BYTES_LIMIT = 2**30
"""Above it a record would overflow 32-bit Arrow offsets inside one chunk."""

MIN_DECODED_LIMIT_BYTES = 4 * 2**30
MAX_EXPANSION = 1100
"""An object may decode to this many times its stored size: deflate cannot pass 1032."""

MAX_HONEST_RATIO = 200
"""Pages and buffers that expand further are refused when they are also large."""

PAGE_ALLOWANCE_BYTES = 64 * 2**20
"""How much larger than ``max_record_bytes`` such a page or buffer may be."""

MAX_REPEATED_BYTES = 256 * 2**20
"""A batch may hold this much when every row is the longest value of a dictionary."""

_TRUNCATED_WORDS = ("truncated", "unexpected end", "end of stream", "eof", "expected to be able to")
_WINDOW_WORDS = "requires too much memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How documents are taken from shards.

    Raises:
        UsageError: a size that makes no sense, or an unknown format.
    """

    text_column: str | None = None
    whole_rows: bool = False
    lines: bool = False
    format: str | None = None
    max_record_bytes: int = 64 * 2**20
    batch_bytes: int = 8 * 2**20

    def __post_init__(self) -> None:
        if not 1 <= self.max_record_bytes <= MAX_RECORD_BYTES_LIMIT:
            raise UsageError(
                f"max_record_bytes is {self.max_record_bytes}, not between 1 and 1 GiB."
            )
        if self.batch_bytes < 1:
            raise UsageError(f"batch_bytes is {self.batch_bytes}, not above zero.")
        if self.format is not None and self.format not in FORMATS:
            raise UsageError(f"No format {self.format!r}; known are {', '.join(FORMATS)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one thread reads of a shard: a row group, a record batch, or all of it.

    ``first_row`` and ``rows`` are None where only reading tells; ``size_bytes`` are stored bytes,
    and those of all parts sum up to the object's size.
    """

    index: int
    first_row: int | None
    rows: int | None
    row_group: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextBatch:
    """Texts of some records, in order.

    ``texts`` is one array; null means that the record has no text. ``rows`` holds the zero-based
    record number of each. ``row_group`` is -1 where the format has none. ``skipped`` names the
    records of this stretch that cannot be read, by row and reason: they are not in ``texts``.
    Strings may hold invalid UTF-8: nothing here checks them.
    """

    texts: Texts
    rows: Rows
    row_group: int
    source_bytes: int
    skipped: tuple[tuple[int, str], ...] = ()

    def present(self) -> tuple[Texts, Rows]:
        """The texts that are there, and their rows."""
        if not self.texts.null_count:
            return self.texts, self.rows
        is_there = self.texts.is_valid()
        return self.texts.filter(is_there), self.rows[is_there.to_numpy(zero_copy_only=False)]


class Shard(ABC):
    """An object opened for reading documents. All methods may be called from several threads.

    Every method raises UnreadableShardError, LimitExceededError (both with a ``reason``) or a
    store's error, and nothing else, on bad data.
    """

    format: str
    codec: str
    text_column: str | None

    def __init__(self, store: Store, item: StoredObject, options: ReadOptions) -> None:
        self.store = store
        self.item = item
        self.options = options
        self.text_column = None

    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """Units of reading, in row order; none for an object without documents."""

    @abstractmethod
    def read(self, part: Part) -> Iterator[TextBatch]:
        """All documents of a part, in batches of about ``options.batch_bytes``."""

    @abstractmethod
    def read_rows(self, rows: Rows, row_groups: Rows | None = None) -> Iterator[TextBatch]:
        """Only the documents of ``rows`` (sorted); ``row_groups`` is a hint.

        A row that is gone or unreadable is missing from the batches.
        """


class ShardError(UnreadableShardError):
    """An object that should hold documents cannot be read; says why in one word."""

    def __init__(
        self, message: str, *, reason: SkipReason = SkipReason.UNREADABLE, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class NoTextColumnError(ShardError):
    """No column of the object can give the texts."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, reason=SkipReason.NO_TEXT_COLUMN, hint=hint)


class ShardLimitError(LimitExceededError):
    """Reading on would pass a limit of memory or expansion."""

    reason = SkipReason.TOO_LARGE


def skip_reason(error: GreendataError) -> SkipReason:
    """The one word for why an object is skipped."""
    if isinstance(error, ShardError | ShardLimitError):
        return error.reason
    if isinstance(error, DeniedError):
        return SkipReason.DENIED
    if isinstance(error, ObjectNotFoundError):
        return SkipReason.GONE
    if isinstance(error, ObjectChangedError):
        return SkipReason.CHANGED
    if isinstance(error, LimitExceededError):
        return SkipReason.TOO_LARGE
    return SkipReason.UNREADABLE


def skipped_object(uri: str, error: GreendataError) -> SkippedObject:
    """The record of an object that ``error`` made unreadable."""
    detail = error.message.removeprefix(f"{uri}: ")
    if error.hint:
        detail = f"{detail} {error.hint}"
    return SkippedObject(uri=uri, reason=skip_reason(error), detail=detail)


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """Turn what pyarrow and the system raise while ``uri`` is read into this program's errors."""
    import pyarrow as pa

    try:
        yield
    except GreendataError:
        raise
    except pa.ArrowMemoryError as error:
        raise ShardLimitError(
            f"{uri}: decoding needs more memory than there is: {_first_line(error)}"
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise store_error(uri, error) from error
        raise _broken(uri, error) from error
    except (ValueError, pa.ArrowException) as error:
        raise _broken(uri, error) from error


def _broken(uri: str, error: Exception) -> GreendataError:
    detail = _first_line(error)
    if _WINDOW_WORDS in detail:
        return ShardLimitError(
            f"{uri}: its zstd window is above 128 MiB.", hint="Recompress it with --long=27."
        )
    is_cut = any(word in detail.lower() for word in _TRUNCATED_WORDS)
    return ShardError(
        f"{uri}: {detail}",
        reason=SkipReason.TRUNCATED if is_cut else SkipReason.UNREADABLE,
        hint="Fetch or write it again." if is_cut else None,
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def decoded_limit_bytes(item: StoredObject) -> int:
    """How many bytes an object may decode to."""
    return max(MIN_DECODED_LIMIT_BYTES, MAX_EXPANSION * item.size_bytes)


def check_decoded(item: StoredObject, decoded_bytes: int) -> None:
    """Stop at an object that decodes to far more than any honest data does.

    Raises:
        ShardLimitError: it is past its limit.
    """
    limit = decoded_limit_bytes(item)
    if decoded_bytes > limit:
        raise ShardLimitError(
            f"{item.uri}: {item.size_bytes} stored bytes decode to more than {limit} bytes.",
            hint="If the data is honest, store it in several objects.",
        )
