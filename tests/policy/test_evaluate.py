from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.errors import PolicyError
from greendata.policy.document import PolicySet
from greendata.policy.evaluate import compile_policies, contradictions, refuse_errors
from greendata.policy.outcomes import outcomes
from greendata.policy.verdicts import MATCH, DatasetRules, Surroundings
from tests.examples import examples
from tests.policy.made_policies import (
    NOW,
    compiled,
    decide,
    inventory,
    made,
    policy,
    policy_set,
    told,
)

ARCHIVE = policy(
    "archive", {"tier": "archive"}, where="idle_days >= 180", guard={"readers": "none"}
)
EXPIRE = policy("expire", {"expire": {}}, where="age_days >= 365")


@pytest.mark.parametrize(
    ("actions", "winners"),
    [
        ([{"tier": "cool"}, {"expire": {}}], "p0"),
        ([{"tier": "cool"}, {"recompress": {"profile": "archive"}}], "p0+p1"),
        ([{"tier": "cool"}, {"quarantine": {}}, {"tag": {"a": "b"}}], "p0+p2"),
        ([{"recompress": {"profile": "stream"}}, {"relocate": {"to": "r", "mode": "move"}}], "p0"),
        ([{"relocate": {"to": "r", "mode": "move"}}, {"quarantine": {}}, {"expire": {}}], "p0"),
        ([{"quarantine": {}}, {"expire": {}}], "p0"),
        ([{"hold": "legal"}, {"tier": "cool"}, {"expire": {}}, {"tag": {"a": "b"}}], "p0+p3"),
        ([{"tag": {"a": "b"}}, {"tag": {"c": "d"}}, {"expire": {}}], "p0+p1+p2"),
        ([{"expire": {}}, {"protect": {}}], "protected"),
        ([{"tag": {"a": "b"}}, {"protect": {}}], "p0"),
        ([{"expire": {}}, {"protect": {"actions": ["tier"]}}], "p0"),
        ([{"tier": "cool"}, {"expire": {}}, {"protect": {"actions": ["tier"]}}], "p1"),
    ],
)
def test_the_safest_wins_whatever_the_priority(actions: list[dict[str, Any]], winners: str) -> None:
    policies = [policy(f"p{n}", action, priority=n) for n, action in enumerate(actions)]
    row = made(region="q", age_days=900)
    assert told(decide(policy_set(*policies), row)) == [winners]


def test_in_one_slot_the_higher_priority_wins_and_equal_wishes_agree() -> None:
    low = policy("low", {"tier": "cool"}, priority=1)
    high = policy("high", {"tier": "cold"}, priority=2)
    same = policy("same", {"tier": "cold"}, priority=2)
    assert told(decide(policy_set(low, high), made())) == ["high"]
    assert told(decide(policy_set(low, high, same), made())) == ["high"]


def test_two_wishes_of_equal_priority_are_an_error_that_names_both() -> None:
    policies = policy_set(
        policy("a", {"tier": "cool"}),
        policy("b", {"tier": "cold"}, where="size_bytes > 5"),
        policy("c", {"tier": "cool"}),
    )
    query = compiled(policies)
    with inventory([made("s3://b/1"), made("s3://b/2", size_bytes=1)]) as connection:
        connection.execute(f"CREATE TABLE decided AS {query.sql}")
        found = contradictions(connection, query, "decided")
        assert [(set(entry.policies), entry.objects) for entry in found] in (
            [({"a", "b"}, 1)],
            [({"b", "c"}, 1)],
        )
        with pytest.raises(PolicyError, match=r"p\.yaml:1:\d+.*such as s3://b/1"):
            refuse_errors(connection, query, "decided")
        rows = connection.execute("SELECT is_decided, stays_code FROM decided ORDER BY uri")
        assert rows.fetchall() == [(False, 600), (True, None)]


def test_a_contradiction_below_what_wins_does_not_matter() -> None:
    policies = policy_set(
        policy("a", {"expire": {"grace_days": 1}}),
        policy("b", {"expire": {"grace_days": 2}}),
        policy("c", {"tier": "cool"}),
    )
    assert told(decide(policies, made())) == ["c"]


