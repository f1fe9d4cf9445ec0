from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest

from greendata.errors import PolicyError
from greendata.footprint.costs import early_delete_cost, monthly_cost, transition_cost
from greendata.footprint.prices import price_list
from greendata.plan.actions import ACTIONS, DECISIONS, REFUSALS
from greendata.plan.places import Place
from tests.plan.made_plans import GIB, plan, planned, stored
from tests.policy.made_policies import NOW, policy, policy_set

ARCHIVE = policy("archive", {"tier": "archive"}, guard={"readers": "none"})
COOL = policy("cool", {"tier": "cool"})
EXPIRE = policy("old", {"expire": {"grace_days": 14}}, scope={"state": "noncurrent"}, all=True)


def price(name: str, region: str = "us-east-1") -> Any:
    return price_list(NOW.date()).find("s3", region, name)


def close(found: Decimal, expected: Decimal) -> bool:
    return abs(found - expected) <= max(abs(expected) * Decimal("1e-9"), Decimal("1e-11"))


def test_the_tables_have_the_schemas_that_are_promised() -> None:
    with planned(policy_set(COOL), [stored("a"), stored("b", tier="cool")]) as (connection, _):
        actions = connection.sql("FROM plan_actions").to_arrow_table()
        decisions = connection.sql("FROM plan_decisions").to_arrow_table()
    assert actions.schema.names == ACTIONS.names
    assert actions.cast(ACTIONS).num_rows == 1
    assert decisions.cast(DECISIONS).num_rows == 1


def test_a_tier_costs_and_saves_what_the_price_list_says() -> None:
    (action,) = plan([ARCHIVE], stored("a")).actions
    source, target = price("STANDARD"), price("GLACIER")
    move = price_list(NOW.date()).transitions["s3", "us-east-1", "STANDARD", "GLACIER", "copy"]
    assert close(action["fees_usd"], transition_cost(move, source, GIB, 365))
    saving = monthly_cost(source, GIB) - monthly_cost(target, GIB)
    assert close(action["monthly_saving_usd"], saving)
    assert action["payback_days"] == math.ceil(action["fees_usd"] * 30 / saving)
    assert json.loads(action["to"]) == {"tier": "archive", "storage_class": "GLACIER"}
    assert action["reversibility"] == "costly"
    assert action["energy_kwh_central"] == action["carbon_kgco2e_high"] == 0  # money, not carbon
    assert action["is_hold_checked_at_apply"]


def test_the_earlier_version_that_a_tier_leaves_is_priced_until_its_purge() -> None:
    (bare,) = plan([ARCHIVE], stored("a")).actions
    (kept,) = plan([ARCHIVE], stored("a", version_id="v1")).actions
    assert close(kept["fees_usd"] - bare["fees_usd"], monthly_cost(price("STANDARD"), GIB))


def test_minimum_duration_still_owed_is_a_fee() -> None:
    young = stored("a", storage_class="STANDARD_IA", tier="cool", days_in_tier=10)
    old = young | {"days_in_tier": 200}
    (first,), (second,) = plan([ARCHIVE], young).actions, plan([ARCHIVE], old).actions
    owed = early_delete_cost(price("STANDARD_IA"), GIB, 10)
    assert owed > 0
    assert close(first["fees_usd"] - second["fees_usd"], owed)


def test_reads_that_were_measured_count_against_a_colder_tier() -> None:
    read = stored("a", reads_30d=3.0, read_bytes_30d=3 * GIB)
    assert plan([COOL], read).told() == {"a": "no-saving"}
    assert plan([COOL], stored("a", reads_30d=0.0, read_bytes_30d=0)).told() == {"a": "tier"}


def test_what_does_not_pay_back_is_refused() -> None:
    guarded = COOL | {"guard": {"max_payback_days": 60}}
    small = stored("small", size_bytes=256 * 1024)
    assert plan([guarded], small, stored("large")).told() == {"small": "payback", "large": "tier"}
    assert plan([COOL], stored("tiny", size_bytes=1000)).told() == {"tiny": "no-saving"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"region": None}, "no-region"),
        ({"region": "mars-1"}, "no-price"),
        ({"storage_class": "ONEZONE_IA", "tier": "cool", "days_in_tier": None}, "no-price"),
    ],
)
def test_a_price_that_is_missing_refuses_by_name_and_the_plan_goes_on(
    values: dict[str, Any], reason: str
) -> None:
    found = plan([ARCHIVE], stored("a", **values), stored("b"))
    assert found.told() == {"a": reason, "b": "tier"}
    assert found.decisions[0]["policy"] == "archive"


