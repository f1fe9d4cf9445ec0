from __future__ import annotations

from typing import Any

import pytest

from greendata.policy.review import review
from tests.policy.made_policies import policy, policy_set

COOL, COLD = {"tier": "cool"}, {"tier": "cold"}
EXPIRE: dict[str, Any] = {"expire": {}}


@pytest.mark.parametrize(
    "where",
    [
        "size_bytes > 10 and size_bytes < 5",
        "size_bytes >= 10 and size_bytes < 10",
        "size_bytes between mib(2) and mib(1)",
        "store = 's3' and store = 'az'",
        "store in ('s3', 'az') and store = 'file'",
        "is_held and not is_held",
        "5 > age_days and age_days >= days(5)",
    ],
)
def test_a_condition_that_never_holds_is_told(where: str) -> None:
    found = review(policy_set(policy("p", EXPIRE, where=where)))
    assert [(f.level, f.message) for f in found] == [("warning", "its condition never holds")]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((COOL, {}), (COLD, {}), "contradicts"),
        ((COOL, {"priority": 1}), (COLD, {}), "never reached"),
        ((COOL, {"where": "age_days > 9", "priority": 1}), (COLD, {"where": "age_days > 20"}),
         "never reached"),
        ((COOL, {"where": "age_days > 9", "priority": 1}), (COLD, {"where": "age_days > 5"}),
         "gives way"),
        ((COOL, {"where": "age_days > 9"}), (COLD, {"where": "age_days <= 9"}), None),
        ((COOL, {"where": "store = 's3'"}), (COLD, {"where": "store = 'az'"}), None),
        ((COOL, {"scope": {"datasets": ["a"]}}), (COLD, {"scope": {"datasets": ["b"]}}), None),
        ((COOL, {"scope": {"prefixes": ["s3://a/"]}}), (COLD, {"scope": {"prefixes": ["s3://ab"]}}),
         None),
        ((COOL, {"scope": {"prefixes": ["s3://a"]}}), (COLD, {"scope": {"prefixes": ["s3://a/b"]}}),
         "contradicts"),
        ((COOL, {}), (COOL, {}), "never reached"),
        ((COOL, {"where": "is_held"}), (COOL, {"where": "is_locked"}), None),
        ((COOL, {}), (EXPIRE, {}), "never reached"),
        ((COOL, {"where": "tag('a') = 'b'"}), (EXPIRE, {}), "gives way"),
        ((COOL, {"where": "idle_days > 9"}),
         (EXPIRE, {"where": "idle_days > 9", "unknown_access": "modified"}), "gives way"),
        ((COOL, {}), ({"recompress": {"profile": "archive"}}, {}), None),
        ((COOL, {}), ({"tag": {"a": "b"}}, {}), None),
        (({"tag": {"a": "b"}}, {}), ({"tag": {"a": "c"}}, {}), "contradicts"),
        (({"tag": {"a": "b"}}, {}), ({"tag": {"b": "c"}}, {}), None),
        ((COOL, {}), ({"abort_uploads": {}}, {}), None),
        ((EXPIRE, {}), ({"protect": {}}, {}), None),
    ],
)  # fmt: skip
def test_pairs_are_told_by_what_will_happen(
    first: tuple[dict[str, Any], dict[str, Any]],
    second: tuple[dict[str, Any], dict[str, Any]],
    expected: str | None,
) -> None:
    found = review(
        policy_set(policy("a", first[0], **first[1]), policy("b", second[0], **second[1]))
    )
    if expected is None:
        assert found == ()
    else:
        assert len(found) == 1
        assert expected in found[0].message
        assert found[0].place.startswith("p.yaml:1:")


def test_likely_mistakes_of_one_policy_are_told() -> None:
    for made, told in (
        (policy("p", {"tier": "archive"}), "readers: none"),
        (policy("p", {"tier": "cool"}, where="tier = 'cool'"), "already"),
        (policy("p", {"quarantine": {}}, where="age_days > 9"), "redundancy"),
    ):
        found = review(policy_set(made))
        assert len(found) == 1
        assert told in found[0].message
