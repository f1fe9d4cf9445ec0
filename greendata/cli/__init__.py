"""The command line: parse, call one job, print."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the ``greendata`` command."""
    from greendata.cli.boundary import run, unwind_on_sigterm

    unwind_on_sigterm()
    sys.exit(run(sys.argv[1:]))
