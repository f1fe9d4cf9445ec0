from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from greendata.errors import ObjectChangedError
from greendata.recompress.records import open_records
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import Source, SourceOptions
from greendata.stores.local import LocalStore
from tests.recompress.made_sources import table_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "source.jsonl"


def records(path: Path, raw: bytes, options: SourceOptions | None = None) -> Source:
    path.write_bytes(raw)
    store = LocalStore()
    return open_records(store, store.head(path.as_uri()), "none", options)


def test_lines_that_have_types_are_typed(path: Path) -> None:
    source = records(path, b'{"a": 1}\n\n{"a": 2}')
    assert table_of(source).to_pydict() == {"a": [1, 2]}


@pytest.mark.parametrize(
    "last", [b'{"a": 1, "a": 2}', b'{"a": cut', b"x", b'{"_gd_pos": 1}', b'{"\\ud800": 1}']
)
@pytest.mark.parametrize("batch_bytes", [1, 2**20])
def test_lines_that_have_none_are_kept_as_they_stand(
    path: Path, last: bytes, batch_bytes: int
) -> None:
    raw = b'{"a": 1}\r\n \t\n  ' + last + b" \n\n[1]"
    source = records(path, raw, SourceOptions(batch_bytes=batch_bytes))
    assert table_of(source).to_pydict() == {"record": ['{"a": 1}', last.decode(), "[1]"]}
    assert source.notes


def test_lines_that_are_not_utf8_are_binary(path: Path) -> None:
    source = records(path, b'{"a": 1}\n{"a": "\xff"}\n', SourceOptions(batch_bytes=1))
    assert source.schema.field("record").type == pa.binary()
    assert table_of(source).to_pydict() == {"record": [b'{"a": 1}', b'{"a": "\xff"}']}


def test_too_long_record_is_refused_all_the_same(path: Path) -> None:
    with pytest.raises(RefusedSourceError) as caught:
        records(path, b"x\n" + b"y" * 5_000_000, SourceOptions(max_record_bytes=9, batch_bytes=1))
    assert caught.value.reason is RefusalReason.RECORD_TOO_LARGE


def test_lines_that_change_are_noticed(path: Path) -> None:
    source = records(path, b"x\n")
    path.write_bytes(b"y\nz\n")
    with pytest.raises(ObjectChangedError):
        list(source.batches())
