"""The small world with stores of this process, for faults that leave it alive."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from greendata.execute.processes import this_process
from greendata.stores.base import Store
from greendata.stores.memory import MemoryStore
from greendata.stores.wrappers.base import Call, StoreWrapper
from tests.execute.crash.world import World


class DiedError(BaseException):
    """Not an Exception: nothing in the program may go on after it."""


class Mortal(StoreWrapper):
    """Does something before one call; without it, the process ends there.

    ``counts``: which calls are counted. ``has_acted``: whether it came to that.
    """

    def __init__(
        self,
        inner: Store,
        at: int,
        what: Callable[[], None] | None,
        *,
        counts: Callable[[Call], bool] = lambda call: True,
    ) -> None:
        super().__init__(inner)
        self._at, self._what, self._counts = at, what, counts
        self._count = -1
        self._is_dead = self.has_acted = False

    def _around(self, call: Call) -> Any:
        if self._is_dead:
            raise DiedError
        if not self._counts(call):
            return call.make()
        self._count += 1
        if self._count == self._at:
            self.has_acted = True
            if self._what is None:
                self._is_dead = True
                raise DiedError
            self._what()
        return call.make()


class InProcess(StoreWrapper):
    """A store in memory whose whole state can be seen."""

    inner: MemoryStore

    def state(self) -> Any:
        """All versions and uploads, as they are now."""
        versions = {uri: list(found) for uri, found in self.inner._versions.items()}
        return versions, dict(self.inner._uploads)


def dead_process() -> dict[str, Any]:
    """This process as if it had ended: its number was given to another one."""
    return {**this_process(), "process_started": -1}


@contextmanager
def world_in_process() -> Iterator[World]:
    """A world that goes away with its folder."""
    folder = Path(tempfile.mkdtemp(prefix="greendata-"))
    try:
        plain, kept = InProcess(MemoryStore()), InProcess(MemoryStore(keeps_versions=True))
        yield World(plain, kept, folder)  # type: ignore[arg-type]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
