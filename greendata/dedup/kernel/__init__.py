"""The compiled kernel: the only home of numba. Every function releases the GIL, so threads scale.

* ``fingerprint`` text to signature, band keys and shingle sets
* ``digest`` the 128-bit digest that names a text
* ``nominate`` band-key filter, nominations and the keep decision over buckets

Machine code is made on first use for the CPU at hand and cached beside the modules, in the user's
cache folder, or in a temporary one, whichever can be written first.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def _use_writable_cache() -> None:
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    here, home = Path(__file__).parent, Path.home()
    if not os.access(here, os.W_OK) and not os.access(home, os.W_OK):
        name = f"greendata-kernel-{os.getuid()}"
        os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / name)


_use_writable_cache()
