"""A local folder for files on their way; those of killed runs are removed by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "in-use"


@contextmanager
def work_folder(name: str) -> Iterator[Path]:
    """A new folder ``greendata-NAME-…`` in the temporary folder, gone afterwards.

    It holds a lock for as long as this process lives, so that others see that it is in use.
    """
    prefix = f"greendata-{name}-"
    _sweep(Path(tempfile.gettempdir()), prefix)
    with tempfile.TemporaryDirectory(prefix=prefix) as made:
        folder = Path(made)
        unnamed = folder / f"{_LOCK}.new"
        with unnamed.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            unnamed.rename(folder / _LOCK)  # locked before anybody can see it
            yield folder


def _sweep(parent: Path, prefix: str) -> None:
    """Remove folders of this user whose process is gone."""
    for folder in parent.glob(f"{prefix}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # in use, just being made, or gone already
            continue
