"""Reading chosen documents again, for verification: from memory, else from their objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.errors import GreendataError
from greendata.model import StoredObject
from greendata.shards.base import ReadOptions, TextBatch
from greendata.shards.opening import open_shard

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from greendata.dedup.verify import Consume
    from greendata.jobs.textcache import TextCache
    from greendata.progress import Progress
    from greendata.stores.base import Store

_ROWS_A_TASK = 16_384
"""Documents of one object that one thread reads in a go, and what else is in their row groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownObject:
    """An object as the catalog recorded it, with what is needed to read it the same way again."""

    item: StoredObject
    options: ReadOptions
    format: str
    codec: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    known: KnownObject
    ranks: NDArray[np.int64]
    rows: NDArray[np.int64]
    row_groups: NDArray[np.int64]


def known_objects(connection: DuckDBPyConnection) -> dict[int, KnownObject]:
    """All readable objects of the catalog's views, by their place in the keep order."""
    columns = (
        "object_order, uri, store_id, size_bytes, etag, modified_at, format, codec, text_column,"
        " read_options"
    )
    found = connection.sql(f"SELECT {columns} FROM objects WHERE status = 'read'")
    rows = found.to_arrow_table().to_pylist()
    return {int(row["object_order"]): _known_object(row) for row in rows}


def _known_object(row: dict[str, Any]) -> KnownObject:
    options = ReadOptions(**json.loads(row["read_options"]) | {"text_column": row["text_column"]})
    item = StoredObject(
        uri=row["uri"],
        store_id=row["store_id"],
        size_bytes=row["size_bytes"],
        etag=row["etag"],
        modified_at=row["modified_at"],
    )
    return KnownObject(item=item, options=options, format=row["format"], codec=row["codec"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where texts are: arrays as TextReader takes them, of these ranks alone."""

    ranks: NDArray[np.int64]
    objects: dict[int, KnownObject]
    orders: NDArray[np.int64]
    rows: NDArray[np.int64]
    row_groups: NDArray[np.int64]


class TextReader:
    """Reads the texts of candidate ranks, on threads.

    In one call a row group is read once, and an object that has none is, too.

    Args:
        orders, rows, row_groups: int64, where the document of each rank is: its object's place in
            the keep order, its row, and its row group.
    """

    def __init__(
        self,
        *,
        store: Store,
        objects: dict[int, KnownObject],
        texts: TextCache,
        orders: NDArray[np.int64],
        rows: NDArray[np.int64],
        row_groups: NDArray[np.int64],
        workers: int,
        progress: Progress,
    ) -> None:
        self._store = store
        self._objects = objects
        self._texts = texts
        self._orders, self._rows, self._row_groups = orders, rows, row_groups
        self._workers = workers
        self._progress = progress
        self.unreadable: dict[str, str] = {}

    def read(self, ranks: NDArray[np.int64], consume: Consume) -> None:
        """Call ``consume(ranks, texts)`` for all of these ranks that can be read."""
        with ThreadPoolExecutor(self._workers) as pool:
            for _ in pool.map(lambda task: self._read(task, consume), self._tasks(ranks)):
                pass

    def in_order(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ranks in the order in which their texts are stored."""
        return ranks[np.lexsort((self._rows[ranks], self._orders[ranks]))]

    def places(self, ranks: NDArray[np.int64]) -> Places:
        """Where the texts of some ranks are."""
        orders = self._orders[ranks]
        return Places(
            ranks=ranks,
            objects={int(number): self._objects[int(number)] for number in np.unique(orders)},
            orders=orders,
            rows=self._rows[ranks],
            row_groups=self._row_groups[ranks],
        )

    def _tasks(self, ranks: NDArray[np.int64]) -> Iterator[_Task]:
        order = self.in_order(ranks)
        cuts = np.flatnonzero(np.diff(self._orders[order])) + 1
        for chosen in np.split(order, cuts) if len(order) else ():
            for part in self._parts(chosen):
                yield _Task(
                    known=self._objects[int(self._orders[part[0]])],
                    ranks=part,
                    rows=self._rows[part],
                    row_groups=self._row_groups[part],
                )

    def _parts(self, chosen: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Ranks of one object, cut between row groups only."""
        starts = np.flatnonzero(np.diff(self._row_groups[chosen], prepend=-2))
        first = 0
        for stop in [*starts[1:].tolist(), len(chosen)]:
            if stop - first >= _ROWS_A_TASK or stop == len(chosen):
                yield chosen[first:stop]
                first = stop

    def _read(self, task: _Task, consume: Consume) -> None:
        known, is_left = task.known, np.ones(len(task.rows), np.bool_)
        for batch in self._texts.find(known.item.object_id, task.rows):
            is_left[np.searchsorted(task.rows, batch.rows)] = False
            self._hand_over(task, batch, consume)
        if not is_left.any():
            return
        try:
            shard = open_shard(self._store, known.item, known.options, known.format, known.codec)
            for batch in shard.read_rows(task.rows[is_left], task.row_groups[is_left]):
                self._hand_over(task, batch, consume)
        except GreendataError as error:
            self.unreadable[known.item.uri] = error.message

    def _hand_over(self, task: _Task, batch: TextBatch, consume: Consume) -> None:
        texts, rows = batch.present()
        if len(rows):
            consume(task.ranks[np.searchsorted(task.rows, rows)], texts)
