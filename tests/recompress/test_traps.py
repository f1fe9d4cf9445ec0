"""What naive converters of JSON Lines and CSV lose or change without a word, one trap a test.

The numbers are those of the list the design was made from. Traps of columnar sources, of the
writer and of the gate are tested beside them.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from greendata.errors import UnreadableShardError
from greendata.recompress.digests import row_digests
from greendata.recompress.kernel.json import MAX_DEPTH
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import (
    DIALECT_KEY,
    MISSING_COLUMN,
    RAW_COLUMN,
    Grade,
    SourceOptions,
)
from tests.recompress.made_sources import opened, restored, rows_of, table_of

SMALL = SourceOptions(batch_bytes=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "source"


def lines(*values: str, name: str = "x") -> bytes:
    return "".join(f'{{"{name}": {value}}}\n' for value in values).encode()


def typed(path: Path, *values: str) -> tuple[pa.DataType, list[Any]]:
    """Type and values of a column whose values are written as given."""
    source = opened(path, lines(*values))
    return source.schema.field("x").type, [row["x"] for row in rows_of(source)]


def refusal(path: Path, raw: bytes, **how: Any) -> RefusedSourceError:
    with pytest.raises(RefusedSourceError) as caught:
        list(opened(path, raw, **how).batches())
    assert path.as_uri() in str(caught.value)
    return caught.value


@pytest.mark.parametrize("place", [20_481, 29_999])
def test_trap_01_value_after_many_nulls_is_kept(path: Path, place: int) -> None:
    values = ["null"] * 30_000
    values[place] = "5"
    kind, found = typed(path, *values)
    assert kind == pa.int64()
    assert found == [None] * place + [5] + [None] * (29_999 - place)


def test_trap_02_float_after_integers_is_no_integer(path: Path) -> None:
    kind, found = typed(path, *["1"] * 30_000, "1.7")
    assert kind == pa.float64()
    assert found == [1.0] * 30_000 + [1.7]


def test_trap_02_truths_are_no_numbers(path: Path) -> None:
    assert typed(path, "true", "7") == (pa.json_(), ["true", "7"])


def test_trap_03_name_first_seen_late_is_a_column(path: Path) -> None:
    source = opened(path, lines("1") * 30_000 + b'{"x": 1, "late": "here"}\n')
    rows = rows_of(source)
    assert len(rows) == 30_001
    assert [row["late"] for row in rows] == [None] * 30_000 + ["here"]


def test_trap_04_objects_used_as_maps_are_json_text(path: Path) -> None:
    objects = [{f"key{number}-{j}": j for j in range(5)} for number in range(100)]
    raw = b"".join(json.dumps({"x": value}).encode() + b"\n" for value in objects)
    source = opened(path, raw)
    assert source.schema.field("x").type == pa.json_()
    assert [json.loads(row["x"]) for row in rows_of(source)] == objects
    assert restored(source) == raw


def test_trap_04_records_used_as_maps_are_json_text(path: Path) -> None:
    raw = b"".join(b'{"k%d": 1}\n' % number for number in range(2000))
    source = opened(path, raw)
    assert source.schema.names == ["value"]
    assert rows_of(source)[1500] == {"value": '{"k1500": 1}'}
    assert restored(source) == raw


@pytest.mark.parametrize(
    "values",
    [["1", '"1"'], ['{"a": 1}', "[1]"], ["true", '"true"'], ["[1]", "1"], ['"a"', "1.5", "null"]],
)
def test_trap_05_mixed_types_are_json_text(path: Path, values: list[str]) -> None:
    kind, found = typed(path, *values)
    assert kind == pa.json_()
    assert found == [None if value == "null" else value for value in values]


def test_trap_05_mixed_types_deeper_down_are_json_text_there(path: Path) -> None:
    kind, found = typed(path, '{"a": [1, "b"], "c": 1}', '{"a": [], "c": 2}')
    assert kind == pa.struct({"a": pa.list_(pa.field("element", pa.json_())), "c": pa.int64()})
    assert found == [{"a": ["1", '"b"'], "c": 1}, {"a": [], "c": 2}]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["9223372036854775807", "-9223372036854775808"], pa.int64()),
        (["9223372036854775808", "0"], pa.uint64()),
        (["18446744073709551615"], pa.uint64()),
        (["18446744073709551616"], pa.json_()),
        (["9223372036854775808", "-1"], pa.json_()),
        (["-9223372036854775809"], pa.json_()),
        (["9007199254740993", "1.5"], pa.json_()),
        (["9007199254740992", "1.5"], pa.float64()),
        (["9007199254740994", "-1.5"], pa.float64()),
        (["18446744073709551615", "0.5"], pa.json_()),
        (["9223372036854775808", "0.5"], pa.float64()),
    ],
)
def test_trap_06_large_integers_are_exact(path: Path, values: list[str], kind: pa.DataType) -> None:
    found, column = typed(path, *values)
    assert found == kind
    assert [json.loads(v) if kind == pa.json_() else v for v in column] == list(
        map(json.loads, values)
    )


@pytest.mark.parametrize("value", ["1e400", "-1E+999", "1e-400", "0." + "0" * 400 + "1"])
def test_trap_07_numbers_beyond_doubles_are_text(path: Path, value: str) -> None:
    assert typed(path, "1.5", value) == (pa.json_(), ["1.5", value])


@pytest.mark.parametrize("value", ["1.7976931348623157e308", "5e-324", "0e999", "-0.0e-999"])
def test_trap_07_numbers_at_the_edge_of_doubles_are_doubles(path: Path, value: str) -> None:
    assert typed(path, value) == (pa.float64(), [float(value)])


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_trap_07_numbers_that_json_does_not_know_are_text_and_named(path: Path, value: str) -> None:
    source = opened(path, lines("1.5", value))
    assert source.schema.field("x").type == pa.string()
    assert [row["x"] for row in rows_of(source)] == ["1.5", value]
    assert any("NaN" in note for note in source.notes)
    inside = opened(path, lines("[1]", f'{{"a": [{value}]}}'))
    assert inside.schema.field("x").type == pa.string()


def test_trap_08_sign_of_zero_is_kept_and_spelling_only_in_grade_exact(path: Path) -> None:
    kind, found = typed(path, "-0", "1.0", "1E5", "1.50", "1")
    assert kind == pa.float64()
    assert list(map(str, found)) == ["-0.0", "1.0", "100000.0", "1.5", "1.0"]
    raw = lines("-0", "1.0", "1E5", "1.50", "1")
    assert restored(opened(path, raw, grade=Grade.EXACT)) == raw


def test_trap_09_null_is_not_missing(path: Path) -> None:
    raw = b'{"a": null, "b": 1, "c": null}\n{"b": 1}\n{"a": 5, "c": null, "b": 2}\n'
    source = opened(path, raw)
    table = table_of(source)
    assert table.column("a").to_pylist() == [None, None, 5]
    assert table.column(MISSING_COLUMN).to_pylist() == [b"\0", b"\3", b"\0"]
    first, second, _ = row_digests(table.combine_chunks().to_batches()[0])
    assert (first != second).any()
    assert list(map(json.loads, restored(source).splitlines())) == list(
        map(json.loads, raw.splitlines())
    )


def test_trap_09_names_only_missing_or_only_null_need_no_bits(path: Path) -> None:
    raw = b'{"a": 1, "b": null}\n{"b": 2}\n'
    source = opened(path, raw)
    assert source.schema.names == ["a", "b"]
    assert restored(source) == raw


def test_trap_09_null_is_not_missing_deeper_down(path: Path) -> None:
    raw = lines('{"a": null, "b": 1}', '{"b": 2}', '{"a": 3, "b": 3}')
    source = opened(path, raw)
    assert source.schema.field("x").type.field("a").type == pa.json_()
    assert [row["x"]["a"] for row in rows_of(source)] == ["null", None, "3"]
    assert restored(source) == raw


@pytest.mark.parametrize(
    "value",
    ['"2024-01-05"', '"2024-1-5"', '"12:30"', '"2024-01-05T00:00:00Z"',
     '"A987FBC9-4BED-3078-CF07-9141BA07C9F3"', '"007"', '"1.50"', '"true"', '""'],
)  # fmt: skip
def test_trap_10_strings_stay_strings(path: Path, value: str) -> None:
    assert typed(path, value, value) == (pa.string(), [json.loads(value)] * 2)


def test_trap_11_record_with_a_name_twice_is_refused(path: Path) -> None:
    error = refusal(path, b'{"a": 1}\n' * 7 + b'{"a": 1, "a": 2}\n' * 2, options=SMALL)
    assert (error.reason, error.row) == (RefusalReason.DUPLICATE_KEYS, 7)
    assert refusal(path, b'{"a": 1, "\\u0061": 2}\n').reason is RefusalReason.DUPLICATE_KEYS


def test_trap_11_value_with_a_name_twice_is_json_text(path: Path) -> None:
    kind, found = typed(path, '{"a": 1}', '{"a": 1, "a": 2}')
    assert (kind, found) == (pa.json_(), ['{"a": 1}', '{"a": 1, "a": 2}'])


def test_trap_12_names_that_differ_by_case_are_two(path: Path) -> None:
    assert rows_of(opened(path, b'{"a": 1, "A": "x"}\n')) == [{"a": 1, "A": "x"}]


@pytest.mark.parametrize(
    ("raw", "place"),
    [(b'{"a": "\xff"}\n', 7), (b'{"a\xc3": 1}\n', 3), (b'{"a": "\xed\xa0\x80"}\n', 7)],
)
def test_trap_13_invalid_utf8_is_refused(path: Path, raw: bytes, place: int) -> None:
    before = b'{"a": "b"}\n'
    error = refusal(path, before + raw)
    assert error.reason is RefusalReason.INVALID_UTF8
    assert f"byte {len(before) + place} " in str(error)


def test_trap_14_half_a_surrogate_pair_is_kept_as_json_text(path: Path) -> None:
    kind, found = typed(path, '"a"', '"\\ud800"', '"\\ud83d\\ude00"')
    assert (kind, found) == (pa.string(), ['"a"', '"\\ud800"', '"\\ud83d\\ude00"'])
    error = refusal(path, b'{"\\udfff": 1}\n')
    assert error.reason is RefusalReason.NOT_JSON_LINES
    assert "surrogate" in str(error)


@pytest.mark.parametrize(
    "value", ['"\\ud800"', '["\\ud800"]', '{"a": {"\\ud800": 1}}', "[NaN]", '{"a": 1e400}']
)
def test_trap_14_engines_that_check_json_text_can_read_it(path: Path, value: str) -> None:
    """DuckDB refuses a whole file for half a surrogate pair in a column marked as JSON."""
    import duckdb

    stored = path.with_suffix(".parquet")
    pq.write_table(table_of(opened(path, lines("1", value))), stored)
    with duckdb.connect() as connection:
        found = connection.execute("SELECT x FROM read_parquet(?)", [str(stored)]).fetchall()
    assert found == [("1",), (value,)]


def test_trap_15_order_mark_line_ends_and_blank_lines_do_not_count(path: Path) -> None:
    raw = b'\xef\xbb\xbf\r\n{"a": 1}\r\n \t\r\n\n{"a": 2}'
    assert rows_of(opened(path, raw)) == [{"a": 1}, {"a": 2}]
    assert restored(opened(path, raw, grade=Grade.EXACT, options=SMALL)) == raw


@pytest.mark.parametrize(
    "raw",
    [b'{"a": 1,}\n{}', b'{"a": 1}{"a": 2}\n', b'{"a": 1} x\n', b"{'a': 1}\n{}", b'{"a": 01}\n{}',
     b'{"a": .5}\n{}', b'{"a": 1.}\n{}', b'{"a": +1}\n{}', b'{"a": "\t"}\n{}', b'{"a"\n: 1}\n{}',
     b'{"a": "\\x"}\n{}', b"[1,]\n{}", b'{"a": tru}\n{}', b"{a: 1}\n{}", b'{"a": 1}\r{"a": 2}\n'],
)  # fmt: skip
def test_trap_15_what_is_not_json_lines_is_refused(path: Path, raw: bytes) -> None:
    error = refusal(path, b'{"a": 0}\n' + raw)
    assert error.reason is RefusalReason.NOT_JSON_LINES
    assert error.row == 1


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("last", [b'{"a": "cut', b'{"a": 1', b'{"a":', b'{"a', b"{", b'{"a": [1, '])
def test_trap_16_last_line_cut_short_is_refused(path: Path, last: bytes, end: bytes) -> None:
    error = refusal(path, b'{"a": 1}\n' + last + end)
    assert error.reason is RefusalReason.TRUNCATED
    assert error.row == 1


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_trap_16_compressed_file_cut_short_is_refused(path: Path, codec: str) -> None:
    raw = b"".join(b'{"n": %d}\n' % number for number in range(20_000))
    packed = gzip.compress(raw) if codec == "gzip" else zstandard.compress(raw)
    assert opened(path, packed, codec=codec).rows == 20_000
    error = refusal(path, packed[: len(packed) * 2 // 3], codec=codec)
    assert error.reason is RefusalReason.TRUNCATED
    with pytest.raises(UnreadableShardError):
        opened(path, packed + b"garbage", codec=codec)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_trap_16_all_members_of_a_compressed_file_are_read(path: Path, codec: str) -> None:
    pack = gzip.compress if codec == "gzip" else zstandard.compress
    source = opened(path, pack(b'{"a": 1}\n{"a"') + pack(b": 2}\n"), codec=codec)
    assert rows_of(source) == [{"a": 1}, {"a": 2}]


def test_trap_17_line_longer_than_a_block_is_read(path: Path) -> None:
    long = "é" * 3_000_000
    raw = lines('"a"', f'"{long}"', '"b"')
    assert [row["x"] for row in rows_of(opened(path, raw, options=SMALL))] == ["a", long, "b"]


def test_trap_17_record_above_the_limit_is_refused(path: Path) -> None:
    options = SourceOptions(max_record_bytes=1000, batch_bytes=100)
    assert opened(path, lines(f'"{"a" * 900}"'), options=options).rows == 1
    raw = lines(f'"{"a" * 5_000_000}"', "1")
    assert refusal(path, raw, options=options).reason is RefusalReason.RECORD_TOO_LARGE


def test_trap_18_deep_values_are_json_text_below_a_depth(path: Path) -> None:
    deep = '{"a": ' * 70 + "1" + "}" * 70
    kind, (value,) = typed(path, deep)
    for _ in range(7):
        kind, value = kind.field("a").type, value["a"]
    assert kind == pa.json_()
    assert value == '{"a": ' * 63 + "1" + "}" * 63
    arrays = "[" * 300 + "]" * 300
    assert restored(opened(path, lines(arrays))) == lines(arrays)


def test_trap_18_absurdly_deep_values_are_refused(path: Path) -> None:
    error = refusal(path, lines("[" * MAX_DEPTH + "]" * MAX_DEPTH) + lines("1"))
    assert error.reason is RefusalReason.NOT_JSON_LINES
    assert "nested" in str(error)


def test_trap_19_objects_without_names_are_json_text(path: Path) -> None:
    assert typed(path, "{}", "null", "{}") == (pa.json_(), ["{}", None, "{}"])
    source = opened(path, b"{}\n{}\n")
    assert rows_of(source) == [{"value": "{}"}] * 2
    assert restored(source) == b"{}\n{}\n"


def test_trap_20_column_of_nulls_is_of_strings_and_comes_back(path: Path) -> None:
    assert typed(path, "null", "null") == (pa.string(), [None, None])
    assert typed(path, "[null]", "[]") == (
        pa.list_(pa.field("element", pa.string())),
        [[None], []],
    )
    raw = lines("null", "[]", "[null]")
    assert restored(opened(path, raw)) == raw
    assert restored(opened(path, lines("null"))) == lines("null")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([b"1", b"2"], pa.int64()),
        ([b'"a"', b"null"], pa.string()),
        ([b"[1, 2]", b"[]"], pa.list_(pa.field("element", pa.int64()))),
        ([b'{"a": 1}', b"null"], pa.struct({"a": pa.int64()})),
        ([b'{"a": 1}', b"5"], pa.json_()),
    ],
)
def test_trap_21_records_that_are_no_objects_are_values_of_one_column(
    path: Path, values: list[bytes], kind: pa.DataType
) -> None:
    raw = b"\n".join(values) + b"\n"
    source = opened(path, raw)
    assert source.schema.names == ["value"]
    assert source.schema.field("value").type == kind
    assert restored(source) == raw


def test_trap_22_large_cell_is_written_or_refused_by_name(path: Path) -> None:
    raw = lines(f'"{"a" * 40_000_000}"', '"b"')
    assert [len(row["x"]) for row in rows_of(opened(path, raw))] == [40_000_000, 1]
    options = SourceOptions(max_record_bytes=30_000_000)
    error = refusal(path, raw, options=options)
    assert error.reason is RefusalReason.RECORD_TOO_LARGE
    assert error.hint is not None


def test_trap_24_batches_stay_far_below_32_bit_offsets(path: Path) -> None:
    raw = lines(*[f'"{"a" * 1000}"'] * 3000)
    options = SourceOptions(batch_bytes=2**20)
    batches = list(opened(path, raw, options=options).batches())
    assert sum(batch.num_rows for batch in batches) == 3000
    assert max(batch.nbytes for batch in batches) < 4 * 2**20


def test_trap_29_nested_json_text_and_names_survive_parquet(path: Path) -> None:
    raw = lines('[{"a": {"b": 1}}, {"a": [2]}]', "[]")
    table = table_of(opened(path, raw))
    stored = path.with_suffix(".parquet")
    pq.write_table(table, stored)
    read = pq.read_table(stored)
    assert read.schema.equals(table.schema, check_metadata=True)
    assert DIALECT_KEY in read.schema.metadata


def test_trap_30_reserved_names_are_refused(path: Path) -> None:
    raw = b'{"_gd_pos": 1}\n'
    assert refusal(path, raw).reason is RefusalReason.RESERVED_COLUMN
    error = refusal(path, b"a,_gd_raw\n1,2\n", file_format="csv")
    assert error.reason is RefusalReason.RESERVED_COLUMN


def test_trap_30_csv_with_a_column_twice_is_refused(path: Path) -> None:
    error = refusal(path, b"a,b,a\n1,2,3\n", file_format="csv")
    assert error.reason is RefusalReason.DUPLICATE_COLUMNS


def csv_columns(path: Path, raw: bytes, **how: Any) -> dict[str, Any]:
    found: dict[str, Any] = table_of(opened(path, raw, file_format="csv", **how)).to_pydict()
    return found


def test_trap_35_csv_numbers_are_typed_only_when_each_comes_back_as_it_was(path: Path) -> None:
    raw = b'zip,n,f,price,big,mix,q,nan\n007,7,0.5,1.50,9223372036854775808,1,"1",nan\n'
    raw += b"123,-8,1e-07,2.25,1,1.5,2,1.5\n"
    assert csv_columns(path, raw) == {
        "zip": ["007", "123"],
        "n": [7, -8],
        "f": [0.5, 1e-07],
        "price": ["1.50", "2.25"],
        "big": ["9223372036854775808", "1"],
        "mix": ["1", "1.5"],
        "q": ["1", "2"],
        "nan": ["nan", "1.5"],
    }


def test_trap_35_csv_type_holds_for_the_last_cell_too(path: Path) -> None:
    raw = b"n\n" + b"1\n" * 300_000
    assert csv_columns(path, raw)["n"][-1] == 1
    assert csv_columns(path, raw + b"01\n")["n"] == ["1"] * 300_000 + ["01"]


def test_trap_35_csv_empty_string_is_not_null(path: Path) -> None:
    assert csv_columns(path, b'a,b\n"",\n,1\nnull,2\n') == {
        "a": ["", None, "null"],
        "b": [None, 1, 2],
    }


def test_trap_35_csv_ragged_rows_are_refused(path: Path) -> None:
    for row in (b"1,2,3\n", b"1\n", b'1,"2",\n'):
        error = refusal(path, b"a,b\n1,2\n" + row, file_format="csv")
        assert (error.reason, error.row) == (RefusalReason.RAGGED_ROWS, 1)


def test_trap_35_csv_of_another_encoding_is_refused(path: Path) -> None:
    error = refusal(path, "a\nMüller\n".encode("latin-1"), file_format="csv")
    assert error.reason is RefusalReason.INVALID_UTF8


def test_raw_column_is_only_there_in_grade_exact(path: Path) -> None:
    raw = b'{"a": 1}\n'
    assert RAW_COLUMN not in opened(path, raw).schema.names
    assert RAW_COLUMN in opened(path, raw, grade=Grade.EXACT).schema.names
