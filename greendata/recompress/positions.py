"""``_gd_pos``: where a row stood among all rows of the sources, in the order of the manifest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greendata.recompress.digests import FileDigest

POSITION = "_gd_pos"


def without_position(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch as its source had it."""
    if POSITION not in batch.schema.names:
        return batch
    return batch.drop_columns([POSITION])


def without_field(schema: pa.Schema) -> pa.Schema:
    """The schema of such a batch."""
    place = schema.get_field_index(POSITION)
    return schema if place < 0 else schema.remove(place)


def positioned_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with the position as its last column."""
    return schema.append(pa.field(POSITION, pa.int64(), nullable=False))


def with_positions(
    batch: pa.RecordBatch, positions: npt.NDArray[np.int64], schema: pa.Schema
) -> pa.RecordBatch:
    """The batch with its rows' positions, as ``positioned_schema`` says."""
    return pa.RecordBatch.from_arrays([*batch.columns, pa.array(positions)], schema=schema)


class SourceDigests:
    """Digests of every source again, from rows in any order that say where they stood.

    ``starts`` are the first positions of the sources, and last the number of all rows.
    """

    def __init__(self, starts: Sequence[int]) -> None:
        self._starts = np.asarray(starts, np.int64)
        self.found: list[FileDigest] = [FileDigest() for _ in starts[:-1]]

    def add(self, batch: pa.RecordBatch, digests: npt.NDArray[np.uint64]) -> None:
        """Take rows as they are stored, with the digests of what their sources had."""
        positions = batch[POSITION].to_numpy()
        places = np.searchsorted(self._starts, positions, side="right") - 1
        for place in np.unique(places).tolist():
            if not 0 <= place < len(self.found):
                continue
            chosen = places == place
            rows = (positions[chosen] - self._starts[place]).astype(np.uint64)
            self.found[place].add(digests[chosen], rows)

    def wrong(self, expected: Sequence[FileDigest]) -> list[int]:
        """Places of sources whose rows, brought into their first order, are not the expected."""
        pairs = zip(self.found, expected, strict=True)
        return [
            place
            for place, (found, wanted) in enumerate(pairs)
            if found.as_dict() != wanted.as_dict()
        ]
