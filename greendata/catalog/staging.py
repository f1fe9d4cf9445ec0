"""Unfinished scans: fingerprints of finished objects on disk, so that nothing is read twice.

A staging folder belongs to one scan, held by a file lock for as long as its process lives::

    lock                    locked while the scan runs
    scan.json               what the fingerprints depend on
    scan_id=ID/documents-N.parquet   a closed segment of fingerprints, in a folder as its table has
    finished-N.json         objects whose rows are all in segments up to N
    inflight-W              the object that worker W reads right now
    crashes.json            how often an object was in flight when a process died

A dead scan's finished objects are adopted by the next one; the rest is swept.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from greendata.catalog.schemas import SCHEMAS

if TYPE_CHECKING:
    import pyarrow as pa

SEGMENT_BYTES = 64 << 20
SEGMENT_SECONDS, SEGMENT_SHARE = 1.0, 0.05
"""A segment is closed at this size or, once an object is finished, when it is older than a second
and than a twentieth of the scan: a dead scan loses little, and a long one makes few files."""

ROW_GROUP_ROWS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadObject:
    """What reading one object came to."""

    object_id: int
    uri: str
    format: str
    codec: str
    text_column: str | None
    documents: int
    text_bytes: int
    null_documents: int
    skipped_documents: int
    skipped_examples: tuple[tuple[int, str], ...]
    empty_documents: int = 0
    short_documents: int = 0
    invalid_documents: int = 0
    sampled_documents: int = 0
    repeated_lines: tuple[tuple[str, int], ...] = ()


class Staging:
    """The staging folder of one scan."""

    def __init__(self, folder: Path, lock: IO[bytes]) -> None:
        self.folder = folder
        self._lock = lock
        self.finished: dict[int, ReadObject] = {}
        self.crashes: dict[int, int] = {}
        self.segments: list[Path] = []
        self._segment_folder = folder / f"scan_id={folder.name}"

    @classmethod
    def create(cls, root: Path, scan_id: str, depends_on: dict[str, Any]) -> Staging:
        """A new folder, locked by this process."""
        folder = root / scan_id
        root.mkdir(parents=True, exist_ok=True)
        with _root_lock(root):  # or another scan takes it for a dead one's before it is locked
            (folder / f"scan_id={scan_id}").mkdir(parents=True)
            lock = _try_lock(folder)
        if lock is None:
            raise BlockingIOError(f"{folder} is locked")
        staging = cls(folder, lock)
        _write_json(folder / "scan.json", depends_on)
        return staging

    @classmethod
    def unlocked(cls, folder: Path) -> Staging:
        """A folder that nobody else knows of, made into one; a shared one may know no locks."""
        (folder / f"scan_id={folder.name}").mkdir()
        return cls(folder, (folder / "lock").open("ab"))

    def adopt(self, root: Path, depends_on: dict[str, Any], wanted: Collection[int]) -> int:
        """Take over the finished objects of dead scans that ``wanted`` names; sweep these scans.

        Returns:
            Objects taken over.
        """
        before = len(self.finished)
        for folder in sorted(root.iterdir()):
            if folder == self.folder or not folder.is_dir():
                continue
            with _root_lock(root):
                lock = _try_lock(folder)
            if lock is None:
                continue  # its scan is alive, or just gone
            with lock:
                if _read_json(folder / "scan.json") == depends_on:
                    self._adopt_folder(folder, wanted)
                _sweep(folder)
        _write_json(self.folder / "crashes.json", self.crashes)
        return len(self.finished) - before

    def _adopt_folder(self, folder: Path, wanted: Collection[int]) -> None:
        _count_crashes(folder, self.crashes)
        adopted: dict[int, ReadObject] = {}
        held: Counter[int] = Counter()
        last = -1
        for listing in sorted(folder.glob("finished-*.json"), key=_number):
            last = _number(listing)
            for entry in _read_json(listing) or []:
                record = _read_object(entry)
                if record.object_id in wanted and record.object_id not in self.finished:
                    adopted[record.object_id] = record
        segments = [
            segment
            for segment in sorted(folder.glob("scan_id=*/documents-*.parquet"), key=_number)
            if _number(segment) <= last and segment_rows(segment, held)
        ]
        # After a power failure a list may be there without the rows it speaks of.
        adopted = {key: found for key, found in adopted.items() if held[key] == found.documents}
        for segment in segments:
            filter_segment(segment, self.next_segment(), adopted)
        self.finished |= adopted
        self._list_finished(adopted.values())

    def _list_finished(self, records: Iterable[ReadObject]) -> None:
        """Name objects whose rows are all in the segments that there are by now."""
        path = self.folder / f"finished-{len(self.segments)}.json"
        _write_json(path, (_read_json(path) or []) + list(map(asdict, records)))

    def next_segment(self) -> Path:
        """A path for one more closed segment of fingerprints."""
        path = self._segment_folder / f"documents-{len(self.segments) + 1}.parquet"
        self.segments.append(path)
        return path

    def take_in(self, segments: Iterable[Path], records: Collection[ReadObject]) -> None:
        """Move segments here that another process wrote, with all rows of the objects recorded."""
        for segment in segments:
            shutil.move(segment, self.next_segment())
        if records:
            self._list_finished(records)
            self.finished |= {record.object_id: record for record in records}

    def committable(self, wanted: Collection[int]) -> list[Path]:
        """Segments that hold the rows of wanted objects and of no others."""
        clean = []
        for segment in list(self.segments):
            rows: Counter[int] = Counter()
            if segment_rows(segment, rows) and set(rows) <= set(wanted):
                clean.append(segment)
            else:
                target = segment.with_name(f"clean-{segment.name}")
                filter_segment(segment, target, wanted)
                clean.append(target)
        return clean

    def mark_in_flight(self, worker: int, object_id: int | None) -> None:
        """Note what a worker reads, so that an object that kills the process is found out."""
        path = self.folder / f"inflight-{worker}"
        path.write_text("" if object_id is None else str(object_id))

    def remove(self) -> None:
        """The scan is committed, or has nothing worth keeping."""
        _sweep(self.folder)
        self.release()

    def release(self) -> None:
        """Give up the lock; the next scan takes over what is finished."""
        with contextlib.suppress(OSError):
            for path in self.folder.glob("inflight-*"):
                path.unlink()
        self._lock.close()


class SegmentWriter:
    """Writes fingerprints to segments in the order they come; used by one thread."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._rows: list[pa.RecordBatch] = []
        self._row_count = 0
        self._writer: Any = None
        self._written_bytes = 0
        self._started_at = self._opened_at = time.monotonic()
        self._unlisted: list[ReadObject] = []

    def add(self, rows: pa.RecordBatch) -> None:
        """Take fingerprints of the ``documents`` schema."""
        self._rows.append(rows)
        self._row_count += len(rows)
        self._written_bytes += rows.nbytes
        if self._row_count >= ROW_GROUP_ROWS:
            self._flush()
        if self._written_bytes >= SEGMENT_BYTES:
            self.close_segment()

    def finish(self, record: ReadObject) -> None:
        """All rows of this object were added."""
        self._unlisted.append(record)
        now = time.monotonic()
        wait_seconds = max(SEGMENT_SECONDS, SEGMENT_SHARE * (now - self._started_at))
        if now - self._opened_at > wait_seconds:
            self.close_segment()

    def close_segment(self) -> None:
        """Make everything so far safe against the death of the process."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            partial = Path(self._writer_path)
            partial.replace(self._staging.next_segment())
            self._writer = None
        if self._unlisted:
            self._staging._list_finished(self._unlisted)
            self._staging.finished |= {record.object_id: record for record in self._unlisted}
            self._unlisted = []
        self._written_bytes, self._opened_at = 0, time.monotonic()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._rows:
            return
        if self._writer is None:
            self._writer_path = self._staging.folder / "documents.partial"
            self._writer = pq.ParquetWriter(
                self._writer_path, SCHEMAS["documents"], **PARQUET_OPTIONS
            )
        self._writer.write_table(pa.Table.from_batches(self._rows))
        self._rows, self._row_count = [], 0


PARQUET_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["object_id", "row_group"],
    "write_statistics": ["object_id"],
}
"""Digests and keys are random: more effort does not make them smaller."""


def filter_segment(source: Path, target: Path, wanted: Collection[int]) -> None:
    """Write to ``target`` the rows of ``source`` that belong to wanted objects."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    chosen = pa.array(sorted(wanted), pa.int64())
    with (
        pq.ParquetFile(source) as reader,
        pq.ParquetWriter(target, SCHEMAS["documents"], **PARQUET_OPTIONS) as writer,
    ):
        for batch in reader.iter_batches(batch_size=ROW_GROUP_ROWS):
            rows = batch.filter(pc.is_in(batch["object_id"], value_set=chosen))
            if rows.num_rows:
                writer.write_batch(rows)


