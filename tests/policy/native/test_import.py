from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.errors import PolicyError
from greendata.policy.document import PolicySet, read_policies
from greendata.policy.native.reading import import_rules
from tests.examples import examples
from tests.policy.made_policies import decide, made, told

XML = """<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}
</LifecycleConfiguration>"""
RULE = "<Rule><ID>r</ID><Status>Enabled</Status>{}</Rule>"


def imported(text: str | bytes, **names: str) -> PolicySet:
    raw = text.encode() if isinstance(text, str) else text
    _, made_text = import_rules(raw, "rules", **names)
    return read_policies([("made.yaml", made_text.encode())])


def s3(*rules: dict[str, Any], **values: Any) -> str:
    found = [{"ID": "r", "Status": "Enabled", "Filter": {}} | rule for rule in rules]
    return json.dumps({"Rules": found} | values)


def azure(actions: dict[str, Any], **filters: Any) -> str:
    definition = {"filters": {"blobTypes": ["blockBlob"]} | filters, "actions": actions}
    return json.dumps(
        {"rules": [{"enabled": True, "name": "r", "type": "Lifecycle", "definition": definition}]}
    )


CHAIN = (
    "<Filter><Prefix>logs/</Prefix></Filter>"
    "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"
    "<Transition><Days>90</Days><StorageClass>GLACIER</StorageClass></Transition>"
    "<Expiration><Days>365</Days></Expiration>"
)


@pytest.mark.parametrize(
    ("age_days", "tier", "expected"),
    [
        (29, "hot", "condition"),
        (30, "hot", "r-cool"),
        (89, "cool", "unchanged"),
        (90, "cool", "r-archive"),
        (364, "archive", "unchanged"),
        (365, "archive", "r-expire"),
        (900, "hot", "r-expire"),
    ],
)
def test_steps_of_an_s3_rule_follow_each_other(age_days: int, tier: str, expected: str) -> None:
    policies = imported(XML.format(RULE.format(CHAIN)), bucket="b")
    row = made("s3://b/logs/x", age_days=age_days, tier=tier)
    assert told(decide(policies, row)) == [expected]
    assert decide(policies, made("s3://b/other/x", age_days=900)) == []


def test_xml_and_json_of_s3_mean_the_same() -> None:
    as_json = s3(
        {
            "Filter": {"Prefix": "logs/"},
            "Transitions": [
                {"Days": 30, "StorageClass": "STANDARD_IA"},
                {"Days": 90, "StorageClass": "GLACIER"},
            ],
            "Expiration": {"Days": 365},
        }
    )
    as_xml = XML.format(RULE.format(CHAIN))
    assert imported(as_json).digest == imported(as_xml).digest


def test_small_objects_stay_as_s3_leaves_them_unless_the_rule_names_a_size() -> None:
    move = {"Transitions": [{"Days": 0, "StorageClass": "GLACIER"}]}
    sized = move | {"Filter": {"ObjectSizeGreaterThan": 500}}
    row = made(age_days=9, size_bytes=1000)
    assert told(decide(imported(s3(move)), row)) == ["condition"]
    assert told(decide(imported(s3(sized)), row)) == ["r-archive"]
    varies = s3(move, TransitionDefaultMinimumObjectSize="varies_by_storage_class")
    assert told(decide(imported(varies), row)) == ["r-archive"]


def test_tags_sizes_and_prefixes_of_a_filter_all_count() -> None:
    both = {
        "Prefix": "a",
        "Tags": [{"Key": "k", "Value": "it's"}],
        "ObjectSizeGreaterThan": 10,
        "ObjectSizeLessThan": 20,
    }
    policies = imported(s3({"Filter": {"And": both}, "Expiration": {"Days": 1}}), bucket="b")
    good = made("s3://b/ab", age_days=1, size_bytes=11, tags=[("k", "it's")])
    assert told(decide(policies, good)) == ["r-expire"]
    for change in (
        {"key": "b"}, {"size_bytes": 10}, {"size_bytes": 20}, {"age_days": 0},
        {"tags": [("k", "x")]},
    ):  # fmt: skip
        assert told(decide(policies, good | change)) == ["condition"], change
    assert told(decide(policies, good | {"tags": None})) == ["unknown"]


