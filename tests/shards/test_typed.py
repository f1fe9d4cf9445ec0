from __future__ import annotations

import json

import pyarrow as pa
import pytest

from greendata.shards.typed import JSON_COLUMNS, RecordTypes


def typed(*lines: str) -> tuple[pa.Schema, list[dict[str, object]]]:
    raw = [line.encode() for line in lines]
    types = RecordTypes()
    types.learn(raw[:1])
    types.learn(raw[1:])
    batch = types.batch(raw)
    return batch.schema, batch.to_pylist()


def as_json(schema: pa.Schema) -> list[str]:
    found: list[str] = json.loads((schema.metadata or {}).get(JSON_COLUMNS, b"[]"))
    return found


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-5"], pa.int64()),
        (["9223372036854775807"], pa.int64()),
        (["1.5", "2.0"], pa.float64()),
        (["true", "false"], pa.bool_()),
        (['"a"', '"é😀"'], pa.string()),
        (["1", "null"], pa.int64()),
    ],
)
def test_values_of_one_type_have_it(values: list[str], kind: pa.DataType) -> None:
    schema, rows = typed(*(f'{{"x": {value}}}' for value in values))
    assert schema.field("x").type == kind
    assert as_json(schema) == []
    assert [row["x"] for row in rows] == [json.loads(value) for value in values]


@pytest.mark.parametrize(
    "values",
    [
        ["1", "1.0"],
        ["1", "true"],
        ["9223372036854775808"],
        ["1e400"],
        ["NaN"],
        ["[1]"],
        ['{"a": 1}', "null"],
        ['"a"', "1"],
        ["null"],
        ['"\\ud800"'],
    ],
)
def test_other_values_are_json_text(values: list[str]) -> None:
    schema, rows = typed(*(f'{{"x": {value}}}' for value in values))
    assert as_json(schema) == ["x"]
    for row, value in zip(rows, values, strict=True):
        assert json.dumps(json.loads(str(row["x"]))) == json.dumps(json.loads(value))


def test_missing_and_null_differ() -> None:
    schema, rows = typed('{"x": null, "y": 1}', '{"y": 2}', '{"x": 3}')
    assert as_json(schema) == ["x"]
    assert [row["x"] for row in rows] == ["null", None, "3"]
    assert [row["y"] for row in rows] == [1, 2, None]


@pytest.mark.parametrize("odd", ["[1]", '"a"', '{"x": 1, "x": 2}', "{broken"])
def test_records_that_are_no_plain_objects_stay_as_they_are(odd: str) -> None:
    schema, rows = typed('{"x": 1}', odd)
    assert schema.names == ["record"]
    assert [row["record"] for row in rows] == ['{"x": 1}', odd]
