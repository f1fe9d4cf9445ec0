from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest

from greendata.errors import PolicyError
from greendata.policy.cases import read_cases, run_cases
from tests.policy.made_policies import policy, policy_set

POLICIES = policy_set(
    policy("cool", {"tier": "cool"}, where="idle_days >= 60"),
    policy("tag", {"tag": {"a": "b"}}, where="size_bytes >= mib(1)"),
)


def failures(*cases: dict[str, Any]) -> list[str]:
    raw = json.dumps({"version": 1, "cases": cases}).encode()
    cases_read = read_cases("c.yaml", raw, POLICIES)
    with duckdb.connect() as connection:
        found = run_cases(connection, POLICIES, cases_read)
        return [line for result in found for line in result.failures]


def case(given: Any, expect: Any) -> dict[str, Any]:
    return {"name": "n", "given": given, "expect": expect}


BOTH = {"cool": {"tier": "cool"}, "tag": {"tag": {"a": "b"}}}


@pytest.mark.parametrize(
    ("given", "expect", "told"),
    [
        ({"idle_days": 90, "size_bytes": "2MiB"}, {"decisions": BOTH}, None),
        ({"idle_days": 90, "size_bytes": 1}, {"decisions": BOTH}, "tag was to decide"),
        ({"idle_days": 90, "size_bytes": "2MiB"}, {"decisions": {"cool": {"tier": "cool"}}},
         "nobody expected that tag decides"),
        ({"idle_days": 90, "size_bytes": 1}, {"decisions": {"cool": {"tier": "cold"}}},
         "was to decide {'tier': 'cold'}, not {'tier': 'cool'}"),
        ({"idle_days": 9, "size_bytes": 1}, {"stays": "condition"}, None),
        ({"idle_days": 9, "size_bytes": 1}, {"stays": "condition", "policy": "tag"}, "policy tag"),
        ({"idle_days": 9, "size_bytes": 1}, {"stays": "held"}, "but stays for 'condition'"),
        ({"idle_days": 9, "size_bytes": 1}, {"decisions": {"cool": {"tier": "cool"}}},
         "but stays for"),
        ({"idle_days": 90, "size_bytes": 1}, {"stays": "condition"}, "but cool decides"),
        ({"is_latest": False}, {"stays": "out-of-scope"}, None),
        ({"is_latest": False}, {"stays": "condition"}, "in the scope of no policy"),
        ({"idle_days": 9, "size_bytes": 1},
         {"stays": "condition", "because": "idle_days >= 61"}, "because of"),
    ],
)  # fmt: skip
def test_a_case_fails_on_what_is_missing_and_on_what_nobody_expected(
    given: dict[str, Any], expect: dict[str, Any], told: str | None
) -> None:
    found = failures(case({"uri": "s3://b/k"} | given, expect))
    if told is None:
        assert found == []
    else:
        assert len(found) == 1
        assert told in found[0]
        assert found[0].startswith("c.yaml:1:")


@pytest.mark.parametrize(
    ("given", "expect", "told"),
    [
        ({"uri": "s3://b/k", "idle_dais": 3}, {"stays": "x"}, "Did you mean 'idle_days'?"),
        ({"uri": "s3://b/k", "idle_days": "3"}, {"stays": "x"}, "'3' is not days"),
        ({"uri": "s3://b/k", "size_bytes": "3M"}, {"stays": "x"}, "3M"),
        ({"uri": "s3://b/k", "is_held": 1}, {"stays": "x"}, "true or false"),
        ({"uri": "s3://b/k", "modified_at": "soon"}, {"stays": "x"}, "soon"),
        ({"uri": "s3://b/k", "newer_versions": 3}, {"stays": "x"}, "follows from the versions"),
        ({"uri": "s3://b/k"}, {"decisions": {"coool": {"tier": "cool"}}}, "Did you mean 'cool'?"),
        ({"uri": "s3://b/k"}, {"stays": "x", "decisions": BOTH}, "either"),
        ({"uri": "s3://b/k"}, {}, "either"),
        ([{"uri": "s3://b/k"}], [{"stays": "x"}, {"stays": "x"}], "1 objects are given, of 2"),
        ([{"uri": "s3://b/k"}, {"uri": "s3://b/k"}], [{"stays": "x"}] * 2, "twice"),
        ({}, {"stays": "x"}, "uri"),
    ],
)
def test_a_case_that_cannot_be_is_a_mistake_of_its_file(given: Any, expect: Any, told: str) -> None:
    with pytest.raises(PolicyError) as caught:
        failures(case(given, expect))
    assert told in caught.value.message
    assert caught.value.message.startswith("c.yaml:1:")


def test_what_follows_from_a_uri_and_a_class_need_not_be_said() -> None:
    policies = policy_set(
        policy("p", {"tag": {"a": "b"}}, where=(
            "store = 'az' and account = 'acc' and bucket = 'c' and key = 'a/p.jsonl.gz'"
            " and format = 'jsonl' and codec = 'gz' and tier = 'archive' and days_in_tier = 9"
            " and modified_at = '2025-12-23'"
        ))
    )  # fmt: skip
    given = {"uri": "az://c@acc/a/p.jsonl.gz", "storage_class": "Archive", "age_days": 9}
    raw = json.dumps(
        {"version": 1, "cases": [case(given, {"decisions": {"p": {"tag": {"a": "b"}}}})]}
    ).encode()
    with duckdb.connect() as connection:
        found = list(run_cases(connection, policies, read_cases("c.yaml", raw, policies)))
    assert [result.failures for result in found] == [()]
