"""Local files of one schema, a next one begun when the last is as large as the profile says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.errors import GreendataError, StoreUnreachableError
from greendata.recompress.digests import FileDigest
from greendata.shards.writer import ShardWriter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from greendata.shards.writer import WriterProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file that is written and not yet published; ``digest`` is that of the rows handed in."""

    path: Path
    size_bytes: int
    digest: FileDigest


class RollingWriter:
    """Writes rows to ``NAME-0.parquet, NAME-1.parquet, …`` in a folder; use it as a context."""

    def __init__(
        self,
        folder: Path,
        name: str,
        schema: pa.Schema,
        profile: WriterProfile,
        metadata: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self._folder, self._name = folder, name
        self._schema, self._profile, self._metadata = schema, profile, metadata
        self._writer: ShardWriter | None = None
        self._path = folder
        self._digest = FileDigest()
        self.files: list[LocalFile] = []

    def write(self, batch: pa.RecordBatch, digests: npt.NDArray[np.uint64] | None) -> None:
        """Rows of the stored schema, with the digests of what their sources had."""
        if self._writer is None:
            self._open()
        if self._writer is None:
            return
        if digests is not None:
            self._digest.add(digests, self._digest.rows)
        self._writer.write(batch)
        if self._writer.size_bytes >= self._profile.file_bytes:
            self._close()

    def __enter__(self) -> RollingWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            if self._writer is not None:
                self._writer.__exit__(kind, error, trace)
            return
        if self._writer is None and not self.files:
            self._open()  # no rows are a file too: its schema is what it has to say
        self._close()

    def _open(self) -> None:
        self._path = self._folder / f"{self._name}-{len(self.files)}.parquet"
        self._digest = FileDigest()
        self._writer = ShardWriter(self._path, self._schema, self._profile, metadata=self._metadata)

    def _close(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        size = self._path.stat().st_size
        self.files.append(LocalFile(path=self._path, size_bytes=size, digest=self._digest))


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full or failing disk below ``folder`` into this program's error."""
    try:
        yield
    except GreendataError:
        raise
    except OSError as error:
        raise StoreUnreachableError(
            f"{folder}: writing failed: {(str(error).splitlines() or [''])[0]}",
            hint="Free disk space, or set TMPDIR to a folder with more, and run again.",
        ) from error
