"""Work on batches of texts that every format shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greendata.shards.base import TextBatch

if TYPE_CHECKING:
    from greendata.shards.base import Rows, Texts

Skips = Sequence[tuple[int, str]]


def too_long(size: int | None, limit: int) -> str:
    """Why a record above ``max_record_bytes`` is skipped; None is a size nobody counted."""
    what = "longer than" if size is None else f"{size} bytes, above"
    return f"{what} the limit of {limit} bytes (--max-record-bytes)"


def batch_of(
    texts: Sequence[bytes | None],
    rows: Sequence[int] | Rows,
    *,
    source_bytes: int,
    skipped: Skips = (),
) -> TextBatch:
    """A batch of a format without row groups."""
    return TextBatch(
        texts=as_strings(texts),
        rows=np.asarray(rows, dtype=np.int64),
        row_group=-1,
        source_bytes=source_bytes,
        skipped=tuple(skipped),
    )


def as_strings(texts: Sequence[bytes | None]) -> pa.StringArray:
    """Bytes as a string array, unchecked: the kernel names what is not UTF-8."""
    return pa.array(texts, pa.binary()).view(pa.string())


def keep_rows(batches: Iterator[TextBatch], rows: Rows) -> Iterator[TextBatch]:
    """Only what is in ``rows`` (sorted), copied, until the last of them is passed."""
    for batch in batches:
        if not len(batch.rows):
            continue
        low, high = np.searchsorted(rows, [batch.rows[0], batch.rows[-1] + 1])
        wanted = np.flatnonzero(np.isin(batch.rows, rows[low:high]))
        if len(wanted):
            yield TextBatch(
                texts=batch.texts.take(pa.array(wanted)),
                rows=batch.rows[wanted],
                row_group=batch.row_group,
                source_bytes=batch.source_bytes,
            )
        if batch.rows[-1] >= rows[-1]:
            return


def merged(arrays: Iterator[tuple[Texts, Rows]], batch_bytes: int) -> Iterator[tuple[Texts, Rows]]:
    """Join small arrays up to about ``batch_bytes``: the copy costs less than a small batch."""
    texts: list[Texts] = []
    rows: list[Rows] = []
    size = 0
    for array, numbers in arrays:
        texts.append(array)
        rows.append(numbers)
        size += array.nbytes
        if 2 * size >= batch_bytes:
            yield _joined(texts, rows)
            texts, rows, size = [], [], 0
    if texts:
        yield _joined(texts, rows)


def _joined(texts: list[Texts], rows: list[Rows]) -> tuple[Texts, Rows]:
    if len(texts) == 1:
        return texts[0], rows[0]
    return pa.concat_arrays(texts), np.concatenate(rows)


def without_too_long(
    texts: Texts, rows: Rows, max_record_bytes: int
) -> tuple[Texts, Rows, tuple[tuple[int, str], ...]]:
    """Take out texts above the limit and name them."""
    if texts.nbytes <= max_record_bytes:
        return texts, rows, ()
    lengths = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    is_long = lengths > max_record_bytes
    if not is_long.any():
        return texts, rows, ()
    skipped = tuple(
        (int(row), too_long(int(length), max_record_bytes))
        for row, length in zip(rows[is_long], lengths[is_long], strict=True)
    )
    return texts.filter(pa.array(~is_long)), rows[~is_long], skipped
