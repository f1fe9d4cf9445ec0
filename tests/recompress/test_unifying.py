from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greendata.recompress.digests import row_digests
from greendata.recompress.sources import Grade
from greendata.recompress.unifying import unify
from tests.examples import examples
from tests.recompress.made_sources import opened, restored, table_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unifying")


VALUES = st.sampled_from(
    [None, 1, 1.5, 2**53 + 1, 2**63, -1, True, "a", [], [1], ["a"], {}, {"b": 1}, {"c": None}]
)
FILES = st.lists(
    st.lists(
        st.fixed_dictionaries({"id": st.integers(0, 9), "t": st.just("x")}, optional={
            "a": VALUES, "b": VALUES,
        }),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(files=FILES, grade=st.sampled_from(Grade))
def test_files_get_the_schema_of_all_their_records(
    folder: Path, files: list[list[dict[str, Any]]], grade: Grade
) -> None:
    raws = [lines(records) for records in files]
    whole = opened(folder / "whole", b"".join(raws), grade=grade)
    parts = [opened(folder / str(n), raw, grade=grade) for n, raw in enumerate(raws)]
    unify(parts)
    for part, raw in zip(parts, raws, strict=True):
        assert part.schema.equals(whole.schema)
        if grade is Grade.EXACT:
            assert restored(part) == raw
    if grade is Grade.LOGICAL:
        found = [row_digests(batch) for part in parts for batch in part.batches()]
        (expected,) = [row_digests(batch) for batch in whole.batches()]
        assert [row.tolist() for part in found for row in part] == expected.tolist()


def test_files_of_other_kinds_keep_their_own_schema(folder: Path) -> None:
    one = opened(folder / "1", lines([{"id": 1, "text": "a"}]))
    two = opened(folder / "2", lines([{"id": None, "text": "b", "late": 1}]))
    other = opened(folder / "3", lines([{"x": 1, "y": 2, "z": 3}]))
    values = opened(folder / "4", b"1\n")
    before = other.schema, values.schema
    unify([one, other, two, values])
    assert one.schema.equals(two.schema)
    assert one.schema.names == ["id", "text", "late"]
    assert (other.schema, values.schema) == before
    assert table_of(two).to_pylist() == [{"id": None, "text": "b", "late": 1}]


def test_more_names_in_all_files_than_an_object_may_have_are_json_text(folder: Path) -> None:
    raws = [lines([{"m": {f"{n}-{j}": [j] for j in range(60)}}]) for n in range(3)]
    parts = [opened(folder / str(n), raw) for n, raw in enumerate(raws)]
    unify(parts)
    assert {part.schema.field("m").type for part in parts} == {pa.json_()}
    assert [restored(part) for part in parts] == raws


def test_many_files_have_more_names_than_the_tables_hold_at_first(folder: Path) -> None:
    raws = [
        lines([{f"n{j}": {f"{'k' * 900}{n}-{i}": 1 for i in range(9)} for j in range(60)}])
        for n in range(3)
    ]
    parts = [opened(folder / str(n), raw) for n, raw in enumerate(raws)]
    unify(parts)
    assert parts[0].schema.equals(parts[2].schema)
    assert [restored(part) for part in parts] == raws


def test_tables_with_one_header_get_one_schema(folder: Path) -> None:
    one = opened(folder / "1", b"a,b,c,d,e\n1,1,1.5,,\n", file_format="csv")
    two = opened(folder / "2", b"a,b,c,d,e\n2,01,2,7,\n", file_format="csv")
    other = opened(folder / "3", b"a,b\n1,1\n", file_format="csv")
    unify([one, two, other])
    types = [pa.int64(), pa.string(), pa.string(), pa.int64(), pa.string()]
    assert one.schema.types == two.schema.types == types
    assert table_of(one).to_pylist() == [{"a": 1, "b": "1", "c": "1.5", "d": None, "e": None}]
    assert other.schema.types == [pa.int64(), pa.int64()]