@pytest.mark.parametrize(
    ("unknown_access", "row", "expected"),
    [
        ("keep", {"idle_days": None, "age_days": 900}, "unknown"),
        ("modified", {"idle_days": None, "age_days": 900}, "archive"),
        ("modified", {"idle_days": 3, "age_days": 900}, "condition"),
        ("modified", {"idle_days": None, "age_days": None}, "unknown"),
        ("keep", {"idle_days": 200}, "archive"),
    ],
)
def test_unknown_access_is_no_licence(
    unknown_access: str, row: dict[str, Any], expected: str
) -> None:
    policies = policy_set(ARCHIVE | {"unknown_access": unknown_access})
    assert told(decide(policies, made(**row))) == [expected]


def test_unknown_access_can_stop_the_plan() -> None:
    query = compiled(policy_set(ARCHIVE | {"unknown_access": "error"}, EXPIRE))
    rows = [made("s3://b/1", age_days=900), made("s3://b/2", idle_days=3, age_days=3)]
    with inventory(rows) as connection:
        connection.execute(f"CREATE TABLE decided AS {query.sql}")
        with pytest.raises(PolicyError, match=r"archive: nothing tells when 1 objects.*s3://b/1"):
            refuse_errors(connection, query, "decided")


def test_a_condition_that_is_false_is_false_whatever_else_is_unknown() -> None:
    policies = policy_set(
        policy("p", {"tier": "cool"}, where="idle_days >= 9 and size_bytes >= gib(1)")
    )
    found = decide(policies, made(idle_days=None, size_bytes=1))
    assert found[0].stays is not None
    assert (found[0].stays.reason, found[0].stays.because) == ("condition", "size_bytes >= gib(1)")


@pytest.mark.parametrize(
    ("action", "row", "reason"),
    [
        ({"tier": "cool"}, {"tier": "unknown"}, "unknown-class"),
        ({"tier": "cool"}, {"tier": None}, "unknown-class"),
        ({"tag": {"a": "b"}}, {"tier": "unknown"}, "unknown-class"),
        ({"tier": "cool"}, {"tier": "cool"}, "unchanged"),
        ({"tier": "cool"}, {"tier": "archive"}, "colder"),
        ({"tier": "cool"}, {"store": "file"}, "unsupported"),
        ({"tier": "deep_archive"}, {"store": "az"}, "unsupported"),
        ({"tier": "archive"}, {}, "readers"),
        ({"tier": "cool"}, {"is_held": True}, "held"),
        ({"expire": {}}, {"is_locked": True}, "held"),
        ({"expire": {}}, {"retain_until": NOW.replace(year=2027)}, "held"),
        ({"expire": {}}, {"retain_until": NOW.replace(year=2020)}, "p"),
        ({"expire": {}}, {"pinned_by": "x"}, "pinned"),
        ({"quarantine": {}}, {"pinned_by": "x"}, "pinned"),
        ({"recompress": {"profile": "archive"}}, {"tier": "deep_archive"}, "archived"),
        ({"recompress": {"profile": "archive"}},
         {"tier": "archive", "restore_state": "restored"}, "p"),
        ({"recompress": {"profile": "archive"}},
         {"tier": "archive", "restore_state": "pending"}, "archived"),
        ({"recompress": {"profile": "archive"}}, {"pinned_by": "x"}, "pinned"),
        ({"relocate": {"to": "a", "mode": "move"}}, {"region": "b", "pinned_by": "x"}, "pinned"),
        ({"relocate": {"to": "a", "mode": "replicate"}}, {"region": "b", "pinned_by": "x"}, "p"),
        ({"relocate": {"to": "training_region", "mode": "move"}}, {"region": "a"},
         "unknown-region"),
        ({"relocate": {"to": "a", "mode": "move"}}, {"region": "a"}, "unchanged"),
        ({"hold": "legal"}, {"is_held": True}, "unchanged"),
        ({"hold": "legal"}, {"store": "az"}, "unsupported"),
        ({"tag": {"a": "b"}}, {"store": "file"}, "unsupported"),
        ({"tag": {"a": "b"}}, {"tags": [("a", "b"), ("c", "d")]}, "unchanged"),
        ({"tag": {"a": "b"}}, {"tags": [("a", None)]}, "p"),
        ({"restore": {"days": 1}}, {}, "unchanged"),
        ({"restore": {"days": 1}}, {"tier": "archive", "is_held": True}, "p"),
    ],
)  # fmt: skip
def test_what_cannot_or_must_not_be_done_stays_with_its_reason(
    action: dict[str, Any], row: dict[str, Any], reason: str
) -> None:
    assert told(decide(policy_set(policy("p", action)), made(**row))) == [reason]


