"""Banding: how many keys a document has, and of how many signature values each is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECALL_WEIGHTS = (0.05, 0.95)
"""Weights of false positives and negatives: every candidate is verified, so recall matters."""

# datasketch's optimiser with RECALL_WEIGHTS and 128 permutations; a test compares them with it.
DEFAULT_BANDS = {
    0.5: (26, 3),
    0.6: (24, 4),
    0.7: (21, 6),
    0.75: (18, 7),
    0.8: (16, 8),
    0.85: (12, 10),
    0.9: (9, 14),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Banding:
    """``bands`` keys a document, each of ``rows`` signature values."""

    bands: int
    rows: int

    def recall(self, jaccard: float) -> float:
        """Probability that two documents of this Jaccard share a key: 1 - (1 - s^r)^b.

        Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.2.
        """
        return float(1.0 - (1.0 - jaccard**self.rows) ** self.bands)


def choose_banding(threshold: float, num_perm: int) -> Banding:
    """The banding for a threshold: a known constant, or datasketch's optimiser (2 s to import)."""
    if num_perm == 128 and threshold in DEFAULT_BANDS:
        bands, rows = DEFAULT_BANDS[threshold]
    else:
        from datasketch import MinHashLSH

        try:
            lsh = MinHashLSH(threshold=threshold, num_perm=num_perm, weights=RECALL_WEIGHTS)
            bands, rows = lsh.b, lsh.r
        except ValueError:  # near 1 its optimum is one band, which it refuses
            bands, rows = 2, num_perm // 2
    return Banding(bands=bands, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandBatch:
    """Band keys of some documents, one a distinct text.

    Attributes:
        digests: uint64 [n, 2].
        keys: uint64 [n, bands].
        usable: bool [n]; false for documents without tokens, copies and objects that left.
        facts: int64 [n, width], what else an index of keys tells of each.
    """

    digests: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    usable: NDArray[np.bool_]
    facts: NDArray[np.int64]


ReadBands = Callable[[], Iterator[BandBatch]]
"""Reads all band keys of the catalog, in bounded batches, as often as it is called."""
