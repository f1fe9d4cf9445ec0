"""Texts that a scan has just read, for as long as there is room: verification needs some again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from greendata.shards.base import TextBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST_SHARE = 8
"""No batch may take more than one in so many bytes: few large ones would crowd out the others."""


class TextCache:
    """Batches of texts by object, first come, first kept; safe to share between threads.

    A small scan finds every text here and decodes nothing twice; of a large one most are read back
    from their objects.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._largest = capacity_bytes // _LARGEST_SHARE
        self._left = capacity_bytes
        self._batches: dict[int, list[TextBatch]] = defaultdict(list)
        self._lock = threading.Lock()

    def keep(self, object_id: int, batch: TextBatch) -> None:
        """Hold a batch, its rows ascending, if there is room for all the memory it keeps alive."""
        size = batch.texts.get_total_buffer_size() + batch.rows.nbytes
        with self._lock:
            if size <= min(self._left, self._largest):
                self._left -= size
                self._batches[object_id].append(batch)

    def find(self, object_id: int, rows: NDArray[np.int64]) -> Iterator[TextBatch]:
        """The texts of these rows, ascending, as far as they are held."""
        for batch in self._batches.get(object_id, ()):
            low, high = np.searchsorted(rows, [batch.rows[0], batch.rows[-1] + 1])
            wanted = rows[low:high]
            places = np.searchsorted(batch.rows, wanted)
            is_held = batch.rows[places] == wanted
            if is_held.any():
                yield TextBatch(
                    texts=batch.texts.take(places[is_held]),
                    rows=wanted[is_held],
                    row_group=batch.row_group,
                    source_bytes=0,
                )
