from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greendata.errors import UsageError
from greendata.recompress.digests import FileDigest, row_digests
from greendata.recompress.refusals import RefusalReason, RefusedSourceError


def digests(array: Any, name: str = "x") -> list[tuple[int, int]]:
    batch = pa.RecordBatch.from_arrays([array], names=[name])
    return [(int(low), int(high)) for low, high in row_digests(batch)]


def nan(payload: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000 | payload))[0]
    return value


PAIRS: dict[str, tuple[pa.DataType, Any, Any]] = {
    "int64": (pa.int64(), 1, 2),
    "uint8": (pa.uint8(), 0, 255),
    "minus zero": (pa.float64(), 0.0, -0.0),
    "NaN payload": (pa.float64(), nan(1), nan(2)),
    "null and zero": (pa.int32(), None, 0),
    "null and empty": (pa.string(), None, ""),
    "null and false": (pa.bool_(), None, False),
    "string": (pa.string(), "a", "b"),
    "binary": (pa.binary(), b"\xff", b"\xfe"),
    "fixed binary": (pa.binary(3), b"abc", b"abd"),
    "long fixed binary": (pa.binary(40), b"a" * 40, b"a" * 39 + b"b"),
    "decimal": (pa.decimal128(38, 2), Decimal("1.00"), Decimal("1.01")),
    "negative decimal": (pa.decimal256(60, 1), Decimal("-1.0"), Decimal("1.0")),
    "timestamp": (pa.timestamp("ns"), 1, 2),
    "date": (pa.date32(), date(2024, 1, 1), date(2024, 1, 2)),
    "duration": (pa.duration("us"), timedelta(1), timedelta(2)),
    "list": (pa.list_(pa.int64()), [1, 2], [2, 1]),
    "empty list and null": (pa.list_(pa.int64()), [], None),
    "list of null and empty list": (pa.list_(pa.int64()), [None], []),
    "nested list": (pa.list_(pa.list_(pa.string())), [["a"], ["b"]], [["a", "b"]]),
    "fixed list": (pa.list_(pa.float32(), 2), [1.0, 2.0], [1.0, 3.0]),
    "struct": (pa.struct({"a": pa.int8()}), {"a": 1}, {"a": 2}),
    "null struct and struct of nulls": (pa.struct({"a": pa.int8()}), None, {"a": None}),
    "map": (pa.map_(pa.string(), pa.int64()), [("a", 1)], [("a", 2)]),
    "map keys": (pa.map_(pa.string(), pa.int64()), [("a", 1)], [("b", 1)]),
    "strings cut elsewhere": (pa.list_(pa.string()), ["ab", "c"], ["a", "bc"]),
}


@pytest.mark.parametrize("case", PAIRS)
def test_digest_changes_with_any_value(case: str) -> None:
    kind, one, other = PAIRS[case]
    first, second, third = digests(pa.array([one, other, one], kind))
    assert first == third
    assert first != second


@pytest.mark.parametrize("case", PAIRS)
def test_digest_does_not_depend_on_neighbours_or_slices(case: str) -> None:
    kind, one, other = PAIRS[case]
    array = pa.array([None, other, one, other, one, None], kind)
    whole = digests(array)
    assert digests(array.slice(2, 3)) == whole[2:5]
    assert digests(array.slice(4)) == whole[4:]
    assert digests(array.slice(3, 0)) == []
    assert whole[1:3] == whole[3:5]


@pytest.mark.parametrize("case", PAIRS)
def test_digest_survives_parquet(case: str, tmp_path: Any) -> None:
    kind, one, other = PAIRS[case]
    table = pa.table({"x": pa.array([one, None, other], kind)})
    pq.write_table(table, tmp_path / "x.parquet")
    (read,) = pq.read_table(tmp_path / "x.parquet").to_batches()
    assert digests(read.column(0)) == digests(table.column(0).chunk(0))


def test_rows_differ_when_only_names_or_types_do() -> None:
    found = [digests(pa.array([1], kind))[0] for kind in (pa.int32(), pa.int64(), pa.uint64())]
    found.append(digests(pa.array([1], pa.int64()), "y")[0])
    found.append(digests(pa.array(["1"]))[0])
    found.append(digests(pa.array([b"1"]))[0])
    found.append(digests(pa.array([1], pa.timestamp("ms")))[0])
    found.append(digests(pa.array([1], pa.timestamp("us")))[0])
    found.append(digests(pa.array([1], pa.timestamp("us", tz="UTC")))[0])
    assert len(set(found)) == len(found)


def test_null_has_another_digest_in_another_type() -> None:
    assert digests(pa.array([None], pa.int64())) != digests(pa.array([None], pa.string()))


