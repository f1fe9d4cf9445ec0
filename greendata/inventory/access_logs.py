"""S3 server access logs: who read which object when, as reads by day.

One line a request (AWS, "Amazon S3 server access log format"). Delivery is best effort, and late by
hours; a line that is missing makes an object look less used, never one that is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from greendata.errors import IntegrityError
from greendata.inventory.tasks import AddTask, Task, run_tasks
from greendata.schemas import TIME
from greendata.stores.s3.client import USER_AGENT

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.stores.base import Store

SOURCE = "access_logs"
_READERS = 8
_LINE = (
    r"^\S+ (?P<bucket>\S+) \[(?P<time>[^\]]+)\] \S+ \S+ \S+ (?P<operation>\S+) (?P<key>\S+)"
    r' (?:"[^"]*"|-) (?P<status>\S+) \S+ (?P<sent>\S+) \S+ \S+ \S+ (?:"[^"]*"|-)'
    r' (?:"(?P<agent>[^"]*)"|-)'
)
_READS = r"^(REST|WEBSITE)\.(GET|SELECT)\.OBJECT$|^REST\.COPY\.(OBJECT|PART)_GET$"
_OWN = rf"(^| ){re.escape(USER_AGENT)}( |/|$)"
_TIME_FORMAT = "%d/%b/%Y:%H:%M:%S"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogDays:
    """What one log file tells: reads by object and day, and days of any request by bucket."""

    rows: pa.Table
    lines: int
    unread_lines: int


def read_access_logs(
    store: Store, items: Sequence[StoredObject], *, workers: int = _READERS
) -> Iterator[LogDays]:
    """Files in parallel, in no order; rows have the columns of the catalog's ``accesses``.

    Requests of this program are left out, by its user agent: they say nothing of readers.

    Raises:
        IntegrityError: a file in which no line is one of an access log.
    """

    def task(item: StoredObject) -> Task[LogDays]:
        def run(add: AddTask[LogDays]) -> Iterator[LogDays]:
            yield parse_access_log(store.read(item.uri), item.uri, store.store_id)

        return run

    yield from run_tasks(map(task, items), workers)


def parse_access_log(raw: bytes, uri: str, store_id: str) -> LogDays:
    """One file's lines."""
    lines = pa.array(
        [line for line in raw.decode("utf-8", "replace").splitlines() if line.strip()], pa.string()
    )
    fields = pc.extract_regex(lines, _LINE)
    is_known = pc.is_valid(fields)
    known = fields.filter(is_known)
    if len(lines) and not len(known):
        raise IntegrityError(
            f"{uri}: no line is one of an S3 server access log.",
            hint="Name the prefix that the bucket's logging writes to.",
        )
    table = pa.table({name: pc.struct_field(known, name) for name in _FIELDS})
    text = pc.replace_substring_regex(table["time"], r" .*$", "")  # all are in UTC: +0000
    table = table.append_column(
        "at", pc.assume_timezone(pc.strptime(text, _TIME_FORMAT, "us"), "UTC").cast(TIME)
    )
    is_read = pc.and_(
        pc.match_substring_regex(table["operation"], _READS),
        pc.and_(
            pc.starts_with(table["status"], "2"),
            pc.invert(pc.match_substring_regex(table["agent"], _OWN)),
        ),
    )
    reads = table.filter(is_read)
    rows = pa.concat_tables([_object_days(reads), _bucket_days(table)])
    rows = rows.append_column("store_id", pa.repeat(pa.scalar(store_id), len(rows)))
    return LogDays(rows=rows, lines=len(lines), unread_lines=len(lines) - len(known))


_FIELDS = ("bucket", "time", "operation", "key", "status", "sent", "agent")


def _object_days(reads: pa.Table) -> pa.Table:
    bucket, key = reads["bucket"].to_pylist(), reads["key"].to_pylist()
    sent = pc.if_else(pc.equal(reads["sent"], "-"), "0", reads["sent"]).cast(pa.int64())
    named = [_names(b, k) for b, k in zip(bucket, key, strict=True)]
    places = [place for place, names in enumerate(named) for _ in names]
    chosen = reads.take(pa.array(places, pa.int64()))
    return aggregate_days(
        pa.table(
            {
                "uri": pa.array([name for names in named for name in names], pa.string()),
                "accessed_at": chosen["at"],
                "reads": pa.repeat(pa.scalar(1, pa.int64()), len(places)),
                "read_bytes": sent.take(pa.array(places, pa.int64())),
            }
        )
    )


def _names(bucket: str, key: str) -> tuple[str, ...]:
    """URIs that a logged key may mean: it is URL-encoded, for some requests twice.

    Where that differs, both are told; one of them names no object, and is never asked for.
    """
    once = unquote(key)
    twice = unquote(once)
    found = f"s3://{bucket}/{once}"
    return (found,) if once == twice else (found, f"s3://{bucket}/{twice}")


def _bucket_days(table: pa.Table) -> pa.Table:
    """That a bucket was told of at all on a day."""
    zero = pa.repeat(pa.scalar(0, pa.int64()), len(table))
    uri = pc.binary_join_element_wise("s3:/", table["bucket"], "", "/")
    columns = {"uri": uri, "accessed_at": table["at"], "reads": zero, "read_bytes": zero}
    return aggregate_days(pa.table(columns))


def aggregate_days(table: pa.Table) -> pa.Table:
    """Rows of (uri, accessed_at, reads, read_bytes) by URI and day: the newest, and sums."""
    days = table.append_column(
        "day", table["accessed_at"].cast(pa.timestamp("us")).cast(pa.date32())
    )
    keys = ["uri", "day"] + (["store_id"] if "store_id" in table.column_names else [])
    grouped = days.group_by(keys).aggregate(
        [("accessed_at", "max"), ("reads", "sum"), ("read_bytes", "sum")]
    )
    return grouped.rename_columns(
        [name.removesuffix("_max").removesuffix("_sum") for name in grouped.column_names]
    )
