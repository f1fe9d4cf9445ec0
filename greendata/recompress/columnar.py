"""Parquet and Arrow objects as sources: what Parquet cannot give back as it was is remembered.

Second timestamps and 64-bit dates come back finer, a column of nulls is unreadable for some
engines: such columns are stored as a type that holds the same values, and the first schema is kept
in the file's metadata.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from greendata.recompress.digests import schema_digest
from greendata.recompress.int96 import check_int96
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import OWN_PREFIX, Source
from greendata.shards.arrow import ArrowShard
from greendata.shards.base import ReadOptions, ShardError, translated_errors
from greendata.shards.parquet import EncryptedShardError, ParquetShard
from greendata.stores.transfer import sha256_of

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.stores.base import Store

SOURCE_SCHEMA = b"greendata:schema"
"""Key of the first schema, as a base64 Arrow message, where it is not the stored one."""

_ARROW_SCHEMA = b"ARROW:schema"


class ColumnarSource(Source):
    """A Parquet or Arrow object, all of whose columns are read in row order.

    Its content is what is stored: ``content_sha256`` is ``sha256``.
    """

    def __init__(self, store: Store, item: StoredObject, file_format: str) -> None:
        options = ReadOptions(whole_rows=True, max_record_bytes=2**30)
        self.item = item
        self.format = file_format
        self.notes = ()
        self._shard: ParquetShard | ArrowShard
        if file_format == "parquet":
            try:
                self._shard = ParquetShard(store, item, options)
            except EncryptedShardError as error:
                raise RefusedSourceError(
                    error.message, reason=RefusalReason.ENCRYPTED, hint=error.hint
                ) from error
        else:
            self._shard = ArrowShard(store, item, options)
        self.codec = self._shard.codec
        self.schema = self._shard.schema
        self.rows = sum(part.rows or 0 for part in self._shard.parts())
        check_schema(item.uri, self.schema)
        if file_format == "parquet":
            check_int96(store, item)
        self.sha256 = self.content_sha256 = sha256_of(store, item)
        self.content_bytes = item.size_bytes

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, in bounded batches.

        Raises:
            ShardError: the object is damaged, or has not the rows it declares.
        """
        rows = 0
        for part in self._shard.parts():
            for batch in self._shard.tables(part):
                rows += batch.num_rows
                yield batch
        if rows != self.rows:
            raise ShardError(f"{self.item.uri}: has {rows} rows, its footer says {self.rows}.")


def check_schema(uri: str, schema: pa.Schema) -> None:
    """Whether rows of this schema can be stored and found again.

    Raises:
        RefusedSourceError: they cannot; says why.
    """
    repeated = [name for name, count in Counter(schema.names).items() if count > 1]
    own = [name for name in schema.names if name.startswith(OWN_PREFIX)]
    if not len(schema):
        why = "has no columns: Parquet would forget how many rows it has."
        raise RefusedSourceError(f"{uri}: {why}", reason=RefusalReason.NO_COLUMNS)
    if repeated:
        why = f"has more than one column {min(repeated)!r}."
        raise RefusedSourceError(f"{uri}: {why}", reason=RefusalReason.DUPLICATE_COLUMNS)
    if own:
        raise RefusedSourceError(
            f"{uri}: has a column {own[0]!r}, which only greendata writes.",
            reason=RefusalReason.RESERVED_COLUMN,
            hint="Bring its rows into their first order: greendata restore-order.",
        )
    try:
        schema_digest(schema)
        _round_trip(stored_schema(schema))
    except RefusedSourceError as error:
        raise RefusedSourceError(f"{uri}: {error}", reason=error.reason) from error
    except (pa.ArrowException, ValueError) as error:
        detail = (str(error).splitlines() or [""])[0]
        raise RefusedSourceError(
            f"{uri}: Parquet cannot hold its types: {detail}", reason=RefusalReason.UNSUPPORTED_TYPE
        ) from error


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of the file that is written, with what it takes to find the first one again."""
    fields = [
        field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in schema
    ]
    stored = pa.schema(fields, _without_arrow_schema(schema.metadata))
    found = _round_trip(stored)
    if found.with_metadata(None).equals(schema.with_metadata(None)):
        return stored
    raw = base64.b64encode(schema.with_metadata(None).serialize().to_pybytes())
    return stored.with_metadata({**(stored.metadata or {}), SOURCE_SCHEMA: raw})


def to_stored(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A source's batch with the types of ``stored_schema``."""
    columns = [
        pa.nulls(len(column), field.type) if pa.types.is_null(column.type) else column
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _round_trip(schema: pa.Schema) -> pa.Schema:
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink, version="2.6")
    return pq.read_schema(pa.BufferReader(sink.getvalue()))


def _without_arrow_schema(metadata: Mapping[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    kept = {key: value for key, value in (metadata or {}).items() if key != _ARROW_SCHEMA}
    return kept or None


def encode_metadata(metadata: Mapping[bytes, bytes]) -> dict[str, str]:
    """Metadata of a schema as JSON can hold them: base64."""
    return {
        base64.b64encode(key).decode(): base64.b64encode(value).decode()
        for key, value in metadata.items()
    }


def decode_metadata(encoded: Mapping[str, str]) -> dict[bytes, bytes]:
    """What ``encode_metadata`` was given."""
    return {base64.b64decode(key): base64.b64decode(value) for key, value in encoded.items()}


class StoredRows:
    """Rows of an object that this program wrote, read back with every page checksum compared.

    Attributes:
        schema: as stored, ``_gd_`` columns included.
        decoded_bytes: of all pages, as the footer says.
    """

    def __init__(self, store: Store, item: StoredObject) -> None:
        options = ReadOptions(whole_rows=True, max_record_bytes=2**30)
        self._item = item
        self._shard = ParquetShard(store, item, options)
        self.schema: pa.Schema = self._shard.schema
        self.decoded_bytes = self._shard.decoded_bytes

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, as they are stored."""
        with translated_errors(self._item.uri):
            for part in self._shard.parts():
                yield from self._shard.tables(part)
