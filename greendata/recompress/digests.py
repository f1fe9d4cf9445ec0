"""Digests of rows and files: equal exactly when names, types and values are.

A row becomes a record of fixed width: 16 bytes for the schema, then for each column a byte that
says whether there is a value, and the value. Numbers, times and decimals stand there bit for bit
(so -0.0 is not 0.0, and a NaN keeps its payload); strings, binaries, lists and maps by the
BLAKE2b-128 of their bytes or of their elements' records. The digest of the row is the BLAKE2b-128
(RFC 7693) of its record. Equal values of different types have different digests, but for the
types that mean the same:

* ``large_``, view and dictionary-encoded variants are their plain type;
* names of list elements and map entries, nullability and metadata do not count;
* decimals of 32 and 64 bits are of 128;
* what Parquet cannot store as it is counts as what it becomes: timestamps and times of seconds
  are of milliseconds, ``date64`` is ``date32``; a value for which that loses something is refused;
* an extension type counts by its name and storage.

A caller that maps other types declares the mapping, and it is checked value by value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from greendata.errors import UsageError
from greendata.recompress.refusals import RefusalReason, RefusedSourceError

if TYPE_CHECKING:
    import numpy.typing as npt

    Octets = npt.NDArray[np.uint8]
    Digests = npt.NDArray[np.uint64]

ALGORITHM = "rows-v1:blake2b-128"
"""Names encoding and function in manifests; digests of different algorithms never compare."""

DIGEST_BYTES = 16
_MATRIX_BYTES = 16 * 2**20
_INLINE_BYTES = 32
_MODULUS = 2**128


@dataclass(slots=True)
class FileDigest:
    """Two digests of many rows, which parts can compute apart and ``merge``.

    ``unordered`` is the sum of the row digests modulo 2**128: the same for any order of the rows.
    ``ordered`` is the sum of BLAKE2b-128(row digest, row number): it can be had from rows in any
    order, as long as each one's original number is known. Both find accidents; they are no
    signature against someone who makes rows on purpose.
    """

    rows: int = 0
    unordered: int = 0
    ordered: int = 0

    def add(self, digests: Digests, first_row: int | npt.NDArray[np.uint64]) -> None:
        """Take uint64 [n, 2] digests of rows: the number of the first, or uint64 [n] of each."""
        count = len(digests)
        numbers = (
            np.arange(first_row, first_row + count, dtype=np.uint64)
            if isinstance(first_row, int)
            else first_row
        )
        placed = np.empty((count, 3), np.uint64)
        placed[:, :2] = digests
        placed[:, 2] = numbers
        self.rows += count
        self.unordered = (self.unordered + _sum(digests)) % _MODULUS
        self.ordered = (self.ordered + _sum(_digest_records(placed.view(np.uint8)))) % _MODULUS

    def merge(self, other: FileDigest) -> None:
        """Take the rows of another part."""
        self.rows += other.rows
        self.unordered = (self.unordered + other.unordered) % _MODULUS
        self.ordered = (self.ordered + other.ordered) % _MODULUS

    def as_dict(self) -> dict[str, Any]:
        """As manifests hold it; digests are 32 hexadecimal digits."""
        return {
            "algorithm": ALGORITHM,
            "rows": self.rows,
            "unordered": f"{self.unordered:032x}",
            "ordered": f"{self.ordered:032x}",
        }


def _sum(digests: Digests) -> int:
    """Sum of 128-bit numbers, given as their lower and higher uint64; exact below 2**32 rows."""
    halves = np.ascontiguousarray(digests).view(np.uint32).reshape(len(digests), 4)
    sums = halves.sum(axis=0, dtype=np.uint64).tolist()
    return int(sum(int(part) << (32 * place) for place, part in enumerate(sums)))


def row_digests(batch: pa.RecordBatch, declared: pa.Schema | None = None) -> Digests:
    """The digest of each row: uint64 [rows, 2], which are its 16 bytes read as little-endian.

    ``declared`` gives types (same names, same order) as which the columns count; casting to them
    must lose nothing.

    Raises:
        RefusedSourceError: a type without an exact form, or a value that a cast would change.
        UsageError: ``declared`` has other columns, or a mapping that cannot be lossless.
    """
    columns = batch.columns if declared is None else _declared_columns(batch, declared)
    schema = batch.schema if declared is None else declared
    prefix = np.frombuffer(schema_digest(schema), np.uint8)
    found = np.empty((batch.num_rows, 2), np.uint64)
    cells = [_cells(column) for column in columns]
    width = DIGEST_BYTES + sum(part.shape[1] for part in cells)
    step = max(1, _MATRIX_BYTES // width)
    for start in range(0, batch.num_rows, step):
        count = min(step, batch.num_rows - start)
        head = np.broadcast_to(prefix, (count, DIGEST_BYTES))
        records = np.hstack([head, *(part[start : start + count] for part in cells)])
        found[start : start + count] = _digest_records(records)
    return found


def schema_digest(schema: pa.Schema) -> bytes:
    """16 bytes that differ when names, their order, or types (as they count here) do."""
    described = [[field.name, type_tag(field.type)] for field in schema]
    raw = json.dumps(described, ensure_ascii=True).encode()
    return hashlib.blake2b(raw, digest_size=DIGEST_BYTES).digest()


def type_tag(kind: pa.DataType) -> Any:
    """A type as it counts: a word, or a list of a word and what it is made of.

    Raises:
        RefusedSourceError: it has no exact form here.
    """
    types = pa.types
    kind = stored_type(kind)
    if isinstance(kind, pa.BaseExtensionType):
        return ["extension", kind.extension_name, type_tag(kind.storage_type)]
    if types.is_dictionary(kind):
        return type_tag(kind.value_type)
    if types.is_struct(kind):
        return ["struct", [[field.name, type_tag(field.type)] for field in kind]]
    if types.is_map(kind):
        return ["map", type_tag(kind.key_type), type_tag(kind.item_type)]
    if types.is_fixed_size_list(kind):
        return ["fixed_size_list", kind.list_size, type_tag(kind.value_type)]
    if _is_list(kind):
        return ["list", type_tag(kind.value_type)]
    if _is_string(kind):
        return "string"
    if types.is_fixed_size_binary(kind):
        return str(kind)
    if _is_binary(kind):
        return "binary"
    if types.is_decimal(kind):
        return [f"decimal{kind.bit_width}", kind.precision, kind.scale]
    if types.is_null(kind) or types.is_boolean(kind) or _is_fixed(kind):
        return str(kind)
    raise _unsupported(kind)


def stored_type(kind: pa.DataType) -> pa.DataType:
    """What Parquet makes of a plain type; the types of nested fields are left as they are."""
    types = pa.types
    if types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", tz=kind.tz)
    if types.is_time32(kind):
        return pa.time32("ms")
    if types.is_date64(kind):
        return pa.date32()
    if types.is_decimal(kind) and kind.bit_width < 128:
        return pa.decimal128(kind.precision, kind.scale)
    return kind


def _cells(array: pa.Array) -> Octets:
    """uint8 [n, 1 + width]: whether there is a value, then the value, zero where there is none."""
    types = pa.types
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _cells(array.storage)
    if types.is_dictionary(kind):
        return _dictionary_cells(array)
    if types.is_null(kind):
        return np.zeros((len(array), 1), np.uint8)
    values = _values(array)
    is_there = array.is_valid().to_numpy(zero_copy_only=False)
    cells = np.empty((len(array), 1 + values.shape[1]), np.uint8)
    cells[:, 0] = is_there
    cells[:, 1:] = values
    if array.null_count:
        cells[~is_there] = 0
    return cells


def _values(array: pa.Array) -> Octets:
    """uint8 [n, width]; whatever where there is no value."""
    types = pa.types
    kind = array.type
    if types.is_boolean(kind):
        truths: Octets = array.cast(pa.uint8()).fill_null(0).to_numpy()
        return truths.reshape(-1, 1)
    if _is_string(kind) or (_is_binary(kind) and not types.is_fixed_size_binary(kind)):
        return _digests_of_binary(array)
    if types.is_struct(kind):
        parts = [_cells(array.field(index)) for index in range(kind.num_fields)]
        return np.hstack([np.zeros((len(array), 0), np.uint8), *parts])
    if types.is_fixed_size_list(kind):
        size = kind.list_size
        cells = _cells(array.values.slice(array.offset * size, len(array) * size))
        offsets = np.arange(len(array) + 1, dtype=np.int64) * size
        return _digests_of_ranges(cells, offsets)
    if types.is_map(kind):
        return _digests_of_map(array)
    if _is_list(kind):
        return _digests_of_list(array)
    wanted = stored_type(kind)
    return _fixed_width(array if wanted == kind else _cast(array, wanted))


def _fixed_width(array: pa.Array) -> Octets:
    kind = array.type
    if not (_is_fixed(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind)):
        raise _unsupported(kind)
    width = kind.bit_width // 8
    buffer = array.buffers()[1]
    if buffer is None or not len(array) or not width:
        return np.zeros((len(array), min(width, DIGEST_BYTES)), np.uint8)
    octets = np.frombuffer(buffer, np.uint8)
    octets = octets[array.offset * width : (array.offset + len(array)) * width]
    if width > _INLINE_BYTES:
        offsets = np.arange(len(array) + 1, dtype=np.int64) * width
        return _octets(_blake2b(octets, offsets))
    return octets.reshape(len(array), width)


def _digests_of_binary(array: pa.Array) -> Octets:
    if pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
    is_large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    offsets, data = array.buffers()[1:3]
    if offsets is None or not len(array):
        return np.zeros((len(array), DIGEST_BYTES), np.uint8)
    width = np.dtype(np.int64 if is_large else np.int32)
    start = array.offset * width.itemsize
    numbers = np.frombuffer(offsets, width, len(array) + 1, start).astype(np.int64)
    octets = np.frombuffer(data if data is not None else b"", np.uint8)
    return _octets(_blake2b(octets, numbers))


def _digests_of_list(array: pa.Array) -> Octets:
    if pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        return _digests_of_views(array)
    offsets = array.offsets.to_numpy().astype(np.int64)
    first, end = int(offsets[0]), int(offsets[-1])
    return _digests_of_ranges(_cells(array.values.slice(first, end - first)), offsets - first)


def _digests_of_views(array: pa.Array) -> Octets:
    """Views may overlap and come in any order; pyarrow 26 casts them to wrong offsets."""
    sizes = array.sizes.to_numpy().astype(np.int64)
    if array.null_count:
        sizes = np.where(array.is_valid().to_numpy(zero_copy_only=False), sizes, 0)
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    shifts = np.repeat(array.offsets.to_numpy().astype(np.int64) - offsets[:-1], sizes)
    values = array.values.take(pa.array(np.arange(offsets[-1]) + shifts))
    return _digests_of_ranges(_cells(values), offsets)


def _digests_of_map(array: pa.Array) -> Octets:
    offsets = array.offsets.to_numpy().astype(np.int64)
    first, end = int(offsets[0]), int(offsets[-1])
    parts = [_cells(part.slice(first, end - first)) for part in (array.keys, array.items)]
    return _digests_of_ranges(np.hstack(parts), offsets - first)


def _digests_of_ranges(cells: Octets, offsets: npt.NDArray[np.int64]) -> Octets:
    """One digest for each stretch of element records."""
    flat = np.ascontiguousarray(cells).reshape(-1)
    return _octets(_blake2b(flat, offsets * cells.shape[1]))


def _dictionary_cells(array: pa.DictionaryArray) -> Octets:
    values = _cells(array.dictionary)
    is_there = array.indices.is_valid().to_numpy(zero_copy_only=False)
    if not len(values):
        return np.zeros((len(array), values.shape[1]), np.uint8)
    cells: Octets = values[array.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    cells[~is_there] = 0
    return cells


def _digest_records(records: Octets) -> Digests:
    count, width = records.shape
    offsets = np.arange(count + 1, dtype=np.int64) * width
    return _blake2b(np.ascontiguousarray(records).reshape(-1), offsets)


def _blake2b(data: Octets, offsets: npt.NDArray[np.int64]) -> Digests:
    """BLAKE2b-128 of each stretch of bytes, as two little-endian uint64."""
    from greendata.dedup.kernel.digest import digests

    found = np.empty((len(offsets) - 1, 2), np.uint64)
    digests(data, offsets, found)
    return found


def _octets(digests: Digests) -> Octets:
    return digests.view(np.uint8).reshape(len(digests), DIGEST_BYTES)


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return array.cast(kind, safe=True)
    except pa.ArrowInvalid as error:
        raise RefusedSourceError(
            f"a value of type {array.type} cannot be kept as {kind}: {str(error).splitlines()[0]}",
            reason=RefusalReason.OUT_OF_RANGE,
        ) from error


def _declared_columns(batch: pa.RecordBatch, declared: pa.Schema) -> list[pa.Array]:
    if declared.names != batch.schema.names:
        raise UsageError(f"Declared columns {declared.names} are not {batch.schema.names}.")
    found = []
    for column, field in zip(batch.columns, declared, strict=True):
        if column.type == field.type:
            found.append(column)
            continue
        if not _is_lossless(column.type, field.type):
            raise UsageError(
                f"{field.name}: {column.type} as {field.type} is no mapping without loss."
            )
        found.append(_with_type(column, field.type))
    return found


def _with_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _with_type(column, kind.storage_type))
    if column.type == kind:
        return column
    return column.cast(kind, safe=True)


def _is_lossless(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether each value of a type has one of its own in the other, bit for bit."""
    types = pa.types
    if isinstance(source, pa.BaseExtensionType):
        return _is_lossless(source.storage_type, target)
    if isinstance(target, pa.BaseExtensionType):
        return _is_lossless(source, target.storage_type)
    if types.is_null(source) or type_tag(source) == type_tag(target):
        return True
    if types.is_integer(source) and types.is_integer(target):
        is_wider = target.bit_width > source.bit_width
        is_signed = types.is_signed_integer
        return is_wider and (is_signed(target) or not is_signed(source))
    return _is_string(source) and _is_binary(target) and not types.is_fixed_size_binary(target)


def _is_string(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    checks: tuple[Callable[[pa.DataType], bool], ...] = (
        types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary,
    )  # fmt: skip
    return any(check(kind) for check in checks)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    checks: tuple[Callable[[pa.DataType], bool], ...] = (
        types.is_list, types.is_large_list, types.is_list_view, types.is_large_list_view,
    )  # fmt: skip
    return any(check(kind) for check in checks)


def _is_fixed(kind: pa.DataType) -> bool:
    """Numbers and times of 1 to 8 bytes; intervals are none, Parquet cannot keep them."""
    types = pa.types
    is_number = types.is_integer(kind) or types.is_floating(kind)
    return bool(is_number or (types.is_temporal(kind) and not types.is_interval(kind)))


def _unsupported(kind: pa.DataType) -> RefusedSourceError:
    return RefusedSourceError(
        f"type {kind} has no form that Parquet keeps exactly.",
        reason=RefusalReason.UNSUPPORTED_TYPE,
    )