ALIKE: dict[str, tuple[Any, Any]] = {
    "large string": (pa.array(["a", None]), pa.array(["a", None], pa.large_string())),
    "string view": (pa.array(["a" * 20, None]), pa.array(["a" * 20, None], pa.string_view())),
    "binary view": (pa.array([b"a"]), pa.array([b"a"], pa.binary_view())),
    "dictionary": (pa.array(["a", None, "b"]), pa.array(["a", None, "b"]).dictionary_encode()),
    "null in a dictionary": (
        pa.array(["a", None]),
        pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None])),
    ),
    "empty dictionary": (
        pa.array([None], pa.string()),
        pa.DictionaryArray.from_arrays(pa.array([None], pa.int8()), pa.array([], pa.string())),
    ),
    "large list": (pa.array([[1], []]), pa.array([[1], []], pa.large_list(pa.int64()))),
    "list view": (pa.array([[1], []]), pa.array([[1], []], pa.list_view(pa.int64()))),
    "list element name": (
        pa.array([[1]]),
        pa.array([[1]], pa.list_(pa.field("element", pa.int64(), nullable=False))),
    ),
    "timestamp of seconds": (
        pa.array([1], pa.timestamp("s")),
        pa.array([1000], pa.timestamp("ms")),
    ),
    "time of seconds": (pa.array([1], pa.time32("s")), pa.array([1000], pa.time32("ms"))),
    "date64": (pa.array([86_400_000], pa.date64()), pa.array([1], pa.date32())),
    "small decimal": (
        pa.array([Decimal("1.5")], pa.decimal32(5, 1)),
        pa.array([Decimal("1.5")], pa.decimal128(5, 1)),
    ),
    "seconds in a list": (
        pa.array([[1]], pa.list_(pa.timestamp("s"))),
        pa.array([[1000]], pa.list_(pa.timestamp("ms"))),
    ),
}


@pytest.mark.parametrize("case", ALIKE)
def test_types_that_mean_the_same_have_the_same_digest(case: str) -> None:
    one, other = ALIKE[case]
    assert digests(one) == digests(other)


def test_garbage_below_nulls_does_not_count() -> None:
    data, offsets = pa.py_buffer(b"garbage"), pa.py_buffer(np.array([0, 7], np.int32).tobytes())
    array = pa.StringArray.from_buffers(1, offsets, data, pa.py_buffer(b"\0"), 1)
    assert digests(array) == digests(pa.array([None], pa.string()))
    inner = pa.StructArray.from_arrays([pa.array([5])], ["a"], mask=pa.array([True]))
    assert digests(inner) == digests(pa.array([None], pa.struct({"a": pa.int64()})))


def test_extension_counts_by_name_and_storage() -> None:
    storage = pa.array(['{"a": 1}'])
    marked = pa.ExtensionArray.from_storage(pa.json_(), storage)
    assert digests(marked) != digests(storage)
    again = pa.ExtensionArray.from_storage(
        pa.json_(pa.large_string()), storage.cast(pa.large_string())
    )
    assert digests(marked) == digests(again)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
        pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array([1])),
    ],
    ids=["interval", "union", "run ends"],
)
def test_type_that_parquet_cannot_keep_is_refused(array: Any) -> None:
    with pytest.raises(RefusedSourceError, match="type") as caught:
        digests(array)
    assert caught.value.reason is RefusalReason.UNSUPPORTED_TYPE


def test_value_that_storing_would_change_is_refused() -> None:
    with pytest.raises(RefusedSourceError, match="date32") as caught:
        digests(pa.array([1], pa.int64()).view(pa.date64()))
    assert caught.value.reason is RefusalReason.OUT_OF_RANGE
    with pytest.raises(RefusedSourceError, match="timestamp"):
        digests(pa.array([2**62], pa.timestamp("s")))


def batch_of(kind: pa.DataType, values: list[Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, kind)], names=["x"])


@pytest.mark.parametrize(
    ("source", "target", "values"),
    [
        (pa.int32(), pa.int64(), [1, None, -5]),
        (pa.uint32(), pa.int64(), [2**32 - 1]),
        (pa.null(), pa.string(), [None]),
        (pa.string(), pa.binary(), ["é"]),
        (pa.string(), pa.json_(), ["{}"]),
    ],
)
def test_declared_mapping_gives_equal_digests(
    source: pa.DataType, target: pa.DataType, values: list[Any]
) -> None:
    one, other = batch_of(source, values), batch_of(target, values)
    assert (row_digests(one) != row_digests(other)).any()
    assert (row_digests(one, other.schema) == row_digests(other)).all()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (pa.int64(), pa.int32()),
        (pa.int32(), pa.uint64()),
        (pa.int64(), pa.float64()),
        (pa.float64(), pa.int64()),
        (pa.timestamp("ns"), pa.timestamp("us")),
        (pa.binary(), pa.string()),
    ],
)
def test_mapping_that_may_lose_something_cannot_be_declared(
    source: pa.DataType, target: pa.DataType
) -> None:
    with pytest.raises(UsageError, match="without loss"):
        row_digests(batch_of(source, [None]), pa.schema({"x": target}))


