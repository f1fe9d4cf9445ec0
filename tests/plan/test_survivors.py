from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from greendata.plan.actions import MOST_SURVIVORS
from tests.plan.made_plans import Planned, plan, short, stored
from tests.policy.made_policies import NOW, policy

COPIES = policy("copies", {"quarantine": {"grace_days": 30}}, where="verified_copies >= 1")
SWEEP = policy("sweep", {"expire": {}}, scope={"prefixes": ["s3://b/scratch"]})


def copies(*rows: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Objects of the same bytes, all of which were read."""
    found = [row | {"verified_copies": float(len(rows) - 1)} for row in rows]
    return found, {row["uri"]: "d1" for row in rows}


def plan_copies(*rows: dict[str, Any], policies: tuple[Mapping[str, Any], ...] = ()) -> Planned:
    found, contents = copies(*rows)
    return plan([COPIES, *policies], *found, contents=contents)


def standing(found: Planned) -> set[str]:
    """Keys of all that stay in favour of others."""
    return {short(stays["uri"]) for action in found.actions for stays in action["survivors"]}


def test_of_identical_copies_one_stays_and_is_recorded() -> None:
    found = plan_copies(stored("a"), stored("b"), stored("c"))
    assert found.told() == {"a": "survivor", "b": "quarantine", "c": "quarantine"}
    for action in found.actions:
        assert action["survivors"] == [
            {"uri": "s3://b/a", "store_id": "s3:aws", "version_id": None, "etag": "etag-a"}
        ]
        assert action["survivor_basis"] == "sha256:d1"
        assert action["reversibility"] == "costly"


def test_the_survivor_is_held_then_near_training_then_oldest() -> None:
    held = stored("z", is_held=True, modified_at=NOW)
    near = stored("y", training_region="us-east-1", modified_at=NOW)
    oldest = stored("x", modified_at=NOW - timedelta(days=900))
    assert standing(plan_copies(held, near, oldest, stored("a"))) == {"z"}
    assert plan_copies(near, oldest, stored("a")).told()["y"] == "survivor"
    assert plan_copies(oldest, stored("a")).told()["x"] == "survivor"


def test_an_archived_copy_never_stands_for_another() -> None:
    frozen = stored("a", tier="archive", storage_class="GLACIER", is_held=True)
    found = plan_copies(frozen, stored("b"), stored("c"))
    assert found.told() == {"a": "held", "b": "survivor", "c": "quarantine"}


def test_a_copy_that_this_plan_archives_never_stands_for_another() -> None:
    freeze = policy(
        "freeze", {"tier": "archive"}, where="key = 'a'", guard={"readers": "none"}, priority=5
    )
    found = plan_copies(stored("a"), stored("b"), policies=(freeze,))
    assert found.told() == {"a": "tier", "b": "survivor"}


def test_a_copy_elsewhere_must_be_allowed_by_residency() -> None:
    at_home = stored("eu", region="eu-west-1", residency=["eu"])
    abroad = stored("us", is_held=True)
    assert plan_copies(at_home, abroad).told() == {"eu": "survivor", "us": "held"}


def test_two_policies_cannot_remove_each_others_survivor() -> None:
    found = plan_copies(stored("a"), stored("scratch/b"), policies=(SWEEP,))
    assert found.told() == {"a": "survivor", "scratch/b": "quarantine"}
    other = policy("other", {"quarantine": {"grace_days": 9}}, where="key = 'a'", priority=3)
    found = plan_copies(stored("a"), stored("b"), policies=(other,))
    assert found.told() == {"a": "survivor", "b": "quarantine"}


def test_what_expires_never_stands_for_another() -> None:
    kept = COPIES | {"scope": {"prefixes": ["s3://b/data"]}}
    rows, contents = copies(stored("data/a"), stored("scratch/b"))
    found = plan([kept, SWEEP], *rows, contents=contents)
    assert found.told() == {"data/a": "survivor", "scratch/b": "expire"}


def test_bytes_that_nobody_read_prove_nothing() -> None:
    rows, _ = copies(stored("a"), stored("b"))
    assert plan([COPIES], *rows).told() == {"a": "no-proof", "b": "no-proof"}


def test_a_copy_that_changed_since_it_was_read_proves_nothing() -> None:
    rows, contents = copies(stored("a"), stored("b"))
    rows[0]["size_bytes"] = 5
    assert plan([COPIES], *rows, contents=contents).told()["b"] == "survivor"


def shared(key: str, survivor: str, **values: Any) -> dict[str, Any]:
    known = {
        "store_id": "s3:aws", "uri": f"s3://b/{key}", "etag": f"etag-{key}",
        "survivor_uri": f"s3://b/{survivor}", "survivor_etag": f"etag-{survivor}",
        "is_exact": True, "jaccard": 1.0,
    }  # fmt: skip
    return known | values


def likely(allow: str, **values: Any) -> dict[str, Any]:
    action = {"quarantine": {"grace_days": 30, "allow": allow, **values}}
    return policy("texts", action, where="key = 'a'")


def test_equal_texts_suffice_only_where_the_policy_says_so() -> None:
    rows, texts = (stored("a"), stored("b")), [shared("a", "b")]
    strict = policy("strict", {"quarantine": {"grace_days": 30}}, where="key = 'a'")
    assert plan([strict], *rows, texts=texts).told() == {"a": "no-proof", "b": "condition"}
    (action,) = plan([likely("text_only")], *rows, texts=texts).actions
    assert [stays["uri"] for stays in action["survivors"]] == ["s3://b/b"]
    assert action["survivor_basis"] == "texts:equal"
    assert action["reversibility"] == "irreversible"


def test_near_texts_suffice_from_the_measure_that_the_policy_names() -> None:
    rows = (stored("a"), stored("b"))
    texts = [shared("a", "b", is_exact=False, jaccard=0.9)]
    assert plan([likely("text_only")], *rows, texts=texts).told()["a"] == "no-proof"
    assert plan([likely("near", min_jaccard=0.95)], *rows, texts=texts).told()["a"] == "no-proof"
    (action,) = plan([likely("near", min_jaccard=0.9)], *rows, texts=texts).actions
    assert action["survivor_basis"] == "texts:jaccard>=0.900"


def test_texts_whose_only_other_place_is_leaving_prove_nothing() -> None:
    rows, texts = (stored("a"), stored("scratch/b")), [shared("a", "scratch/b")]
    found = plan([likely("text_only"), SWEEP], *rows, texts=texts)
    assert found.told() == {"a": "no-proof", "scratch/b": "expire"}


def test_a_copy_that_was_chosen_to_stay_may_hold_the_texts_of_others() -> None:
    rows, contents = copies(stored("x"), stored("y"))
    found = plan(
        [COPIES, likely("text_only")],
        *rows,
        stored("a"),
        contents=contents,
        texts=[shared("a", "x")],
    )
    assert found.told() == {"a": "quarantine", "x": "survivor", "y": "quarantine"}
    assert standing(found) == {"x"}


def resharded(count: int) -> Planned:
    """One object whose rows stand, one each, in so many others."""
    keys = [f"new/{number:03}" for number in range(count)]
    whole = {f"s3://b/{key}": [number] for number, key in enumerate(keys)}
    old = policy("old", {"quarantine": {}}, where="key = 'old'")
    return plan(
        [old], stored("old"), *map(stored, keys), whole_rows=whole | {"s3://b/old": range(count)}
    )


def test_so_many_may_stay_for_one_and_no_more() -> None:
    (action,) = resharded(MOST_SURVIVORS).actions
    assert len(action["survivors"]) == MOST_SURVIVORS
    assert action["survivor_basis"] == f"rows:blake2b-128:{MOST_SURVIVORS}"
    assert resharded(MOST_SURVIVORS + 1).told()["old"] == "several"


def test_the_most_rows_are_taken_first_and_then_the_best_to_stay() -> None:
    whole = {"old": range(6), "a": [0, 1, 2], "b": [2, 3], "c": [3, 4, 5], "d": [3, 4, 5]}
    old = policy("old", {"quarantine": {}}, where="key = 'old'")
    rows = [stored(key, is_held=key == "d") for key in whole]
    found = plan([old], *rows, whole_rows={f"s3://b/{k}": v for k, v in whole.items()})
    (action,) = found.actions
    assert [short(stays["uri"]) for stays in action["survivors"]] == ["d", "a"]
