"""A benchmark whose measured processes start with the libraries loaded.

``python -m tests.scripts.forked_bench PATH ARGUMENTS``. Its figures are of no use, for they leave
out what a process spends on loading; everything else is as it is.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.bench import measure
from tests.forking import start_forked


def run(
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    accepted: Sequence[int] = (0,),
) -> measure.Run:
    """As ``measure.run`` of a Python program."""
    python, *words = map(str, arguments)
    assert python == sys.executable
    began = time.perf_counter()
    child = start_forked(
        *(words[1:] if words[0] == "-m" else words),
        environment={**os.environ, **measure.child_environment(), **(environment or {})},
    )
    output, errors = child.communicate()
    if child.returncode not in accepted:
        raise measure.BenchmarkError(f"{words}: exit code {child.returncode}\n{errors}")
    return measure.Run(
        wall_seconds=time.perf_counter() - began,
        cpu_seconds=child.cpu_seconds,
        peak_rss_bytes=child.peak_rss_bytes,
        stdout=output,
    )


if __name__ == "__main__":
    measure.run = run
    path = sys.argv[1]
    sys.argv[:] = sys.argv[1:]
    runpy.run_path(path, run_name="__main__")
