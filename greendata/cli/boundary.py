"""The error boundary: every way a command can end becomes a message and an exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import click

from greendata.cli.output import visible
from greendata.cli.settings import Settings
from greendata.errors import ConfigError, GreendataError, LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_BROKEN_PIPE = 128 + 13
"""128 + SIGPIPE, whose number is not named on every platform."""

COMMANDS_THAT_COMMIT = ("scan", "demo")


class Terminated(KeyboardInterrupt):
    """SIGTERM: unwinds like Ctrl-C, so that whatever cleans up after one does after the other."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    settings = Settings()
    _never_fail_to_encode()
    try:
        return _invoke(arguments, settings)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        return _show_usage_error(error, settings)
    except GreendataError as error:
        return _show_error(error, settings)
    except KeyboardInterrupt as error:
        return _show_interruption(error, settings)
    except BrokenPipeError:
        return _close_stdout()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _show_bug(error, settings)
        return _show_error(_disk_full(error), settings)
    except MemoryError:
        hint = "Give it less at a time: a smaller --memory, fewer --workers."
        return _show_error(LimitExceededError("out of memory", hint=hint), settings)
    except Exception as error:
        return _show_bug(error, settings)


def _invoke(arguments: Sequence[str], settings: Settings) -> int:
    from greendata.cli.commands import greendata

    with greendata.make_context("greendata", list(arguments), obj=settings) as context:
        greendata.invoke(context)
    sys.stdout.flush()
    return 0


def unwind_on_sigterm() -> None:
    """From now on SIGTERM unwinds the main thread as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    # A second SIGTERM ends the program at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated


def _never_fail_to_encode() -> None:
    """A name that the terminal's encoding lacks is shown escaped instead of ending the run."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _show_usage_error(error: click.UsageError, settings: Settings) -> int:
    """click's message and exit code 2; 10 when the value came from the environment."""
    code = ConfigError.exit_code if _is_from_environment(error) else EXIT_USAGE
    if settings.is_log_json:
        _write_event(code, error.format_message(), None)
    else:
        error.show(sys.stderr)
    return code


def _is_from_environment(error: click.UsageError) -> bool:
    if not isinstance(error, click.BadParameter) or error.param is None or error.ctx is None:
        return False
    source = error.ctx.get_parameter_source(error.param.name or "")
    return source is click.core.ParameterSource.ENVIRONMENT


def _show_error(error: GreendataError, settings: Settings) -> int:
    _explain(error.exit_code, str(error), error.hint, settings)
    if settings.verbosity > 0:
        traceback.print_exc(file=sys.stderr)
    return error.exit_code


def _show_interruption(error: KeyboardInterrupt, settings: Settings) -> int:
    terminated = isinstance(error, Terminated)
    hint = None
    if settings.command in COMMANDS_THAT_COMMIT:
        hint = (
            "The catalog shows what it showed before. Run the same command again: it goes on from"
            " the objects that were finished."
        )
    code = EXIT_TERMINATED if terminated else EXIT_INTERRUPTED
    _explain(code, "terminated" if terminated else "interrupted", hint, settings)
    return code


def _show_bug(error: Exception, settings: Settings) -> int:
    hint = "This is a bug in greendata. -v shows the traceback; please report it with that."
    _explain(EXIT_BUG, f"{type(error).__name__}: {error}", hint, settings)
    if settings.verbosity > 0:
        traceback.print_exc(file=sys.stderr)
    return EXIT_BUG


def _disk_full(error: OSError) -> LimitExceededError:
    where = f" at {error.filename}" if error.filename else ""
    hint = "Free some space, or put the catalog on another disk with --catalog."
    return LimitExceededError(f"no space left{where}", hint=hint)


def _explain(code: int, message: str, hint: str | None, settings: Settings) -> None:
    if settings.is_log_json:
        _write_event(code, message, hint)
        return
    for number, line in enumerate(message.splitlines() or [""]):
        print(f"{'error: ' if number == 0 else '       '}{visible(line)}", file=sys.stderr)
    if hint:
        print(f"hint: {visible(hint)}", file=sys.stderr)


def _write_event(code: int, message: str, hint: str | None) -> None:
    event = {"type": "error", "code": code, "message": message, "hint": hint}
    print(json.dumps(event), file=sys.stderr)


def _close_stdout() -> int:
    """Nobody reads any more; the interpreter's own flush at exit must not complain either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE
