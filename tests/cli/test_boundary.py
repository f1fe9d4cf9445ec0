from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import pytest

from greendata import errors
from greendata.cli import boundary
from greendata.cli.boundary import run
from greendata.cli.settings import Settings

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make every command end with this error, under these settings."""

    def arrange(error: BaseException, **attributes: Any) -> None:
        def invoke(arguments: Sequence[str], settings: Settings) -> NoReturn:
            for name, value in attributes.items():
                setattr(settings, name, value)
            raise error

        monkeypatch.setattr(boundary, "_invoke", invoke)

    return arrange


ALL_ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.GreendataError)
]


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_own_errors_become_their_exit_code_with_message_and_hint(
    raising: Callable[..., None], capsys: Capture, kind: type[errors.GreendataError]
) -> None:
    raising(kind("file:///x: broken", hint="Mend it."))
    assert run([]) == kind.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: file:///x: broken\nhint: Mend it.\n"


def test_error_is_one_json_line_with_log_json(
    raising: Callable[..., None], capsys: Capture
) -> None:
    raising(errors.DeniedError("no\nway", hint=None), is_log_json=True, is_json=True)
    assert run([]) == 21
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err) == {
        "type": "error",
        "code": 21,
        "message": "no\nway",
        "hint": None,
    }


def test_message_cannot_send_escape_sequences(
    raising: Callable[..., None], capsys: Capture
) -> None:
    raising(errors.UsageError("file:///\x1b[2Jx"))
    run([])
    assert "\x1b" not in capsys.readouterr().err


def test_unknown_error_is_called_a_bug_and_traced_only_when_verbose(
    raising: Callable[..., None], capsys: Capture
) -> None:
    raising(KeyError("x"))
    assert run([]) == 1
    quiet = capsys.readouterr().err
    assert "bug in greendata" in quiet
    assert "Traceback" not in quiet
    raising(KeyError("x"), verbosity=1)
    assert run([]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (boundary.Terminated(), 143, "terminated"),
        (BrokenPipeError(), 141, ""),
        (OSError(errno.ENOSPC, "No space left", "/x"), 32, "no space left at /x"),
        (OSError(errno.EIO, "I/O error"), 1, "bug in greendata"),
        (MemoryError(), 32, "out of memory"),
    ],
    ids=["INT", "TERM", "pipe", "disk-full", "other-os-error", "memory"],
)
def test_other_endings_have_their_code(
    raising: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    words: str,
) -> None:
    monkeypatch.setattr(boundary, "_close_stdout", lambda: boundary.EXIT_BROKEN_PIPE)
    raising(error)
    assert run([]) == code
    assert words in capfd.readouterr().err


def test_interrupted_scan_says_how_to_go_on(raising: Callable[..., None], capsys: Capture) -> None:
    raising(KeyboardInterrupt(), command="scan")
    assert run([]) == 130
    told = capsys.readouterr().err
    assert "catalog shows what it showed before" in told
    assert "Run the same command again" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scna"], "Did you mean 'scan'?"),
        (["scan", "--thresold", "1"], "--threshold"),
        (["scan", "--threshold", "2", "x"], "not in the range"),
        (["scan", "--max-record-bytes", "64M", "x"], "MB for powers of 1000"),
        (["scan", "--dataset", "name", "x"], "is not NAME=PATH"),
        (["duplicates", "--kind", "close"], "'exact', 'near', 'candidate'"),
        (["overlap", "extra"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(
    capsys: Capture, arguments: list[str], words: str
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err


def test_wrong_usage_is_a_json_line_with_log_json(capsys: Capture) -> None:
    assert run(["--log-json", "scan", "--threshold", "2", "x"]) == 2
    event = json.loads(capsys.readouterr().err)
    assert (event["type"], event["code"]) == ("error", 2)


def test_wrong_environment_setting_exits_10_and_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("GREENDATA_WORKERS", "many")
    assert run(["scan", "x"]) == 10
    assert "GREENDATA_WORKERS" in capsys.readouterr().err


SLEEPER = """
import sys, time
from greendata import cli
from greendata.cli import boundary
def invoke(arguments, settings):
    settings.command = "scan"
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
boundary._invoke = invoke
cli.main()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_signals_unwind_and_exit_with_their_code(number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
    assert child.returncode == code
    assert out == "cleaned up\n"
    assert "catalog shows what it showed before" in err
    assert "Traceback" not in err


def test_reader_that_goes_away_ends_the_run_quietly() -> None:
    program = (
        "from greendata import cli\n"
        "from greendata.cli import boundary\n"
        "def invoke(arguments, settings):\n"
        "    while True: print('line' * 1000)\n"
        "boundary._invoke = invoke\n"
        "cli.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141
