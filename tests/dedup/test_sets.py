from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from greendata.dedup.sets import sorted_set


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3)))
def test_each_number_is_there_once_in_order(numbers: list[int]) -> None:
    found = sorted_set(np.array(numbers, np.uint64))
    assert found.tolist() == sorted(set(numbers))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint64])
def test_the_type_stays_and_the_argument_too(kind: type) -> None:
    given_numbers: NDArray[Any] = np.array([[3, 1], [1, 2]], kind)
    found = sorted_set(given_numbers)
    assert found.dtype == kind
    assert found.tolist() == [1, 2, 3]
    assert given_numbers.tolist() == [[3, 1], [1, 2]]
