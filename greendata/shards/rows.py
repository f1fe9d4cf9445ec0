"""Whole rows as text: canonical JSON, the same for the same values in any format."""

from __future__ import annotations

import base64
import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from greendata.shards.batches import as_strings

if TYPE_CHECKING:
    import pyarrow as pa

_NANOSECONDS = 1000


def canonical_json(value: Any) -> str:
    """JSON with sorted names, nulls kept, no spaces; bytes as base64, times as ISO 8601."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain
    )


def row_texts(batch: pa.RecordBatch) -> pa.StringArray:
    """The canonical JSON of every row of a record batch."""
    names = batch.schema.names
    columns = [_values(batch.column(index)) for index in range(batch.num_columns)]
    rows = zip(*columns, strict=True) if columns else [()] * batch.num_rows
    found = [canonical_json(dict(zip(names, row, strict=True))).encode() for row in rows]
    return as_strings(found)


def _values(column: pa.Array) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return _nanosecond_times(column)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return [_decoded(value) for value in column.cast(pa.large_binary()).to_pylist()]
    is_time = pa.types.is_time64(column.type) and column.type.unit == "ns"
    if is_time or pa.types.is_duration(column.type):
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="backslashreplace")


def _nanosecond_times(column: pa.Array) -> list[str | None]:
    """ISO 8601 with nine decimals: Python's datetime stops at microseconds."""
    import pyarrow as pa

    counts = column.cast(pa.int64()).to_pylist()
    floors = [None if count is None else count // _NANOSECONDS for count in counts]
    whole = pa.array(floors, pa.int64()).cast(pa.timestamp("us", tz=column.type.tz))
    found: list[str | None] = []
    for moment, count in zip(whole.to_pylist(), counts, strict=True):
        if moment is None:
            found.append(None)
            continue
        iso = moment.isoformat(timespec="microseconds")
        found.append(f"{iso[:26]}{count % _NANOSECONDS:03}{iso[26:]}")
    return found


def _plain(value: object) -> object:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal() | UUID():
            return str(value)
    raise ValueError(f"a value of type {type(value).__name__} has no JSON form")
