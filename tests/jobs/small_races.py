"""The command line with races of ``doctor`` that are over soon.

``python -m tests.jobs.small_races ARGUMENTS``
"""

from __future__ import annotations

from greendata.cli import main
from greendata.jobs import doctor

if __name__ == "__main__":
    doctor.LARGE_ROUNDS = 0
    main()
