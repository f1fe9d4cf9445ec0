"""Reading shards and fingerprinting their documents, on threads; finished objects are staged."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.catalog.staging import ReadObject, SegmentWriter, Staging
from greendata.errors import GreendataError, ObjectChangedError
from greendata.jobs.isolated import IsolatedRead, read_isolated
from greendata.jobs.quality import QualityCounter
from greendata.model import SkippedObject, StoredObject
from greendata.shards.base import Part, ReadOptions, Shard, TextBatch, skipped_object
from greendata.shards.opening import open_shard

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.dedup.fingerprint import Fingerprinter
    from greendata.jobs.textcache import TextCache
    from greendata.progress import Progress
    from greendata.shards.choosing import ChosenShard
    from greendata.stores.opening import Stores

MAX_CRASHES = 2
"""After so many deaths of the process with an object in flight, it is read in a child process."""

_EXAMPLES = 20
_QUEUED_BATCHES_A_WORKER = 2
_POLL_SECONDS = 0.2


@dataclass(slots=True)
class _Reading:
    """One object while it is read. Changed under ``lock`` only."""

    chosen: ChosenShard
    shard: Shard | None = None
    open_parts: int = 0
    documents: int = 0
    text_bytes: int = 0
    null_documents: int = 0
    skipped_documents: int = 0
    invalid_documents: int = 0
    quality: QualityCounter = field(default_factory=QualityCounter)
    examples: list[tuple[int, str]] = field(default_factory=list)
    error: GreendataError | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def item(self) -> StoredObject:
        return self.chosen.item

    def skip_documents(self, skipped: Sequence[tuple[int, str]]) -> None:
        with self.lock:
            self.skipped_documents += len(skipped)
            self.examples += skipped[: _EXAMPLES - len(self.examples)]

    def record(self) -> ReadObject:
        return ReadObject(
            object_id=self.item.object_id,
            uri=self.item.uri,
            format=self.chosen.format,
            codec=self.shard.codec if self.shard else self.chosen.codec,
            text_column=self.shard.text_column if self.shard else None,
            documents=self.documents,
            text_bytes=self.text_bytes,
            null_documents=self.null_documents,
            skipped_documents=self.skipped_documents,
            skipped_examples=tuple(sorted(self.examples)),
            empty_documents=self.quality.empty_documents,
            short_documents=self.quality.short_documents,
            invalid_documents=self.invalid_documents,
            sampled_documents=self.quality.sampled_documents,
            repeated_lines=self.quality.repeated_lines(),
        )


_Task = tuple[_Reading, Part | None]
_Result = tuple[_Reading, "pa.RecordBatch | None"]


class ShardsReader:
    """Reads objects into a staging folder.

    Workers take parts (row groups) of opened objects first and open the next object when there are
    none, so few objects are open at a time. One thread writes what they find. A failing object is
    reported and the others go on; a failing disk stops the scan.
    """

    def __init__(
        self,
        *,
        store: Stores,
        options: ReadOptions,
        fingerprinter: Fingerprinter,
        staging: Staging,
        texts: TextCache,
        workers: int,
        progress: Progress,
    ) -> None:
        self._store = store
        self._options = options
        self._fingerprinter = fingerprinter
        self._staging = staging
        self._texts = texts
        self._workers = workers
        self._progress = progress
        self._skipped: list[SkippedObject] = []
        self._lock = threading.Lock()
        self._items: deque[ChosenShard] = deque()
        self._parts: deque[tuple[_Reading, Part]] = deque()
        self._opening = 0
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._results: queue.Queue[_Result | None] = queue.Queue(workers * _QUEUED_BATCHES_A_WORKER)

    def read(self, items: Iterable[ChosenShard]) -> list[SkippedObject]:
        """Fingerprint all documents of these objects; what is finished gets staged.

        Returns:
            The objects that could not be read, by URI.
        """
        self._items.extend(items)
        ended: list[threading.Event] = []
        written = threading.Event()
        try:
            _start("writer", written, self._write_results)
            for number in range(self._workers):
                ended.append(threading.Event())
                _start(f"reader-{number}", ended[-1], self._work, number)
            _wait(ended)
        except BaseException:
            self._stop.set()
            raise
        finally:
            _wait(ended)
            self._results.put(None)
            _wait([written])
        if self._failure is not None:
            raise self._failure
        return sorted(self._skipped, key=lambda skipped: skipped.uri)

    def _work(self, worker: int) -> None:
        in_flight: int | None = None
        try:
            while not self._stop.is_set():
                task = self._next_task()
                if task is None:
                    break
                reading, part = task
                if reading.item.object_id != in_flight:
                    in_flight = reading.item.object_id
                    self._staging.mark_in_flight(worker, in_flight)
                if part is None:
                    self._open(reading)
                else:
                    self._read_part(reading, part)
            self._staging.mark_in_flight(worker, None)
        except BaseException as error:  # a bug or a full disk: stop the others, raise in read()
            self._fail(error)

    def _next_task(self) -> _Task | None:
        """A part to read, an object to open, or None when all is done."""
        while not self._stop.is_set():
            with self._lock:
                if self._parts:
                    return self._parts.popleft()
                if self._items:
                    self._opening += 1
                    return _Reading(chosen=self._items.popleft()), None
                if self._opening == 0:
                    return None
            self._stop.wait(0.005)
        return None

    def _open(self, reading: _Reading) -> None:
        parts: Sequence[Part] = ()
        try:
            if self._staging.crashes.get(reading.item.object_id, 0) >= MAX_CRASHES:
                self._read_apart(reading)
            else:
                reading.shard = open_shard(
                    self._store,
                    reading.item,
                    self._options,
                    reading.chosen.format,
                    reading.chosen.codec,
                )
                parts = reading.shard.parts()
        except GreendataError as error:
            reading.error = error
        reading.open_parts = len(parts)
        with self._lock:
            self._parts.extend((reading, part) for part in parts)
            self._opening -= 1
        if not parts and not self._stop.is_set():
            self._close(reading)

    def _read_part(self, reading: _Reading, part: Part) -> None:
        try:
            if reading.error is None and reading.shard is not None:
                self._take(reading, reading.shard.read(part))
        except GreendataError as error:
            reading.error = error
        with reading.lock:
            reading.open_parts -= 1
            is_last = reading.open_parts == 0
        if is_last and not self._stop.is_set():
            self._close(reading)

    def _read_apart(self, reading: _Reading) -> None:
        self._progress.warn(
            f"{reading.item.uri}: the process died twice while reading it; reading it in a child."
        )
        request = IsolatedRead(
            item=reading.item,
            options=self._options,
            format=reading.chosen.format,
            codec=reading.chosen.codec,
            stores=self._store.settings,
        )
        self._take(reading, read_isolated(request))

    def _take(self, reading: _Reading, batches: Iterator[TextBatch]) -> None:
        for number, batch in enumerate(batches):
            if self._stop.is_set() or reading.error is not None:
                return
            rows = self._fingerprint(reading, batch, is_first=number == 0)
            self._progress.advance(batch.source_bytes)
            if rows is not None:
                self._texts.keep(reading.item.object_id, batch)
                self._results.put((reading, rows))

    def _fingerprint(
        self, reading: _Reading, batch: TextBatch, *, is_first: bool
    ) -> pa.RecordBatch | None:
        texts, rows = batch.present()
        nulls = batch.texts.null_count
        if batch.skipped:
            reading.skip_documents(batch.skipped)
        found = self._fingerprinter.fingerprint(texts)
        valid = found.tokens >= 0
        if not valid.all():
            reading.skip_documents([(int(row), "not UTF-8") for row in rows[~valid]])
        tokens, shingle_size = found.tokens[valid], self._fingerprinter.parameters.shingle_size
        with reading.lock:
            reading.quality.count(tokens, shingle_size)
            if is_first:
                reading.quality.sample(texts)
            reading.null_documents += nulls
            reading.invalid_documents += int((~valid).sum())
            reading.documents += int(valid.sum())
            reading.text_bytes += int(found.text_bytes[valid].sum())
        if not valid.any():
            return None
        return document_rows(
            reading.item.object_id,
            rows[valid],
            batch.row_group,
            found.digests[valid],
            found.text_bytes[valid],
            found.tokens[valid],
            found.keys[valid],
        )

    def _close(self, reading: _Reading) -> None:
        """All parts are read: the object counts, unless it failed or changed meanwhile."""
        try:
            if reading.error is None:
                now = self._store.head(reading.item.uri)
                if now.etag != reading.item.etag:
                    raise ObjectChangedError(
                        f"{reading.item.uri}: it changed while it was read.", hint="Scan again."
                    )
        except GreendataError as error:
            reading.error = error
        if reading.error is None:
            self._results.put((reading, None))
        else:
            with self._lock:
                self._skipped.append(skipped_object(reading.item.uri, reading.error))

    def _write_results(self) -> None:
        writer = SegmentWriter(self._staging)
        while (result := self._results.get()) is not None:
            if self._failure is None:
                self._guarded(self._write_result, writer, result)
        self._guarded(writer.close_segment)

    def _write_result(self, writer: SegmentWriter, result: _Result) -> None:
        reading, rows = result
        if rows is None:
            writer.finish(reading.record())
        else:
            writer.add(rows)

    def _guarded(self, step: Callable[..., None], *arguments: Any) -> None:
        """A full disk stops the workers, and ``read`` raises it; the queue is emptied on."""
        try:
            step(*arguments)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or error
        self._stop.set()


def _start(name: str, ended: threading.Event, work: Callable[..., None], *arguments: int) -> None:
    """Run ``work`` on a thread; ``ended`` is set when it is over, well or not."""

    def run() -> None:
        try:
            work(*arguments)
        finally:
            ended.set()

    try:
        threading.Thread(target=run, name=name).start()
    except RuntimeError:  # no more threads: nobody may wait for this one
        ended.set()
        raise


def _wait(events: Iterable[threading.Event]) -> None:
    """Wait for all of them. ``Thread.join`` would not do: before Python 3.13 one that a signal
    interrupts takes its thread for ended while it still runs (bpo-45274)."""
    for event in events:
        while not event.wait(_POLL_SECONDS):
            pass


def document_rows(
    object_id: int,
    rows: np.ndarray,
    row_group: int,
    digests: np.ndarray,
    text_bytes: np.ndarray,
    tokens: np.ndarray,
    keys: np.ndarray,
) -> pa.RecordBatch:
    """Fingerprints as rows of the ``documents`` table."""
    import pyarrow as pa

    from greendata.catalog.schemas import SCHEMAS

    count, bands = keys.shape
    offsets = pa.array(np.arange(0, (count + 1) * bands, bands, dtype=np.int32))
    values = pa.array(np.ascontiguousarray(keys).view(np.int64).ravel())
    digests = np.ascontiguousarray(digests.T).view(np.int64)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(np.full(count, object_id, np.int64)),
            pa.array(rows, pa.int64()),
            pa.array(np.full(count, row_group, np.int32)),
            pa.array(digests[0]),
            pa.array(digests[1]),
            pa.array(text_bytes),
            pa.array(tokens),
            pa.ListArray.from_arrays(offsets, values),
        ],
        schema=SCHEMAS["documents"],
    )