def test_declared_columns_must_be_the_same() -> None:
    with pytest.raises(UsageError, match="Declared"):
        row_digests(batch_of(pa.int8(), [1]), pa.schema({"y": pa.int8()}))


def test_batches_without_rows_or_columns_have_digests() -> None:
    assert row_digests(batch_of(pa.string(), [])).shape == (0, 2)
    no_columns = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    first, second = row_digests(no_columns)
    assert (first == second).all()


def test_rows_of_a_wide_batch_are_digested_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pa.RecordBatch.from_pydict({"a": list(range(100)), "b": ["x"] * 100})
    whole = row_digests(batch)
    monkeypatch.setattr("greendata.recompress.digests._MATRIX_BYTES", 100)
    assert (row_digests(batch) == whole).all()


def blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def test_digests_are_what_their_description_says() -> None:
    batch = pa.RecordBatch.from_pydict({"text": ["a", None], "n": [1, -1]})
    head = blake2b(b'[["text", "string"], ["n", "int64"]]')
    rows = [
        blake2b(head + b"\1" + blake2b(b"a") + b"\1" + (1).to_bytes(8, "little")),
        blake2b(head + b"\0" + bytes(16) + b"\1" + b"\xff" * 8),
    ]
    placed = [blake2b(row + number.to_bytes(8, "little")) for number, row in enumerate(rows)]
    found = FileDigest()
    found.add(row_digests(batch), 0)
    assert found.as_dict() == {
        "algorithm": "rows-v1:blake2b-128",
        "rows": 2,
        "unordered": f"{sum(int.from_bytes(row, 'little') for row in rows) % 2**128:032x}",
        "ordered": f"{sum(int.from_bytes(row, 'little') for row in placed) % 2**128:032x}",
    }
    assert (
        found.as_dict()["unordered"] == "cc2650ebf5c9cd2b6bfe81bfcc905aff"
    )  # known answer: it never changes


ROWS = st.lists(st.tuples(st.text(max_size=5), st.integers(-9, 9)), max_size=30)


def file_digest(rows: list[tuple[str, int]], numbers: list[int] | None = None) -> FileDigest:
    found = FileDigest()
    schema = pa.schema({"t": pa.string(), "n": pa.int64()})
    batch = pa.RecordBatch.from_pylist([{"t": t, "n": n} for t, n in rows], schema)
    found.add(row_digests(batch), 0 if numbers is None else np.array(numbers, np.uint64))
    return found


@given(rows=ROWS, order=st.randoms())
def test_unordered_digest_ignores_the_order_and_row_numbers_restore_the_ordered(
    rows: list[tuple[str, int]], order: Any
) -> None:
    numbers = list(range(len(rows)))
    order.shuffle(numbers)
    moved = [rows[number] for number in numbers]
    source = file_digest(rows)
    assert file_digest(moved).unordered == source.unordered
    assert file_digest(moved, numbers) == source
    assert (file_digest(moved).ordered == source.ordered) == (moved == rows)


@given(rows=ROWS, cut=st.integers(0, 30))
def test_parts_merge_to_the_whole(rows: list[tuple[str, int]], cut: int) -> None:
    cut = min(cut, len(rows))
    first = file_digest(rows[:cut])
    first.merge(file_digest(rows[cut:], list(range(cut, len(rows)))))
    assert first == file_digest(rows)


def test_same_row_twice_is_not_none() -> None:
    assert file_digest([("a", 1)] * 2).unordered != file_digest([]).unordered


def test_sum_carries_beyond_its_words() -> None:
    found = FileDigest()
    found.add(np.full((3, 2), 2**64 - 1, np.uint64), 0)
    assert found.unordered == 3 * (2**128 - 1) % 2**128


TYPES: list[Callable[[], pa.DataType]] = [pa.float16, pa.float32, pa.bool_, pa.null]


@pytest.mark.parametrize("kind", TYPES)
def test_other_plain_types_have_digests(kind: Callable[[], pa.DataType]) -> None:
    assert len(digests(pa.array([None, None], kind()))) == 2


def test_datetimes_of_any_zone_are_told_apart() -> None:
    value = datetime(2024, 1, 1)  # noqa: DTZ001  what the columns' zones say differs
    zones = [None, "UTC", "Europe/Berlin"]
    found = {digests(pa.array([value], pa.timestamp("us", tz=zone)))[0] for zone in zones}
    assert len(found) == 3