def test_nothing_is_fetched_back_unless_the_condition_names_tier() -> None:
    idle = policy("p", {"tier": "cool"}, where="idle_days >= 9")
    named = policy("p", {"tier": "cool"}, where="idle_days >= 9 and tier <> 'hot'")
    row = made("az://c@a/k", tier="archive", idle_days=900)
    assert told(decide(policy_set(idle), row)) == ["colder"]
    assert told(decide(policy_set(named), row)) == ["p"]


def test_a_dataset_s_rules_win_over_policies() -> None:
    rules = {
        "kept": DatasetRules(retention_min_days=400),
        "read": DatasetRules(readers="online"),
        "unread": DatasetRules(readers="none"),
    }
    expire = policy_set(policy("p", {"expire": {}}))
    for row, expected in (
        (made(dataset="kept", age_days=399), "retention"),
        (made(dataset="kept", age_days=None), "retention"),
        (made(dataset="kept", age_days=400), "p"),
        (made(dataset=None), "p"),
    ):
        assert told(decide(expire, row, datasets=rules)) == [expected]
    for said, row, expected in (
        (None, made(dataset="unread"), "p"),
        (None, made(dataset="other"), "readers"),
        (None, made(dataset=None), "readers"),
        ("none", made(dataset="other"), "p"),
        ("none", made(dataset="read"), "readers"),
    ):
        guard = {"readers": said} if said else {}
        archive = policy_set(policy("p", {"tier": "archive"}, guard=guard))
        assert told(decide(archive, row, datasets=rules)) == [expected], (said, row)


def test_protection_holds_for_what_is_unknown() -> None:
    protect = policy("keep", {"protect": {}}, where="tag('keep') = 'yes'")
    policies = policy_set(EXPIRE, protect)
    for tags, expected in (
        (None, "protected"),
        ([("keep", "yes")], "protected"),
        ([("keep", "no")], "expire"),
        ([("other", "x")], "protected"),
    ):
        found = decide(policies, made(age_days=900, tags=tags))
        assert told(found) == [expected], tags


@pytest.mark.parametrize(
    ("rule", "action", "row", "expected"),
    [
        ({"retain_days": 90}, {"expire": {}}, {"age_days": 89}, "protected"),
        ({"retain_days": 90}, {"expire": {}}, {"age_days": 90}, "p"),
        ({"retain_days": 90}, {"tier": "cool"}, {"age_days": 1}, "p"),
        ({"min_copies": 2}, {"quarantine": {}}, {"verified_copies": 1.0}, "protected"),
        ({"min_copies": 2}, {"quarantine": {}}, {"verified_copies": 2.0}, "p"),
        ({"max_restore_hours": 5}, {"tier": "archive"}, {}, "p"),
        ({"max_restore_hours": 4}, {"tier": "archive"}, {}, "protected"),
        ({"max_restore_hours": 0}, {"tier": "cold"}, {}, "p"),
        ({"residency": ["eu"]}, {"relocate": {"to": "us-east-1", "mode": "move"}}, {"region": "x"},
         "protected"),
        ({"residency": ["eu"]}, {"relocate": {"to": "eu-west-1", "mode": "move"}}, {"region": "x"},
         "p"),
        ({"residency": ["eu"]}, {"relocate": {"to": "westeurope", "mode": "move"}}, {"region": "x"},
         "p"),
        ({"residency": ["eu"]}, {"relocate": {"to": "uksouth", "mode": "move"}}, {"region": "x"},
         "protected"),
    ],
)  # fmt: skip
def test_conditional_protection_forbids_what_would_break_it(
    rule: dict[str, Any], action: dict[str, Any], row: dict[str, Any], expected: str
) -> None:
    policies = policy_set(
        policy("p", action, guard={"readers": "none"}), policy("rule", {"protect": rule})
    )
    found = decide(policies, made(**row), areas={"westeurope": "eu", "uksouth": "uk"})
    assert told(found) == [expected]


def test_residency_of_the_dataset_is_respected() -> None:
    move = policy_set(policy("p", {"relocate": {"to": "training_region", "mode": "replicate"}}))
    for target, residency, expected in (
        ("us-east-1", ["us"], "p"),
        ("us-east-1", ["us-east-1"], "p"),
        ("us-east-1", ["eu"], "residency"),
        ("us-east-1", [], "p"),
        ("us-east-1", None, "p"),
        ("eu-central-2", ["eu"], "residency"),
        ("nowhere", ["eu"], "residency"),
    ):
        row = made(region="eu-north-1", training_region=target, residency=residency)
        assert told(decide(move, row)) == [expected], target


