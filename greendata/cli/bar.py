"""Progress for people, on stderr: lines of text, and on a terminal a bar."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TextIO

from greendata.cli.output import visible
from greendata.progress import SECONDS_BETWEEN_UPDATES, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class LinesProgress(Progress):
    """Messages and warnings as lines; when quiet, only the warnings."""

    def __init__(self, stream: TextIO, *, is_quiet: bool = False) -> None:
        self._stream = stream
        self._is_quiet = is_quiet

    def message(self, text: str) -> None:
        """One line, unless quiet."""
        if not self._is_quiet:
            self._say(text)

    def warn(self, text: str) -> None:
        """One line, always."""
        self._say(f"warning: {text}")

    def _say(self, text: str) -> None:
        print(visible(text), file=self._stream, flush=True)


class BarProgress(LinesProgress):
    """A bar with bytes, rate and time left, redrawn five times a second, gone when done."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lock = threading.Lock()
        self._bar: RichProgress | None = None
        self._task: Any = None

    def stage(self, name: str, total_bytes: int | None = None) -> None:
        """Start the bar again for this stage; without a total it only shows that work goes on."""
        with self._lock:
            self._stop()
            self._bar = _rich_bar(self._stream, has_total=total_bytes is not None)
            self._task = self._bar.add_task(visible(name), total=total_bytes)
            self._bar.start()

    def advance(self, size_bytes: int) -> None:
        """Move the bar; drawing happens in its own thread."""
        bar = self._bar
        if bar is not None:
            bar.advance(self._task, size_bytes)

    def close(self) -> None:
        """Take the bar off the screen."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _say(self, text: str) -> None:
        bar = self._bar
        if bar is None:
            super()._say(text)
        else:
            bar.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


def _rich_bar(stream: TextIO, *, has_total: bool) -> RichProgress:
    from rich import progress as rich_progress
    from rich.console import Console

    columns: list[rich_progress.ProgressColumn] = [
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
    ]
    if has_total:
        columns += [
            rich_progress.DownloadColumn(),
            rich_progress.TransferSpeedColumn(),
            rich_progress.TimeRemainingColumn(),
        ]
    else:
        columns.append(rich_progress.TimeElapsedColumn())
    return rich_progress.Progress(
        *columns,
        console=Console(file=stream),
        refresh_per_second=1 / SECONDS_BETWEEN_UPDATES,
        transient=True,
    )
