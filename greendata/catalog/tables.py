"""The catalog's Delta tables: the only home of deltalake."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from greendata.catalog.commits import (
    Refreshes,
    Snapshot,
    committed_refresh,
    committed_scan,
    started_at,
)
from greendata.catalog.failures import storage_error, storage_errors
from greendata.catalog.newest import NewestTables
from greendata.catalog.places import LocalPlace, Place
from greendata.catalog.schemas import COMMITS, LATE, REFRESHED, RESULTS, SCANNED, SCHEMAS
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

FORMAT_VERSION = 3
_MARKER = "catalog.json"
_PARTITION = "scan_id"
_FIRST_COMMIT = "_delta_log/00000000000000000000.json"
_APPEND_TRIES = 20
_RETENTION_SECONDS = 7 * 86_400
"""Files that were dropped stay for so long: readers at work, and copies of the log, name them."""

_ABANDONED_AFTER = timedelta(days=1)
"""Results that no committed scan names, made so long before, belong to a scan that died."""

_UNFIT_NAME = re.compile(r"[\[\]^|\\\x00-\x1f\x7f\ud800-\udfff]|%[0-9A-Fa-f]{2}")


class Catalog:
    """A catalog in a folder or in an object store."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.name = place.name
        self._newest: NewestTables[DeltaTable] = NewestTables(lambda folder: _opened(folder, None))

    @classmethod
    def open(cls, place: Place, *, create: bool) -> Catalog:
        """Open a catalog, making an empty one where there is none.

        Raises:
            ObjectNotFoundError: there is none, and ``create`` is false.
            CatalogTooNewError: a newer program wrote it.
            DeniedError: it cannot be written where it must be made.
            UnsupportedError: the store that it must be made in cannot keep one safely.
        """
        catalog = cls(place)
        _check_name(place)
        version = catalog._format_version()
        if version is None:
            if not create:
                raise ObjectNotFoundError(
                    f"catalog {catalog.name}: there is none.",
                    hint="Run `greendata scan` first, or name one with --catalog.",
                )
            catalog._create()
            version = catalog._format_version() or FORMAT_VERSION
        if version > FORMAT_VERSION:
            raise CatalogTooNewError(
                f"catalog {catalog.name}: its format {version} is newer than this program's"
                f" {FORMAT_VERSION}.",
                hint="Install a newer greendata.",
            )
        if version < FORMAT_VERSION:
            raise CatalogError(
                f"catalog {catalog.name}: its format {version} is of a version before the first"
                " release.",
                hint="Remove it, or name another with --catalog, and scan again.",
            )
        return catalog

    def _create(self) -> None:
        """Make an empty catalog; of several processes that do so at once, each finds it whole."""
        self.place.check_writable()
        with self.place.creating():
            if self._format_version() is None:
                self._create_tables()

    def _create_tables(self) -> None:
        """Each table by its first commit, put where there is none: one of many is first."""
        for name in SCHEMAS:
            if name not in LATE:
                self._create_table(name)
        marker = {"format_version": FORMAT_VERSION, "catalog_id": uuid.uuid4().hex}
        self.place.create(_MARKER, (json.dumps(marker) + "\n").encode())

    def _create_table(self, name: str) -> None:
        first = _first_commit(name, SCHEMAS[name])
        self.place.create(f"{_folder(name)}/{_FIRST_COMMIT}", first)

    def _is_missing(self, name: str) -> bool:
        """Whether a table that is made late was not made yet."""
        if name not in LATE:
            return False
        try:
            self.place.read(f"{_folder(name)}/{_FIRST_COMMIT}")
        except ObjectNotFoundError:
            return True
        return False

    def _format_version(self) -> int | None:
        """The version the marker tells; None where there is no catalog."""
        try:
            marker = json.loads(self.place.read(_MARKER))
            version = int(marker["format_version"])
            if version == FORMAT_VERSION:
                self.place.identify(str(uuid.UUID(marker["catalog_id"]).hex))
        except ObjectNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CatalogError(
                f"catalog {self.name}: {_MARKER} is damaged: {error}",
                hint="Name another catalog with --catalog, or remove this one and scan again.",
            ) from error
        return version

    @property
    def staging_root(self) -> Path:
        """Folder of unfinished scans, on this machine."""
        return self.place.folder / "scans"

    def check_writable(self) -> None:
        """Raises DeniedError where nothing can be written, before any work is done."""
        self.place.check_writable()

    def snapshot(self) -> Snapshot:
        """The committed scans as they are now."""
        version, rows = self._commit_rows("scans")
        first = max((i for i, row in enumerate(rows) if row["starts_over"]), default=0)
        return Snapshot(version=version, scans=tuple(map(committed_scan, rows[first:])))

    def refreshes(self) -> Refreshes:
        """The refreshes of the inventory, oldest first."""
        version, rows = self._commit_rows("refreshes")
        return Refreshes(version=version, refreshes=tuple(map(committed_refresh, rows)))

    def _commit_rows(self, name: str) -> tuple[int, list[dict[str, Any]]]:
        """Version and all rows of a table of commits, by sequence."""
        import pyarrow.parquet as pq

        with _translated(self.name):
            table = self._open(name)
            files = self._fetch(name, table)
            rows = [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]
            version = table.version()
        rows.sort(key=lambda row: int(row["sequence"]))
        return version, rows

    def _fetch(
        self, name: str, table: DeltaTable, scan_ids: Collection[str] | None = None
    ) -> list[Path]:
        """Local paths of a table's files, of some scans only, sorted."""
        import pyarrow as pa

        actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        sizes = {
            f"{_folder(name)}/{action['path']}": int(action["size_bytes"])
            for action in actions
            if scan_ids is None or action[f"partition.{_PARTITION}"] in scan_ids
        }
        return sorted(self.place.fetch(sizes).values())

    def files(self, name: str, scan_ids: Collection[str] | None) -> list[str]:
        """Paths of the Parquet files that hold these scans' rows, or all rows, sorted."""
        if self._is_missing(name):
            return []
        with _translated(self.name):
            return [str(path) for path in self._fetch(name, self._open(name), scan_ids)]

    def new_file(self, name: str, scan_id: str) -> Path:
        """A fresh path for a Parquet file of this table and scan; its folder exists."""
        folder = self.place.folder / _folder(name) / f"{_PARTITION}={scan_id}"
        with _translated(self.name):
            folder.mkdir(parents=True, exist_ok=True)
        return folder / f"part-{uuid.uuid4().hex}.parquet"

    def write(self, name: str, scan_id: str, rows: pa.Table) -> None:
        """Write rows as one file and add it to the table; invisible until the scan is committed."""
        import pyarrow.parquet as pq

        if rows.num_rows == 0:
            return
        if self._is_missing(name):
            with self.place.creating():
                self._create_table(name)
        path = self.new_file(name, scan_id)
        with _translated(self.name):
            pq.write_table(rows.cast(SCHEMAS[name]), path, compression="zstd", compression_level=3)
        self.add_files(name, scan_id, [path])

    def add_files(self, name: str, scan_id: str, paths: Sequence[Path]) -> None:
        """Commit Parquet files that lie in the table's folder already, whatever came meanwhile."""
        if not paths:
            return
        if self._is_missing(name):
            with self.place.creating():
                self._create_table(name)
        self.place.publish(paths)
        actions = [self._action(name, path, {_PARTITION: scan_id}) for path in paths]
        for _ in range(_APPEND_TRIES):
            if self._add(name, actions, self._version(name)):
                return
        raise CommitConflictError(
            f"catalog {self.name}: other commits came {_APPEND_TRIES} times before this one.",
            hint="Run it again.",
        )

    def _action(self, name: str, path: Path, partition: dict[str, str]) -> AddAction | RemoveAction:
        from deltalake.transaction import AddAction

        return AddAction(
            path=path.relative_to(self.place.folder / _folder(name)).as_posix(),
            size=path.stat().st_size,
            partition_values={**partition},
            modification_time=int(time.time() * 1000),
            data_change=True,
            stats=json.dumps({"numRecords": _row_count(path)}),
        )

    def _add(self, name: str, actions: list[AddAction | RemoveAction], version: int) -> bool:
        """Commit files to a table that is at this version still; False where it is not."""
        from deltalake import CommitProperties

        def change(folder: Path) -> None:
            table = _opened(folder, version)
            table.create_write_transaction(
                actions,
                mode="append",
                schema=table.schema(),
                partition_by=[] if name in COMMITS else [_PARTITION],
                commit_properties=CommitProperties(max_commit_retries=0),
            )

        return self._commit_change(name, version, change)

    def _commit_change(self, name: str, version: int, change: Callable[[Path], None]) -> bool:
        from deltalake.exceptions import CommitFailedError

        with _translated(self.name):
            try:
                return self.place.commit(_folder(name), version, change)
            except CommitFailedError:
                return False

    def _version(self, name: str) -> int:
        with _translated(self.name):
            return self._open(name).version()

    def adopt_files(self, name: str, scan_id: str, paths: Sequence[Path]) -> None:
        """Add files from another folder of this file system; their first names stay valid."""
        targets = [self.new_file(name, scan_id) for _ in paths]
        with _translated(self.name):
            for path, target in zip(paths, targets, strict=True):
                os.link(path, target)
        self.add_files(name, scan_id, targets)

    def commit_scan(self, row: dict[str, Any], base: Snapshot) -> None:
        """Append the scan's row: from now on its rows are visible.

        Raises:
            CommitConflictError: another scan was committed after ``base`` was read.
        """
        if not self._commit("scans", row, base.version):
            raise CommitConflictError(f"catalog {self.name}: another scan was committed meanwhile.")

    def commit_refresh(self, row: dict[str, Any]) -> Refreshes:
        """Append a refresh's row, with the next sequence number; its rows are visible from now on.

        Of several refreshes of one prefix the one that is committed last holds.
        """
        for _ in range(_APPEND_TRIES):
            known = self.refreshes()
            last = known.refreshes[-1].sequence if known.refreshes else 0
            numbered = row | {"sequence": last + 1}
            if self._commit("refreshes", numbered, known.version):
                made = committed_refresh(numbered)
                return Refreshes(version=known.version + 1, refreshes=(*known.refreshes, made))
        raise CommitConflictError(
            f"catalog {self.name}: other refreshes were committed {_APPEND_TRIES} times before"
            " this one.",
            hint="Run it again.",
        )

    def _commit(self, name: str, row: dict[str, Any], version: int) -> bool:
        """Append a row to a table that is at this version still; False where it is not."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.place.folder / _folder(name) / f"part-{uuid.uuid4().hex}.parquet"
        with _translated(self.name):
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist([row], schema=SCHEMAS[name]), path)
        self.place.publish([path])
        is_done = self._add(name, [self._action(name, path, {})], version)
        if not is_done:
            self.place.remove([path.relative_to(self.place.folder).as_posix()])
        return is_done

    def drop_results_before(self, results_id: str) -> None:
        """Forget the results of scans before this one: only the last ones are ever shown.

        Those of scans at work stay, and those of a scan that was committed after this one. Files
        stay for the retention time of the table, so that readers at work are not disturbed.
        """
        own = results_id.rpartition(".")[0]
        for name in RESULTS:
            # In this order: who is gone when scans at work are looked for stands in the snapshot.
            held = self._held(name)
            at_work = self._at_work(held, own)
            last = self.snapshot().last
            kept = set(last.results_ids) if last else {results_id}
            self._drop(
                name,
                {
                    results
                    for results in held - kept
                    if (scan := results.rpartition(".")[0]) == own or scan not in at_work
                },
            )

    def drop_refreshes(self, refreshes: Refreshes) -> None:
        """Forget the rows of refreshes that later ones replace, and of those that died long ago."""
        known = {entry.scan_id for entry in refreshes.refreshes}
        newest = max(map(_started_at, known), default=None)
        for name in REFRESHED:
            held = self._held(name)
            stale = held & refreshes.replaced_ids()
            if newest is not None:
                oldest = newest - _ABANDONED_AFTER
                stale |= {scan_id for scan_id in held - known if _started_at(scan_id) < oldest}
            self._drop(name, stale)

    def drop_forgotten_scans(self, own: str) -> None:
        """Forget the rows of scans that are not in force any more, but of those at work.

        ``own`` is the scan that does this: its rows are written.
        """
        for name in SCANNED:
            held = self._held(name)
            at_work = self._at_work(held, own)
            self._drop(name, held - self.snapshot().scan_ids - at_work)

    def has_others_at_work(self, scan_id: str) -> bool:
        """Whether another scan of this machine holds a folder of unfinished work."""
        found = {folder.name for folder in self.staging_root.iterdir() if folder.is_dir()}
        return bool(found - {scan_id, "spill"})

    def _held(self, name: str) -> set[str]:
        """Ids whose rows a table has."""
        with _translated(self.name):
            return {part[_PARTITION] for part in self._open(name).partitions()}

    def _at_work(self, held: Collection[str], own: str) -> set[str]:
        """Scans that may not be over: here they have a folder; elsewhere only their age tells."""
        here = {folder.name for folder in self.staging_root.iterdir()} - {own}
        if isinstance(self.place, LocalPlace):
            return here
        committed = self.snapshot().scan_ids
        oldest = _started_at(own) - _ABANDONED_AFTER
        scans = {results.partition(".")[0] for results in held}
        return here | {scan for scan in scans - committed if _started_at(scan) > oldest}

    def _drop(self, name: str, ids: Collection[str]) -> None:
        if not ids:
            return
        listed = ", ".join(f"'{dropped}'" for dropped in sorted(ids))
        version = self._version(name)
        is_done = self._commit_change(
            name,
            version,
            lambda folder: _delete(_opened(folder, version), f"{_PARTITION} IN ({listed})"),
        )
        if is_done:  # else another scan is at it; the next one tidies up
            with storage_errors(self.name):
                self._sweep(name)

    def _sweep(self, name: str) -> None:
        """Remove files that were dropped longer ago than the retention time, once."""
        mark = self.place.folder / f"{name}.swept"
        swept_until = mark.stat().st_mtime if mark.exists() else 0.0
        until = time.time() - _RETENTION_SECONDS
        names = []
        for path in sorted((self.place.folder / _folder(name) / "_delta_log").glob("*.json")):
            for line in path.read_text().splitlines():
                action = json.loads(line).get("remove")
                if action and swept_until <= action["deletionTimestamp"] / 1000 < until:
                    names.append(f"{_folder(name)}/{unquote(action['path'])}")
        self.place.remove(names)
        mark.touch()
        os.utime(mark, (until, until))

    def _open(self, name: str) -> DeltaTable:
        with storage_errors(self.name):
            self.place.sync(_folder(name))
        return self._newest.open(self.place.folder / _folder(name))


def _opened(folder: Path, version: int | None) -> DeltaTable:
    from deltalake import DeltaTable

    # As a URI: of a path deltalake takes back the escaped name of its files.
    return DeltaTable(path_to_uri(str(folder)), version=version)


def _delete(table: DeltaTable, predicate: str) -> None:
    from deltalake import CommitProperties

    table.delete(predicate, commit_properties=CommitProperties(max_commit_retries=0))


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what the file system and deltalake raise into this program's errors."""
    from deltalake.exceptions import DeltaError

    try:
        with storage_errors(name):
            yield
    except DeltaError as error:
        raise storage_error(name, str(error)) from error


