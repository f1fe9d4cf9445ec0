from __future__ import annotations

import io

import pytest

from greendata.cli.bar import BarProgress, LinesProgress
from greendata.cli.settings import Settings
from greendata.progress import JsonLinesProgress


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_say_messages_and_warnings_without_control_characters() -> None:
    stream = io.StringIO()
    progress = LinesProgress(stream)
    progress.stage("reading", 10)
    progress.advance(5)
    progress.message("compiling\x1b[2J")
    progress.warn("careful")
    assert stream.getvalue() == "compiling\\x1b[2J\nwarning: careful\n"


def test_quiet_lines_say_warnings_only() -> None:
    stream = io.StringIO()
    progress = LinesProgress(stream, is_quiet=True)
    progress.message("compiling")
    progress.warn("careful")
    assert stream.getvalue() == "warning: careful\n"


def test_bar_shows_stage_bytes_and_messages_and_is_gone_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    stream = FakeTerminal()
    with BarProgress(stream) as progress:
        progress.stage("reading [data]", 2_000_000)
        progress.advance(1_500_000)
        progress.message("half [way]")
        progress.stage("verifying")
    shown = stream.getvalue()
    assert "reading [data]" in shown
    assert "2.0 MB" in shown
    assert "half [way]" in shown
    assert "verifying" in shown
    assert shown.rstrip().endswith("\x1b[2K")  # the line of the bar is erased


def test_bar_takes_bytes_and_messages_outside_of_stages() -> None:
    stream = FakeTerminal()
    progress = BarProgress(stream)
    progress.advance(5)
    progress.message("early")
    progress.close()
    assert stream.getvalue() == "early\n"


def test_progress_is_chosen_by_terminal_and_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert type(settings.open_progress()) is LinesProgress
    monkeypatch.setattr("sys.stderr", FakeTerminal())
    assert type(settings.open_progress()) is BarProgress
    settings.verbosity = -1
    assert type(settings.open_progress()) is LinesProgress
    settings.is_log_json = True
    assert type(settings.open_progress()) is JsonLinesProgress