def test_versions_markers_and_uploads_become_policies_of_their_state() -> None:
    policies = imported(
        s3(
            {
                "Expiration": {"ExpiredObjectDeleteMarker": True},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 5},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
            }
        )
    )
    assert {entry.name: (entry.kind, entry.state) for entry in policies.policies} == {
        "r-delete-markers": ("expire", "expired-delete-marker"),
        "r-earlier-versions": ("expire", "noncurrent"),
        "r-uploads": ("abort_uploads", "upload"),
    }


def test_what_cannot_be_kept_is_said() -> None:
    rule = {
        "Prefix": "/",
        "Transitions": [{"Days": 30, "StorageClass": "ONEZONE_IA"}],
        "NoncurrentVersionTransitions": [{"NoncurrentDays": 30, "StorageClass": "GLACIER"}],
        "Expiration": {"Date": "2030-01-01"},
    }
    off = {"ID": "off", "Status": "Disabled", "Expiration": {"Days": 1}}
    found, text = import_rules(s3(rule | {"Filter": None}, off).encode(), "x.json")
    told_of = " ".join(text.replace("\n", " ").replace("#", " ").split())
    for words in (
        "rule off, which is disabled", "on a date", "earlier version in place",
        "begins with a slash", "ONEZONE_IA", "does not name", "128 KiB",
        "The provider lets the cheapest win",
    ):  # fmt: skip
        assert words in told_of, words
    assert len(found.drafts) == 1


def test_azure_conditions_keep_their_column() -> None:
    policies = imported(
        azure(
            {
                "baseBlob": {
                    "tierToCool": {"daysAfterLastAccessTimeGreaterThan": 30},
                    "tierToArchive": {
                        "daysAfterModificationGreaterThan": 90,
                        "daysAfterLastTierChangeGreaterThan": 7,
                    },
                    "delete": {"daysAfterCreationGreaterThan": 900},
                },
                "version": {"delete": {"daysAfterCreationGreaterThan": 90}},
            },
            prefixMatch=["c/logs/", "d"],
        ),
        account="a",
    )
    base = made("az://c@a/logs/x", account="a", bucket="c", days_in_tier=8)
    for row, expected in (
        (base | {"idle_days": 31, "age_days": 50}, "r-cool"),
        (base | {"idle_days": 30, "age_days": 50}, "condition"),
        (base | {"idle_days": None, "age_days": 50}, "unknown"),
        (base | {"idle_days": 31, "age_days": 91}, "r-archive"),
        (base | {"idle_days": 31, "age_days": 91, "days_in_tier": 7}, "condition"),
        (base | {"idle_days": 31, "age_days": 901}, "r-expire"),
        (base | {"age_days": 91, "is_latest": False}, "r-versions-expire"),
        (base | {"age_days": 901, "bucket": "dd"}, "r-expire"),
        (base | {"age_days": 901, "key": "x"}, "condition"),
        (base | {"age_days": 901, "account": "b"}, "condition"),
    ):
        assert told(decide(policies, row)) == [expected], row


CUSTODIAN = b"""
policies:
  - name: empty-dev
    resource: aws.s3
    filters: [{"tag:env": dev}]
    actions:
      - type: toggle-versioning
      - type: configure-lifecycle
        rules:
          - {ID: x, Status: Enabled, Prefix: tmp/, Expiration: {Days: 1}}
"""


