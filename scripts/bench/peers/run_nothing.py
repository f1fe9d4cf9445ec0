"""No peer: what reading and shingling in Python cost alone, as rensa and datasketch need it."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scripts.bench.peers import task


def main() -> int:
    """Measure after the imports."""
    given = task.parse()

    def read() -> task.Answer:
        for _ in task.documents(given.files):
            pass
        return []

    return task.measure(platform.python_version(), given, read)


if __name__ == "__main__":
    sys.exit(main())
