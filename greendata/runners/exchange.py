"""Files that tasks leave for the scan and for each other.

Where all processes see one folder, a file is written there and only its path is handed over. Where
they do not, it is written to a temporary folder of the task's machine and its content handed over
in bounded pieces, which the scan's process writes to its own folder.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PIECE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePiece:
    """A file, or the next piece of it; ``content`` is uint8, or None where ``path`` is seen."""

    path: Path
    content: NDArray[np.uint8] | None = None


class TaskFolder:
    """The folder of one attempt at a task, with a name that no other has.

    Args:
        shared: the folder that the scan's process sees, too; files stay in it when the task ends.
            None: a temporary folder, which ends with the task.
    """

    def __init__(self, shared: Path | None) -> None:
        self._shared = shared
        self.path = Path()

    def __enter__(self) -> TaskFolder:
        if self._shared is None:
            self.path = Path(tempfile.mkdtemp(prefix="greendata-task-"))
        else:
            self.path = self._shared / uuid.uuid4().hex
            self.path.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shared is None or error is not None:
            shutil.rmtree(self.path, ignore_errors=True)

    def hand_over(self, path: Path) -> Iterator[FilePiece]:
        """A closed file of this folder, for ``Exchange.take``."""
        import numpy as np

        if self._shared is not None:
            yield FilePiece(path=path)
            return
        size = path.stat().st_size
        for offset in range(0, max(size, 1), PIECE_BYTES):
            count = min(PIECE_BYTES, size - offset)
            content = np.fromfile(path, np.uint8, count, offset=offset)
            yield FilePiece(path=path, content=content)


class Exchange:
    """The scan's side: where files of tasks are or are put.

    Attributes:
        folder: holds them all; removed by ``close``.
        is_shared: tasks see the folder.
    """

    def __init__(self, folder: Path, *, is_shared: bool) -> None:
        self.folder = folder
        self.is_shared = is_shared

    @property
    def shared_folder(self) -> Path | None:
        """The folder as tasks see it."""
        return self.folder if self.is_shared else None

    def receiving(self) -> Receiving:
        """For the files of one attempt at a task."""
        return Receiving(self)

    def close(self) -> None:
        """Remove all that is left."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Receiving:
    """Collects the files of one attempt at a task, in the order in which they begin."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._paths: dict[Path, Path] = {}

    def take(self, piece: FilePiece) -> None:
        """Note a file, or write the next piece of one."""
        if piece.content is None:
            self._paths[piece.path] = piece.path
            return
        if piece.path not in self._paths:
            self._paths[piece.path] = self._exchange.folder / f"{uuid.uuid4().hex}.taken"
        with self._paths[piece.path].open("ab") as file:
            file.write(piece.content.data)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files so far."""
        return tuple(self._paths.values())
