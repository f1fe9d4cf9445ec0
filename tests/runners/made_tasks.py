"""Functions for tasks, in a module that workers can import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from greendata.errors import ObjectChangedError
from greendata.runners.base import Function


def count_up(task: int) -> Iterator[int]:
    yield from range(task)


def linger(task: int) -> Iterator[int]:
    """Long enough for whoever watches to act."""
    time.sleep(task)
    yield task


def fail(task: int) -> Iterator[int]:
    yield task
    if task == 2:
        raise ObjectChangedError("file:///a: it changed.", hint="Scan again.")


def fail_by_a_bug(task: int) -> Iterator[int]:
    yield task
    raise KeyError(task)


def want_memory(task: int) -> Iterator[int]:
    yield task
    raise MemoryError


def make_pieces(task: int) -> Iterator[Any]:
    """A number of pieces of a megabyte each."""
    for number in range(task):
        yield np.full(1 << 20, number, np.uint8)


def die(task: int) -> Iterator[int]:
    yield task
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class DyingOnce:
    """A function whose process is killed in the middle, the first time it is called at all."""

    function: Function[Any]
    marker: Path

    def __call__(self, task: Any) -> Iterator[Any]:
        pieces = self.function(task)
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            yield from pieces
            return
        for piece in pieces:
            yield piece
            break
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class DyingUnlessIsolated:
    """Reading that kills its process while it reads some object, but not in a child of it."""

    function: Function[Any]
    name: str

    def __call__(self, task: Any) -> Iterator[Any]:
        if not task.is_isolated and any(s.item.uri.endswith(self.name) for s in task.shards):
            os.kill(os.getpid(), signal.SIGKILL)
        yield from self.function(task)
