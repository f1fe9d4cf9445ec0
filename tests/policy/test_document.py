from __future__ import annotations

import json
from typing import Any

import pytest

from greendata.errors import PolicyError
from greendata.policy.document import json_schema, read_policies
from tests.policy.made_policies import policy, policy_set

START = b"version: 1\npolicies:\n"


def refused(text: bytes) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read_policies([("p.yaml", text)])
    assert caught.value.exit_code == 11
    return caught.value.message.splitlines()


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (b"", "1:1", "expected keys and values"),
        (b"[1]", "1:1", "expected keys and values"),
        (b"version: 2\npolicies: [{name: a, all: true, action: {hold: legal}}]", "1:1", "version"),
        (b"version: 1\npolicies: []", "2:1", "policies"),
        (START + b"  - {name: A B, all: true, action: {hold: legal}}", "3:6", "name"),
        (START + b"  - name: a\n    all: true\n    action: {teir: cold}", "5:14",
         "unknown key 'teir'. Did you mean 'tier'?"),
        (START + b"  - name: a\n    all: true\n    acton: {tier: cold}", "5:5",
         "Did you mean 'action'?"),
        (START + b"  - {name: a, all: true, action: {tier: frozen}}", "3:35", "tier"),
        (START + b"  - {name: a, all: true, action: {}}", "3:26", "exactly one of"),
        (START + b"  - {name: a, all: true, action: {tier: ~}}", "3:26", "exactly one of"),
        (START + b"  - {name: a, all: true, action: {tier: cold, expire: {}}}", "3:26",
         "exactly one of"),
        (START + b"  - {name: a, action: {expire: {}}}", "3:5", "all: true"),
        (START + b"  - {name: a, scope: {exclude: [x]}, action: {expire: {}}}", "3:5", "all: true"),
        (START + b"  - {name: a, all: true, where: is_held, action: {expire: {}}}", "3:15",
         "beside a scope"),
        (START + b"  - {name: a, all: false, action: {expire: {}}}", "3:15", "all"),
        (START + b"  - {name: a, all: true, action: {expire: {grace_days: 0}}}", "3:44", "grace"),
        (START + b"  - {name: a, all: true, action: {expire: {grace_days: '30'}}}", "3:44",
         "integer"),
        (START + b"  - {name: a, all: true, action: {tier: cold}, priority: 1.5}", "3:48",
         "priority"),
        (START + b"  - {name: a, all: true, action: {hold: compliance}}", "3:35", "hold"),
        (START + b"  - {name: a, all: true, action: {quarantine: {allow: near}}}", "3:35",
         "min_jaccard"),
        (START + b"  - {name: a, all: true, action: {tier: cold}, guard: {max_bytes: 3M}}", "3:56",
         "3M"),
        (START + b"  - {name: a, all: true, action: {tier: cold}, webhook: x}", "3:48",
         "only in greendata.yaml"),
        (START + b"  - {name: a, all: true, action: {command: rm}}", "3:35",
         "only in greendata.yaml"),
        (START + b"  - {name: a, all: true, action: {tier: cold}, guard: {endpoint: http://x}}",
         "3:56", "only in greendata.yaml"),
        (START + b"  - {name: a, scope: {prefixes: [\"https://x/y\"]}, action: {expire: {}}}",
         "3:34", "names no folder"),
        (START + b"  - {name: a, scope: {prefixes: [\"s3://\"]}, action: {expire: {}}}", "3:34",
         "names no folder"),
        (START + b"  - {name: a, scope: {prefixes: [\"s3://b/*/x\"]}, action: {expire: {}}}",
         "3:34", "a prefix is no glob"),
        (START + b"  - {name: a, scope: {prefixes: [\"az://c/x\"]}, action: {tier: deep_archive}}",
         "3:34", "az has no tier"),
        (START + b"  - {name: a, scope: {prefixes: [data/x]}, action: {tier: archive}}",
         "3:34", "file has no tier"),
        (START + b"  - {name: a, all: true, action: {tier: deep_archive},"
         b" guard: {max_restore_hours: 4}}", "3:64", "this never acts"),
        (START + b"  - {name: a, all: true, action: {tier: archive}, guard: {readers: online}}",
         "3:59", "this never acts"),
        (START + b"  - {name: a, all: true, action: {protect: {}}, guard: {readers: none}}",
         "3:49", "no guard"),
        (START + b"  - {name: a, all: true, unknown_access: modified, action: {protect: {}}}",
         "3:26", "what is unknown"),
        (START + b"  - {name: a, all: true, action: {protect: {actions: [tier], min_copies: 2}}}",
         "3:35", "use two policies"),
        (START + b"  - {name: a, all: true, scope: {state: noncurrent},"
         b" action: {recompress: {profile: stream}}}", "3:34", "recompress is for current"),
        (START + b"  - {name: a, where: newer_versions > 1, action: {expire: {}}}", "3:15",
         "earlier versions only"),
        (START + b"  - name: a\n    where: >-\n      is_held\n      and idel_days > 3\n"
         b"    action: {hold: legal}", "6:11", "Did you mean 'idle_days'?"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_line_and_column(text: bytes, place: str, what: str) -> None:
    lines = refused(text)
    assert any(line.startswith(f"p.yaml:{place}: ") and what in line for line in lines), lines


def test_all_mistakes_of_all_files_are_told_at_once() -> None:
    good = b"version: 1\npolicies: [{name: a, all: true, action: {hold: legal}}]"
    bad = START + b"  - {name: x, all: true, action: {teir: cold}}\n  - {name: z, wher: is_held}\n"
    with pytest.raises(PolicyError) as caught:
        read_policies([("a.yaml", good), ("b.yaml", bad), ("c.yaml", good), ("d.yaml", b"[")])
    lines = caught.value.message.splitlines()
    assert [line.split(":")[0] for line in lines] == ["b.yaml"] * 3 + ["d.yaml", "c.yaml"]
    assert "policy 'a' is also in a.yaml, line 2" in lines[-1]


def test_a_flood_of_mistakes_is_cut_short() -> None:
    lines = refused(b"".join(b"k%d: 1\n" % number for number in range(5_000)))
    assert len(lines) == 101
    assert "more mistakes" in lines[-1]


def test_the_digest_is_of_what_policies_mean() -> None:
    one = (
        b"version: 1\npolicies:\n- {name: a, where: is_held, action: {expire: {}}}\n"
        b"- {name: b, all: true, action: {hold: legal}}\n"
    )
    same = (
        b"# why\nversion: 1\npolicies:\n- name: b\n  all: true\n  action: {hold: 'legal'}\n"
        b"- {name: a, action: {expire: {grace_days: 30}}, where: 'is_held', priority: 0}\n"
    )
    other = one.replace(b"is_held", b"is_locked")
    digests = [read_policies([("p", text)]).digest for text in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


def test_the_schema_describes_what_is_read() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    good: dict[str, Any] = {"version": 1, "policies": [policy("a", {"tier": "cold"})]}
    assert validator.is_valid(good)
    for bad in (
        {"version": 1},
        {"version": 1, "policies": [policy("a", {})]},
        {"version": 1, "policies": [policy("a", {"tier": "cold", "expire": {}})]},
        {"version": 1, "policies": [policy("a", {"tier": "cold"}, webhook="x")]},
        {"version": 1, "policies": [policy("a", {"tier": "frozen"})]},
    ):
        assert not validator.is_valid(bad), json.dumps(bad)


def test_sizes_in_guards_are_read() -> None:
    found = policy_set(policy("a", {"tier": "cold"}, guard={"max_bytes": "10TiB"}))
    assert found.policies[0].max_bytes == 10 * 2**40
