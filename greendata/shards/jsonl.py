"""JSON Lines: one JSON object a line, plain or compressed.

pyarrow parses whole chunks of lines (600 MB/s a CPU-second, without the GIL). What a line gives
never depends on its neighbours: a chunk that pyarrow refuses is read line by line with Python.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.json

from greendata.shards.base import Part, Shard, TextBatch
from greendata.shards.batches import as_strings, keep_rows, too_long
from greendata.shards.columns import no_text_column, pick_text_column, take_texts
from greendata.shards.lines import Lines, index_lines
from greendata.shards.rows import canonical_json
from greendata.shards.streams import ByteStream, LineChunk, line_chunks

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.shards.base import ReadOptions, Rows, Texts
    from greendata.stores.base import Store

SAMPLE_RECORDS = 1000
SAMPLE_BYTES = 4 * 2**20

_REASON_LENGTH = 200


class BadRecordError(Exception):
    """One line cannot become a document."""


class JsonLinesShard(Shard):
    """A JSON Lines object. One part: where a record begins is only known by reading on."""

    format = "jsonl"

    def __init__(self, store: Store, item: StoredObject, options: ReadOptions, codec: str) -> None:
        super().__init__(store, item, options)
        self.codec = codec
        self._path: tuple[str, ...] = ()
        if not options.whole_rows and item.size_bytes:
            self._path = _choose_path(store, item, options, codec)
            self.text_column = ".".join(self._path) or None

    def parts(self) -> tuple[Part, ...]:
        if not self.item.size_bytes:
            return ()
        size = self.item.size_bytes
        return (Part(index=0, first_row=0, rows=None, row_group=None, size_bytes=size),)

    def read(self, part: Part) -> Iterator[TextBatch]:
        parser = LineParser(self._path, self.options.max_record_bytes)
        next_row = 0
        for chunk in _chunks(self.store, self.item, self.options, self.codec):
            texts, offsets, skips, count = parser.parse(chunk)
            yield TextBatch(
                texts=texts,
                rows=offsets + next_row,
                row_group=-1,
                source_bytes=chunk.source_bytes,
                skipped=tuple((next_row + offset, reason) for offset, reason in skips),
            )
            next_row += count

    def read_rows(self, rows: Rows, row_groups: Rows | None = None) -> Iterator[TextBatch]:
        for part in self.parts() if len(rows) else ():
            yield from keep_rows(self.read(part), rows)


def _chunks(
    store: Store, item: StoredObject, options: ReadOptions, codec: str
) -> Generator[LineChunk]:
    stream = ByteStream(store, item, codec)
    try:
        yield from line_chunks(
            stream, chunk_bytes=options.batch_bytes, max_line_bytes=options.max_record_bytes
        )
    finally:
        stream.close()


class LineParser:
    """Turns chunks of lines into texts. An empty ``path`` takes whole records as canonical JSON."""

    def __init__(self, path: tuple[str, ...], max_record_bytes: int) -> None:
        self._path = path
        self._max_record_bytes = max_record_bytes
        self._schema = _explicit_schema(path)

    def parse(self, chunk: LineChunk) -> tuple[Texts, Rows, list[tuple[int, str]], int]:
        """Texts, their record numbers within the chunk, what was skipped, how many records."""
        if chunk.is_too_long:
            return *_no_texts(), [(0, too_long(None, self._max_record_bytes))], 1
        lines = index_lines(chunk.data)
        if self._path and lines.are_objects() and not self._has_long(lines):
            texts = self._parse_fast(chunk.data, len(lines))
            if texts is not None:
                return texts, np.arange(len(lines), dtype=np.int64), [], len(lines)
        return self._parse_slowly(lines)

    def _has_long(self, lines: Lines) -> bool:
        return bool(np.max(lines.ends - lines.starts, initial=0) > self._max_record_bytes)

    def _parse_fast(self, data: bytes | bytearray | memoryview, count: int) -> Texts | None:
        """All texts at once, or None when pyarrow sees anything but ``count`` records."""
        size = len(data)
        try:
            table = pyarrow.json.read_json(
                pa.BufferReader(pa.py_buffer(data)),
                read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=size + 1),
                parse_options=pyarrow.json.ParseOptions(
                    explicit_schema=self._schema, unexpected_field_behavior="ignore"
                ),
            )
        except pa.ArrowInvalid:
            return None
        batches = table.to_batches()
        if table.num_rows != count or len(batches) != 1:
            return None
        return take_texts(batches[0], self._path)

    def _parse_slowly(self, lines: Lines) -> tuple[Texts, Rows, list[tuple[int, str]], int]:
        """Line by line: blank lines do not count, bad ones are skipped, the others go on."""
        offsets: list[int] = []
        found: list[bytes | None] = []
        skips: list[tuple[int, str]] = []
        count = 0
        for index in range(len(lines)):
            size = int(lines.ends[index] - lines.starts[index])
            if size > self._max_record_bytes:
                skips.append((count, too_long(size, self._max_record_bytes)))
                count += 1
                continue
            line = lines.line(index).strip(b" \t\r")
            if not line:
                continue
            try:
                found.append(self._parse_line(line))
                offsets.append(count)
            except BadRecordError as error:
                skips.append((count, str(error)[:_REASON_LENGTH]))
            count += 1
        texts = as_strings(found)
        return texts, np.array(offsets, dtype=np.int64), skips, count

    def _parse_line(self, line: bytes) -> bytes | None:
        """One record by Python's parser; pyarrow decides on what it alone can read."""
        try:
            record = _load(line, is_whole=not self._path)
            text = _text_at(record, self._path) if self._path else canonical_json(record)
            return None if text is None else text.encode()
        except UnicodeEncodeError as error:
            raise BadRecordError("the text holds a lone surrogate") from error
        except (ValueError, RecursionError) as error:
            is_object = line.startswith(b"{") and line.endswith(b"}")
            texts = self._parse_fast(line, 1) if self._path and is_object else None
            if texts is None:
                raise BadRecordError(_why_not_json(error)) from error
            return None if not texts[0].is_valid else bytes(texts[0].as_buffer())


