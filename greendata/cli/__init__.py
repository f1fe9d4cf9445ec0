"""The command line: parse, call one job, print."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Entry point of the ``greendata`` command.

    The process ends without tearing the interpreter down: that takes 0.2 s of unloading libraries,
    and would wait for threads that a second Ctrl-C left at work.
    """
    from greendata.cli.boundary import EXIT_INTERRUPTED, run, unwind_on_sigterm

    try:
        unwind_on_sigterm()
        code = run(sys.argv[1:])
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # ``run`` has flushed what it counts on
                stream.flush()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    os._exit(code)
