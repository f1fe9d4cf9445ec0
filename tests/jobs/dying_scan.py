"""The command line in a process that ends itself.

``python -m tests.jobs.dying_scan POINT COUNT ARGUMENTS``

POINT is ``module:name`` of a function; its COUNT-th call sends SIGKILL to the process. ``sleep:``
before it makes every call wait a little instead. Every finished object closes a segment.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from functools import wraps
from typing import Any

from greendata.catalog import staging
from greendata.cli import main


def patch(point: str, last: int) -> None:
    is_slow = point.startswith("sleep:")
    module_name, _, name = point.removeprefix("sleep:").partition(":")
    holder: Any = importlib.import_module(module_name)
    *owners, name = name.split(".")
    for owner in owners:
        holder = getattr(holder, owner)
    original, calls = getattr(holder, name), 0

    @wraps(original)
    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if is_slow:
            time.sleep(last / 10)
        elif calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(holder, name, dying)


if __name__ == "__main__":
    staging.SEGMENT_SECONDS = staging.SEGMENT_SHARE = 0.0
    patch(sys.argv[1], int(sys.argv[2]))
    sys.argv[1:] = sys.argv[3:]
    main()
