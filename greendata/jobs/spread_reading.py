"""Fingerprinting as tasks: each reads some objects into a staging folder of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.catalog.staging import ReadObject, Staging
from greendata.jobs.reading import MAX_CRASHES, ShardsReader
from greendata.jobs.textcache import TextCache
from greendata.progress import Progress
from greendata.runners.base import Outcome, WorkerLostError, WorkerMemoryError
from greendata.runners.exchange import Exchange, FilePiece, TaskFolder

if TYPE_CHECKING:
    from greendata.config import StoreSettings
    from greendata.dedup.fingerprint import Fingerprinter
    from greendata.jobs.spread import Spread
    from greendata.model import FingerprintParameters, SkippedObject
    from greendata.shards.base import ReadOptions
    from greendata.shards.choosing import ChosenShard
    from greendata.stores.opening import Stores

_TASK_BYTES = 64 << 20
"""Stored bytes that a task reads, several objects if need be: about a second of work."""

_TASK_OBJECTS = 1_024
_TASKS_A_WORKER = 4
"""So that one that ends early finds more to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTask:
    """Objects to read.

    Attributes:
        is_isolated: each in a child process, because a process died while it read them.
    """

    shards: tuple[ChosenShard, ...]
    stores: tuple[StoreSettings, ...]
    options: ReadOptions
    parameters: FingerprintParameters
    shared_folder: Path | None
    is_isolated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadObjects:
    """What reading the objects of a task came to; the rows are in files handed over before."""

    records: tuple[ReadObject, ...]
    skipped: tuple[SkippedObject, ...]
    segments: tuple[Path, ...] = ()


def read_objects(task: ReadTask) -> Iterator[FilePiece | ReadObjects]:
    """The task: segments of fingerprints, as files, and the record of each object."""
    from greendata.dedup.fingerprint import Fingerprinter
    from greendata.stores.opening import Stores

    with TaskFolder(task.shared_folder) as folder:
        staging = Staging.unlocked(folder.path)
        if task.is_isolated:
            staging.crashes = {shard.item.object_id: MAX_CRASHES for shard in task.shards}
        try:
            reader = ShardsReader(
                store=Stores(task.stores),
                options=task.options,
                fingerprinter=Fingerprinter(task.parameters),
                staging=staging,
                texts=TextCache(0),
                workers=1,
                progress=Progress(),
            )
            skipped = reader.read(task.shards)
        finally:
            staging.release()
        for segment in staging.segments:
            yield from folder.hand_over(segment)
        yield ReadObjects(records=tuple(staging.finished.values()), skipped=tuple(skipped))


class SpreadReader:
    """As ShardsReader, with tasks in the place of threads."""

    def __init__(
        self,
        spread: Spread,
        *,
        store: Stores,
        options: ReadOptions,
        fingerprinter: Fingerprinter,
        staging: Staging,
        progress: Progress,
    ) -> None:
        self._spread = spread
        self._stores = store.settings
        self._options = options
        self._parameters = fingerprinter.parameters
        self._staging = staging
        self._progress = progress
        self._skipped: list[SkippedObject] = []

    def read(self, items: Iterable[ChosenShard]) -> list[SkippedObject]:
        """Fingerprint all documents of these objects; what is finished gets staged.

        An object with which a worker died again and again is read in a child of a worker.

        Returns:
            The objects that could not be read, by URI.
        """
        exchange = self._spread.start()
        sound: list[ChosenShard] = []
        deadly: list[ChosenShard] = []
        for item in items:
            crashes = self._staging.crashes.get(item.item.object_id, 0)
            (deadly if crashes >= MAX_CRASHES else sound).append(item)
        for outcome in self._run(exchange, self._groups(sound), is_isolated=False):
            if isinstance(outcome.error, WorkerLostError | WorkerMemoryError):
                deadly += outcome.task.shards
                self._progress.warn(
                    f"{outcome.error.message}: reading its objects in child processes."
                )
            else:
                self._take(outcome.task, outcome.get())
        for outcome in self._run(exchange, ((item,) for item in deadly), is_isolated=True):
            self._take(outcome.task, outcome.get())
        return sorted(self._skipped, key=lambda skipped: skipped.uri)

    def _run(
        self, exchange: Exchange, groups: Iterable[tuple[ChosenShard, ...]], *, is_isolated: bool
    ) -> Iterator[Outcome[ReadTask, ReadObjects]]:
        tasks = (
            ReadTask(
                shards=group,
                stores=self._stores,
                options=self._options,
                parameters=self._parameters,
                shared_folder=exchange.shared_folder,
                is_isolated=is_isolated,
            )
            for group in groups
        )

        def receive(pieces: Iterator[Any]) -> ReadObjects:
            receiving = exchange.receiving()
            for piece in pieces:
                if isinstance(piece, FilePiece):
                    receiving.take(piece)
                else:
                    found: ReadObjects = piece
            return ReadObjects(
                records=found.records, skipped=found.skipped, segments=receiving.paths
            )

        return self._spread.runner.run(read_objects, tasks, receive)

    def _groups(self, items: list[ChosenShard]) -> Iterator[tuple[ChosenShard, ...]]:
        """Objects a task, the largest first, so that none is begun when all else is done."""
        total = sum(item.item.size_bytes for item in items)
        wanted = min(_TASK_BYTES, total // (self._spread.runner.workers * _TASKS_A_WORKER))
        group: list[ChosenShard] = []
        size = 0
        for item in sorted(items, key=lambda item: (-item.item.size_bytes, item.item.uri)):
            group.append(item)
            size += item.item.size_bytes
            if size >= wanted or len(group) >= _TASK_OBJECTS:
                yield tuple(group)
                group, size = [], 0
        if group:
            yield tuple(group)

    def _take(self, task: ReadTask, found: ReadObjects) -> None:
        self._staging.take_in(found.segments, found.records)
        self._skipped += found.skipped
        self._progress.advance(sum(shard.item.size_bytes for shard in task.shards))


def shards_reader(
    spread: Spread | None,
    *,
    store: Stores,
    options: ReadOptions,
    fingerprinter: Fingerprinter,
    staging: Staging,
    texts: TextCache,
    workers: int,
    progress: Progress,
) -> ShardsReader | SpreadReader:
    """What reads the objects of a scan: threads of this process, or tasks."""
    if spread is None:
        return ShardsReader(
            store=store,
            options=options,
            fingerprinter=fingerprinter,
            staging=staging,
            texts=texts,
            workers=workers,
            progress=progress,
        )
    return SpreadReader(
        spread,
        store=store,
        options=options,
        fingerprinter=fingerprinter,
        staging=staging,
        progress=progress,
    )