def test_scopes_choose_by_dataset_folder_glob_and_state() -> None:
    scope = {"datasets": ["d"], "prefixes": ["s3://b/a/"], "exclude": ["**/x/**", "s3://b/a/z*"]}
    policies = policy_set(policy("p", {"tag": {"a": "b"}}, scope=scope))
    keys = ["a/1", "a/x/1", "a/z1", "ab/1", "a", "c/1"]
    rows = [made(f"s3://b/{key}", dataset="d") for key in keys]
    rows += [made("s3://b/a/2", dataset="e"), made("s3://b/a/3")]
    rows += [made("s3://b/a/4", dataset="d", is_latest=False)]
    rows += [made("s3://b/a/5", dataset="d", is_delete_marker=True)]
    rows += [made("s3://b/a/6", dataset="d", format="upload", is_latest=False)]
    assert [entry.uri for entry in decide(policies, *rows)] == ["s3://b/a", "s3://b/a/1"]


def test_versions_are_counted_by_when_they_were_replaced() -> None:
    day = NOW.replace(month=1, day=1)
    rows = [
        made(version_id=str(n), is_latest=n == 4, modified_at=day.replace(day=n))
        for n in (1, 2, 3, 4)
    ]
    rows[1] |= {"is_delete_marker": True}
    old = policy("old", {"expire": {}}, scope={"state": "noncurrent"}, where="newer_versions >= 1")
    assert [(e.version_id, told([e])[0]) for e in decide(policy_set(old), *rows)] == [
        ("1", "old"),
        ("3", "condition"),
    ]
    days = old | {"where": "noncurrent_days >= 57"}  # 3 January to 1 March
    assert told(decide(policy_set(days), *rows)) == ["old", "condition"]


def test_only_a_delete_marker_that_nothing_stands_behind_has_expired() -> None:
    markers = policy_set(
        policy("m", {"expire": {}}, scope={"state": "expired-delete-marker"}) | {"all": True}
    )
    rows = [
        made("s3://b/1", version_id="1", is_delete_marker=True, tier="unknown"),
        made("s3://b/2", version_id="1", is_latest=False),
        made("s3://b/2", version_id="2", is_delete_marker=True),
        made("s3://b/3"),
        made("s3://b/4", is_delete_marker=True, store_id="s3:other"),
        made("s3://b/4"),
    ]
    assert [entry.uri for entry in decide(markers, *rows)] == ["s3://b/1", "s3://b/4"]


def test_no_objects_and_no_policy_that_acts_are_no_error() -> None:
    assert decide(policy_set(EXPIRE)) == []
    assert decide(policy_set(policy("p", {"protect": {}})), made()) == []


def test_only_the_columns_that_policies_name_are_asked_for() -> None:
    query = compiled(policy_set(EXPIRE))
    assert "age_days" in query.columns
    assert not {"idle_days", "documents", "tags", "dataset", "identical_to"} & set(query.columns)


def test_carried_columns_and_unread_holds_stand_beside_each_decision() -> None:
    around = Surroundings(as_of=NOW)
    query = compile_policies(policy_set(EXPIRE), around, carry=("size_bytes", "etag"))
    rows = [
        made("s3://b/1", etag="e", age_days=900),
        made("s3://b/2", age_days=900, is_held=False, is_locked=False),
        made("s3://b/3", age_days=900, is_held=False),
    ]
    with inventory(rows) as connection:
        found = connection.execute(
            f"SELECT size_bytes, etag, is_hold_unknown FROM ({query.sql}) ORDER BY uri"
        ).fetchall()
    assert found == [(2**20, "e", True), (2**20, None, False), (2**20, None, True)]


def test_every_code_has_words() -> None:
    query = compiled(policy_set(ARCHIVE, EXPIRE, policy("k", {"protect": {}})))
    found = {(code, number): reason for code, number, reason in query.reasons()}
    assert len(found) == len({(c, n) for c, n in found}) > 10
    assert all(reason.reason and reason.because for reason in found.values())
    assert max(code for code, _ in found) < MATCH


