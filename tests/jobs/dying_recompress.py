"""The command line, killed at each of some points in turn, by a process that loads it only once.

``python -m tests.jobs.dying_recompress JSON``: a list of [point, count, arguments]. A process is
forked for each, before any thread is there; a line of JSON says how each one ended.
"""

from __future__ import annotations

import json
import os
import sys

import greendata.cli.recompress
import greendata.dedup.kernel.digest
import greendata.jobs.recompress
from greendata.cli.boundary import run
from tests.jobs.dying_scan import patch

LOADED = (greendata.cli.recompress, greendata.dedup.kernel.digest, greendata.jobs.recompress)


def end(point: str, count: int, arguments: list[str]) -> int:
    """The negative signal, or the exit code, of a process that runs and may be killed."""
    child = os.fork()
    if child == 0:
        patch(point, count)
        os._exit(run(arguments))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    print(json.dumps([end(*entry) for entry in json.loads(sys.argv[1])]))
