"""Band keys from rows of the ``documents`` table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from greendata.dedup.lsh import BandBatch

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

BAND_COLUMNS = ["digest_high", "digest_low", "tokens", "band_keys"]
BAND_ROWS = 65_536
_NONE = slice(0, 0)


def band_batch(batch: pa.RecordBatch, unusable: NDArray[np.int64] | slice = _NONE) -> BandBatch:
    """Keys of a batch with BAND_COLUMNS, of which some rows, by position, are not to be used."""
    usable = batch["tokens"].to_numpy() > 0
    usable[unusable] = False
    keys = batch["band_keys"].flatten().to_numpy().view(np.uint64)
    digests = np.stack([batch["digest_high"].to_numpy(), batch["digest_low"].to_numpy()], axis=1)
    return BandBatch(
        digests=digests.view(np.uint64),
        keys=keys.reshape(batch.num_rows, -1),
        usable=usable,
    )
