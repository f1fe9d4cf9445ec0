from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal
from unittest import mock

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.catalog.schemas import SCHEMAS
from greendata.dedup import overlap
from greendata.dedup.overlap import Level, Sources, count_contained, load_overlaps
from greendata.sql import open_duckdb
from tests.examples import examples

Document = tuple[str, str, int]
"""Dataset, object, text."""
DOCUMENTS = st.lists(
    st.tuples(st.sampled_from("PQ"), st.sampled_from("xyz"), st.integers(0, 6)),
    max_size=25,
).map(lambda found: [(dataset, f"{dataset}/{name}", text) for dataset, name, text in found])
VERIFIED = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda p: p[0] < p[1]))


@cache
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def found_rows(
    documents: list[Document], verified: set[tuple[int, int]], level: Level
) -> tuple[list[tuple[object, ...]], int]:
    docs = pa.table(
        {
            "dataset": pa.array([d for d, _, _ in documents], pa.string()),
            "uri": pa.array([u for _, u, _ in documents], pa.string()),
            "digest_high": pa.array([t for _, _, t in documents], pa.int64()),
            "digest_low": pa.array([-t for _, _, t in documents], pa.int64()),
            "text_bytes": pa.array([10 * t for _, _, t in documents], pa.int64()),
        }
    )
    pairs = pa.table(
        {
            name: pa.array([sign * pair[side] for pair in sorted(verified)], pa.int64())
            for name, side, sign in (
                ("a_digest_high", 0, 1),
                ("a_digest_low", 0, -1),
                ("b_digest_high", 1, 1),
                ("b_digest_low", 1, -1),
            )
        }
    )
    empty = SCHEMAS["overlaps"].empty_table()
    for name, rows in (("documents", docs), ("verified", pairs), ("overlap_rows", empty)):
        connection().register("rows", rows)
        connection().execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM rows")
    connection().execute(
        "CREATE OR REPLACE TABLE totals AS"
        " SELECT 'dataset' AS level, dataset AS unit, count(*) AS documents,"
        " sum(text_bytes) AS text_bytes FROM documents GROUP BY dataset UNION ALL"
        " SELECT 'object', uri, count(*), sum(text_bytes) FROM documents GROUP BY uri"
    )
    connection().execute(
        "CREATE OR REPLACE TABLE shared_texts AS SELECT digest_high, digest_low FROM documents"
        " GROUP BY ALL HAVING count(*) > 1 UNION SELECT a_digest_high, a_digest_low FROM verified"
        " UNION SELECT b_digest_high, b_digest_low FROM verified"
    )
    crowded = load_overlaps(connection(), level, Sources())
    rows = connection().execute("SELECT * FROM overlap_rows ORDER BY a, b").fetchall()
    return rows, crowded


def brute_force(
    documents: list[Document], verified: set[tuple[int, int]], level: Level
) -> list[tuple[object, ...]]:
    side: Literal[0, 1] = 0 if level == "dataset" else 1
    both = verified | {(b, a) for a, b in verified}
    units = sorted({document[side] for document in documents})

    def share(a: str, b: str) -> tuple[float, float, float]:
        mine = [document[2] for document in documents if document[side] == a]
        theirs = {document[2] for document in documents if document[side] == b}
        inside = [t for t in mine if t in theirs or any((t, other) in both for other in theirs)]
        exact = [t for t in mine if t in theirs]
        bytes_share = sum(inside) / sum(mine) if sum(mine) else 0.0
        return len(inside) / len(mine), bytes_share, len(exact) / len(mine)

    rows: list[tuple[object, ...]] = []
    for place, a in enumerate(units):
        for b in units[place + 1 :]:
            there, back = share(a, b), share(b, a)
            if there[0] or back[0]:
                sizes = [[d[2] for d in documents if d[side] == unit] for unit in (a, b)]
                rows.append(
                    (
                        level, a, b, there[0], there[1], back[0], back[1], there[2], back[2],
                        len(sizes[0]), len(sizes[1]), 10 * sum(sizes[0]), 10 * sum(sizes[1]),
                    )
                )  # fmt: skip
    return rows


