"""Records of JSON Lines as typed columns: every record is looked at before a type is chosen.

A column has a type only if all its values have it exactly; any other column holds each value as
JSON text (its name stands in the file's metadata under ``greendata.json_columns``). A value that is
missing is null; where explicit nulls occur beside missing ones, the column is JSON text, which
tells them apart. A file with a record that is no object, or that has a name twice, is one column
``record`` of JSON text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

RECORD = "record"
JSON_COLUMNS = b"greendata.json_columns"
_INT64 = range(-(2**63), 2**63)
_TYPES = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}


class RecordTypes:
    """Learns the types of all records, then turns records into batches."""

    def __init__(self) -> None:
        self._kinds: dict[str, set[str]] = {}
        self._present: dict[str, int] = {}
        self._records = 0
        self._is_plain = True

    def learn(self, records: Iterable[bytes]) -> None:
        """Look at some records."""
        for raw in records:
            self._records += 1
            record = _parsed(raw)
            if record is None:
                self._is_plain = False
                continue
            for name, value in record.items():
                self._kinds.setdefault(name, set()).add(_kind(value))
                self._present[name] = self._present.get(name, 0) + 1

    @property
    def schema(self) -> pa.Schema:
        """Columns in the order in which their names were seen first."""
        if not self._is_plain or not self._kinds:
            fields, as_json = [pa.field(RECORD, pa.string())], [RECORD]
        else:
            types = {name: self._type(name) for name in self._kinds}
            fields = [pa.field(name, kind or pa.string()) for name, kind in types.items()]
            as_json = [name for name, kind in types.items() if kind is None]
        return pa.schema(fields, {JSON_COLUMNS: json.dumps(as_json).encode()} if as_json else None)

    def _type(self, name: str) -> pa.DataType | None:
        """None for JSON text."""
        kinds = self._kinds[name]
        is_missing = self._present[name] < self._records
        if "null" in kinds and (is_missing or kinds == {"null"}):
            return None
        (kind, *others) = kinds - {"null"}
        return None if others else _TYPES.get(kind)

    def batch(self, records: Sequence[bytes]) -> pa.RecordBatch:
        """Records as a batch of ``schema``."""
        schema = self.schema
        if schema.names == [RECORD] and not (self._is_plain and self._kinds):
            return pa.RecordBatch.from_arrays(
                [pa.array(records, pa.binary()).cast(pa.string())], schema=schema
            )
        parsed = [_parsed(raw) or {} for raw in records]
        as_json = json.loads((schema.metadata or {}).get(JSON_COLUMNS, b"[]"))
        columns = [
            pa.array(
                [_json(r[f.name]) if f.name in r else None for r in parsed]
                if f.name in as_json
                else [r.get(f.name) for r in parsed],
                f.type,
            )
            for f in schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string" if _is_encodable(value) else "json"
    if isinstance(value, int):
        return "int" if value in _INT64 else "json"
    if isinstance(value, float):
        return "float" if math.isfinite(value) else "json"
    return "json"


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if _is_encodable(text) else json.dumps(value)


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _parsed(raw: bytes) -> dict[str, Any] | None:
    """The object, or None where the record is none, or has a name twice."""
    repeated = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(found)
        if len(record) != len(found):
            repeated.append(True)
        return record

    try:
        record = json.loads(raw, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and not repeated else None
