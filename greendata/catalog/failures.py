"""What the file system says about a catalog, in this program's errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from greendata.errors import CatalogError, DeniedError, GreendataError, LimitExceededError

_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise DeniedError, LimitExceededError or CatalogError for a failed system call inside."""
    try:
        yield
    except GreendataError:
        raise
    except OSError as error:
        raise storage_error(path, str(error), error.errno) from error


def storage_error(path: Path, detail: str, number: int | None = None) -> GreendataError:
    """The error for a failure that is known by its errno or, failing that, by its text."""
    if number in _FULL or "No space left" in detail:
        return LimitExceededError(
            f"catalog {path}: the disk is full.",
            hint="Free some space and run again: finished objects are not read twice.",
        )
    if number in _DENIED or "ermission denied" in detail or "Read-only file system" in detail:
        return DeniedError(
            f"catalog {path}: not writable: {detail}", hint="Name another place with --catalog."
        )
    return CatalogError(f"catalog {path}: {detail}", hint="Check the folder and its disk.")