@settings(max_examples=examples(60))
@given(DOCUMENTS, VERIFIED, st.sampled_from(["dataset", "object"]), st.sampled_from([3, 1000]))
def test_overlap_is_what_counting_by_hand_gives(
    documents: list[Document], verified: set[tuple[int, int]], level: Level, at_once: int
) -> None:
    here = {text for _, _, text in documents}
    pairs = {(a, b) for a, b in verified if {a, b} <= here}
    with mock.patch.object(overlap, "DOCUMENTS_AT_ONCE", at_once):
        rows, crowded = found_rows(documents, pairs, level)
    wanted = brute_force(documents, pairs, level)
    assert [row[:3] for row in rows] == [row[:3] for row in wanted]
    for row, expected in zip(rows, wanted, strict=True):
        assert row[3:] == pytest.approx(expected[3:])
    assert crowded == 0


def test_texts_that_are_everywhere_are_bounded_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(overlap.MAX_PARTNERS, "object", 3)
    rows, crowded = found_rows([("P", f"P/{n}", 1) for n in range(10)], set(), "object")
    assert crowded == 1
    assert len(rows) == 3 + 3 * 7


_MANY = """
CREATE TEMP TABLE shared_texts AS
    SELECT (hash(i) >> 1)::BIGINT AS digest_high, (hash(-i) >> 1)::BIGINT AS digest_low, i AS row
    FROM range(1400000) r(i);
CREATE TEMP TABLE objects AS
    SELECT i AS object_order, 'd' AS dataset,
        'file:///a/long/folder/of/some/dataset/that/has/files/part-' || i AS uri
    FROM range(4) r(i);
CREATE TEMP TABLE copies AS
    SELECT digest_high, digest_low, row FROM shared_texts WHERE digest_high % 3 = 0;
CREATE TEMP TABLE copied AS
    SELECT digest_high, digest_low, ((2 * n + (digest_high & 1)) << 36) | row AS position,
        9 AS text_bytes
    FROM copies, range(2) q(n);
CREATE TEMP TABLE places AS
    SELECT digest_high, digest_low, ((digest_high & 3) << 36) | row AS position, 9 AS text_bytes
    FROM shared_texts
    WHERE digest_high % 3 > 0 OR digest_low % 10 = 0;
CREATE TEMP VIEW documents AS
    SELECT o.uri, o.dataset, d.digest_high, d.digest_low, d.text_bytes FROM (
        SELECT * FROM places ANTI JOIN copies USING (digest_high, digest_low)
        UNION ALL FROM copied
    ) d JOIN objects o ON o.object_order = d.position >> 36;
CREATE TEMP TABLE verified AS
    SELECT digest_high AS a_digest_high, digest_low AS a_digest_low,
        digest_high AS b_digest_high, digest_low AS b_digest_low FROM shared_texts LIMIT 0;
"""


def test_millions_of_texts_are_counted_in_the_memory_of_a_scan(tmp_path: Path) -> None:
    # how many rows the view has DuckDB cannot tell; it held all of them twice
    with open_duckdb(
        memory_bytes=512 * 2**20, spill_directory=tmp_path / "spill", threads=2
    ) as connection:
        connection.execute(_MANY)
        count_contained(connection, "object", Sources(), "contained")
        rows = connection.execute("SELECT right(a, 1), right(b, 1), documents FROM contained")
        found = {(a, b): documents for a, b, documents in rows.fetchall()}
        even = connection.execute("SELECT count(*) FROM copies WHERE digest_high & 1 = 0")
        assert found[("0", "2")] == found[("2", "0")] == even.fetchall()[0][0] > 200_000
        assert set(found) == {("0", "2"), ("2", "0"), ("1", "3"), ("3", "1")}
