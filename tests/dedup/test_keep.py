from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup import keep
from greendata.dedup.keep import decide_kept, is_verified
from greendata.dedup.lsh import Buckets
from greendata.dedup.verify import Comparisons

THRESHOLD = 0.8
NO_DATASETS = np.empty(0, np.int32)


def as_buckets(groups: list[set[int]], count: int) -> Buckets:
    held = [sorted(group) for group in groups if len(group) > 1]
    starts = np.cumsum([0, *map(len, held)]).astype(np.int64)
    members = np.array([rank for group in held for rank in group], np.int32)
    return Buckets(starts=starts, members=members, count=count)


def comparisons(
    pairs: list[tuple[int, int]], similar: set[tuple[int, int]], lost: set[int]
) -> Comparisons:
    shared = [-1 if {a, b} & lost else 9 if (a, b) in similar else 1 for a, b in pairs]
    return Comparisons(
        better=np.array([pair[0] for pair in pairs], np.int32),
        worse=np.array([pair[1] for pair in pairs], np.int32),
        shared=np.array(shared, np.int64),
        better_shingles=np.full(len(pairs), 10, np.int64),
        worse_shingles=np.full(len(pairs), 10, np.int64),
    )


def greedy(groups: list[set[int]], count: int, similar: set[tuple[int, int]]) -> list[bool]:
    """Kept or not, by the definition: down the ranks, over all pairs of every bucket."""
    candidates = {pair for group in groups for pair in combinations(sorted(group), 2)}
    kept: list[bool] = []
    for rank in range(count):
        kept.append(
            not any(
                kept[better] and (better, rank) in candidates & similar for better in range(rank)
            )
        )
    return kept


COUNT = 14
PAIRS = list(combinations(range(COUNT), 2))


@settings(max_examples=400, deadline=None)
@given(
    groups=st.lists(st.sets(st.integers(0, COUNT - 1), max_size=COUNT), max_size=8),
    similar=st.sets(st.sampled_from(PAIRS)),
    known=st.sets(st.sampled_from(PAIRS)),
    datasets=st.lists(st.integers(0, 2), min_size=COUNT, max_size=COUNT),
)
def test_kept_texts_are_those_of_the_greedy_definition(
    groups: list[set[int]],
    similar: set[tuple[int, int]],
    known: set[tuple[int, int]],
    datasets: list[int],
) -> None:
    asked: set[tuple[int, int]] = set()

    def compare(better: np.ndarray, worse: np.ndarray) -> Comparisons:
        pairs = list(zip(better.tolist(), worse.tolist(), strict=True))
        assert not asked & set(pairs)
        assert not known & set(pairs)
        assert len(set(pairs)) == len(pairs)
        asked.update(pairs)
        return comparisons(pairs, similar, set())

    decision = decide_kept(
        as_buckets(groups, COUNT),
        comparisons(sorted(known), similar, set()),
        compare,
        THRESHOLD,
        np.arange(COUNT + 1, dtype=np.int64),
        np.array(datasets, np.int32),
    )
    kept = [partner < 0 for partner in decision.kept_for.tolist()]
    # a known pair counts even where its texts share no bucket any more only if one bucket has both
    assert kept == greedy(groups, COUNT, similar)
    passed = {
        pair
        for pair, good in zip(
            zip(decision.compared.better.tolist(), decision.compared.worse.tolist(), strict=True),
            is_verified(decision.compared, THRESHOLD).tolist(),
            strict=True,
        )
        if good
    }
    for rank, partner in enumerate(decision.kept_for.tolist()):
        assert partner < 0 or (kept[partner] and (partner, rank) in passed)


def run(
    groups: list[set[int]], similar: set[tuple[int, int]], count: int, lost: set[int]
) -> keep.Decision:
    def compare(better: np.ndarray, worse: np.ndarray) -> Comparisons:
        return comparisons(list(zip(better.tolist(), worse.tolist(), strict=True)), similar, lost)

    return decide_kept(
        as_buckets(groups, count),
        Comparisons.concatenate([]),
        compare,
        THRESHOLD,
        np.zeros(count + 1, np.int64),
        NO_DATASETS,
    )


def test_a_chain_is_not_a_star() -> None:
    decision = run([{0, 1}, {1, 2}], {(0, 1), (1, 2)}, 3, set())
    assert decision.kept_for.tolist() == [-1, 0, -1]


def test_an_unreadable_text_is_kept_and_keeps_nothing() -> None:
    decision = run([{0, 1, 2}], {(0, 1), (0, 2), (1, 2)}, 3, {0})
    assert decision.kept_for.tolist() == [-1, -1, 1]
    assert int((~decision.compared.is_readable).sum()) == 2


def test_a_star_costs_one_comparison_a_member() -> None:
    members = set(range(1000))
    decision = run([members] * 16, {(0, rank) for rank in range(1, 1000)}, 1000, set())
    assert len(decision.compared.better) == 999
    assert decision.rounds == 1


def test_buckets_of_unlike_texts_are_left_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "MAX_COMPARISONS", 3)
    decision = run([set(range(10))], set(), 10, set())
    assert len(decision.compared.better) == 3 + 3 + 3 + 3 + 3 + 3 + 3 + 2 + 1
    assert decision.left_out == sum(max(0, rank - 3) for rank in range(10))


def test_best_members_of_other_datasets_are_compared_too() -> None:
    asked: list[tuple[int, int]] = []

    def compare(better: np.ndarray, worse: np.ndarray) -> Comparisons:
        pairs = list(zip(better.tolist(), worse.tolist(), strict=True))
        asked.extend(pairs)
        return comparisons(pairs, set(PAIRS), set())

    decide_kept(
        as_buckets([{0, 1, 2, 3}], 4),
        Comparisons.concatenate([]),
        compare,
        THRESHOLD,
        np.arange(5, dtype=np.int64),
        np.array([0, 0, 1, 1], np.int32),
    )
    # 1 passed against 0 of its own set, and is held against 2, the best of the other one
    assert {(0, 1), (0, 2), (0, 3), (1, 2)} <= set(asked)


def test_more_pairs_than_fit_one_round_are_compared_in_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keep, "_MAX_ROUND_PAIRS", 7)
    decision = run([set(range(40))], {(0, rank) for rank in range(1, 40)}, 40, set())
    assert decision.kept_for.tolist() == [-1] + [0] * 39


def test_nothing_to_decide() -> None:
    decision = run([], set(), 0, set())
    assert len(decision.kept_for) == 0