def _no_texts() -> tuple[Texts, Rows]:
    return pa.array([], pa.string()), np.zeros(0, dtype=np.int64)


def _explicit_schema(path: tuple[str, ...]) -> pa.Schema:
    kind: pa.DataType = pa.string()
    for name in reversed(path[1:]):
        kind = pa.struct([(name, kind)])
    return pa.schema([(path[0], kind)] if path else [])


class _Record(dict[str, Any]):
    """A JSON object that remembers which names it had twice."""

    repeated: frozenset[str] = frozenset()


def _record(pairs: list[tuple[str, Any]]) -> _Record:
    record = _Record(pairs)
    if len(record) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        record.repeated = frozenset(name for name, count in counts.items() if count > 1)
    return record


def _strict_record(pairs: list[tuple[str, Any]]) -> _Record:
    record = _record(pairs)
    if record.repeated:
        raise BadRecordError(f"{min(record.repeated)!r} is there twice")
    return record


def _no_number(_digits: str) -> int:
    return 0


def _load(line: bytes, *, is_whole: bool) -> _Record:
    """One record; numbers count only in whole rows (Python refuses to read very long ones)."""
    if is_whole:
        record = json.loads(line.decode(), object_pairs_hook=_strict_record)
    else:
        record = json.loads(line.decode(), object_pairs_hook=_record, parse_int=_no_number)
    if not isinstance(record, _Record):
        raise BadRecordError(f"a JSON {_json_type(record)}, not an object")
    return record


def _text_at(record: dict[str, Any], path: tuple[str, ...]) -> str | None:
    value: Any = record
    for name in path:
        if value is None:
            return None
        if not isinstance(value, _Record):
            raise BadRecordError(f"{name!r} is looked for in a {_json_type(value)}")
        if name in value.repeated:
            raise BadRecordError(f"{name!r} is there twice")
        value = value.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRecordError(f"{path[-1]!r} is a {_json_type(value)}, not a string")
    return value


