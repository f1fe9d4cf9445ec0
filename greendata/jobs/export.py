"""Writing the rows of a query to a file or stdout: JSON, CSV or Parquet, batch by batch."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast, get_args

from greendata.errors import DeniedError, ObjectNotFoundError, UsageError
from greendata.model import SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

FileFormat = Literal["json", "csv", "parquet"]
ROWS_PER_BATCH = 65_536
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A text cell that begins so would be run by spreadsheet programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an export goes: a file, or stdout when ``path`` is None."""

    file_format: FileFormat
    path: Path | None = None
    overwrite: bool = False


def choose_destination(
    file_format: str | None, output: str | None, *, overwrite: bool = False
) -> Destination | None:
    """What ``--format`` and ``-o`` ask for; None when neither is given.

    Raises:
        UsageError: a format that is neither given nor the ending of the file's name; Parquet
            without a file; a file that is there already.
    """
    if file_format is None and output is None:
        return None
    path = None if output is None else Path(output)
    ending = "" if path is None else path.suffix.removeprefix(".").lower()
    chosen = file_format or ending
    if chosen not in get_args(FileFormat):
        hint = "Add --format json, csv or parquet."
        raise UsageError(f"{output}: the name does not say which format to write", hint=hint)
    if path is None and chosen == "parquet":
        raise UsageError("Parquet cannot go to stdout", hint="Name a file with -o.")
    destination = Destination(
        file_format=cast("FileFormat", chosen), path=path, overwrite=overwrite
    )
    check_target(destination.path, overwrite=destination.overwrite)
    return destination


def write_rows(reader: pa.RecordBatchReader, plural: str, destination: Destination) -> int:
    """Write all batches and return the number of rows. A file appears whole or not at all.

    ``plural`` is the key of the list in a JSON document.
    """
    write = _WRITERS[destination.file_format]
    if destination.path is None:
        return write(reader, plural, cast("BinaryIO", sys.stdout.buffer))
    with published(destination.path, overwrite=destination.overwrite) as stream:
        return write(reader, plural, stream)


def check_target(path: Path | None, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{path}: is a folder", hint="Name a file in it.")
    if path.exists() and not overwrite:
        raise _is_there_already(path)
    if not path.absolute().parent.is_dir():
        raise ObjectNotFoundError(
            f"{path.absolute().parent}: no such folder", hint="Make it first."
        )


def _is_there_already(path: Path) -> UsageError:
    return UsageError(f"{path}: is there already", hint="--force replaces it.")


@contextlib.contextmanager
def published(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A partial file beside ``path`` that takes its name when the block ends well."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as stream:
            yield cast("BinaryIO", stream)
            stream.flush()
            os.fsync(stream.fileno())
        _publish(partial, path, overwrite=overwrite)
    except PermissionError as error:
        raise DeniedError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _publish(partial: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        partial.replace(path)
        return
    try:
        path.hardlink_to(partial)  # unlike a rename it never replaces what came meanwhile
    except FileExistsError as error:
        raise _is_there_already(path) from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        partial.replace(path)  # a file system without hard links


def _write_json(reader: pa.RecordBatchReader, plural: str, stream: BinaryIO) -> int:
    stream.write(f'{{"schema_version": {SCHEMA_VERSION}, "{plural}": ['.encode())
    count = 0
    for row in _rows(reader):
        stream.write(b",\n" if count else b"\n")
        stream.write(json.dumps(row, allow_nan=False, default=str).encode())
        count += 1
    stream.write(b"\n]}\n")
    stream.flush()
    return count


def _write_csv(reader: pa.RecordBatchReader, plural: str, stream: BinaryIO) -> int:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    count = 0
    try:
        writer = csv.writer(text)
        writer.writerow(reader.schema.names)
        for row in _rows(reader):
            writer.writerow(_csv_cell(value) for value in row.values())
            count += 1
    finally:
        text.detach()  # or it closes the stream
    stream.flush()
    return count


def _csv_cell(value: Any) -> Any:
    """Text that cannot start a formula; numbers as they are, negative ones too."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _write_parquet(reader: pa.RecordBatchReader, plural: str, stream: BinaryIO) -> int:
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(
        stream, reader.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _rows(reader: pa.RecordBatchReader) -> Iterable[dict[str, Any]]:
    for batch in reader:
        yield from batch.to_pylist()


_WRITERS: dict[FileFormat, Callable[[pa.RecordBatchReader, str, BinaryIO], int]] = {
    "json": _write_json,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
