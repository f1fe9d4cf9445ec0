"""Killed, unanswered, refused or late at every single point: nothing is lost, and it goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.execute.crash.faults import all_faults, usual_faults
from tests.execute.crash.harness import Harness


@pytest.fixture(scope="module")
def small() -> Iterator[Harness]:
    with Harness("small") as made:
        made.golden("apply", "settle", "undo", "purge")
        yield made


@pytest.fixture(scope="module")
def tables() -> Iterator[Harness]:
    with Harness("tables") as made:
        made.golden("apply", "settle", "undo", "purge")
        yield made


def every(harness: Harness, phase: str, *, step: int = 1) -> None:
    """Each fault at each point, or each so many of them; the counts are printed."""
    started = time.monotonic()
    names = harness.names[phase]
    is_thorough = examples(100) > 100
    found = all_faults(names) if is_thorough else usual_faults(names)[::step]
    problems = []
    for faults in found:
        problem = harness.problem(phase, faults)
        if problem is not None:
            problems.append(f"{names[int(faults.partition('@')[2])]}: {problem}")
    counts = Counter(faults.partition("@")[0] for faults in found)
    print(f"{phase}: {len(names)} points, {len(found)} faults {dict(counts)},"
          f" {len(problems)} failures; {time.monotonic() - started:.0f} s")  # fmt: skip
    assert not problems, "\n".join(problems[:5])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "step"), [("apply", 1), ("settle", 3), ("undo", 3), ("purge", 3)]
)
def test_nothing_is_lost_at_any_point(small: Harness, phase: str, step: int) -> None:
    every(small, phase, step=step)


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "step"), [("apply", 3), ("undo", 7), ("purge", 9)])
def test_tables_are_written_again_without_a_loss(tables: Harness, phase: str, step: int) -> None:
    every(tables, phase, step=step)
