"""The folder a plan is written in before it has its name; those of killed runs are swept."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from greendata.errors import UsageError
from greendata.plan.document import ACTIONS_NAME, DECISIONS_NAME, PLAN_NAME

_NAMES = frozenset({ACTIONS_NAME, DECISIONS_NAME, PLAN_NAME})


@contextmanager
def plan_folder(directory: Path) -> Iterator[Path]:
    """A new folder beside ``directory``, locked while this process lives; gone afterwards.

    Raises:
        UsageError: it cannot be made.
    """
    parent, prefix = directory.parent, f".{directory.name}-plan-"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent, prefix)
        unlocked = Path(tempfile.mkdtemp(prefix=f".{directory.name}-new-", dir=parent))
        handle = os.open(unlocked, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        folder = parent / unlocked.name.replace("-new-", "-plan-")
        unlocked.rename(folder)  # locked before a sweep can see it
    except OSError as error:
        raise UsageError(f"{directory}: cannot be made: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove folders of that name that nobody locks and that hold nothing but a plan's files."""
    for folder in [entry for entry in parent.iterdir() if entry.name.startswith(prefix)]:
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if set(os.listdir(folder)) <= _NAMES:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # in use
            continue
        finally:
            os.close(handle)
