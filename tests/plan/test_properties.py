"""What holds of every plan, whatever the inventory and the policies."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greendata.plan.actions import KINDS, MOST_SURVIVORS
from greendata.plan.places import Place
from greendata.policy.tiers import ARCHIVES
from tests.examples import examples
from tests.plan.made_plans import GIB, planned, short, stored
from tests.policy.made_policies import policy, policy_set

PLACES = (Place(provider="s3", region="eu-north-1", uri="s3://t/"),)
CLASSES = {
    "STANDARD": "hot", "STANDARD_IA": "cool", "GLACIER_IR": "cold", "GLACIER": "archive",
    "ODD": "unknown",
}  # fmt: skip
POLICIES: tuple[dict[str, Any], ...] = (
    policy("archive", {"tier": "archive"}, where="age_days >= 300", priority=9,
           guard={"readers": "none", "max_payback_days": 200}),
    policy("cool", {"tier": "cool"}, where="age_days >= 100", priority=8),
    policy("copies", {"quarantine": {"grace_days": 30}}, where="verified_copies >= 1"),
    policy("copies-too", {"quarantine": {"grace_days": 7}}, scope={"prefixes": ["s3://b/x"]},
           where="verified_copies >= 1", priority=3),
    policy("sweep", {"expire": {}}, scope={"prefixes": ["s3://b/x"]}, where="age_days >= 200"),
    policy("versions", {"expire": {}}, scope={"state": "noncurrent"}, where="age_days >= 50"),
    policy("uploads", {"abort_uploads": {"older_than_days": 7}}),
    policy("follow", {"relocate": {"to": "training_region", "mode": "move"}}, where="reads_30d > 0",
           priority=7),
    policy("tags", {"tag": {"old": "1"}}, where="age_days >= 250"),
    policy("gold", {"protect": {}}, scope={"prefixes": ["s3://b/gold"]}),
)  # fmt: skip


@st.composite
def inventories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, str]]:
    rows, contents = [], {}
    keys = draw(
        st.lists(st.sampled_from([f"{f}/{n}" for f in ("x", "y", "gold") for n in range(5)]),
                 max_size=9, unique=True)
    )  # fmt: skip
    for key in keys:
        name = draw(st.sampled_from(sorted(CLASSES)))
        age = draw(st.sampled_from([1, 120, 260, 400]))
        reads = draw(st.sampled_from([None, 0.0, 5.0]))
        row = stored(
            key,
            storage_class=name,
            tier=CLASSES[name],
            age_days=age,
            days_in_tier=age,
            size_bytes=draw(st.sampled_from([0, 1000, GIB, 50 * GIB])),
            region=draw(st.sampled_from(["us-east-1", "eu-north-1", None])),
            training_region="eu-north-1",
            residency=draw(st.sampled_from([None, ["eu"], ["us", "eu"]])),
            is_held=draw(st.sampled_from([None, True, False])),
            reads_30d=reads,
            read_bytes_30d=None if reads is None else int(reads * GIB),
            version_id=draw(st.sampled_from([None, "v9"])),
        )
        if draw(st.booleans()) and row["size_bytes"]:
            contents[row["uri"]] = f"{row['size_bytes']}-{draw(st.sampled_from('de'))}"
        rows.append(row)
        if row["version_id"] and draw(st.booleans()):
            rows.append(row | {"version_id": "v1", "is_latest": False, "etag": "old"})
        if draw(st.integers(0, 5)) == 0:
            rows.append(row | {"version_id": "up", "is_latest": False, "format": "upload",
                               "etag": None, "size_bytes": None})  # fmt: skip
    return with_copies(rows, contents), contents


def with_copies(
    rows: Sequence[Mapping[str, Any]], contents: Mapping[str, str]
) -> list[dict[str, Any]]:
    """``verified_copies`` as the inventory view counts them: of current objects."""
    counts = Counter(contents[r["uri"]] for r in rows if is_current(r) and r["uri"] in contents)
    return [
        dict(r)
        | {
            "verified_copies": float(counts[contents[r["uri"]]] - 1)
            if is_current(r) and r["uri"] in contents
            else 0.0
        }
        for r in rows
    ]


def is_current(row: Mapping[str, Any]) -> bool:
    return bool(row["is_latest"]) and row.get("format") != "upload"


chosen = st.lists(st.sampled_from(POLICIES), min_size=1, unique_by=lambda p: p["name"])
quickly = settings(max_examples=examples(8), suppress_health_check=list(HealthCheck))


def identity(row: Mapping[str, Any]) -> tuple[str, str | None]:
    return row["uri"], row["version_id"]


def files(connection: duckdb.DuckDBPyConnection, folder: Path) -> bytes:
    content = b""
    for view in ("plan_actions", "plan_decisions"):
        path = folder / f"{view}.parquet"
        connection.execute(f"COPY (FROM {view}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        content += path.read_bytes()
    return content


@quickly
@given(inventories(), chosen, st.integers(0, 99))
def test_a_plan_is_the_same_whatever_the_order_of_rows_policies_and_threads(
    tmp_path_factory: Any, made: Any, policies: Any, seed: int
) -> None:
    rows, contents = made
    folder = tmp_path_factory.getbasetemp()
    with planned(policy_set(*policies), rows, contents=contents, places=PLACES) as (c, _):
        first = files(c, folder)
    rows, policies = list(rows), list(policies)
    random.Random(seed).shuffle(rows)
    random.Random(seed).shuffle(policies)
    again = policy_set(*policies)
    with planned(again, rows, contents=contents, places=PLACES, threads=3) as (c, _):
        assert files(c, folder) == first


@quickly
@given(inventories(), chosen)
def test_every_object_in_scope_is_in_the_plan_or_has_a_reason(made: Any, policies: Any) -> None:
    rows, contents = made
    with planned(policy_set(*policies), rows, contents=contents, places=PLACES) as (c, found):
        scope = c.execute("SELECT uri, version_id FROM plan_decided").fetchall()
    acted = {identity(a) for a in found.actions}
    stays = [identity(d) for d in found.decisions]
    assert len(stays) == len(set(stays))
    assert not acted & set(stays)
    assert acted | set(stays) == set(scope)
    assert all(d["reason"] and d["because"] for d in found.decisions)


@quickly
@given(inventories(), chosen)
def test_nothing_protected_or_held_is_changed(made: Any, policies: Any) -> None:
    rows, contents = made
    everything = [*(p for p in policies if p["name"] != "gold"), POLICIES[-1]]
    with planned(policy_set(*everything), rows, contents=contents, places=PLACES) as (_, found):
        pass
    held = {identity(r) for r in rows if r["is_held"]}
    for action in found.actions:
        if action["kind"] not in ("tag", "abort_uploads"):
            assert "gold" not in action["uri"]
            assert identity(action) not in held
        assert action["kind"] != "abort_uploads" or "gold" not in action["uri"]


@quickly
@given(inventories(), chosen)
def test_no_plan_removes_the_last_verified_copy(made: Any, policies: Any) -> None:
    rows, contents = made
    with planned(policy_set(*policies), rows, contents=contents, places=PLACES) as (_, found):
        pass
    current = {r["uri"]: r for r in rows if is_current(r)}
    touched = {identity(a): json.loads(a["to"]) for a in found.actions if a["kind"] != "tag"}
    for action in found.actions:
        if action["kind"] != "quarantine":
            continue
        (named,) = action["survivors"]
        survivor, leaver = current[named["uri"]], current[action["uri"]]
        assert contents[survivor["uri"]] == contents[leaver["uri"]]
        assert survivor["etag"] == named["etag"]
        change = touched.get(identity(survivor), {})
        assert set(change) <= {"tier", "storage_class"}
        assert change.get("tier", survivor["tier"]) not in ARCHIVES
        allowed = leaver["residency"] or []
        assert not allowed or (survivor["region"] or "?").split("-")[0] in allowed


FATES = {
    "old": policy("old", {"quarantine": {}}, scope={"prefixes": ["s3://b/old"]}),
    "older": policy("older", {"quarantine": {}}, scope={"prefixes": ["s3://b/older"]}, priority=2),
    "swept": policy("swept", {"expire": {}}, scope={"prefixes": ["s3://b/swept"]}),
    "cold": policy("cold", {"tier": "archive"}, scope={"prefixes": ["s3://b/cold"]},
                   guard={"readers": "none"}),
    "kept": policy("tags", {"tag": {"seen": "1"}}, scope={"prefixes": ["s3://b/kept"]}),
}  # fmt: skip
"""Policies that each act on a folder; what is kept stays, what is frozen is in an archive."""


@st.composite
def shards(draw: st.DrawFn) -> dict[str, frozenset[int]]:
    """Rows by key of objects, most of which hold some others cut anew."""
    size, found = draw(st.integers(2, 9)), {}
    for layout in range(draw(st.integers(1, 4))):
        cuts = sorted(draw(st.sets(st.integers(1, size - 1), max_size=3)))
        for start, end in pairwise([0, *cuts, size]):
            fate = draw(st.sampled_from(["old", "old", "older", "swept", "cold", "frozen", "kept"]))
            more = draw(st.frozensets(st.integers(0, size + 2), max_size=1))
            found[f"{fate}/{layout}-{start}"] = frozenset(range(start, end)) | more
    return found


@settings(quickly, max_examples=examples(25))
@given(shards())
def test_every_row_of_what_leaves_stays_in_its_survivors(
    known: Mapping[str, frozenset[int]],
) -> None:
    frozen = {"tier": "archive", "storage_class": "GLACIER"}
    rows = [stored(key, **(frozen if "frozen" in key else {})) for key in sorted(known)]
    digests = {row["uri"]: known[short(row["uri"])] for row in rows}
    with planned(policy_set(*FATES.values()), rows, whole_rows=digests) as (_, found):
        pass
    going = {a["uri"] for a in found.actions if a["kind"] != "tag"}
    staying = [digests[uri] for uri in digests if uri not in going and "frozen" not in uri]
    for action in found.actions:
        if action["kind"] == "quarantine":
            survivors = [entry["uri"] for entry in action["survivors"]]
            assert len(set(survivors)) == len(survivors) <= MOST_SURVIVORS
            assert not [uri for uri in survivors if uri in going or "frozen" in uri]
            assert digests[action["uri"]] <= set().union(*(digests[uri] for uri in survivors))
            is_whole = any(digests[action["uri"]] <= other for other in staying)
            assert (len(survivors) == 1) == is_whole
    for uri in digests.keys() - going:  # of those that another one holds whole, one is left
        others = [digests[u] for u in digests if u not in (uri, *going) and "frozen" not in u]
        assert "/old" not in uri or not any(digests[uri] <= other for other in others)


@quickly
@given(inventories(), chosen)
def test_planning_on_the_state_after_a_plan_is_empty(made: Any, policies: Any) -> None:
    rows, contents = made
    with planned(policy_set(*policies), rows, contents=contents, places=PLACES) as (_, found):
        pass
    after, known = carried_out(rows, contents, found.actions)
    with planned(policy_set(*policies), after, contents=known, places=PLACES) as (_, again):
        assert again.actions == []


def carried_out(
    rows: Sequence[Mapping[str, Any]],
    contents: Mapping[str, str],
    actions: Sequence[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The inventory once everything was done and purged."""
    left = {identity(r): dict(r) for r in rows}
    known = dict(contents)
    for action in sorted(actions, key=lambda action: KINDS.index(action["kind"])):
        to, key = json.loads(action["to"]), identity(action)
        match action["kind"]:
            case "tier":
                left[key] |= {"days_in_tier": 0} | to
            case "tag":
                left[key]["tags"] = [*(left[key].get("tags") or []), *to["tag"].items()]
            case "relocate":
                moved = left.pop(key) | {"uri": to["uri"], "region": to["region"]}
                left[identity(moved)] = moved
                if action["uri"] in known:
                    known[to["uri"]] = known.pop(action["uri"])
            case _:
                del left[key]
    alive = {uri: digest for uri, digest in known.items() if any(u == uri for u, _ in left)}
    return with_copies(list(left.values()), alive), alive
