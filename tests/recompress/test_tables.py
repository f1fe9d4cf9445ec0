from __future__ import annotations

import csv
import gzip
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greendata.errors import ObjectChangedError
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import SourceOptions
from tests.examples import examples
from tests.recompress.made_sources import opened, rows_of, table_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "table"


CELLS = st.one_of(
    st.text(st.sampled_from('ab",\n\té \x000;'), max_size=8),
    st.integers(-5, 5).map(str),
    st.floats(allow_nan=False).map(str),
    st.sampled_from(["", "007", "-0", "1.50", str(2**63), str(-(2**63)), "1e400", "nan"]),
)


@settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    width=st.integers(1, 4),
    cells=st.lists(CELLS, min_size=4, max_size=40),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    file_format=st.sampled_from(["csv", "tsv"]),
    batch_bytes=st.sampled_from([1, 30, 2**20]),
)
def test_every_cell_is_what_pythons_reader_finds(
    path: Path,
    width: int,
    cells: list[str],
    quoting: Any,
    line_end: str,
    file_format: str,
    batch_bytes: int,
) -> None:
    delimiter = "," if file_format == "csv" else "\t"
    rows = [cells[start : start + width] for start in range(0, len(cells) - width + 1, width)]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerow([f"c{number}" for number in range(width)])
    writer.writerows(rows)
    source = opened(
        path,
        text.getvalue().encode(),
        file_format=file_format,
        options=SourceOptions(batch_bytes=batch_bytes),
    )
    found = [["" if v is None else str(v) for v in row.values()] for row in rows_of(source)]
    assert found == rows


def test_cells_in_quotes_hold_everything(path: Path) -> None:
    raw = b'a,b\r\n"1,""2""\r\n\n","x"\r\n,"\x00"'
    assert rows_of(opened(path, raw, file_format="csv")) == [
        {"a": '1,"2"\r\n\n', "b": "x"},
        {"a": None, "b": "\x00"},
    ]


def test_quote_inside_a_cell_without_quotes_is_a_letter(path: Path) -> None:
    raw = b'a,b\n5" pipe,x"y"\n'
    assert rows_of(opened(path, raw, file_format="csv")) == [{"a": '5" pipe', "b": 'x"y"'}]


def test_blank_lines_and_the_order_mark_are_no_records(path: Path) -> None:
    raw = b"\xef\xbb\xbf\n\r\na\n\n1\r\n\n\n2"
    assert rows_of(opened(path, raw, file_format="csv")) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("raw", "reason", "row"),
    [
        (b'a,b\n1,"x"y\n', RefusalReason.BROKEN_QUOTES, 0),
        (b'a,b\n1,2\n"x\\"y",2\n', RefusalReason.BROKEN_QUOTES, 1),
        (b"a,b\n1,2\r3,4\n", RefusalReason.BROKEN_QUOTES, 0),
        (b'a,b\n1,2\n1,"cut', RefusalReason.TRUNCATED, 1),
        (b"a,b\n1,2\n1", RefusalReason.RAGGED_ROWS, 1),
        (b"a,b\n", RefusalReason.NO_ROWS, None),
        (b"", RefusalReason.NO_ROWS, None),
        (b"a\x00,b\n1,2\n", RefusalReason.UNSUPPORTED_NAME, None),
    ],
)
def test_table_that_cannot_be_kept_is_refused(
    path: Path, raw: bytes, reason: RefusalReason, row: int | None
) -> None:
    with pytest.raises(RefusedSourceError) as caught:
        opened(path, raw, file_format="csv")
    assert (caught.value.reason, caught.value.row) == (reason, row)
    assert str(caught.value).startswith(path.as_uri())


def test_quote_that_nothing_closes_stops_at_the_record_limit(path: Path) -> None:
    options = SourceOptions(max_record_bytes=1000, batch_bytes=100)
    with pytest.raises(RefusedSourceError) as caught:
        opened(path, b'a\n"' + b"x\n" * 3_000_000, file_format="csv", options=options)
    assert caught.value.reason is RefusalReason.RECORD_TOO_LARGE


def test_more_columns_than_cells_fit_at_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greendata.recompress.tables._CELLS", 4)
    raw = b",".join(b"c%d" % n for n in range(100)) + b"\n" + (b"1," * 99 + b"1\n") * 3
    table = table_of(opened(path, raw, file_format="csv"))
    assert table.shape == (3, 100)


def test_compressed_table_has_both_digests(path: Path) -> None:
    raw = b"a\n" + b"1\n" * 1000
    source = opened(path, gzip.compress(raw), codec="gzip", file_format="csv")
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.content_sha256 == hashlib.sha256(raw).hexdigest()
    assert source.rows == 1000


def test_table_that_changes_is_noticed(path: Path) -> None:
    source = opened(path, b"a\n1\n", file_format="csv")
    path.write_bytes(b"a\n1\n2\n")
    with pytest.raises(ObjectChangedError):
        list(source.batches())
