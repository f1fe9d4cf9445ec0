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
from greendata.stores.wrappers.base import MUTATIONS, Call, StoreWrapper

KINDS = ("kill-after", "lost", "error", "hang", "kill-before")
_FILE_KINDS = ("kill-after", "error", "kill-before")
"""A system call has no answer that could be lost."""

_LATE_SECONDS = 0.02
_STEP = 5


def usual_faults(names: list[str]) -> list[str]:
    """What makes a difference, for runs that have to be quick.

    With one action at a time a kill before a call, or around one that changes nothing, leaves what
    the kill after the last change left; calls on local files are killed and refused by what they
    ask of the system. Of errors of reads and flushes each fifth is taken.
    """
    found = []
    for at, name in enumerate(names):
        call, _, uri = name.partition(" ")
        if _changes_nothing(call):
            kinds: tuple[str, ...] = ("error",) if at % _STEP == 0 else ()
        elif call.startswith("os."):
            kinds = ("kill-after", "error")
        else:
            kinds = ("lost",) if uri.startswith("file:") else KINDS[:-1]
        found += [f"{kind}@{at}" for kind in kinds]
    return found


def all_faults(names: list[str]) -> list[str]:
    """Each kind of fault at each point."""
    return [
        f"{kind}@{at}"
        for at, name in enumerate(names)
        for kind in (_FILE_KINDS if name.startswith("os.") else KINDS)
    ]


def _changes_nothing(call: str) -> bool:
    return call == "os.fsync" or not (call.startswith("os.") or call in MUTATIONS)


def parse(faults: str) -> list[dict[int, str]]:
    """``"kill-after@17 lost@3,error@9"``: what happens at which point, a word a try."""
    found = []
    for word in faults.split():
        parts = (part.partition("@") for part in word.split(","))
        found.append({int(at): kind for kind, _, at in parts})
    return found


class Points:
    """Counts; does at a point what ``faults`` says. ``names`` are what was counted."""

    def __init__(self, faults: dict[int, str]) -> None:
        self.faults = faults
        self.names: list[str] = []
        self._lock = threading.Lock()

    def around(self, name: str, make: Callable[[], Any], error: BaseException) -> Any:
        """Count a call and make it, unless this is the point."""
        with self._lock:
            self.names.append(name)
            kind = self.faults.get(len(self.names) - 1)
        if kind is None:
            return make()
        if kind == "kill-before":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "error":
            raise error
        if kind == "hang":  # given up on here, and done by the server a little later
            late = threading.Timer(_LATE_SECONDS, _quietly, (make,))
            late.start()
            raise error
        try:
            make()
        finally:
            if kind == "kill-after":
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
