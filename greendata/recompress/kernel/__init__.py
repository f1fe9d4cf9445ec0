"""Compiled readers and writers of text formats: numba's second home.

Nothing of the sort could stand in ``greendata.dedup.kernel``, which knows texts, not files. Every
function releases the GIL; machine code is cached where the first kernel puts its own.

* ``json`` strict JSON Lines to a tape of typed values
* ``delimited`` CSV and TSV to cells
* ``texts`` cells to bytes and back: escapes, joins, comparisons
"""

from __future__ import annotations

import greendata.dedup.kernel  # noqa: F401  it chooses where machine code is cached
