"""Parquet page headers: what real writers write, and any bytes at all."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greendata.shards.pages import DICTIONARY_PAGE, PageHeaderError, walk_pages


def pages_of(path: Path, **options: object) -> list[tuple[int, int, int]]:
    pq.write_table(pa.table({"t": [f"text {n % 100}" for n in range(5000)]}), path, **options)
    entry = pq.read_metadata(path).row_group(0).column(0)
    start = min(o for o in (entry.data_page_offset, entry.dictionary_page_offset) if o)
    with pa.OSFile(str(path)) as source:
        walked = walk_pages(source.read_at, start, entry.total_compressed_size, entry.num_values)
        pages = list(walked)
    last = pages[-1]
    assert last.body_offset + last.compressed_bytes == start + entry.total_compressed_size
    return [(page.kind, page.values, page.uncompressed_bytes) for page in pages]


def test_dictionary_and_data_pages_are_walked(tmp_path: Path) -> None:
    dictionary, *data = pages_of(tmp_path / "a", data_page_size=500)
    assert dictionary[:2] == (DICTIONARY_PAGE, 100)
    assert dictionary[2] == sum(4 + len(f"text {n}") for n in range(100))
    assert sum(values for _, values, _ in data) == 5000
    assert len(data) > 1


def test_plain_pages_of_both_versions_are_walked(tmp_path: Path) -> None:
    for version, kind in (("1.0", 0), ("2.0", 3)):
        pages = pages_of(
            tmp_path / "a", data_page_version=version, use_dictionary=False, data_page_size=2000
        )
        assert {page[0] for page in pages} == {kind}
        assert sum(values for _, values, _ in pages) == 5000


@given(st.binary(max_size=200))
def test_any_bytes_end_in_pages_or_a_page_header_error(data: bytes) -> None:
    def read_at(size: int, offset: int) -> bytes:
        return data[offset : offset + size]

    try:
        for page in walk_pages(read_at, 0, len(data), 10**9):
            assert page.body_offset + page.compressed_bytes <= len(data)
    except PageHeaderError:
        pass


def test_long_statistics_are_read_on_demand() -> None:
    # type 0, sizes 1 and 1, then an unknown binary field of 5000 bytes, then data page header
    data = b"\x15\x00\x15\x02\x15\x02" + b"\x18\x88\x27" + b"x" * 5000
    header = data + b"\x1c\x15\x06\x00" + b"\x00"
    stored = header + b"!"
    pages = list(walk_pages(lambda size, at: stored[at : at + size], 0, len(stored), 3))
    assert [(page.kind, page.values, page.body_offset) for page in pages] == [(0, 3, len(header))]


def test_page_beyond_its_chunk_is_an_error() -> None:
    stored = b"\x15\x00\x15\x02\x15\xc8\x01\x2c\x15\x06\x00\x00"
    with pytest.raises(PageHeaderError, match="beyond"):
        list(walk_pages(lambda size, at: stored[at : at + size], 0, len(stored), 3))
