"""What a running job tells its caller: the silent base, and JSON lines for machines.

The bar for people is in ``greendata.cli.bar``.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

SECONDS_BETWEEN_UPDATES = 0.2
"""Bars and events move at most five times a second."""


class Progress:
    """Told by jobs what they do; this one says nothing. Any thread may call any method."""

    def stage(self, name: str, total_bytes: int | None = None) -> None:
        """A part of the job begins; ``advance`` will add up to ``total_bytes``, if known."""

    def advance(self, size_bytes: int) -> None:
        """So many more bytes of the stage are done."""

    def message(self, text: str) -> None:
        """Something worth knowing."""

    def warn(self, text: str) -> None:
        """Something that the person at the keyboard should look at."""

    def close(self) -> None:
        """The job is over, well or not."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class TimedProgress(Progress):
    """Passes everything on and remembers how long each stage took."""

    def __init__(self, inner: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._clock = clock
        self._seconds: dict[str, float] = {}
        self._stage: str | None = None
        self._since = clock()

    def stage(self, name: str, total_bytes: int | None = None) -> None:
        self._settle()
        self._stage = name
        self._inner.stage(name, total_bytes)

    def advance(self, size_bytes: int) -> None:
        self._inner.advance(size_bytes)

    def message(self, text: str) -> None:
        self._inner.message(text)

    def warn(self, text: str) -> None:
        self._inner.warn(text)

    def close(self) -> None:
        self._inner.close()

    def seconds(self) -> dict[str, float]:
        """Wall seconds of each stage so far; a stage that came twice counts together."""
        self._settle()
        return dict(self._seconds)

    def _settle(self) -> None:
        now = self._clock()
        if self._stage is not None:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._since = now


class JsonLinesProgress(Progress):
    """One JSON document a line, each with ``type`` and seconds since the start."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._stage: str | None = None
        self._total_bytes: int | None = None
        self._done_bytes = 0
        self._said_at = float("-inf")
        self._said_bytes = 0

    def stage(self, name: str, total_bytes: int | None = None) -> None:
        """Write the last state of the stage before, then ``{"type": "stage", …}``."""
        with self._lock:
            self._flush()
            self._stage, self._total_bytes = name, total_bytes
            self._done_bytes = self._said_bytes = 0
            self._write("stage", name=name, total_bytes=total_bytes)

    def advance(self, size_bytes: int) -> None:
        """Write ``{"type": "progress", …}``, at most five times a second."""
        with self._lock:
            self._done_bytes += size_bytes
            if self._clock() - self._said_at >= SECONDS_BETWEEN_UPDATES:
                self._flush()

    def message(self, text: str) -> None:
        """Write ``{"type": "message", …}``."""
        with self._lock:
            self._write("message", text=text)

    def warn(self, text: str) -> None:
        """Write ``{"type": "warning", …}``."""
        with self._lock:
            self._write("warning", text=text)

    def close(self) -> None:
        """Write what the last stage came to."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._stage is None or self._done_bytes == self._said_bytes:
            return
        self._said_at, self._said_bytes = self._clock(), self._done_bytes
        self._write(
            "progress",
            stage=self._stage,
            done_bytes=self._done_bytes,
            total_bytes=self._total_bytes,
        )

    def _write(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, "seconds": round(self._clock() - self._started, 3)} | fields
        self._stream.write(json.dumps(event) + "\n")
        self._stream.flush()