def segment_rows(path: Path, rows: Counter[int]) -> bool:
    """Count the rows of each object id in a segment; false where it is damaged."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: Counter[int] = Counter()
    try:
        with pq.ParquetFile(path) as reader:
            for batch in reader.iter_batches(columns=["object_id"]):
                for count in pc.value_counts(batch["object_id"]).to_pylist():
                    found[count["values"]] += count["counts"]
    except (OSError, pa.ArrowException):
        return False
    rows.update(found)
    return True


@contextlib.contextmanager
def _root_lock(root: Path) -> Iterator[None]:
    """Held for moments only: while a folder is made or looked at."""
    handle = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove a folder; what is left when this is cut short is nobody's finished work."""
    (folder / "scan.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _try_lock(folder: Path) -> IO[bytes] | None:
    try:
        handle = (folder / "lock").open("ab")
    except FileNotFoundError:  # swept meanwhile
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def _count_crashes(folder: Path, crashes: dict[int, int]) -> None:
    earlier: dict[str, int] = _read_json(folder / "crashes.json") or {}
    for key, count in earlier.items():
        crashes[int(key)] = max(crashes.get(int(key), 0), count)
    for path in folder.glob("inflight-*"):
        text = path.read_text()
        if text:
            crashes[int(text)] = crashes.get(int(text), 0) + 1


def _read_object(entry: dict[str, Any]) -> ReadObject:
    examples = tuple((int(row), str(detail)) for row, detail in entry.pop("skipped_examples"))
    lines = tuple((str(line), int(count)) for line, count in entry.pop("repeated_lines", ()))
    return ReadObject(**entry, skipped_examples=examples, repeated_lines=lines)


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _read_json(path: Path) -> Any:
    """The document, or None where it is missing or was cut short by a crash."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _write_json(path: Path, document: Any) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document))
    os.replace(partial, path)
