from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.shards.encodings import ColumnEncodings, choose_encodings
from greendata.shards.writer import PROFILES, ShardWriter, changed_profile, write_shard

STREAM = PROFILES["stream"]
ROWS = 4_000


def words(seed: int, count: int = 40) -> str:
    found = random.Random(seed)
    return " ".join(f"word{found.randrange(3_000)}" for _ in range(count))


@pytest.fixture(scope="module")
def table() -> pa.Table:
    numbers = random.Random(1)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    schema = pa.schema(
        [
            pa.field("id", pa.string(), metadata={"role": "key"}),
            pa.field("text", pa.string()),
            pa.field("source", pa.string()),
            pa.field("at", pa.timestamp("us", tz="UTC")),
            pa.field("score", pa.float64()),
            pa.field("tags", pa.list_(pa.string())),
        ],
        metadata={"huggingface": '{"info": {}}', "pandas": "{}"},
    )
    return pa.table(
        {
            "id": [f"https://example.org/page/{row:08d}" for row in range(ROWS)],
            "text": [words(row) if row % 7 else None for row in range(ROWS)],
            "source": [numbers.choice(("web", "books")) for _ in range(ROWS)],
            "at": [start + timedelta(microseconds=row * 1_000_003) for row in range(ROWS)],
            "score": [numbers.random() for _ in range(ROWS)],
            "tags": [[f"t{row % 3}"] * (row % 4) for row in range(ROWS)],
        },
        schema=schema,
    )


def written(path: Path, table: pa.Table, *, rows: int = 500, **options: Any) -> pq.FileMetaData:
    batches = iter(table.to_batches(max_chunksize=rows))
    count = write_shard(path, table.schema, batches, options.pop("profile", STREAM), **options)
    assert count == table.num_rows
    return pq.read_metadata(path)


def chunks(metadata: pq.FileMetaData) -> Iterator[Any]:
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            yield metadata.row_group(group).column(column)


def test_rows_schema_and_metadata_come_back(tmp_path: Path, table: pa.Table) -> None:
    written(tmp_path / "a.parquet", table, metadata={b"greendata:writer": b"me"})
    found = pq.read_table(tmp_path / "a.parquet", page_checksum_verification=True)
    assert found.equals(table)
    assert found.schema.field("id").metadata == {b"role": b"key"}
    keys = {**table.schema.metadata, b"greendata:writer": b"me"}
    assert found.schema.metadata == keys
    assert pq.read_metadata(tmp_path / "a.parquet").metadata.items() >= keys.items()


def test_other_engines_read_the_same(tmp_path: Path, table: pa.Table) -> None:
    path = tmp_path / "a.parquet"
    written(path, table)
    connection = duckdb.connect()
    found = connection.sql(f"FROM read_parquet('{path}')").to_arrow_table()
    connection.close()
    assert found.to_pylist() == table.to_pylist()


def test_encodings_are_those_that_were_smallest(tmp_path: Path, table: pa.Table) -> None:
    metadata = written(tmp_path / "a.parquet", table)
    found = {chunk.path_in_schema: set(chunk.encodings) for chunk in chunks(metadata)}
    assert "DELTA_BYTE_ARRAY" in found["id"]
    assert "DELTA_BINARY_PACKED" in found["at"]
    assert "RLE_DICTIONARY" in found["source"]
    assert "RLE_DICTIONARY" not in found["text"] | found["score"] | found["id"]
    statistics = {chunk.path_in_schema: chunk.is_stats_set for chunk in chunks(metadata)}
    assert statistics["at"]
    assert not statistics["text"]


def test_nothing_is_larger_than_what_pyarrow_writes_by_itself(
    tmp_path: Path, table: pa.Table
) -> None:
    written(tmp_path / "a.parquet", table)
    pq.write_table(table, tmp_path / "b.parquet", compression="zstd", compression_level=6)
    assert (tmp_path / "a.parquet").stat().st_size < (tmp_path / "b.parquet").stat().st_size


def test_a_flipped_bit_in_any_page_is_an_error_for_who_looks(
    tmp_path: Path, table: pa.Table
) -> None:
    path = tmp_path / "a.parquet"
    metadata = written(path, table)
    raw = path.read_bytes()
    for number, chunk in enumerate(chunks(metadata)):
        first = chunk.dictionary_page_offset or chunk.data_page_offset
        damaged = bytearray(raw)
        damaged[first + chunk.total_compressed_size - 3] ^= 1 << number % 8
        path.write_bytes(damaged)
        with pytest.raises((OSError, pa.ArrowException)):
            pq.ParquetFile(path, page_checksum_verification=True).read()


def test_row_groups_stay_within_their_bytes(tmp_path: Path, table: pa.Table) -> None:
    profile = changed_profile(STREAM, row_group_bytes=100_000)
    metadata = written(tmp_path / "a.parquet", table, rows=ROWS, profile=profile)
    groups = pq.ParquetFile(tmp_path / "a.parquet")
    sizes = [groups.read_row_group(group).nbytes for group in range(metadata.num_row_groups)]
    assert len(sizes) > 5
    assert max(sizes) <= 100_000
    assert min(sizes) > 10_000


def test_a_row_larger_than_a_row_group_stands_alone(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b" * 50_000, "c", "d"]})
    profile = changed_profile(STREAM, row_group_bytes=10_000)
    metadata = written(tmp_path / "a.parquet", table, rows=4, profile=profile)
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert 1 in rows
    assert pq.read_table(tmp_path / "a.parquet").equals(table)


def test_pages_hold_about_what_the_profile_says(tmp_path: Path) -> None:
    table = pa.table({"text": [words(row, 4_000) for row in range(600)]})
    written(tmp_path / "a.parquet", table, rows=50)
    reader = pq.ParquetFile(tmp_path / "a.parquet")
    chunk = reader.metadata.row_group(0).column(0)
    pages = chunk.total_uncompressed_size / STREAM.page_bytes
    from greendata.shards.pages import walk_pages

    with pa.OSFile(str(tmp_path / "a.parquet")) as source:
        found = list(
            walk_pages(
                source.read_at,
                chunk.data_page_offset,
                chunk.total_compressed_size,
                chunk.num_values,
            )
        )
    assert pages > 10
    assert max(page.uncompressed_bytes for page in found) < 1.5 * STREAM.page_bytes


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, table: pa.Table) -> None:
    written(tmp_path / "a.parquet", table)
    written(tmp_path / "b.parquet", table)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_no_rows_are_a_file_with_its_schema(tmp_path: Path, table: pa.Table) -> None:
    written(tmp_path / "a.parquet", table.slice(0, 0))
    found = pq.read_table(tmp_path / "a.parquet")
    assert found.schema.names == table.schema.names
    assert found.schema.metadata == table.schema.metadata
    assert found.num_rows == 0


def test_an_error_leaves_no_file_that_could_be_taken_for_one(
    tmp_path: Path, table: pa.Table
) -> None:
    path = tmp_path / "a.parquet"
    profile = changed_profile(STREAM, row_group_bytes=50_000)

    def fail() -> None:
        with ShardWriter(path, table.schema, profile) as writer:
            for batch in table.to_batches(max_chunksize=500):
                writer.write(batch)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not path.exists()


def test_encodings_of_nothing_are_plain() -> None:
    empty = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())})
    assert choose_encodings(empty, 1 << 20) == ColumnEncodings(
        statistics=("a", "b"), values_a_check=1_024
    )
