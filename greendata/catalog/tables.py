"""The catalog's Delta tables on a folder: the only home of deltalake."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.catalog.failures import storage_error, storage_errors
from greendata.catalog.schemas import RESULTS, SCHEMAS
from greendata.errors import (
    CatalogError,
    CatalogTooNewError,
    CommitConflictError,
    ObjectNotFoundError,
    UsageError,
)
from greendata.stores.local import path_to_uri

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

FORMAT_VERSION = 1
_MARKER = "catalog.json"
_PARTITION = "scan_id"
_APPEND_TRIES = 20
_UNFIT_NAME = re.compile(r"[\[\]^|\\\x00-\x1f\x7f\ud800-\udfff]|%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedScan:
    """A row of ``scans``."""

    scan_id: str
    sequence: int
    results_id: str
    starts_over: bool
    started_at: datetime
    committed_at: datetime
    parameters: dict[str, Any]
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The committed scans that hold, oldest first, and the version they were read at."""

    version: int
    scans: tuple[CommittedScan, ...]

    @property
    def last(self) -> CommittedScan | None:
        """The newest scan, if there is one."""
        return self.scans[-1] if self.scans else None

    @property
    def scan_ids(self) -> frozenset[str]:
        """Ids of the scans whose rows are visible."""
        return frozenset(scan.scan_id for scan in self.scans)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what the file system and deltalake raise into this program's errors."""
    from deltalake.exceptions import DeltaError

    try:
        with storage_errors(path):
            yield
    except DeltaError as error:
        raise storage_error(path, str(error)) from error