def test_the_refusal_says_which_price() -> None:
    (decision,) = plan([ARCHIVE], stored("a", region="mars-1")).decisions
    assert decision["because"] == f"{REFUSALS['no-price']}: s3 STANDARD to GLACIER in mars-1"


def test_an_expired_version_saves_its_storage_from_the_purge_on() -> None:
    rows = [stored("a", version_id="1", is_latest=False), stored("a", version_id="2")]
    (action,) = plan([EXPIRE], *rows).actions
    assert action["version_id"] == "1"
    assert action["fees_usd"] == 0
    assert close(action["monthly_saving_usd"], monthly_cost(price("STANDARD"), GIB))
    assert action["reversibility"] == "irreversible"
    low, central, high = (action[f"carbon_kgco2e_{bound}"] for bound in ("low", "central", "high"))
    assert 0 < low < central < high
    assert action["payback_days"] == 0


def test_an_upload_of_unknown_size_is_dropped_for_nothing() -> None:
    upload = stored("u", format="upload", size_bytes=None, version_id="up", region=None)
    abort = policy("abort", {"abort_uploads": {"older_than_days": 7}})
    (action,) = plan([abort], upload).actions
    assert action["fees_usd"] == 0
    assert action["monthly_saving_usd"] is None
    assert json.loads(action["to"]) == {"upload_id": "up"}


def test_local_objects_cost_nothing_and_can_be_planned() -> None:
    local = stored("a", uri="file:///d/a", store="file", region=None, storage_class=None)
    (action,) = plan([policy("scratch", {"expire": {}}, where="age_days > 1")], local).actions
    assert action["fees_usd"] == action["monthly_saving_usd"] == 0
    assert action["carbon_kgco2e_central"] is None


def test_recompression_that_was_never_measured_is_refused() -> None:
    squeeze = policy("squeeze", {"recompress": {"profile": "stream"}})
    assert plan([squeeze], stored("a")).told() == {"a": "unmeasured"}
    (action,) = plan([squeeze], stored("a", recompress_ratio=0.5)).actions
    saved = monthly_cost(price("STANDARD"), GIB) / 2
    assert close(action["monthly_saving_usd"], saved)


def test_a_dataset_with_a_manifest_switches_as_one_or_not_at_all() -> None:
    squeeze = policy("squeeze", {"recompress": {"profile": "stream"}})
    rows = [stored(key, dataset="crawl", recompress_ratio=0.5) for key in "ab"]
    found = plan([squeeze], *rows, manifests=("crawl",))
    assert len({action["group_id"] for action in found.actions}) == 1
    assert len({action["action_id"] for action in found.actions}) == 2
    rows[1]["recompress_ratio"] = None
    assert plan([squeeze], *rows, manifests=("crawl",)).told() == {"a": "group", "b": "unmeasured"}


def test_tags_of_several_policies_compose_with_a_tier() -> None:
    policies = [
        COOL,
        policy("one", {"tag": {"a": "1", "b|": "`2`"}}, where="size_bytes > 0"),
    ]
    found = plan(policies, stored("x"))
    assert [(a["kind"], json.loads(a["to"])) for a in found.actions] == [
        ("tag", {"tag": {"a": "1"}}),
        ("tag", {"tag": {"b|": "`2`"}}),
        ("tier", {"tier": "cool", "storage_class": "STANDARD_IA"}),
    ]
    assert all(a["monthly_saving_usd"] < 0 for a in found.actions if a["kind"] == "tag")


def test_policies_that_contradict_each_other_stop_the_plan() -> None:
    with pytest.raises(PolicyError, match=r"archive.*cool"):
        plan([ARCHIVE, COOL], stored("a"))


