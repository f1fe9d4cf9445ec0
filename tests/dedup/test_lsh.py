from __future__ import annotations

import numpy as np
import pytest
from datasketch import MinHashLSH

from greendata.dedup.lsh import DEFAULT_BANDS, RECALL_WEIGHTS, Banding, choose_banding


@pytest.mark.parametrize("threshold", DEFAULT_BANDS)
def test_default_bandings_are_datasketchs_optimum(threshold: float) -> None:
    assert RECALL_WEIGHTS == (0.05, 0.95)
    lsh = MinHashLSH(threshold=threshold, num_perm=128, weights=RECALL_WEIGHTS)
    assert DEFAULT_BANDS[threshold] == (lsh.b, lsh.r)
    assert choose_banding(threshold, 128) == Banding(bands=lsh.b, rows=lsh.r)


@pytest.mark.parametrize(("threshold", "num_perm"), [(0.77, 64), (0.8, 256), (0.3, 128)])
def test_other_thresholds_and_permutations_ask_the_optimiser(
    threshold: float, num_perm: int
) -> None:
    lsh = MinHashLSH(threshold=threshold, num_perm=num_perm, weights=RECALL_WEIGHTS)
    assert choose_banding(threshold, num_perm) == Banding(bands=lsh.b, rows=lsh.r)


@pytest.mark.parametrize("threshold", [0.01, 0.9, 0.97, 0.99, 0.999, 1.0])
@pytest.mark.parametrize("num_perm", [2, 3, 16, 128])
def test_every_threshold_that_can_be_asked_for_has_a_banding(
    threshold: float, num_perm: int
) -> None:
    banding = choose_banding(threshold, num_perm)
    assert banding.bands >= 1
    assert banding.rows >= 1
    assert banding.bands * banding.rows <= num_perm
    assert banding.recall(1.0) == 1.0


@pytest.mark.parametrize("jaccard", [0.0, 0.3, 0.5, 0.8, 0.85, 0.9, 1.0])
@pytest.mark.parametrize(("bands", "rows"), [(16, 8), (9, 13), (1, 128), (128, 1)])
def test_recall_is_the_banding_curve(bands: int, rows: int, jaccard: float) -> None:
    missed_in_all = np.prod([1 - np.prod([jaccard] * rows)] * bands)
    found = Banding(bands=bands, rows=rows).recall(jaccard)
    assert found == pytest.approx(1 - missed_in_all, abs=1e-12)


def test_recall_is_what_the_design_promises() -> None:
    assert Banding(bands=16, rows=8).recall(0.8) == pytest.approx(0.947, abs=5e-4)
    assert Banding(bands=16, rows=8).recall(0.85) == pytest.approx(0.994, abs=5e-4)
