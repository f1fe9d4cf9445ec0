from __future__ import annotations

import json
from typing import Any

import pytest

from greendata.policy.document import read_policies
from greendata.policy.native.export import export_rules
from greendata.policy.native.reading import import_rules
from tests.policy.made_policies import policy, policy_set

EXPIRE: dict[str, Any] = {"expire": {}}
CHAIN = {
    "Rules": [
        {
            "ID": "r",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "b"}]}},
            "Transitions": [
                {"Days": 30, "StorageClass": "STANDARD_IA"},
                {"Days": 90, "StorageClass": "DEEP_ARCHIVE"},
            ],
            "Expiration": {"Days": 365},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 2},
        },
        {
            "ID": "u",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
    ]
}


@pytest.mark.parametrize("bucket", ["b", None])
def test_s3_rules_come_back_as_they_were(bucket: str | None) -> None:
    def means(document: dict[str, Any]) -> set[str]:
        """Each action with its filter."""
        return {
            json.dumps([rule["Filter"], key, action], sort_keys=True)
            for rule in document["Rules"]
            for key in rule.keys() - {"ID", "Status", "Filter"}
            for action in (rule[key] if isinstance(rule[key], list) else [rule[key]])
        }

    _, text = import_rules(json.dumps(CHAIN).encode(), "x.json", bucket=bucket)
    found = export_rules(read_policies([("p", text.encode())]), "s3", bucket)
    assert found.left_out == ()
    assert means(found.document) == means(CHAIN)


def test_azure_rules_come_back_as_they_were() -> None:
    actions = {
        "baseBlob": {
            "tierToCool": {"daysAfterModificationGreaterThan": 30},
            "tierToArchive": {
                "daysAfterModificationGreaterThan": 90,
                "daysAfterLastTierChangeGreaterThan": 7,
            },
            "delete": {"daysAfterModificationGreaterThan": 900},
        },
        "version": {"delete": {"daysAfterCreationGreaterThan": 90}},
    }
    filters = {
        "blobTypes": ["blockBlob"],
        "prefixMatch": ["c/logs/"],
        "blobIndexMatch": [{"name": "a", "op": "==", "value": "b"}],
    }
    definition = {"filters": filters, "actions": actions}
    rule = {"enabled": True, "name": "r", "type": "Lifecycle", "definition": definition}
    _, text = import_rules(json.dumps({"rules": [rule]}).encode(), "x.json")
    found = export_rules(read_policies([("p", text.encode())]), "az", None)
    assert found.left_out == ()
    merged: dict[str, dict[str, Any]] = {}
    for entry in found.document["rules"]:
        assert entry["definition"]["filters"] == filters
        for key, action in entry["definition"]["actions"].items():
            merged.setdefault(key, {}).update(action)
    assert merged == actions


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (policy("p", EXPIRE, where="idle_days > 9"), "idle_days"),
        (policy("p", EXPIRE, where="age_days > 9 or is_held"), "its condition"),
        (policy("p", EXPIRE, where="glob(key, '**/*.x') and age_days > 9"), "its condition"),
        (policy("p", EXPIRE, where="age_days > 9 and age_days < 90"), "goes on for ever"),
        (policy("p", EXPIRE, where="size_bytes > 9"), "expire of current"),
        (policy("p", EXPIRE, scope={"datasets": ["d"]}, where="age_days > 9"), "dataset"),
        (policy("p", EXPIRE, scope={"exclude": ["x"]}, where="age_days > 9"), "exclude"),
        (
            policy("p", EXPIRE, scope={"prefixes": ["az://c/x"]}, where="age_days > 9"),
            "another kind",
        ),
        (policy("p", EXPIRE, scope={"prefixes": ["s3://c/x"]}, where="age_days > 9"), "than b"),
        (policy("p", EXPIRE, where="age_days > 9", guard={"max_objects": 3}), "max_objects"),
        (policy("p", {"tier": "hot"}, where="age_days > 9"), "only move down"),
        (policy("p", {"tier": "cool"}, where="age_days > 9"), "before 30 days"),
        (policy("p", {"tag": {"a": "b"}}), "tag of current"),
        (policy("p", {"quarantine": {}}), "quarantine of current"),
        (policy("p", {"protect": {}}), "protect"),
        (policy("p", {"abort_uploads": {}}, where="size_bytes > 3"), "abort_uploads"),
    ],
)
def test_what_s3_rules_cannot_say_is_left_out_and_named(made: dict[str, Any], what: str) -> None:
    found = export_rules(policy_set(made), "s3", "b")
    assert found.document == {"Rules": []}
    assert len(found.left_out) == 1
    assert what in found.left_out[0]


def test_nothing_is_exported_that_another_policy_protects() -> None:
    expire = policy("p", EXPIRE, where="age_days > 9", scope={"prefixes": ["s3://b/a/"]})
    here = policy("keep", {"protect": {}}, scope={"prefixes": ["s3://b/a/x"]})
    there = policy("keep", {"protect": {}}, scope={"prefixes": ["s3://b/c"]})
    other = policy("keep", {"protect": {"actions": ["tier"]}})
    assert export_rules(policy_set(expire, here), "s3", "b").exported == ()
    assert export_rules(policy_set(expire, there), "s3", "b").exported == ("p",)
    assert export_rules(policy_set(expire, other), "s3", "b").exported == ("p",)


def test_removal_without_quarantine_is_told() -> None:
    found = export_rules(policy_set(policy("p", EXPIRE, where="age_days > 9")), "s3", "b")
    assert found.document["Rules"][0]["Expiration"] == {"Days": 10}
    assert "without quarantine" in found.notes[0]