def test_lifecycle_actions_of_custodian_are_found_among_others() -> None:
    found, text = import_rules(CUSTODIAN, "c.yml", bucket="b")
    assert [draft.name for draft in found.drafts] == ["empty-dev-x-expire"]
    assert "toggle-versioning" in text
    assert "Custodian chooses the buckets by its filters" in text


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><LifecycleConfiguration>&b;'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("hello", "neither XML"),
        ("a: [", "neither XML nor JSON"),
        ("{", "line 1, column 2: not JSON"),
        ('{"Rules": [],}', "not JSON"),
        ('{"a": 1, "a": 2}', "'a' stands there twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"rules": [{"definition": 3}]}', "a definition has keys"),
        ('{"Rules": []}', "no lifecycle rules"),
        ('{"Rules": 3}', "no lifecycle rules"),
        ('{"Rules": [3]}', "a rule has keys"),
        ("1. <LifecycleConfiguration>", "line numbers"),
        (BOMB, "document type"),
        ("<a></a>", "<a> is no S3 lifecycle"),
        (XML.format("<Rule>...</Rule>"), "'...'"),
        (XML.format("<Rule><ID>x</ID>"), "not XML"),
        ("<a>" * 100, "nested too deeply"),
        (XML.format(RULE.format("")), "rule r: it has no action"),
        (
            XML.format(RULE.format("<Expiration><Days>x</Days></Expiration>")),
            "'x', no whole number",
        ),
        (XML.format(RULE.format("<Expiration><Days>-1</Days></Expiration>")), "no whole number"),
        (XML.format(RULE.format("<Expirations><Days>1</Days></Expirations>")), "<Days> inside"),
        (XML.format("<Rule><Status>on</Status></Rule>"), "neither Enabled nor Disabled"),
        (s3({"Transitions": [{"Days": 1, "StorageClass": "GLACER"}]}), "Did you mean 'GLACIER'?"),
        (s3({"Expiration": {"Days": 1}, "Filtr": {}}), "'Filtr'. Did you mean 'Filter'?"),
        (s3({"Expiration": {"Days": True}}), "no whole number"),
        (s3({"ID": "x", "Status": "Disabled"}), "nothing to import"),
        (s3({"Filter": {"Prefix": "a\u202eb"}, "Expiration": {"Days": 1}}), "no policy may say"),
        (azure({"baseBlob": {"tierToIce": {}}}), "Did you mean"),
        (azure({"baseBlob": {"delete": {}}}), "names no number of days"),
        (azure({"baseBlob": {"delete": {"daysAfterModificationGreaterThan": "x"}}}), "no whole"),
        (azure({"snapshot": {"delete": {}}}), "nothing to import"),
        ("policies: [{name: a, resource: azure.storage, actions: []}]", "no lifecycle action"),
        ("policies: [3]", "no keys and values"),
    ],
)
def test_what_cannot_be_imported_is_refused_by_name(text: str, what: str) -> None:
    with pytest.raises(PolicyError) as caught:
        import_rules(text.encode("utf-8", "surrogatepass"), "rules.txt")
    assert caught.value.message.startswith("rules.txt: ")
    assert what in caught.value.message


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 400) | st.sampled_from(["", "Enabled", "GLACIER"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["Rules", "rules", "policies", "ID", "Status", "Filter", "And", "Prefix", "Tags", "Tag",
             "Transitions", "Days", "StorageClass", "Expiration", "definition", "actions",
             "filters", "baseBlob", "delete", "prefixMatch", "resource", "name",
             "NoncurrentVersionExpiration",
             "daysAfterModificationGreaterThan", "blobIndexMatch", "properties", "type"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=examples(300))
@given(JSONS)
def test_any_json_is_imported_or_refused(document: Any) -> None:
    try:
        _, text = import_rules(json.dumps(document).encode(), "x.json")
    except PolicyError:
        return
    read_policies([("made.yaml", text.encode())])


RULES = st.fixed_dictionaries(
    {"Filter": st.sampled_from([{}, {"Prefix": "a/"}, {"ObjectSizeGreaterThan": 5}, None])},
    optional={
        "Transitions": st.lists(
            st.fixed_dictionaries(
                {
                    "Days": st.integers(0, 400),
                    "StorageClass": st.sampled_from(["GLACIER", "GLACIER_IR"]),
                }
            ),
            max_size=2,
        ),
        "Expiration": st.fixed_dictionaries({"Days": st.integers(1, 400)}),
        "Junk": st.just(1),
    },
)


@settings(max_examples=examples(100))
@given(st.lists(RULES, min_size=1, max_size=3))
def test_rules_of_the_right_shape_become_policies_that_load(rules: list[dict[str, Any]]) -> None:
    try:
        _, text = import_rules(s3(*rules).encode(), "x.json")
    except PolicyError:
        is_junk = any("Junk" in rule for rule in rules)
        is_empty = any(not rule.get("Transitions") and "Expiration" not in rule for rule in rules)
        if is_junk or is_empty:
            return
        raise
    read_policies([("made.yaml", text.encode())])
