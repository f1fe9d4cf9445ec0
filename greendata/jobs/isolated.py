"""Reading one object in a child process, so that a crash of its decoder harms nobody else.

The child gets a request as JSON on standard input and writes an Arrow stream to standard output:
one batch of ``text, row`` for each TextBatch, with the rest of it as metadata. If it ends in an
error, that is the last line of its standard error.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from greendata.config import StoreSettings
from greendata.errors import GreendataError
from greendata.model import SkipReason, StoredObject
from greendata.shards.base import ReadOptions, Shard, ShardError, TextBatch, skip_reason
from greendata.shards.opening import open_shard
from greendata.stores.opening import Stores

_END_SECONDS = 30.0
_TIMES = ("modified_at", "created_at", "accessed_at", "tier_changed_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedRead:
    """What to read, and as what."""

    item: StoredObject
    options: ReadOptions
    format: str
    codec: str
    stores: tuple[StoreSettings, ...] = ()

    def to_json(self) -> str:
        """The request as the child reads it."""
        document = asdict(self)
        return json.dumps(document, default=_time_as_text)

    @classmethod
    def from_json(cls, text: str) -> IsolatedRead:
        """The inverse of ``to_json``."""
        document = json.loads(text)
        stored = document["item"]
        for name in _TIMES:
            stored[name] = stored[name] and datetime.fromisoformat(stored[name])
        return cls(
            item=StoredObject(**stored),
            options=ReadOptions(**document["options"]),
            format=document["format"],
            codec=document["codec"],
            stores=tuple(StoreSettings(**entry) for entry in document["stores"]),
        )


def _time_as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def read_isolated(request: IsolatedRead) -> Iterator[TextBatch]:
    """All documents of an object, decoded by a child process.

    Raises:
        ShardError: the child died (reason ``crashed``), or the object cannot be read.
    """
    import pyarrow as pa

    command = [sys.executable, "-m", "greendata.jobs.isolated"]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
        ) as child,
    ):
        try:
            with contextlib.suppress(OSError, pa.ArrowInvalid):  # a dead child cuts its stream
                yield from _batches(child, request)
            code = child.wait(_END_SECONDS)
        finally:
            child.kill()  # no effect on one that has ended
        complaints.seek(0)
        if code != 0:
            raise _child_error(request.item.uri, code, complaints.read().decode("utf-8", "replace"))


def _batches(child: subprocess.Popen[bytes], request: IsolatedRead) -> Iterator[TextBatch]:
    import pyarrow as pa

    if child.stdin is None or child.stdout is None:
        return
    with child.stdin as pipe:
        pipe.write(request.to_json().encode())
    with pa.ipc.open_stream(child.stdout) as stream:
        while True:
            try:
                batch, metadata = stream.read_next_batch_with_custom_metadata()
            except StopIteration:
                return
            told = json.loads(metadata[b"batch"])
            yield TextBatch(
                texts=batch["text"],
                rows=batch["row"].to_numpy(),
                row_group=told["row_group"],
                source_bytes=told["source_bytes"],
                skipped=tuple((int(row), str(why)) for row, why in told["skipped"]),
            )


def _child_error(uri: str, code: int, complaint: str) -> ShardError:
    last = (complaint.strip().splitlines() or [""])[-1]
    try:
        told = json.loads(last)
        return ShardError(told["message"], reason=SkipReason(told["reason"]))
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return ShardError(
            f"{uri}: its reader died ({how}) in a process of its own.",
            reason=SkipReason.CRASHED,
            hint="Write the object again with another tool.",
        )


def _write_stream(shard: Shard, sink: Any) -> None:
    import pyarrow as pa

    schema = pa.schema([("text", pa.large_binary()), ("row", pa.int64())])
    with pa.ipc.new_stream(sink, schema) as stream:
        for part in shard.parts():
            for batch in shard.read(part):
                told = {f.name: getattr(batch, f.name) for f in fields(batch)}
                del told["texts"], told["rows"]
                rows = pa.RecordBatch.from_arrays(
                    [batch.texts.cast(pa.large_binary()), pa.array(batch.rows)], schema=schema
                )
                stream.write_batch(rows, custom_metadata={"batch": json.dumps(told)})


def main() -> int:
    """The child: read as asked on standard input."""
    request = IsolatedRead.from_json(sys.stdin.read())
    try:
        shard = open_shard(
            Stores(request.stores), request.item, request.options, request.format, request.codec
        )
        _write_stream(shard, sys.stdout.buffer)
    except GreendataError as error:
        told = {"message": error.message, "reason": skip_reason(error).value}
        sys.stderr.write(json.dumps(told) + "\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
