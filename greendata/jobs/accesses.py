"""When objects were last read: from access logs, or from a table somebody else made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from greendata.catalog.commits import Cover
from greendata.catalog.failures import storage_errors
from greendata.catalog.schemas import SCHEMAS
from greendata.errors import ObjectNotFoundError, UsageError
from greendata.inventory.access_logs import SOURCE, aggregate_days, read_access_logs
from greendata.inventory.columns import as_time
from greendata.jobs.refresh import RefreshWriter
from greendata.stores.opening import normalise_uri

if TYPE_CHECKING:
    from greendata.catalog.tables import Catalog
    from greendata.config import StoreSettings
    from greendata.progress import Progress
    from greendata.stores.opening import Stores

_ROWS_TO_FOLD = 1_000_000
_TABLE = "table"
_OPTIONAL = {"reads": 1, "read_bytes": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessesSummary:
    """What a source of last accesses told; days are UTC."""

    source: str
    uri: str
    objects: int
    reads: int
    first_day: date | None
    last_day: date | None
    unread_lines: int = 0


def refresh_from_logs(
    catalog: Catalog, stores: Stores, uri: str, *, progress: Progress, now: datetime
) -> AccessesSummary:
    """Commit what the access logs below ``uri`` tell.

    Days that are not in the logs any more stay as an earlier refresh told them.

    Raises:
        ObjectNotFoundError: there is no log.
        IntegrityError: a file that is not a log.
        DeniedError, StoreUnreachableError: of ``uri``.
    """
    store = stores.store_of(uri)
    items = list(store.list(uri))
    progress.stage(f"access logs in {uri}", sum(item.size_bytes for item in items))
    rows, unread = _fold([]), 0
    waiting: list[pa.Table] = []
    sizes = 0
    for found in read_access_logs(store, items):
        waiting.append(found.rows)
        unread += found.unread_lines
        sizes += len(found.rows)
        if sizes >= _ROWS_TO_FOLD:
            rows, waiting, sizes = _fold([rows, *waiting]), [], 0
    rows = _fold([rows, *waiting])
    if not len(rows):
        raise ObjectNotFoundError(
            f"{uri}: the access logs there tell of no request.", hint="Check the prefix."
        )
    cover = Cover(store_id=store.store_id, uri=uri)
    return _commit(catalog, rows, cover, SOURCE, unread, now)


def _fold(tables: Sequence[pa.Table]) -> pa.Table:
    """Rows of several files by object and day."""
    if not tables:
        return pa.schema([f for f in SCHEMAS["accesses"] if f.name != "source"]).empty_table()
    names = ["uri", "day", "store_id", "accessed_at", "reads", "read_bytes"]
    whole = pa.concat_tables([table.select(names) for table in tables])
    return aggregate_days(whole.drop_columns(["day"])) if len(whole) else whole


def refresh_from_table(
    catalog: Catalog, path: Path, stores: Sequence[StoreSettings], *, now: datetime
) -> AccessesSummary:
    """Commit a table of ``uri, accessed_at`` and, if it has them, ``reads, read_bytes``.

    Raises:
        ObjectNotFoundError, UsageError: it is not there, or not such a table.
    """
    table = _read_table(path)
    for name in ("uri", "accessed_at"):
        if name not in table.column_names:
            raise UsageError(f"{path}: has no column {name}.", hint="It needs uri, accessed_at.")
    try:
        columns = {
            "uri": pa.chunked_array([_uris(table["uri"].cast(pa.string()), stores)]),
            "accessed_at": as_time(table["accessed_at"].combine_chunks()),
        }
        for name, default in _OPTIONAL.items():
            given = name in table.column_names
            columns[name] = (
                table[name].cast(pa.int64())
                if given
                else pa.repeat(pa.scalar(default, pa.int64()), len(table))
            )
    except pa.ArrowInvalid as error:
        raise UsageError(f"{path}: a value cannot be read: {error}") from error
    rows = pa.table(columns)
    rows = aggregate_days(rows.filter(pc.is_valid(rows["accessed_at"])))
    rows = rows.append_column("store_id", pa.nulls(len(rows), pa.string()))
    cover = Cover(store_id=_TABLE, uri=normalise_uri(str(path.absolute())))
    return _commit(catalog, rows, cover, _TABLE, 0, now)


def _read_table(path: Path) -> pa.Table:
    import pyarrow.parquet as pq
    from pyarrow import csv

    if not path.is_file():
        raise ObjectNotFoundError(f"{path}: not found.", hint="Check the path.")
    try:
        if path.suffix.lower() == ".csv":
            return csv.read_csv(path)
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"{path}: cannot be read: {error}", hint="Give a .csv or .parquet file."
        ) from error


def _uris(column: pa.ChunkedArray, stores: Sequence[StoreSettings]) -> pa.Array:
    """URIs as the catalog has them: absolute, with the account."""
    distinct = column.unique()
    found = [None if uri is None else normalise_uri(uri, stores) for uri in distinct.to_pylist()]
    return pa.array(found, pa.string()).take(
        pc.index_in(column.combine_chunks(), value_set=distinct)
    )


def _commit(
    catalog: Catalog, rows: pa.Table, cover: Cover, source: str, unread: int, now: datetime
) -> AccessesSummary:
    rows = rows.append_column("source", pa.repeat(pa.scalar(source), len(rows)))
    days = pc.min_max(rows["day"]).as_py()
    writer = RefreshWriter(catalog, "accesses", now)
    with storage_errors(catalog.name):
        try:
            for batch in (
                rows.select(SCHEMAS["accesses"].names).cast(SCHEMAS["accesses"]).to_batches()
            ):
                writer.write(batch)
            writer.commit(
                kind="accesses",
                source=source,
                as_of=now,
                taken_at=now,
                covers=json.dumps([asdict(cover)]),
                has_versions=False,
                has_uploads=False,
                from_day=days["min"].isoformat() if source == SOURCE else None,
            )
        except BaseException:
            writer.discard()
            raise
    objects = rows.filter(pc.invert(pc.ends_with(rows["uri"], "/")))
    total: Any = pc.sum(objects["reads"]).as_py()
    return AccessesSummary(
        source=source,
        uri=cover.uri,
        objects=len(objects["uri"].unique()),
        reads=int(total or 0),
        first_day=days["min"],
        last_day=days["max"],
        unread_lines=unread,
    )
