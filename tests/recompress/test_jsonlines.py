from __future__ import annotations

import gzip
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greendata.errors import ObjectChangedError, UsageError
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import Grade, SourceOptions, open_source
from greendata.stores.local import LocalStore
from tests.examples import examples
from tests.recompress.made_sources import opened, restored, rows_of, table_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources") / "source"


TEXTS = st.text(st.sampled_from('ab"\\/\n\t\x00\x1f\x7fé\u2028😀<Z'), max_size=80)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53, 2**53 + 1, 2**63, 2**64, -(2**63), 1e16, 1e-8, 5e-324, -0.0]),
)
NAMES = st.sampled_from(["a", "b", "A", "", "é", '"', "x.y", "long name"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=8)
STYLES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "separators": st.sampled_from([(", ", ": "), (",", ":"), (" , ", " :\t")]),
        "sort_keys": st.booleans(),
    }
)
OPTIONS = st.sampled_from([1, 100, 2**20]).map(lambda size: SourceOptions(batch_bytes=size))
FUZZED = settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def is_same(one: Any, other: Any) -> bool:
    """Equal as JSON values; 1 and 1.0 are one number, 1 and true, 0.0 and -0.0 are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@FUZZED
@given(records=st.one_of(RECORDS, st.lists(VALUES, min_size=1, max_size=5)), options=OPTIONS)
def test_values_come_back(path: Path, records: list[Any], options: SourceOptions) -> None:
    raw = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    source = opened(path, raw, options=options)
    assert is_same(list(map(json.loads, restored(source).splitlines())), records)


@FUZZED
@given(
    records=RECORDS,
    style=STYLES,
    options=OPTIONS,
    line_end=st.sampled_from(["\n", "\r\n", "\n \n"]),
    end=st.sampled_from(["", "\n", "\n\n\t\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_bytes_come_back_in_grade_exact(
    path: Path,
    records: list[Any],
    style: dict[str, Any],
    options: SourceOptions,
    line_end: str,
    end: str,
    mark: str,
) -> None:
    raw = (mark + line_end.join(json.dumps(one, **style) for one in records) + end).encode()
    source = opened(path, raw, options=options, grade=Grade.EXACT)
    assert restored(source) == raw
    assert source.content_sha256 == hashlib.sha256(raw).hexdigest()


LINES = [
    '{"a": 1, "b": [1.5, null, {"c": "x\\n\\u00e9\\ud83d\\ude00"}], "t": true}',
    '{"a":-0.5e+10,"b":[],"z":{}}', "[1,2,[false]]", '"str\\/"', "NaN", "null", "é",
    '{"n": -Infinity, "e": 1E400, "x":[NaN, 10]}', "12345678901234567890",
]  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.integers(0, 200),
        st.sampled_from(["put", "cut", "set"]),
        st.sampled_from('{}[]",:\\ue0159.-+EtfnNI \t\r\n\x00\x1fé'),
    ),
    max_size=4,
)


def edited(text: str, edits: list[tuple[int, str, str]]) -> str:
    for place, what, letter in edits:
        place %= len(text) + 1
        rest = text[place:] if what == "put" else text[place + 1 :]
        text = text[:place] + ("" if what == "cut" else letter) + rest
    return text


def python_reads(text: str) -> bool:
    lines = [line.strip(" \t\r") for line in text.split("\n")]
    try:
        return len([json.loads(line) for line in lines if line]) > 0
    except ValueError:
        return False


@settings(FUZZED, max_examples=examples(400))
@given(lines=st.lists(st.sampled_from(LINES), min_size=1, max_size=3), edits=EDITS)
def test_accepts_what_pythons_parser_accepts(
    path: Path, lines: list[str], edits: list[tuple[int, str, str]]
) -> None:
    text = edited("\n".join(lines), edits)
    try:
        source = opened(path, text.encode(), grade=Grade.EXACT)
    except RefusedSourceError as error:
        stricter = error.reason is RefusalReason.DUPLICATE_KEYS or "surrogate" in str(error)
        assert stricter or not python_reads(text)
    else:
        assert python_reads(text)
        assert restored(source) == text.encode()


def test_batches_can_be_read_again(path: Path) -> None:
    source = opened(path, b'{"a": {"b": [1, null]}, "c": 1}\n{"a": {"b": "x"}}\n')
    assert table_of(source).equals(table_of(source))


def test_stored_bytes_and_content_have_their_digests(path: Path) -> None:
    raw = b'{"a": 1}\n' * 10
    packed = gzip.compress(raw)
    source = opened(path, packed, codec="gzip")
    assert source.sha256 == hashlib.sha256(packed).hexdigest()
    assert source.content_sha256 == hashlib.sha256(raw).hexdigest()
    assert (source.rows, source.content_bytes) == (10, 90)
    plain = opened(path, raw)
    assert plain.sha256 == plain.content_sha256 == source.content_sha256


def test_compressed_source_is_watched_to_its_last_byte(path: Path) -> None:
    packed = zstandard.compress(b'{"a": 1}\n' * 500_000)
    source = opened(path, packed, codec="zstd")
    assert source.sha256 == hashlib.sha256(packed).hexdigest()


@pytest.mark.parametrize("raw", [b"", b"\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_source_without_records_is_refused(path: Path, raw: bytes) -> None:
    with pytest.raises(RefusedSourceError) as caught:
        opened(path, raw)
    assert caught.value.reason is RefusalReason.NO_ROWS


def test_other_format_is_a_usage_error(path: Path) -> None:
    with pytest.raises(UsageError, match="no format"):
        opened(path, b"x", file_format="parquet")
    with pytest.raises(UsageError, match="exact"):
        opened(path, b"a\n1\n", file_format="csv", grade=Grade.EXACT)
    with pytest.raises(UsageError, match="max_record_bytes"):
        SourceOptions(max_record_bytes=0)
    with pytest.raises(UsageError, match="batch_bytes"):
        SourceOptions(batch_bytes=0)


@pytest.mark.parametrize(
    "later",
    [b'{"a": 1}\n{"a": 3}\n', b'{"a": 1}\n{"a":"x"}\n', b'{"a": 1}\n{"b": 2}\n', b'{"a": 1}\n'],
)
def test_source_that_changes_without_a_trace_is_noticed(path: Path, later: bytes) -> None:
    """A store whose ETag stays: only the bytes tell."""
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n')
    store = _Careless()
    source = open_source(store, store.head(path.as_uri()), "jsonl", "none")
    path.write_bytes(later)
    with pytest.raises(ObjectChangedError):
        list(source.batches())


def test_source_that_changes_is_noticed(path: Path) -> None:
    source = opened(path, b'{"a": 1}\n')
    path.write_bytes(b'{"a": 2, "b": 1}\n')
    with pytest.raises(ObjectChangedError):
        list(source.batches())


class _Careless(LocalStore):
    def open(self, item: Any) -> Any:
        return pa.OSFile(item.uri.removeprefix("file://"))


def test_more_names_and_values_than_the_tables_hold_at_first(path: Path) -> None:
    records = [
        {f"{letter}{number}": {f"{'n' * 300}{j}": [j] for j in range(15)} for number in range(20)}
        for letter in "abcde"
    ]
    raw = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    source = opened(path, raw + b'{"a0": {}}\n')
    assert restored(source) == raw + b'{"a0": {}}\n'
    many = b'{"x": [' + b"1," * 700_000 + b"1]}\n"
    assert rows_of(opened(path, many + b'{"x": []}\n' + many))[2]["x"] == [1] * 700_001


def test_record_with_more_values_than_memory_is_for_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greendata.recompress.tapes.MAX_VALUES", 2**18)
    raw = b'{"x": [1]}\n{"x": [' + b"1," * 300_000 + b"1]}\n"
    with pytest.raises(RefusedSourceError) as caught:
        opened(path, raw)
    assert (caught.value.reason, caught.value.row) == (RefusalReason.RECORD_TOO_LARGE, 1)


def test_columns_stand_in_the_order_of_the_names(path: Path) -> None:
    raw = (
        b'{"a": 1, "d": 4}\n{"a": 1, "b": 2, "d": 4}\n{"b": 2, "c": 3, "d": 4}\n{"z": 1, "a": 1}\n'
    )
    assert opened(path, raw).schema.names == ["z", "a", "b", "c", "d"]
    circle = b'{"a": 1, "b": 2}\n{"b": 2, "c": 3}\n{"c": 3, "a": 1}\n'
    assert opened(path, circle).schema.names == ["a", "b", "c"]


def test_names_that_arrow_cannot_carry_make_json_text(path: Path) -> None:
    raw = b'{"x": {"a\\u0000": 1, "a": 2}}\n'
    source = opened(path, raw)
    assert source.schema.field("x").type == pa.json_()
    assert rows_of(source) == [{"x": '{"a\\u0000": 1, "a": 2}'}]


def test_notes_name_the_columns_that_are_json_text(path: Path) -> None:
    (note,) = opened(path, b'{"x": 1, "y": 1}\n{"x": "a", "y": 2}\n').notes
    assert "'x'" in note
    assert "'y'" not in note