def _why_not_json(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "neither UTF-8 nor JSON"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return f"not JSON: {error}"


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _choose_path(
    store: Store, item: StoredObject, options: ReadOptions, codec: str
) -> tuple[str, ...]:
    """Names from the record down to its text; empty when there is no record at all."""
    records = _sample(store, item, options, codec)
    if options.text_column is not None:
        return _wanted_path(store, item, options, codec, records)
    kinds = _column_kinds(records)
    strings = {
        name: counts["string bytes"] for name, counts in kinds.items() if _is_mostly_text(counts)
    }
    name = pick_text_column(strings)
    if name is None and records:
        raise no_text_column(item.uri, _described(kinds), None)
    return () if name is None else (name,)


def _sample(store: Store, item: StoredObject, options: ReadOptions, codec: str) -> list[_Record]:
    """The first records: 1000 or 4 MiB of lines, whichever comes first, but at least one."""
    records: list[_Record] = []
    size = 0
    with closing(_chunks(store, item, options, codec)) as chunks:
        for chunk in chunks:
            lines = index_lines(chunk.data)
            for index in range(len(lines)):
                line = lines.line(index)
                size += len(line)
                records.extend(_records_in(line))
                if len(records) == SAMPLE_RECORDS or (size >= SAMPLE_BYTES and records):
                    return records
    return records


def _records_in(line: bytes) -> Iterator[_Record]:
    try:
        yield _load(line, is_whole=False)
    except (BadRecordError, ValueError, RecursionError):
        return


def _column_kinds(records: list[_Record]) -> dict[str, Counter[str]]:
    """Per name: how often each JSON type was there, and the bytes of its strings."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for name, value in record.items():
            kind = _json_type(value)
            kinds[name][kind] += 1
            if isinstance(value, str):
                kinds[name]["string bytes"] += len(value.encode(errors="surrogatepass"))
    return kinds


def _is_mostly_text(kinds: Counter[str]) -> bool:
    others = sum(kinds[kind] for kind in ("boolean", "number", "array", "object"))
    return kinds["string"] > others


def _described(kinds: dict[str, Counter[str]]) -> list[str]:
    return [
        f"{name}: " + "|".join(sorted(kind for kind in counts if kind != "string bytes"))
        for name, counts in kinds.items()
    ]


def _wanted_path(
    store: Store,
    item: StoredObject,
    options: ReadOptions,
    codec: str,
    records: list[_Record],
) -> tuple[str, ...]:
    """The path of the column that was asked for, looked for beyond the sample when need be."""
    name = options.text_column or ""
    path = _early_path(records, name)
    if not path and records:
        path = _late_path(store, item, options, codec, name)
    values = [value for record in records for value in _values_at(record, path)]
    kinds = Counter(_json_type(value) for value in values)
    if records and (not path or (kinds and not kinds["string"] and not kinds["null"])):
        raise no_text_column(item.uri, _described(_column_kinds(records)), name)
    return path


def _early_path(records: list[_Record], name: str) -> tuple[str, ...]:
    """The path in the sample: the literal name if any record has it, else the most frequent."""
    paths = Counter(path for record in records if (path := _path_in(record, name)))
    if (name,) in paths:
        return (name,)
    return min(paths, key=lambda path: (-paths[path], path), default=())


def _path_in(record: _Record, name: str) -> tuple[str, ...] | None:
    if name in record:
        return (name,)
    for key, value in record.items():
        if isinstance(value, _Record) and name.startswith(f"{key}."):
            inner = _path_in(value, name[len(key) + 1 :])
            if inner is not None:
                return (key, *inner)
    return None


def _values_at(record: _Record, path: tuple[str, ...]) -> Iterator[object]:
    value: Any = record
    for name in path:
        if not isinstance(value, _Record) or name not in value:
            return
        value = value[name]
    yield value


def _late_path(
    store: Store, item: StoredObject, options: ReadOptions, codec: str, name: str
) -> tuple[str, ...]:
    """A path that first shows up after the sample; the whole object is read to be sure."""
    first = name.partition(".")[0]
    needles = {json.dumps(key).encode() for key in (name, first)}
    needles |= {json.dumps(key, ensure_ascii=False).encode() for key in (name, first)}
    with closing(_chunks(store, item, options, codec)) as chunks:
        for chunk in chunks:
            data = bytes(chunk.data)
            if not any(needle in data for needle in needles):
                continue
            lines = index_lines(data)
            for index in range(len(lines)):
                for record in _records_in(lines.line(index)):
                    if path := _path_in(record, name):
                        return path
    return ()
