"""Refreshing the inventory in the catalog: rows first, then the commit that makes them hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from greendata.catalog.commits import Cover, new_id
from greendata.catalog.inventory import create_objects_view
from greendata.catalog.schemas import SCHEMAS
from greendata.sql import temporary_duckdb

if TYPE_CHECKING:
    from greendata.catalog.commits import Refreshes
    from greendata.catalog.tables import Catalog

_ROW_GROUP_ROWS = 100_000
_MEMORY_BYTES = 512 << 20
_KEPT_COLUMNS = ("created_at", "accessed_at", "access_source", "tier_changed_at")
"""Of the same version of an object, what a report told and a listing does not."""


class RefreshWriter:
    """Writes the rows of one refresh to a file of a table, then commits it.

    Batches of any size come in; memory is that of one row group.
    """

    def __init__(self, catalog: Catalog, table: str, now: datetime) -> None:
        self.catalog, self.table = catalog, table
        self.scan_id = new_id(now)
        self.rows = 0
        self.path: Path | None = None
        self._writer: Any = None
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows of the table's schema."""
        self.rows += batch.num_rows
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        if self._waiting_rows >= _ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow.parquet as pq

        if not self._waiting_rows:
            return
        if self._writer is None:
            self.path = self.catalog.new_file(self.table, self.scan_id)
            self._writer = pq.ParquetWriter(
                self.path, SCHEMAS[self.table], compression="zstd", write_page_checksum=True
            )
        self._writer.write_table(pa.Table.from_batches(self._waiting))
        self._waiting, self._waiting_rows = [], 0

    def close(self) -> None:
        """End the file; more rows would make another."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def discard(self) -> None:
        """Remove what was written: the refresh failed."""
        if self._writer is not None:
            self._writer.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def commit(self, **values: Any) -> None:
        """Make the rows hold; ``values`` are the fields of the table ``refreshes`` but ids.

        Refreshes that show nothing any more are forgotten.
        """
        self.close()
        if self.path is not None:
            self.catalog.add_files(self.table, self.scan_id, [self.path])
        row = values | {"scan_id": self.scan_id, "objects": self.rows}
        self.catalog.drop_refreshes(self.catalog.commit_refresh(row))


def refresh_objects(
    catalog: Catalog,
    batches: Iterable[pa.RecordBatch],
    *,
    covers: Sequence[Cover],
    denied: Sequence[str] = (),
    source: str,
    as_of: datetime,
    now: datetime,
    has_versions: bool = False,
    has_uploads: bool = False,
) -> int:
    """Commit a refresh of the object table; the number of its rows.

    What earlier refreshes told of ``denied`` folders is kept, and of the same version of an object
    what a listing does not tell. ``batches`` is read before ``covers`` and ``denied`` are.
    """
    from greendata.catalog.failures import storage_errors

    writer = RefreshWriter(catalog, "inventory", now)
    with storage_errors(catalog.name):
        try:
            for batch in batches:
                writer.write(batch)
            writer.close()
            writer = _with_earlier(catalog, writer, covers, denied, now)
            writer.commit(
                kind="objects",
                source=source,
                as_of=as_of,
                taken_at=now,
                covers=json.dumps([asdict(cover) for cover in covers]),
                has_versions=has_versions,
                has_uploads=has_uploads,
                from_day=None,
            )
        except BaseException:
            writer.discard()
            raise
    return writer.rows


def _with_earlier(
    catalog: Catalog,
    writer: RefreshWriter,
    covers: Sequence[Cover],
    denied: Sequence[str],
    now: datetime,
) -> RefreshWriter:
    """The same rows with what only earlier refreshes know; the same writer if that is nothing."""
    refreshes = catalog.refreshes()
    overlapping = [
        entry
        for entry in refreshes.live("objects")
        if any(own.holds(cover) or cover.holds(own) for own in covers for cover in entry.covers)
    ]
    if not overlapping or (writer.path is None and not denied):
        return writer
    with temporary_duckdb(catalog.name, memory_bytes=_MEMORY_BYTES, threads=2) as connection:
        return _merged(connection, catalog, refreshes, writer, denied, now)


def _merged(
    connection: Any,
    catalog: Catalog,
    refreshes: Refreshes,
    writer: RefreshWriter,
    denied: Sequence[str],
    now: datetime,
) -> RefreshWriter:
    create_objects_view(connection, catalog, refreshes)
    if writer.path is None:
        connection.execute("CREATE TEMP VIEW listed AS SELECT * FROM object_rows WHERE false")
    else:
        connection.read_parquet(str(writer.path)).create_view("listed")
    is_news = " OR ".join(
        f"(n.{column} IS NULL AND e.{column} IS NOT NULL)" for column in _KEPT_COLUMNS
    )
    connection.execute(
        "CREATE TEMP TABLE earlier AS SELECT DISTINCT ON (e.store_id, e.uri, e.etag) e.*"
        f" FROM object_rows e JOIN listed n USING (store_id, uri, etag) WHERE {is_news}"
    )
    (count,) = connection.execute("SELECT count(*) FROM earlier").fetchall()[0]
    if not count and not denied:
        return writer
    kept = {
        name: f"coalesce(n.{name}, CASE WHEN e.storage_class IS NOT DISTINCT FROM n.storage_class"
        f" THEN e.{name} END) AS {name}"
        if name == "tier_changed_at"
        else f"coalesce(n.{name}, e.{name}) AS {name}"
        for name in _KEPT_COLUMNS
    }
    names = SCHEMAS["inventory"].names
    selected = ", ".join(kept.get(name, f"n.{name}") for name in names)
    again = RefreshWriter(catalog, "inventory", now)
    try:
        query = (
            f"SELECT {selected} FROM listed n LEFT JOIN earlier e"
            " ON e.store_id = n.store_id AND e.uri = n.uri AND e.etag = n.etag"
        )
        for batch in connection.sql(query).to_arrow_reader(65_536):
            again.write(batch.cast(SCHEMAS["inventory"]))
        for folder in denied:
            query = f"SELECT {', '.join(names)} FROM object_rows WHERE starts_with(uri, ?)"
            for batch in connection.sql(query, params=[folder]).to_arrow_reader(65_536):
                again.write(batch.cast(SCHEMAS["inventory"]))
        again.close()
    except BaseException:
        again.discard()
        raise
    writer.discard()
    return again
