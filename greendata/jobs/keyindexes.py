"""The indexes of band keys beside a catalog's fingerprints: one file a scan, made from its rows.

They belong to the machine, not to the catalog: what is missing is made again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.dedup.keyindex import write_index
from greendata.jobs.bands import BAND_COLUMNS, BAND_ROWS, FACTS, band_batch

if TYPE_CHECKING:
    from greendata.catalog.tables import Catalog
    from greendata.dedup.lsh import BandBatch

_ABANDONED_SECONDS = 86_400.0


def index_keys(files: list[str]) -> dict[Path, list[str]]:
    """The indexes of keys of these files of fingerprints, made where there are none yet.

    Beside each the files it is of, whose rows it has in order.
    """
    indexes = _by_index(files)
    for path, indexed in indexes.items():
        if not path.exists():
            write_index(path, read_all_bands(indexed, FACTS))
    return indexes


def existing_indexes(files: list[str]) -> list[Path] | None:
    """The indexes of keys of these files of fingerprints; None where one is missing."""
    indexes = list(_by_index(files))
    return indexes if all(path.exists() for path in indexes) else None


def keep_indexes(catalog: Catalog) -> None:
    """Make the indexes that the catalog's next scan will ask, and remove those of dropped scans.

    A disk that is full now does not matter: the next scan makes what is missing.
    """
    files = catalog.files("documents", catalog.snapshot().scan_ids)
    with contextlib.suppress(OSError):
        kept = {path.name for path in index_keys(files)}
        folder = catalog.place.folder / "keys"
        long_ago = time.time() - _ABANDONED_SECONDS
        for path in folder.iterdir() if folder.exists() else ():
            is_partial = path.suffix != ".keys"
            if path.name not in kept and (not is_partial or path.stat().st_mtime < long_ago):
                path.unlink(missing_ok=True)


def _by_index(files: list[str]) -> dict[Path, list[str]]:
    """A file is ``tables/documents/scan_id=ID/NAME.parquet`` of a catalog, its index ``keys/ID``.

    All files of a scan are committed at once, so that its index stays true.
    """
    found: dict[Path, list[str]] = {}
    for file in sorted(files):
        folder = Path(file).parent
        path = folder.parents[2] / "keys" / f"{folder.name.removeprefix('scan_id=')}.keys"
        found.setdefault(path, []).append(file)
    return found


def read_all_bands(files: list[str], facts: Sequence[str] = ()) -> Iterator[BandBatch]:
    """Band keys of all rows of some files of fingerprints, in order, and further columns."""
    import pyarrow.parquet as pq

    columns = sorted({*BAND_COLUMNS, *facts})
    for file in files:
        with pq.ParquetFile(file) as stream:
            for batch in stream.iter_batches(BAND_ROWS, columns=columns, use_threads=False):
                yield band_batch(batch, facts=facts)