class Catalog:
    """A catalog in a local folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path, *, create: bool) -> Catalog:
        """Open a catalog, making an empty one where there is none.

        Raises:
            ObjectNotFoundError: there is none, and ``create`` is false.
            CatalogTooNewError: a newer program wrote it.
            DeniedError: it cannot be written where it must be made.
        """
        catalog = cls(path.absolute())
        _check_name(catalog.path)
        marker = catalog.path / _MARKER
        with _translated(catalog.path):
            if not marker.exists():
                if not create:
                    raise ObjectNotFoundError(
                        f"catalog {catalog.path}: there is none.",
                        hint="Run `greendata scan` first, or name one with --catalog.",
                    )
                catalog._create()
            version = _format_version(marker)
        if version > FORMAT_VERSION:
            raise CatalogTooNewError(
                f"catalog {catalog.path}: its format {version} is newer than this program's"
                f" {FORMAT_VERSION}.",
                hint="Install a newer greendata.",
            )
        return catalog

    def _create(self) -> None:
        """Make an empty catalog; of several processes that do so at once, one does."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "create.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.path / _MARKER).exists():
                self._create_tables()

    def _create_tables(self) -> None:
        from deltalake import DeltaTable, Schema

        for name, schema in SCHEMAS.items():
            is_partitioned = name != "scans"
            fields = schema.append(_partition_field()) if is_partitioned else schema
            DeltaTable.create(
                path_to_uri(str(self._table_path(name))),
                Schema.from_arrow(fields),
                mode="ignore",
                partition_by=[_PARTITION] if is_partitioned else None,
            )
        partial = self.path / f"{_MARKER}.{uuid.uuid4().hex}.partial"
        partial.write_text(json.dumps({"format_version": FORMAT_VERSION}) + "\n")
        partial.replace(self.path / _MARKER)

    @property
    def staging_root(self) -> Path:
        """Folder of unfinished scans."""
        return self.path / "scans"

    def check_writable(self) -> None:
        """Raises DeniedError where nothing can be written, before any work is done."""
        with _translated(self.path):
            self.staging_root.mkdir(parents=True, exist_ok=True)
            probe = self.staging_root / f"probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()

    def snapshot(self) -> Snapshot:
        """The committed scans as they are now."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with _translated(self.path):
            table = self._open("scans")
            root = self._table_path("scans")
            actions = pa.table(table.get_add_actions()).to_pylist()
            files = [pq.ParquetFile(root / action["path"]) for action in actions]
            rows = [row for file in files for row in file.read().to_pylist()]
            version = table.version()
        rows.sort(key=lambda row: int(row["sequence"]))
        first = max((i for i, row in enumerate(rows) if row["starts_over"]), default=0)
        return Snapshot(version=version, scans=tuple(map(_committed_scan, rows[first:])))

    def files(self, name: str, scan_ids: Collection[str]) -> list[str]:
        """Paths of the Parquet files that hold these scans' rows, sorted."""
        import pyarrow as pa

        with _translated(self.path):
            table = self._open(name)
            actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        root = self._table_path(name)
        wanted = [a["path"] for a in actions if a[f"partition.{_PARTITION}"] in scan_ids]
        return sorted(str(root / path) for path in wanted)

    def new_file(self, name: str, scan_id: str) -> Path:
        """A fresh path for a Parquet file of this table and scan; its folder exists."""
        folder = self._table_path(name) / f"{_PARTITION}={scan_id}"
        with _translated(self.path):
            folder.mkdir(parents=True, exist_ok=True)
        return folder / f"part-{uuid.uuid4().hex}.parquet"

    def write(self, name: str, scan_id: str, rows: pa.Table) -> None:
        """Write rows as one file and add it to the table; invisible until the scan is committed."""
        import pyarrow.parquet as pq

        if rows.num_rows == 0:
            return
        path = self.new_file(name, scan_id)
        with _translated(self.path):
            pq.write_table(rows.cast(SCHEMAS[name]), path, compression="zstd", compression_level=3)
        self.add_files(name, scan_id, [path])

    def add_files(self, name: str, scan_id: str, paths: Sequence[Path]) -> None:
        """Commit Parquet files that lie in the table's folder already."""
        from deltalake.transaction import AddAction

        if not paths:
            return
        actions: list[AddAction | RemoveAction] = [
            AddAction(
                path=path.relative_to(self._table_path(name)).as_posix(),
                size=path.stat().st_size,
                partition_values={_PARTITION: scan_id},
                modification_time=int(time.time() * 1000),
                data_change=True,
                stats=json.dumps({"numRecords": _row_count(path)}),
            )
            for path in paths
        ]
        with _translated(self.path):
            self._append(name, actions)

    def _append(self, name: str, actions: list[AddAction | RemoveAction]) -> None:
        """Add files whatever was committed meanwhile.

        deltalake refuses an append that a deletion came before, as if it had read what was deleted
        (another scan drops old results); from the table's new version it is accepted.
        """
        from deltalake.exceptions import CommitFailedError

        for tries_left in reversed(range(_APPEND_TRIES)):
            table = self._open(name)
            try:
                table.create_write_transaction(
                    actions, mode="append", schema=table.schema(), partition_by=[_PARTITION]
                )
            except CommitFailedError:
                if tries_left == 0:
                    raise
            else:
                return

    def adopt_files(self, name: str, scan_id: str, paths: Sequence[Path]) -> None:
        """Add files from another folder of this file system; their first names stay valid."""
        targets = [self.new_file(name, scan_id) for _ in paths]
        with _translated(self.path):
            for path, target in zip(paths, targets, strict=True):
                os.link(path, target)
        self.add_files(name, scan_id, targets)

    def commit_scan(self, row: dict[str, Any], base: Snapshot) -> None:
        """Append the scan's row: from now on its rows are visible.

        Raises:
            CommitConflictError: another scan was committed after ``base`` was read.
        """
        import pyarrow as pa
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import CommitFailedError

        rows = pa.Table.from_pylist([row], schema=SCHEMAS["scans"])
        with _translated(self.path):
            table = self._open("scans", base.version)
            try:
                write_deltalake(
                    table,
                    rows,
                    mode="append",
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
            except CommitFailedError as error:
                raise CommitConflictError(
                    f"catalog {self.path}: another scan was committed meanwhile."
                ) from error

    def drop_results_before(self, results_id: str) -> None:
        """Forget the results of scans before this one: only the last ones are ever shown.

        Those of scans at work stay, and those of a scan that was committed after this one. Files
        stay for the retention time of the table, so that readers at work are not disturbed.
        """
        from deltalake.exceptions import CommitFailedError

        for name in RESULTS:
            with _translated(self.path):
                table = self._open(name)
                # In this order: who is gone when ``alive`` is read stands in the snapshot.
                held = {part[_PARTITION] for part in table.partitions()}
                alive = {folder.name for folder in self.staging_root.iterdir()}
                last = self.snapshot().last
                own = results_id.rpartition(".")[0]
                stale = sorted(
                    results
                    for results in held - {last.results_id if last else results_id}
                    if (scan := results.rpartition(".")[0]) == own or scan not in alive
                )
                if not stale:
                    continue
                try:
                    listed = ", ".join(f"'{results}'" for results in stale)
                    table.delete(f"{_PARTITION} IN ({listed})")
                    table.vacuum(dry_run=False)
                except CommitFailedError:
                    continue  # another scan is at it; the next one tidies up

    def _table_path(self, name: str) -> Path:
        return self.path / "tables" / name

    def _open(self, name: str, version: int | None = None) -> DeltaTable:
        from deltalake import DeltaTable

        # As a URI: of a path deltalake takes back the escaped name of its files.
        return DeltaTable(path_to_uri(str(self._table_path(name))), version=version)


def _check_name(path: Path) -> None:
    """Raises UsageError for a path that deltalake would take for another one."""
    if _UNFIT_NAME.search(str(path)):
        raise UsageError(
            f"catalog {path}: Delta tables cannot be kept below a name that has [ ] ^ | \\, %41"
            " and the like, control characters or bytes that are not UTF-8.",
            hint="Name another place with --catalog.",
        )


def _format_version(marker: Path) -> int:
    try:
        return int(json.loads(marker.read_text())["format_version"])
    except (ValueError, TypeError, KeyError) as error:
        raise CatalogError(
            f"catalog {marker.parent}: {marker.name} is damaged: {error}",
            hint="Name another catalog with --catalog, or remove this one and scan again.",
        ) from error


def _partition_field() -> pa.Field:
    import pyarrow as pa

    return pa.field(_PARTITION, pa.string())


def _row_count(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _committed_scan(row: dict[str, Any]) -> CommittedScan:
    return CommittedScan(
        scan_id=row["scan_id"],
        sequence=row["sequence"],
        results_id=row["results_id"],
        starts_over=row["starts_over"],
        started_at=row["started_at"],
        committed_at=row["committed_at"],
        parameters=json.loads(row["parameters"]),
        summary=json.loads(row["summary"]),
    )
