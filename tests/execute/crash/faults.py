"""Numbering all that a process does to stores and files, and failing at one of these points."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from greendata.errors import GreendataError, StoreUnreachableError
from greendata.stores import files
from greendata.stores.base import Store
from greendata.stores.wrappers.base import Call, StoreWrapper

KINDS = ("kill-before", "kill-after", "lost", "error", "hang")
_LATE_SECONDS = 0.02
READ_KINDS = ("kill-before", "error")
FILE_KINDS = ("kill-before", "kill-after", "error")
"""A system call has no answer that could be lost."""


class Points:
    """Counts; at point ``at`` it does what ``kind`` says. ``names`` are what was counted."""

    def __init__(self, at: int | None = None, kind: str = "") -> None:
        self.at, self.kind = at, kind
        self.names: list[str] = []
        self._lock = threading.Lock()

    def around(self, name: str, make: Callable[[], Any], error: BaseException) -> Any:
        """Count a call and make it, unless this is the point."""
        with self._lock:
            self.names.append(name)
            is_it = len(self.names) - 1 == self.at
        if not is_it:
            return make()
        if self.kind == "kill-before":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "error":
            raise error
        if self.kind == "hang":  # given up on here, and done by the server a little later
            late = threading.Timer(_LATE_SECONDS, _quietly, (make,))
            late.start()
            raise error
        try:
            make()
        finally:
            if self.kind == "kill-after":
                os.kill(os.getpid(), signal.SIGKILL)
        raise error  # lost: it was done, and nobody heard


def _quietly(make: Callable[[], Any]) -> None:
    with suppress(GreendataError, OSError):
        make()


class CountedStore(StoreWrapper):
    """Counts every call."""

    def __init__(self, inner: Store, points: Points) -> None:
        super().__init__(inner)
        self._points = points

    def _around(self, call: Call) -> Any:
        error = StoreUnreachableError(f"{call.uri}: scripted.", is_retryable=True)
        return self._points.around(f"{call.name} {call.uri}", call.make, error)


class CountedFiles:
    """Counts the system calls of local files that make a change, or make it durable."""

    def __init__(self, points: Points) -> None:
        self._points = points

    def __getattr__(self, name: str) -> Any:
        """Stands for ``os`` in ``stores.files``."""
        found = getattr(os, name)
        return self._counted(name, found) if name in ("link", "fsync") else found

    def _counted(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **named: self._points.around(
            f"os.{name}", lambda: found(*arguments, **named), OSError(5, "scripted")
        )

    def install(self) -> None:
        """In this process from now on."""
        files.os = self  # type: ignore[assignment,attr-defined]
        for name in ("rename", "replace", "unlink"):
            setattr(Path, name, self._method(name, getattr(Path, name)))

    def _method(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        counted = self._counted(name, found)

        def method(path: Path, *arguments: Any, **named: Any) -> Any:
            return counted(path, *arguments, **named)

        return method
