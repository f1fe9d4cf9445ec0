"""Hints on the quality of texts, counted while they are read anyway."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

SAMPLE_BYTES = 64 << 10
"""Of each part of an object (a row group), whose lines are counted: 1 ms in 100."""

SHORTEST_LINE = 20
"""Characters; shorter lines, such as ``}`` or ``Contents``, repeat in the best of texts."""

LINES_KEPT = 5
_LONGEST_LINE = 160


@dataclass(slots=True)
class QualityCounter:
    """Counts of one object."""

    empty_documents: int = 0
    short_documents: int = 0
    sampled_documents: int = 0
    lines: Counter[str] = field(default_factory=Counter)

    def count(self, tokens: NDArray[np.int64], shingle_size: int) -> None:
        """Take a batch by the number of tokens of each text."""
        self.empty_documents += int((tokens == 0).sum())
        self.short_documents += int(((tokens > 0) & (tokens < shingle_size)).sum())

    def sample(self, texts: pa.Array) -> None:
        """Count in how many of the first texts each line stands."""
        left = SAMPLE_BYTES
        for value in texts:
            raw = value.as_buffer()
            if raw is None:
                continue
            text = raw.slice(0, min(raw.size, left)).to_pybytes().decode("utf-8", "ignore")
            self.sampled_documents += 1
            stripped = (line.strip()[:_LONGEST_LINE] for line in text.splitlines())
            self.lines.update({line for line in stripped if len(line) >= SHORTEST_LINE})
            left -= raw.size
            if left <= 0:
                return

    def repeated_lines(self) -> tuple[tuple[str, int], ...]:
        """The commonest lines that stand in several of the sampled documents."""
        common = self.lines.most_common(LINES_KEPT)
        return tuple((line, count) for line, count in common if count > 1)
