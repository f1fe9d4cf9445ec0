"""Parquet: row groups, types, bombs, damage."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.errors import GreendataError, ObjectChangedError
from greendata.model import SkipReason
from greendata.shards import parquet
from greendata.shards.base import NoTextColumnError, ShardError, ShardLimitError
from tests.shards.made_shards import batches, found, open_path, picked, skipped, texts


def write(folder: Path, columns: dict[str, Any] | pa.Table, **options: Any) -> Path:
    path = folder / "a.parquet"
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, path, **options)
    return path


def test_row_groups_are_parts_with_their_rows(tmp_path: Path) -> None:
    values = [None if n % 5 == 0 else f"text {n}" for n in range(1000)]
    path = write(tmp_path, {"n": range(1000), "text": values}, row_group_size=300)
    shard = open_path(path, batch_bytes=100)
    parts = shard.parts()
    assert [(part.first_row, part.rows, part.row_group) for part in parts] == [
        (0, 300, 0), (300, 300, 1), (600, 300, 2), (900, 100, 3)
    ]  # fmt: skip
    assert sum(part.size_bytes for part in parts) == path.stat().st_size
    assert texts(shard) == values
    assert {batch.row_group for batch in batches(shard)} == {0, 1, 2, 3}
    assert (shard.format, shard.codec, shard.text_column) == ("parquet", "snappy", "text")


def test_parts_are_read_by_several_threads(tmp_path: Path) -> None:
    values = [f"text {n}" * 50 for n in range(2000)]
    shard = open_path(write(tmp_path, {"text": values}, row_group_size=100), batch_bytes=1000)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda part: list(shard.read(part)), shard.parts()))
    assert [text for part in read for batch in part for text in batch.texts.to_pylist()] == values


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_codec_and_page_version(tmp_path: Path, codec: str, version: str) -> None:
    values = [f"text {n % 50} " * 20 for n in range(3000)]
    path = write(
        tmp_path,
        {"text": values},
        compression=codec,
        data_page_version=version,
        data_page_size=1000,
        write_page_checksum=True,
    )
    shard = open_path(path)
    assert shard.codec == codec
    assert texts(shard) == values


STRINGS = ["a", None, "é" * 10, "", "b"]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(STRINGS, pa.string()),
        pa.array(STRINGS, pa.large_string()),
        pa.array(STRINGS, pa.string_view()),
        pa.array(STRINGS).dictionary_encode(),
        pa.array(STRINGS, pa.large_string()).dictionary_encode(),
        pa.chunked_array([STRINGS[:2], STRINGS[2:]]),
    ],
)
def test_every_string_type_gives_plain_texts(tmp_path: Path, array: pa.Array) -> None:
    shard = open_path(write(tmp_path, {"text": array}))
    assert texts(shard) == STRINGS
    assert texts(open_path(write(tmp_path, {"x": array}))) == STRINGS


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_binary_is_taken_when_named_and_may_hold_any_bytes(
    tmp_path: Path, kind: pa.DataType
) -> None:
    values = [b"\xff\xfe", None, b"a"]
    path = write(tmp_path, {"text": pa.array(values, kind), "n": [1, 2, 3]})
    assert list(found(open_path(path, text_column="text")).values()) == values
    with pytest.raises(NoTextColumnError):
        open_path(path)


def test_invalid_utf8_in_a_string_column_passes(tmp_path: Path) -> None:
    array = pa.array([b"ok", b"\xff"], pa.binary()).view(pa.string())
    assert found(open_path(write(tmp_path, {"text": array}))) == {0: b"ok", 1: b"\xff"}


def test_text_column_rule(tmp_path: Path) -> None:
    many, few = ["much more text"] * 3, ["a", "b", "c"]
    for columns, expected in [
        ({"id": many, "text": few}, "text"),
        ({"content": few, "body": many, "x": many}, "content"),
        ({"a": few, "b": [f"{n}" * 999 for n in range(3)]}, "b"),
        ({"b": few, "a": few}, "a"),
        ({"text": [1, 2, 3], "z": few}, "z"),
        ({"Text": few, "message": few}, "message"),
    ]:
        assert open_path(write(tmp_path, columns)).text_column == expected


def test_no_text_column_names_the_columns_and_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path, {"n": [1], "m": [[1.5]]})
    for wanted, what in ((None, "no string column;"), ("n", "'n';"), ("x.y", "'x.y';")):
        with pytest.raises(NoTextColumnError, match="n: int64, m: list") as caught:
            open_path(path, text_column=wanted)
        assert what in caught.value.message
        assert "--rows" in (caught.value.hint or "")


def test_nested_column_and_the_literal_name_that_beats_it(tmp_path: Path) -> None:
    nested = [{"b": "x", "c": 1}, None, {"b": None, "c": 2}]
    path = write(tmp_path, {"a": nested, "t": ["1", "2", "3"]})
    shard = open_path(path, text_column="a.b", batch_bytes=1)
    assert texts(shard) == ["x", None, None]
    assert picked(shard, [0, 2]) == {0: b"x", 2: None}
    both = write(tmp_path, {"a": nested, "a.b": ["literal", "y", "z"]})
    assert texts(open_path(both, text_column="a.b")) == ["literal", "y", "z"]
    deep = write(tmp_path, {"a.b": [{"c.d": {"e": "deep"}}]})
    assert texts(open_path(deep, text_column="a.b.c.d.e")) == ["deep"]


def test_whole_rows_do_not_depend_on_types_or_order(tmp_path: Path) -> None:
    from datetime import UTC, date, datetime
    from decimal import Decimal

    row = {
        "t": datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "d": date(2020, 1, 2), "n": None,
        "x": b"\xff", "f": 1.5, "s": {"b": [1, None], "a": "é"}, "m": Decimal("1.10"),
    }  # fmt: skip
    expected = (
        '{"d":"2020-01-02","f":1.5,"m":"1.10","n":null,"s":{"a":"é","b":[1,null]},'
        '"t":"2020-01-02T03:04:05.000006+00:00","x":"/w=="}'
    )
    table = pa.Table.from_pylist([row])
    assert texts(open_path(write(tmp_path, table), whole_rows=True)) == [expected]
    turned = table.select(sorted(table.column_names, reverse=True))
    assert texts(open_path(write(tmp_path, turned), whole_rows=True)) == [expected]


def test_whole_rows_keep_nanoseconds(tmp_path: Path) -> None:
    times = pa.array([1_600_000_000_123_456_789, None, -1], pa.timestamp("ns"))
    shard = open_path(write(tmp_path, {"t": times}), whole_rows=True)
    assert texts(shard) == [
        '{"t":"2020-09-13T12:26:40.123456789"}',
        '{"t":null}',
        '{"t":"1969-12-31T23:59:59.999999999"}',
    ]  # fmt: skip


def test_rows_are_read_back_from_their_row_groups_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [None if n % 9 == 0 else f"text {n}" for n in range(1000)]
    shard = open_path(write(tmp_path, {"text": values}, row_group_size=100), batch_bytes=300)
    everything = found(shard)
    for rows in ([0], [999], [5, 99, 100, 101, 550], [], [998, 1000, 5000], list(range(1000))):
        assert picked(shard, rows) == {row: everything[row] for row in rows if row < 1000}
    read: list[int] = []
    real = parquet.ParquetShard._batches

    def noted(self: parquet.ParquetShard, group: int) -> Iterator[pa.RecordBatch]:
        read.append(group)
        return real(self, group)

    monkeypatch.setattr(parquet.ParquetShard, "_batches", noted)
    picked(shard, [250, 251, 777])
    assert read == [2, 7]


def test_zero_rows_and_zero_row_groups(tmp_path: Path) -> None:
    schema = pa.schema([("text", pa.string())])
    empty = write(tmp_path, schema.empty_table())
    assert found(open_path(empty)) == {}
    with pq.ParquetWriter(tmp_path / "b.parquet", schema):
        pass
    shard = open_path(tmp_path / "b.parquet")
    assert (shard.parts(), shard.text_column) == ((), "text")


def test_text_above_the_limit_is_skipped_by_row(tmp_path: Path) -> None:
    values = ["short", "x" * 101, "y" * 100, None]
    for options in ({}, {"use_dictionary": False}):
        shard = open_path(write(tmp_path, {"text": values}, **options), max_record_bytes=100)
        assert found(shard) == {0: b"short", 2: b"y" * 100, 3: None}
        assert skipped(shard) == {1: "101 bytes, above the limit of 100 bytes (--max-record-bytes)"}
        assert picked(shard, [1, 2]) == {2: b"y" * 100}


def test_batches_stay_near_their_size_when_lengths_differ(tmp_path: Path) -> None:
    values = ["x"] * 5000 + [f"{n:03}" * 3000 for n in range(300)]
    path = write(tmp_path, {"text": values}, use_dictionary=False, data_page_size=20_000)
    sizes = [batch.texts.nbytes for batch in batches(open_path(path, batch_bytes=100_000))]
    assert max(sizes) < 700_000
    assert len(sizes) < 60


def test_dictionary_bomb_is_read_in_bounded_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_REPEATED_BYTES", 4 * 2**20)
    count, size = 500, 2**20
    indices = pa.array(np.zeros(count, np.int32))
    array = pa.DictionaryArray.from_arrays(indices, ["x" * size])
    path = write(tmp_path, {"text": array}, dictionary_pagesize_limit=2 * size)
    assert path.stat().st_size < size
    shard = open_path(path, batch_bytes=2 * size)
    part = shard.parts()[0]
    seen = 0
    for batch in shard.read(part):
        assert batch.texts.nbytes < 6 * 2**20
        seen += len(batch.texts)
    assert seen == count


def test_uneven_dictionary_is_bounded_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_REPEATED_BYTES", 4 * 2**20)
    words = [str(n) for n in range(1000)] + ["x" * 2**20]
    indices = pa.array([*range(1001), *[1000] * 200], pa.int32())
    array = pa.DictionaryArray.from_arrays(indices, words)
    path = write(tmp_path, {"text": array}, dictionary_pagesize_limit=2**22)
    assert max(batch.texts.nbytes for batch in batches(open_path(path))) < 9 * 2**20


def test_prefix_coded_bomb_is_read_in_bounded_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_REPEATED_BYTES", 4 * 2**20)
    path = write(
        tmp_path,
        {"text": ["x" * 2**20] * 100},
        use_dictionary=False,
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
    )
    sizes = [batch.texts.nbytes for batch in batches(open_path(path, batch_bytes=2**20))]
    assert max(sizes) < 6 * 2**20


def test_decoded_bytes_are_limited_over_all_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greendata.shards.base.MIN_DECODED_LIMIT_BYTES", 2**20)
    path = write(tmp_path, {"text": ["x" * 10_000] * 4000}, row_group_size=500)
    with pytest.raises(ShardLimitError, match=r"a\.parquet: \d+ stored bytes decode to more"):
        batches(open_path(path, batch_bytes=1000))


def test_page_that_expands_beyond_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "PAGE_ALLOWANCE_BYTES", 2**20)
    path = write(tmp_path, {"text": ["x" * 2**22]}, compression="zstd", use_dictionary=False)
    with pytest.raises(ShardLimitError, match=r"a page of .* bytes expands to") as caught:
        batches(open_path(path, max_record_bytes=2**20))
    assert caught.value.reason is SkipReason.TOO_LARGE
    assert len(found(open_path(path))) == 1


def test_page_header_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": ["x" * 100]}, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    # PageHeader: field 1 (type) 15 00, then field 2 (uncompressed size), a zigzag varint of 108
    place = data.index(b"\x15\x00\x15")
    grown = data[: place + 3] + b"\xfe\xff\xff\xff\x0f" + data[place + 5 :]
    grown = grown[:4] + grown[4:]
    path.write_bytes(grown)
    with pytest.raises(GreendataError):
        batches(open_path(path))


def test_truncated_file_is_named_so(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": [f"text {n}" for n in range(1000)]})
    data = path.read_bytes()
    for cut in (1, 4, 8, len(data) // 2, len(data) - 8, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(ShardError) as caught:
            open_path(path)
        assert "a.parquet: " in caught.value.message
        expected = SkipReason.TRUNCATED if cut >= 4 else SkipReason.UNREADABLE
        assert caught.value.reason is expected


def test_damaged_file_raises_only_errors_of_this_program(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"text": [f"text {n}" * 10 for n in range(200)], "n": range(200)},
        write_page_checksum=True,
        compression="zstd",
    )
    data = path.read_bytes()
    rng = np.random.default_rng(7)
    outcomes = set()
    for place in rng.integers(4, len(data) * 2 // 3, 40).tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            outcomes.add(len(found(open_path(path))))
        except GreendataError:
            outcomes.add(-1)
    assert -1 in outcomes


def test_flipped_bit_under_a_checksum_is_found(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"text": ["unmistakable words"] * 3},
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
    )
    stored = len(b"unmistakable words").to_bytes(4, "little") + b"unmistakabl"
    assert path.read_bytes().count(stored) == 3  # in the page, not in its header or the footer
    path.write_bytes(path.read_bytes().replace(stored + b"e", stored + b"y", 1))
    with pytest.raises(ShardError, match=r"(?i)crc|checksum"):
        batches(open_path(path))


def test_changed_file_is_named_changed(tmp_path: Path) -> None:
    shard = open_path(write(tmp_path, {"text": ["a"]}))
    write(tmp_path, {"text": ["other"]})
    with pytest.raises(ObjectChangedError):
        batches(shard)


def test_encrypted_file_is_unreadable_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    path.write_bytes(b"PARE" + b"\0" * 50 + b"PARE")
    with pytest.raises(ShardError):
        open_path(path)


def test_columns_with_one_name_do_not_confuse(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with contextlib.suppress(ShardError):  # refused is as good as right
        assert texts(open_path(write(tmp_path, table))) == ["a"]


def test_footer_that_promises_more_rows_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"] * 10}), buffer)
    shard = open_path(write(tmp_path, {"text": ["a"] * 10}))
    part = shard.parts()[0]
    from dataclasses import replace

    with pytest.raises(ShardError, match="has 10 rows, its footer says 11"):
        list(shard.read(replace(part, rows=11)))