LONDON = Place(provider="s3", region="eu-west-1", uri="s3://b-eu/")
FOLLOW = policy("follow", {"relocate": {"to": "training_region", "mode": "replicate"}})
MOVE = policy("move", {"relocate": {"to": "training_region", "mode": "move"}})


def away(key: str, **values: Any) -> dict[str, Any]:
    return stored(key, training_region="eu-west-1", **values)


def test_a_replica_is_planned_when_measured_reads_pay_for_it() -> None:
    read = away("a", reads_30d=4.0, read_bytes_30d=4 * GIB)
    found = plan([FOLLOW], read, away("b"), places=(LONDON,))
    assert found.told() == {"a": "relocate", "b": "no-saving"}
    (action,) = found.actions
    assert json.loads(action["to"])["uri"] == "s3://b-eu/a"
    assert action["energy_kwh_high"] < 0  # it is stored twice


def test_a_replica_that_is_there_is_not_made_again() -> None:
    read = away("a", reads_30d=4.0, read_bytes_30d=4 * GIB)
    there = stored("x", uri="s3://b-eu/a", etag="etag-a", region="eu-west-1",
                   training_region="eu-west-1")  # fmt: skip
    found = plan([FOLLOW], read, there, places=(LONDON,))
    assert found.told()["a"] == "replicated"
    assert plan([FOLLOW], read, there | {"etag": "?"}, places=(LONDON,)).told()["a"] == "taken"


def test_nowhere_to_go_is_a_refusal() -> None:
    read = away("a", reads_30d=4.0, read_bytes_30d=4 * GIB)
    assert plan([FOLLOW], read).told() == {"a": "no-place"}
    two = (LONDON, Place(provider="s3", region="eu-west-1", uri="s3://other/"))
    assert plan([FOLLOW], read, places=two).told() == {"a": "no-place"}


def test_a_move_claims_carbon_only_where_the_grids_are_apart() -> None:
    def carbon(target: str) -> float:
        place = Place(provider="s3", region=target, uri="s3://t/")
        row = away("a", reads_30d=9.0, read_bytes_30d=9 * GIB) | {"training_region": target}
        (action,) = plan([MOVE], row, places=(place,)).actions
        return float(action["carbon_kgco2e_central"])

    assert carbon("eu-north-1") > 0  # hydro and nuclear power
    assert carbon("us-east-2") == 0  # the same grid


GUARDS = [
    ({"max_objects": 1}, "max_objects: 2 objects, 1 allowed"),
    ({"max_bytes": "1GiB"}, "max_bytes: 2.0 GiB, 1.0 GiB allowed"),
    ({"max_percent": 50}, "max_percent: 66.7 % of the objects in scope, 50 % allowed"),
    ({"max_one_off_usd": 0}, "max_one_off_usd: 0.00 USD, 0 allowed"),
    ({"min_saving_usd": 5}, "min_saving_usd: 0.02 USD a month, 5 wanted"),
]


@pytest.mark.parametrize(("guard", "words"), GUARDS)
def test_a_policy_beyond_its_guard_is_withheld_whole(guard: dict[str, Any], words: str) -> None:
    guarded = COOL | {"guard": guard, "where": "age_days > 300", "all": None}
    del guarded["all"]
    rows = [stored("a"), stored("b"), stored("c", age_days=1)]
    found = plan([guarded], *rows)
    assert found.built.withheld == {"cool": words}
    assert found.told() == {"a": "guard", "b": "guard", "c": "condition"}
    assert words in found.decisions[0]["because"]


def test_a_carbon_guard_weighs_what_replicas_add() -> None:
    read = away("a", reads_30d=4.0, read_bytes_30d=4 * GIB)
    guarded = FOLLOW | {"guard": {"max_carbon_kgco2e": 0}}
    assert plan([guarded], read, places=(LONDON,)).told() == {"a": "guard"}


def test_an_empty_inventory_is_an_empty_plan() -> None:
    found = plan([COOL])
    assert found.actions == found.decisions == []


def test_protection_alone_plans_nothing() -> None:
    found = plan([policy("gold", {"protect": {}})], stored("a"))
    assert found.actions == found.decisions == []