def _first_commit(name: str, schema: pa.Schema) -> bytes:
    """What makes an empty table."""
    from deltalake import DeltaTable, Schema

    is_partitioned = name not in COMMITS
    fields = schema.append(_partition_field()) if is_partitioned else schema
    with tempfile.TemporaryDirectory(prefix="greendata-") as folder:
        DeltaTable.create(
            folder,
            Schema.from_arrow(fields),
            partition_by=[_PARTITION] if is_partitioned else None,
        )
        return (Path(folder) / _FIRST_COMMIT).read_bytes()


def _folder(name: str) -> str:
    return f"tables/{name}"


def _started_at(scan_id: str) -> datetime:
    """When a scan began; one whose id does not tell is taken for an old one."""
    return started_at(scan_id) or datetime.min.replace(tzinfo=UTC) + _ABANDONED_AFTER


def _check_name(place: Place) -> None:
    """Raises UsageError for a path that deltalake would take for another one."""
    if _UNFIT_NAME.search(place.name):
        raise UsageError(
            f"catalog {place.name}: Delta tables cannot be kept below a name that has [ ] ^ | \\,"
            " %41 and the like, control characters or bytes that are not UTF-8.",
            hint="Name another place with --catalog.",
        )


def _partition_field() -> pa.Field:
    import pyarrow as pa

    return pa.field(_PARTITION, pa.string())


def _row_count(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
