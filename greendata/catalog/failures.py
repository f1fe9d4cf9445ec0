"""What the file system says about a catalog, in this program's errors."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from greendata.errors import CatalogError, DeniedError, GreendataError, LimitExceededError

_QUERY = re.compile(r"\?[^\s'\"<>)]*")
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def storage_errors(name: str) -> Iterator[None]:
    """Raise DeniedError, LimitExceededError or CatalogError for a failed system call inside."""
    try:
        yield
    except GreendataError:
        raise
    except OSError as error:
        raise storage_error(name, str(error), error.errno) from error


def storage_error(name: str, detail: str, number: int | None = None) -> GreendataError:
    """The error for a failure that is known by its errno or, failing that, by its text."""
    detail = _QUERY.sub("", detail)  # of a signed URL
    if number in _FULL or "No space left" in detail:
        return LimitExceededError(
            f"catalog {name}: the disk is full.",
            hint="Free some space and run again: finished objects are not read twice.",
        )
    if number in _DENIED or "ermission denied" in detail or "Read-only file system" in detail:
        return DeniedError(
            f"catalog {name}: not writable: {detail}", hint="Name another place with --catalog."
        )
    return CatalogError(f"catalog {name}: {detail}", hint="Check the folder and its disk.")
