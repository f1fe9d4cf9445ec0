"""Plain text by file and by line; CSV and TSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greendata.model import SkipReason
from greendata.shards.base import NoTextColumnError, ShardError, ShardLimitError
from tests.examples import examples
from tests.shards.made_shards import compressed, found, open_path, picked, skipped, texts

CODECS = pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])


def write(folder: Path, data: bytes | str, name: str = "a.txt") -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@CODECS
def test_file_is_one_document(tmp_path: Path, codec: str) -> None:
    text = "\ufeffLine one\r\n\nLine two: é" * 3
    shard = open_path(write(tmp_path, compressed(text.encode(), codec)))
    assert (shard.format, shard.codec, shard.text_column) == ("text", codec, None)
    assert texts(shard) == [text[1:]]
    assert picked(shard, [0, 1]) == {0: text[1:].encode()}


@CODECS
def test_line_is_one_document_when_asked(tmp_path: Path, codec: str) -> None:
    data = b"\xef\xbb\xbfone\r\n\n  \ntwo \xff\n\nthree"
    for size in (1, 4, 1000):
        path = write(tmp_path, compressed(data, codec))
        shard = open_path(path, lines=True, batch_bytes=size)
        assert shard.format == "lines"
        assert found(shard) == {0: b"one", 1: b"two \xff", 2: b"three"}
        assert picked(shard, [1]) == {1: b"two \xff"}


def test_text_above_the_limit_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, b"a" * 101)
    shard = open_path(path, max_record_bytes=100)
    assert found(shard) == {}
    assert "limit of 100 bytes" in skipped(shard)[0]
    assert texts(open_path(path, max_record_bytes=101)) == ["a" * 101]


def test_line_above_the_limit_is_skipped_by_row(tmp_path: Path) -> None:
    path = write(tmp_path, b"a\n" + b"b" * 101 + b"\nc\n" + b"d" * 5_000_000)
    shard = open_path(path, lines=True, max_record_bytes=100)
    assert found(shard) == {0: b"a", 2: b"c"}
    assert list(skipped(shard)) == [1, 3]


def test_empty_files_have_no_documents(tmp_path: Path) -> None:
    for name in ("a.txt", "a.csv", "a.jsonl", "a.tsv"):
        assert found(open_path(write(tmp_path, b"", name))) == {}
    assert found(open_path(write(tmp_path, b""), lines=True)) == {}


@CODECS
@given(
    rows=st.lists(
        st.tuples(
            st.integers(),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        )
    ),
    size=st.integers(1, 100),
)
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_csv_writes_is_read(
    tmp_path: Path, codec: str, rows: list[tuple[int, str]], size: int
) -> None:
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(["n", "text"])
        writer.writerows(rows)
        data = compressed(out.getvalue().encode(), codec)
        file_format = name[2:]
        shard = open_path(
            write(tmp_path, data, name), format=file_format, batch_bytes=size, text_column="text"
        )
        assert texts(shard) == [text for _, text in rows]
        assert skipped(shard) == {}


def test_csv_quotes_newlines_and_ragged_rows(tmp_path: Path) -> None:
    data = (
        b'\xef\xbb\xbfid,text\r\n1,"a ""quoted"", text"\r\n\r\n2\r\n3,"two\nlines"\r\n'
        b'4,too,many\r\n5,5" disk\r\n6,\xe9\xff\r\n7,\r\n8,"",\r\n9,"NULL"'
    )
    shard = open_path(write(tmp_path, data, "a.csv"))
    assert (shard.format, shard.text_column) == ("csv", "text")
    assert found(shard) == {
        0: b'a "quoted", text', 2: b"two\nlines", 4: b'5" disk', 5: b"\xe9\xff", 6: b"", 8: b"NULL"
    }  # fmt: skip
    assert skipped(shard) == {
        1: "1 fields, the header has 2", 3: "3 fields, the header has 2",
        7: "3 fields, the header has 2",
    }  # fmt: skip
    assert picked(shard, [2, 3, 8]) == {2: b"two\nlines", 8: b"NULL"}


def test_csv_quote_that_never_closes_costs_one_record(tmp_path: Path) -> None:
    rest = b"".join(b"%d,line\n" % n for n in range(100))
    data = b'id,text\n1,good\n2,"never closed\n' + rest
    shard = open_path(write(tmp_path, data, "a.csv"), max_record_bytes=200)
    assert "limit of 200 bytes" in skipped(shard)[1]
    assert found(shard)[0] == b"good"
    assert len(found(shard)) > 50


def test_csv_field_of_many_bytes_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, b'id,text\n1,"' + b"x\n" * 300_000 + b'"\n', "a.csv")
    assert len(found(open_path(path))[0] or b"") == 600_000
    shard = open_path(path, max_record_bytes=500_000)
    assert next(iter(skipped(shard))) == 0


def test_csv_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "id,longest\n1,some words\n2,\n", "a.csv")
    assert open_path(path).text_column == "longest"
    assert texts(open_path(path, text_column="id")) == ["1", "2"]
    assert texts(open_path(path, whole_rows=True)) == [
        '{"id":"1","longest":"some words"}', '{"id":"2","longest":""}'
    ]  # fmt: skip
    with pytest.raises(NoTextColumnError, match="id: string, longest: string"):
        open_path(path, text_column="nothing")
    assert found(open_path(write(tmp_path, "text\n", "b.csv"))) == {}


@pytest.mark.parametrize("name", ["a.csv.gz", "a.txt.gz", "a.tsv.zst", "a.txt.zst"])
def test_truncated_text_is_never_taken_for_whole(tmp_path: Path, name: str) -> None:
    import numpy as np

    body = np.random.default_rng(1).bytes(100_000).hex()
    whole = compressed(f"id\ttext\n1\t{body}\n".encode(), "gzip" if name.endswith("gz") else "zstd")
    for cut in (len(whole) // 2, len(whole) - 3):
        with pytest.raises(ShardError) as caught:
            found(open_path(write(tmp_path, whole[:cut], name)))
        assert caught.value.reason is SkipReason.TRUNCATED


def test_text_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, compressed(b"a" * 2**24, "zstd"))
    assert list(skipped(open_path(path, max_record_bytes=2**20))) == [0]
    monkeypatch.setattr("greendata.shards.base.MIN_DECODED_LIMIT_BYTES", 2**20)
    with pytest.raises(ShardLimitError):
        found(open_path(path, max_record_bytes=2**23))
