"""Killed, unanswered, refused or late at every single point: nothing is lost, and it goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.execute.crash.faults import KINDS, all_faults, usual_faults
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
    ("phase", "step"), [("apply", 1), ("settle", 3), ("undo", 5), ("purge", 5)]
)
def test_nothing_is_lost_at_any_point(small: Harness, phase: str, step: int) -> None:
    every(small, phase, step=step)


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "step"), [("apply", 4), ("undo", 5), ("purge", 7)])
def test_tables_are_written_again_without_a_loss(tables: Harness, phase: str, step: int) -> None:
    every(tables, phase, step=step)


@pytest.mark.slow
def test_two_faults_after_each_other(small: Harness) -> None:
    """A crash while the run is gone on with, or taken back, or purged."""
    fault = st.tuples(st.sampled_from(KINDS[:-1]), st.integers(0, 240))
    counts: Counter[str] = Counter()

    @settings(max_examples=examples(25), deadline=None)
    @given(
        st.sampled_from(["apply", "apply", "undo", "purge"]),
        st.lists(fault, min_size=2, max_size=3),
    )
    def check(phase: str, faults: list[tuple[str, int]]) -> None:
        text = " ".join(f"{kind}@{at}" for kind, at in faults)
        counts[phase] += 1
        problem = small.problem(phase, text)
        assert problem is None, problem

    check()
    print(f"{counts.total()} times two or three faults {dict(counts)}: none lost anything")


@pytest.mark.slow
def test_a_naive_script_fails_a_good_share_of_the_same_faults() -> None:
    with Harness("naive") as harness:
        harness.golden("apply")
        found = [f for f in all_faults(harness.names["apply"]) if "hang" not in f]
        bad = [faults for faults in found if harness.problem("apply", faults) is not None]
    print(f"a naive script: {len(found)} faults, {len(bad)} failures")
    assert len(bad) > 0.3 * len(found)
