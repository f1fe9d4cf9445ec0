"""JSON Lines: what a line gives, whatever stands around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greendata.errors import UsageError
from greendata.model import SkipReason
from greendata.shards.base import NoTextColumnError, ReadOptions, ShardError, ShardLimitError
from greendata.shards.jsonl import LineParser
from greendata.shards.streams import LineChunk
from tests.examples import examples
from tests.shards.made_shards import (
    batches,
    compressed,
    found,
    json_lines,
    open_path,
    picked,
    skipped,
    texts,
)

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ODD_LINES = (
    b"", b"  ", b"\r", b"null", b"5", b"[1]", b'"x"', b"{", b"}", b"{}", b"{} {}", b'{}null{}',
    b'{"text":"a"}', b' {"text":"a"}\t', b'{"text":"a"}\r', b'{"text":null}', b'{"a":1}',
    b'{"text":5}', b'{"text":true}', b'{"text":{"a":1}}', b'{"text":["a"]}',
    b'{"text":"a","text":"b"}', b'{"x":1,"x":2,"text":"a"}', b'{"te\\u0078t":"a"}',
    b'{"text":"\\ud800"}', b'{"text":"a","x":"\\ud800"}', b'{"text":"\\ud83d\\ude00"}',
    b'{"text":"a\xff"}', b'{"text":"a","x":"\xff"}', b'{"text":"a\xff",}', b"\xff",
    b'{"text":"\\u0000"}', b'{"text":"a\0"}', b"\0\0\0", b'{"text":"a"}\0\0', b'{"text":"a\tb"}',
    b'{"text":"a","x":NaN}', b'{"text":"a","x":Inf}', b'{"text":"a","x":-Infinity}',
    b'{"text":"a","x":1e999}', b'{"text":"a","x":01}', b'{"text":"a",}', b"{'text':'a'}",
    b'{"text":"a"}{"text":"b"}', b'{"text":"a"} null {"text":"b"}', b'{"text":"a"} x',
    b'{"text":"2020-01-01"}', b'{"text":"1"}', b'{"text":', b'"a"}', b'{"text":"a"},',
    b'{"text":"a","x":' + b"9" * 5000 + b"}",
    b'{"text":"a","x":' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"text":"a","x":' + b"[" * 3000 + b"}", b'{"text":"' + b"long" * 50 + b'"}',
)  # fmt: skip


def write(folder: Path, data: bytes, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def outcome(parser: LineParser, lines: list[bytes]) -> list[object]:
    """What each record of a chunk of lines became: its text, or ``skipped``."""
    chunk = LineChunk(data=b"\n".join(lines), source_bytes=0)
    read, offsets, skips, count = parser.parse(chunk)
    result: list[object] = ["missing"] * count
    for offset, text in zip(offsets.tolist(), read.view("binary").to_pylist(), strict=True):
        result[offset] = text
    for offset, _ in skips:
        result[offset] = "skipped"
    assert "missing" not in result
    return result


@pytest.mark.parametrize("path", [("text",), ()])
@given(data=st.data())
@settings(max_examples=examples(150))
def test_a_line_gives_the_same_whatever_its_neighbours(
    path: tuple[str, ...], data: st.DataObject
) -> None:
    lines = data.draw(st.lists(st.sampled_from(ODD_LINES), min_size=1, max_size=6))
    parser = LineParser(path, 10_000)
    alone = [each for line in lines for each in outcome(parser, [line])]
    assert outcome(parser, lines) == alone


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"text":"a"}', b"a"),
        (b' {"text":"a"} \r', b"a"),
        (b'{"text":null}', None),
        (b'{"other":1}', None),
        (b'{"text":"a\xff"}', b"a\xff"),
        (b'{"text":"\\ud83d\\ude00"}', "😀".encode()),
        (b'{"text":"\\u0000"}', b"\0"),
        (b'{"text":"2020-01-01"}', b"2020-01-01"),
        (b'{"text":"a","x":NaN}', b"a"),
        (b'{"text":"a","x":1e999}', b"a"),
        (b'{"text":"a","x":' + b"9" * 5000 + b"}", b"a"),
        (b'{"text":"a","x":"\\ud800"}', b"a"),
    ],
)
def test_line_that_is_a_record(line: bytes, expected: bytes | None) -> None:
    assert outcome(LineParser(("text",), 10_000), [line]) == [expected]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"null", "a JSON null, not an object"),
        (b"[1]", "a JSON array, not an object"),
        (b'{"text":5}', "'text' is a number, not a string"),
        (b'{"text":"a","text":"b"}', "'text' is there twice"),
        (b'{"text":"\\ud800"}', "lone surrogate"),
        (b'{"text":"a"}{"text":"b"}', "not JSON: Extra data"),
        (b'{"text":"a"} null {"text":"b"}', "not JSON: Extra data"),
        (b'{"text":"a"}\0\0', "not JSON"),
        (b'{"text":"a\tb"}', "not JSON: Invalid control character"),
        (b"\xff", "neither UTF-8 nor JSON"),
        (b'{"text":"' + b"x" * 100 + b'"}', "111 bytes, above the limit of 100"),
    ],
)
def test_bad_line_is_named_and_the_others_go_on(tmp_path: Path, line: bytes, reason: str) -> None:
    data = b'{"text":"first"}\n' + line + b'\n\n{"text":"last"}'
    shard = open_path(write(tmp_path, data), max_record_bytes=100)
    assert found(shard) == {0: b"first", 2: b"last"}
    assert list(skipped(shard)) == [1]
    assert reason in skipped(shard)[1]


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("ascii_only", [True, False])
@given(records=st.lists(st.none() | ANY_TEXT, min_size=1), size=st.integers(1, 200))
@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_whatever_the_chunks(
    tmp_path: Path, codec: str, ascii_only: bool, records: list[str | None], size: int
) -> None:
    lines = [json.dumps({"n": 1, "text": text}, ensure_ascii=ascii_only) for text in records]
    data = compressed("\n".join(lines).encode(), codec)
    shard = open_path(write(tmp_path, data), batch_bytes=size, text_column="text", format="jsonl")
    assert shard.codec == codec
    assert texts(shard) == records


def test_byte_order_mark_crlf_blank_lines_and_no_final_newline(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"text":"a"}\r\n\r\n  \n{"text":"b"}\n\n{"text":"c"}'
    for size in (1, 2, 3, 5, 1000):
        shard = open_path(write(tmp_path, data), batch_bytes=size)
        assert found(shard) == {0: b"a", 1: b"b", 2: b"c"}


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_members_and_frames_are_all_read(tmp_path: Path, codec: str) -> None:
    pieces = [json_lines([{"text": f"{number}"}]) for number in range(5)]
    data = b"".join(compressed(piece, codec) for piece in pieces)
    if codec == "zstd":
        data = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + data
    assert texts(open_path(write(tmp_path, data, "x"))) == ["0", "1", "2", "3", "4"]


def cut_points(size: int) -> list[int]:
    return [2, 5, 11, size // 3, size // 2, size - 9, size - 8, size - 4, size - 1]


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_truncated_object_is_never_taken_for_whole(tmp_path: Path, codec: str) -> None:
    rng = np.random.default_rng(1)
    data = json_lines([{"text": rng.bytes(200).hex()} for _ in range(50)])
    whole = compressed(data, codec)
    name = f"a.jsonl.{'gz' if codec == 'gzip' else 'zst'}"
    for cut in cut_points(len(whole)):
        for start in (b"", whole):  # alone, and as a second member or frame
            with pytest.raises(ShardError) as caught:
                batches(open_path(write(tmp_path, start + whole[:cut], name)))
            assert caught.value.reason in (SkipReason.TRUNCATED, SkipReason.UNREADABLE)
            assert caught.value.reason is SkipReason.TRUNCATED or cut < 4
            assert name in caught.value.message


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_trailing_garbage_is_an_error(tmp_path: Path, codec: str) -> None:
    data = compressed(json_lines([{"text": "a"}]), codec) + b"garbage!"
    with pytest.raises(ShardError):
        batches(open_path(write(tmp_path, data, "a.jsonl." + ("gz" if codec == "gzip" else "zst"))))


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_line_of_any_length_is_passed_over_in_bounded_memory(tmp_path: Path, codec: str) -> None:
    import tracemalloc

    long = b'{"text":"' + b"x" * (40 * 2**20) + b'"}\n'
    data = compressed(b'{"text":"a"}\n' + long + b'{"text":"b"}\n', codec)
    path = write(tmp_path, data)
    tracemalloc.start()
    shard = open_path(path, max_record_bytes=2**20, text_column="text", format="jsonl")
    assert found(shard) == {0: b"a", 2: b"b"}
    assert "above" in skipped(shard)[1] or "longer" in skipped(shard)[1]
    assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    tracemalloc.stop()


def test_object_that_decodes_without_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greendata.shards.base.MIN_DECODED_LIMIT_BYTES", 2**20)
    data = compressed(b'{"text":"a"}\n' + b" " * (8 * 2**20), "zstd")
    path = write(tmp_path, data)
    with pytest.raises(ShardLimitError, match=r"a\.jsonl: \d+ stored bytes decode to more"):
        batches(open_path(path))


def test_huge_zstd_window_is_named(tmp_path: Path) -> None:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        1, window_log=28, write_content_size=False
    )
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = stream.compress(json_lines([{"text": "a"}] * 1000)) + stream.flush()
    with pytest.raises(ShardLimitError, match="window"):
        open_path(write(tmp_path, data, "a.jsonl.zst"))


@pytest.mark.parametrize(
    ("records", "column"),
    [
        ([{"id": "x" * 99, "text": "t"}], "text"),
        ([{"content": "c" * 99, "text": "t"}], "text"),
        ([{"text": 5, "content": "c", "long": "l" * 99}], "content"),
        ([{"Text": "t" * 9, "b": "b" * 20}], "b"),
        ([{"b": "same", "a": "same"}], "a"),
        ([{"n": 1}, {"n": 2, "late": "x"}], "late"),
        ([{"text": None, "id": "7"}], "id"),
    ],
)
def test_text_column_rule(tmp_path: Path, records: list[Any], column: str) -> None:
    assert open_path(write(tmp_path, json_lines(records))).text_column == column


def test_object_without_strings_names_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path, json_lines([{"a": 1, "b": [1]}, {"a": "x" * 0, "b": {}}, {"a": 2}]))
    with pytest.raises(NoTextColumnError, match=r"a: number\|string, b: array\|object") as caught:
        open_path(path)
    assert caught.value.reason is SkipReason.NO_TEXT_COLUMN
    assert "--text-column" in (caught.value.hint or "")
    assert "--rows" in (caught.value.hint or "")


def test_nested_column_and_the_literal_name_that_beats_it(tmp_path: Path) -> None:
    nested = [{"a": {"b": "x"}}, {"a": None}, {}, {"a": {}}, {"a": {"b": 5}}, {"a": 5}]
    shard = open_path(write(tmp_path, json_lines(nested)), text_column="a.b")
    assert found(shard) == {0: b"x", 1: None, 2: None, 3: None}
    assert list(skipped(shard)) == [4, 5]
    literal = [{"a": {"b": "x"}}, {"a.b": "y", "a": {"b": "x"}}]
    assert texts(open_path(write(tmp_path, json_lines(literal)), text_column="a.b")) == [None, "y"]


def test_wanted_column_may_come_late_but_must_come(tmp_path: Path) -> None:
    records: list[Any] = [{"x": "y"}] * 1500
    path = write(tmp_path, json_lines([*records, {"späte": "hier"}]))
    assert found(open_path(path, text_column="späte"))[1500] == b"hier"
    with pytest.raises(NoTextColumnError, match=r"no string column 'nothing'; .* x: string"):
        open_path(path, text_column="nothing")
    with pytest.raises(NoTextColumnError, match="'n'"):
        open_path(write(tmp_path, json_lines([{"n": 5}])), text_column="n")


def test_whole_rows_are_canonical(tmp_path: Path) -> None:
    data = b'{"b":1, "a":"\\u00e9", "c":null}\n{"c":null,"a":"\xc3\xa9","b":1}\n{"a":1,"a":2}\n'
    shard = open_path(write(tmp_path, data), whole_rows=True)
    assert texts(shard) == ['{"a":"é","b":1,"c":null}'] * 2
    assert "'a' is there twice" in skipped(shard)[2]
    assert shard.text_column is None


def test_rows_are_read_back(tmp_path: Path) -> None:
    data = b"".join(b'{"text":"%d"}\n' % n if n % 7 else b"bad\n" for n in range(1000))
    shard = open_path(write(tmp_path, b'{"text":"start"}\n' + data), batch_bytes=100)
    everything = found(shard)
    for rows in ([0], [999, 3, 500], [1, 8, 15], [], [1001, 5000], list(range(1001))):
        assert picked(shard, rows) == {row: everything[row] for row in rows if row in everything}


def test_empty_object_has_no_documents(tmp_path: Path) -> None:
    for data in (b"", b"\n\n", b"\xef\xbb\xbf", compressed(b"", "gzip"), compressed(b"", "zstd")):
        shard = open_path(write(tmp_path, data))
        assert found(shard) == {}
        assert skipped(shard) == {}


def test_options_without_sense_are_refused() -> None:
    for options in ({"max_record_bytes": 0}, {"max_record_bytes": 2**31}, {"batch_bytes": 0}):
        with pytest.raises(UsageError):
            ReadOptions(**options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="orc"):
        ReadOptions(format="orc")