def test_texts_of_policies_stay_texts_in_sql() -> None:
    odd = "d'; DROP TABLE inventory; --"
    scope = {"datasets": [odd], "prefixes": ["s3://b/it's"], "exclude": ["**/'x'/**"]}
    policies = policy_set(
        policy("p", {"tag": {"it's": "'"}}, scope=scope, where="tag('it''s') = 'x'''")
    )
    row = made("s3://b/it's", dataset=odd, tags=[("it's", "x'")])
    found = decide(policies, row, datasets={odd: DatasetRules(retention_min_days=3)})
    assert found[0].decisions == {"p": {"tag": {"it's": "'"}}}


ACTIONS: list[dict[str, Any]] = [
    {"tier": "cool"}, {"tier": "archive"}, {"recompress": {"profile": "archive"}},
    {"quarantine": {}}, {"expire": {}}, {"relocate": {"to": "us-west-2", "mode": "move"}},
    {"tag": {"a": "1"}}, {"tag": {"a": "2", "b": "3"}}, {"hold": "legal"}, {"protect": {}},
    {"protect": {"actions": ["expire"]}}, {"protect": {"retain_days": 100}},
]  # fmt: skip
WHERES = ["age_days >= 50", "idle_days >= 90", "size_bytes < 5", "size_bytes >= 5 or is_held",
          "tag('t') = 'x'", "starts_with(key, 'a')", "tier in ('hot', 'cool')"]  # fmt: skip


@st.composite
def policy_mappings(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for number in range(draw(st.integers(1, 5))):
        action = draw(st.sampled_from(ACTIONS))
        values: dict[str, Any] = {"where": draw(st.sampled_from(WHERES))}
        if draw(st.booleans()):
            values["scope"] = {"prefixes": [draw(st.sampled_from(["s3://b/a", "s3://b/c"]))]}
        found.append(policy(f"p{number}", action, priority=draw(st.integers(0, 2)), **values))
    return found


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "age_days": st.sampled_from([None, 10, 60, 200]),
            "idle_days": st.sampled_from([None, 10, 100]),
            "size_bytes": st.sampled_from([1, 9]),
            "tier": st.sampled_from(["hot", "cool", "archive", "unknown"]),
            "is_held": st.sampled_from([None, False, True]),
            "tags": st.sampled_from([None, [("t", "x")], [("t", "y")]]),
            "region": st.sampled_from([None, "us-east-1"]),
        }
    ),
    max_size=8,
)


def decided(policies: PolicySet, rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {entry.uri: (entry.decisions, entry.stays) for entry in decide(policies, *rows)}


@settings(max_examples=examples(25))
@given(policy_mappings(), ROWS, st.randoms(use_true_random=False))
def test_decisions_depend_neither_on_the_order_of_policies_nor_of_objects(
    policies: list[dict[str, Any]], values: list[dict[str, Any]], shuffle: random.Random
) -> None:
    rows = [made(f"s3://b/{'ac'[n % 2]}/{n}", **entry) for n, entry in enumerate(values)]
    found = decided(policy_set(*policies), rows)
    shuffle.shuffle(policies)
    shuffle.shuffle(rows)
    assert decided(policy_set(*policies), rows) == found


@settings(max_examples=examples(25))
@given(policy_mappings(), ROWS)
def test_every_object_of_the_scope_is_decided_or_stays_and_never_both(
    policies: list[dict[str, Any]], values: list[dict[str, Any]]
) -> None:
    chosen = policy_set(*policies)
    rows = [made(f"s3://b/{'ac'[n % 2]}/{n}", **entry) for n, entry in enumerate(values)]
    query = compile_policies(chosen, Surroundings(as_of=NOW))
    with inventory(rows) as connection:
        slots = [slot.column for slot in query.slots]
        any_slot = " OR ".join(f"{name} IS NOT NULL" for name in slots) or "false"
        wrong = connection.execute(
            f"SELECT count(*) FROM ({query.sql}) WHERE is_decided <> (stays_code IS NULL)"
            f" OR is_decided <> ({any_slot}) OR (stays_code IS NULL) <> (stays_policy IS NULL)"
        ).fetchone()
        found = outcomes(connection, query)
    assert wrong == (0,)
    acting = [entry for entry in chosen.policies if entry.kind != "protect"]
    everywhere = any(entry.model.scope is None for entry in acting)
    if everywhere:
        assert len(found) == len(rows)
    for entry in found:
        row = next(row for row in rows if row["uri"] == entry.uri)
        kinds = {next(iter(action)) for action in entry.decisions.values()}
        assert len(kinds - {"tag", "hold", "recompress"}) <= 1
        assert row["tier"] != "unknown" or not kinds
        assert not row["is_held"] or kinds <= {"tag"}
