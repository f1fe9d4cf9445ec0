"""Cloud Custodian's value filter over rows of an inventory; run by plan.py in its own environment.

python peer_custodian.py ROWS.jsonl POLICIES.json: prints seconds and how many rows each list of
filters let through. Nothing but the filters is measured: no listing, no pricing, no actions.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from c7n.filters.core import ValueFilter  # type: ignore[import-not-found]


def main() -> None:
    """Filter all rows once by each policy."""
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    policies = json.loads(Path(sys.argv[2]).read_text())
    started = time.process_time()
    matched = []
    for filters in policies:
        chain = [ValueFilter(data) for data in filters]
        for entry in chain:
            entry.annotate = False
        matched.append(sum(all(entry(row) for entry in chain) for row in rows))
    seconds = time.process_time() - started
    print(json.dumps({"cpu_seconds": seconds, "rows": len(rows), "matched": matched}))


if __name__ == "__main__":
    main()
