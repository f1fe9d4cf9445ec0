"""What is lost of Parquet and Arrow when it is read and written again, one trap a test."""

from __future__ import annotations

import base64
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption
import pytest

from greendata.recompress.columnar import ColumnarSource, stored_schema, to_stored
from greendata.recompress.digests import row_digests
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.stores.local import LocalStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "source.parquet"


def source_of(path: Path, table: pa.Table, **options: Any) -> ColumnarSource:
    pq.write_table(table, path, **options)
    store = LocalStore()
    return ColumnarSource(store, store.head(path.as_uri()), "parquet")


def arrow_source(path: Path, table: pa.Table) -> ColumnarSource:
    path = path.with_suffix(".arrow")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    store = LocalStore()
    return ColumnarSource(store, store.head(path.as_uri()), "arrow")


def rewritten(source: ColumnarSource) -> tuple[pa.Table, pa.Table]:
    """What was read, and what is read back from what is stored of it."""
    schema = stored_schema(source.schema)
    read = list(source.batches())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([to_stored(b, schema) for b in read], schema), sink)
    return pa.Table.from_batches(read, source.schema), pq.read_table(
        pa.BufferReader(sink.getvalue())
    )


def assert_same_rows(before: pa.Table, after: pa.Table) -> None:
    (one,), (other,) = (t.combine_chunks().to_batches() for t in (before, after))
    declared = before.schema.remove_metadata()
    for index, field in enumerate(declared):
        if pa.types.is_null(field.type):
            declared = declared.set(index, field.with_type(pa.string()))
    assert (row_digests(one, declared) == row_digests(other)).all()


CASES: dict[str, pa.Array] = {
    "trap_20_null": pa.nulls(2),
    "trap_25_seconds": pa.array([1, None], pa.timestamp("s", tz="UTC")),
    "trap_25_time_of_seconds": pa.array([1, None], pa.time32("s")),
    "trap_25_date64": pa.array([date(2024, 1, 1), None], pa.date64()),
    "trap_26_nanoseconds": pa.array([1, -(2**62)], pa.timestamp("ns")),
    "trap_29_dictionary": pa.array([5, None], pa.int64()).dictionary_encode(),
    "trap_29_list_names": pa.array([[1], None], pa.list_(pa.field("thing", pa.int8()))),
    "trap_29_map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())),
    "trap_29_unsigned": pa.array([2**32 - 1, None], pa.uint32()),
    "trap_29_large": pa.array(["a", None], pa.large_string()),
    "trap_29_view": pa.array(["a" * 30, None], pa.string_view()),
    "trap_29_decimal": pa.array([Decimal("1.5"), None], pa.decimal64(9, 1)),
    "trap_29_half": pa.array([1.5, None], pa.float16()),
}


@pytest.mark.parametrize("case", CASES)
def test_values_of_types_that_come_back_differently_are_the_same(path: Path, case: str) -> None:
    before, after = rewritten(arrow_source(path, pa.table({"x": CASES[case]})))
    assert_same_rows(before, after)


@pytest.mark.parametrize("day", [datetime(9999, 12, 31), datetime(1, 1, 1)])  # noqa: DTZ001
@pytest.mark.parametrize("is_nested", [False, True])
def test_trap_27_int96_outside_of_nanoseconds_is_refused(
    path: Path, day: datetime, is_nested: bool
) -> None:
    values = [None, datetime(2024, 1, 1), day]  # noqa: DTZ001  what is stored has no zone
    column = pa.array(values, pa.timestamp("us"))
    if is_nested:
        lists = pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), column)
        column = pa.StructArray.from_arrays([lists], ["a"])
    with pytest.raises(RefusedSourceError, match="2262") as caught:
        source_of(path, pa.table({"x": column}), use_deprecated_int96_timestamps=True)
    assert caught.value.reason is RefusalReason.OUT_OF_RANGE


def test_trap_27_int96_keeps_its_nanoseconds(path: Path) -> None:
    table = pa.table({"x": pa.array([1, None, 2**62 + 1], pa.timestamp("ns")), "y": [1, 2, 3]})
    source = source_of(path, table, use_deprecated_int96_timestamps=True)
    before, after = rewritten(source)
    assert before.equals(table)
    assert_same_rows(before, after)


@pytest.mark.parametrize(
    "array",
    [
        pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
        pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array([1])),
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
    ],
    ids=["union", "run ends", "interval"],
)
def test_trap_28_types_that_parquet_does_not_have_are_refused(path: Path, array: Any) -> None:
    with pytest.raises(RefusedSourceError) as caught:
        arrow_source(path, pa.table({"x": array}))
    assert caught.value.reason is RefusalReason.UNSUPPORTED_TYPE


def test_trap_30_column_twice_or_none_is_refused(path: Path) -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(RefusedSourceError) as caught:
        source_of(path, twice)
    assert caught.value.reason is RefusalReason.DUPLICATE_COLUMNS
    with pytest.raises(RefusedSourceError) as caught:
        arrow_source(path, pa.table({"a": [1]}).select([]))
    assert caught.value.reason is RefusalReason.NO_COLUMNS


def test_trap_31_metadata_of_files_and_fields_is_carried_over(path: Path) -> None:
    field = pa.field("x", pa.int64(), metadata={"comment": "é"})
    schema = pa.schema([field], {"huggingface": '{"info": {}}', "pandas": "{}"})
    _, after = rewritten(source_of(path, pa.table([[1]], schema=schema)))
    assert after.schema.metadata == {b"huggingface": b'{"info": {}}', b"pandas": b"{}"}
    assert after.schema.field("x").metadata[b"comment"] == "é".encode()


class _Keys(encryption.KmsClient):  # type: ignore[misc]  # pyarrow has no types
    def __init__(self, _connection: object) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, _master_key: str) -> bytes:
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, _master_key: str) -> bytes:
        return base64.b64decode(wrapped_key)


@pytest.mark.parametrize("has_plain_footer", [False, True])
def test_trap_33_encrypted_parquet_is_refused(path: Path, has_plain_footer: bool) -> None:
    """With a plain footer pyarrow opens it, and ends the process when a column is looked at."""
    properties = encryption.CryptoFactory(_Keys).file_encryption_properties(
        encryption.KmsConnectionConfig(),
        encryption.EncryptionConfiguration(
            footer_key="f", column_keys={"c": ["a"]}, plaintext_footer=has_plain_footer
        ),
    )
    table = pa.table({"a": [1, 2], "b": [3, 4]})
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    store = LocalStore()
    with pytest.raises(RefusedSourceError, match="encrypted") as caught:
        ColumnarSource(store, store.head(path.as_uri()), "parquet")
    assert caught.value.reason is RefusalReason.ENCRYPTED
