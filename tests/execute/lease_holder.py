"""A process that holds the lease of a folder; each line it is sent has it write a file there.

``python -m tests.execute.lease_holder FOLDER_URI TTL_SECONDS``
"""

from __future__ import annotations

import sys

from greendata.errors import GreendataError
from greendata.execute.lease import FencedStore, Leases
from greendata.stores.local import LocalStore


def main(root: str, ttl_seconds: float) -> None:
    """Say ``held``, then ``written`` or the name of the error for each line."""
    with Leases(LocalStore(), [root], run_id="ab-1", ttl_seconds=ttl_seconds) as leases:
        store = FencedStore(LocalStore(), leases, call_timeout_seconds=0.1)
        print("held", leases.epoch, flush=True)
        for line in sys.stdin:
            try:
                store.put(root + line.strip(), b"late")
            except GreendataError as error:
                print(type(error).__name__, flush=True)
            else:
                print("written", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
