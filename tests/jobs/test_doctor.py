from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.cli.boundary import run
from greendata.errors import ObjectNotFoundError, UnsupportedError
from greendata.jobs import doctor
from greendata.jobs.container_rules import find_conflicts
from greendata.jobs.doctor import Diagnosis, Verdict, diagnose
from greendata.jobs.ways import find_ways
from greendata.progress import Progress
from greendata.stores.memory import MemoryStore
from greendata.stores.opening import Stores
from greendata.stores.records import ALWAYS, Condition, ContainerRules, Properties
from tests.stores.forgetful import ForgetsIfMatch

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def small_races(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LARGE_ROUNDS", 0)


def diagnosed(store: Any, uri: str) -> Diagnosis:
    return diagnose(store, uri, now=NOW, progress=Progress())


class WithClasses(MemoryStore):
    """Has the class that probes ask for, too."""

    def set_tier(self, uri: str, storage_class: str, **named: Any) -> Any:
        return super().set_tier(uri, "COOL", **named)


def test_a_strict_store_is_safe_for_everything() -> None:
    store = WithClasses()
    found = diagnosed(store, "mem://b/")
    assert {action.action for action in found.actions if not action.is_allowed} == set()
    assert all(action.relies_on for action in found.actions)
    assert found.leftovers == ()
    assert list(store.versions("mem://b/")) == []


class CarelessWithLargeStore(MemoryStore):
    """Looks, and forgets about the condition before a large object has arrived."""

    def put(self, uri: str, content: bytes, *, condition: Condition = ALWAYS, **more: Any) -> Any:
        if len(content) < 1_000_000 or condition == ALWAYS:
            return super().put(uri, content, condition=condition, **more)
        return super().put(uri, content, **more)


def test_large_bodies_show_what_small_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LARGE_RACE_LINES", 100_000)
    small = diagnosed(CarelessWithLargeStore(), "mem://b/")
    monkeypatch.setattr(doctor, "LARGE_ROUNDS", 6)
    monkeypatch.setattr(doctor, "_LONGEST_LARGE_SECONDS", 0.0)  # one at least, if it is slow
    large = diagnosed(CarelessWithLargeStore(), "mem://b/")
    ignored = [
        {finding.name for finding in found.findings if finding.verdict is Verdict.IGNORED}
        for found in (small, large)
    ]
    assert ignored == [set(), {"race-if-absent", "race-if-match"}]


class TiersBlindly(MemoryStore):
    """Moves an object whatever its ETag is, by copying."""

    def set_tier(
        self,
        uri: str,
        storage_class: str,
        *,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> Any:
        kept = Properties(storage_class=storage_class)
        return self.copy(uri, uri, properties=kept)


def test_a_copy_that_ignores_its_sources_etag_is_no_way_to_change_a_tier() -> None:
    found = diagnosed(TiersBlindly(), "mem://b/")
    assert {entry.action for entry in found.actions if not entry.is_allowed} == {"tier"}


def test_apply_is_refused_where_replacing_takes_any_etag(container: str, tmp_path: Path) -> None:
    root = f"az://{container}/"
    store = Stores(around=ForgetsIfMatch)
    found = diagnosed(store.store_of(root), root)
    verdicts = {finding.name: finding.verdict for finding in found.findings}
    assert verdicts["put-if-absent"] is Verdict.HONOURED
    assert verdicts["put-if-match"] is Verdict.IGNORED
    assert {entry.action for entry in found.actions if not entry.is_allowed} == {
        "lease",
        "recompress",
    }
    catalog = Catalog.open(LocalPlace(tmp_path), create=True)
    with pytest.raises(UnsupportedError, match=r"lease is not safe.*put-if-match") as caught:
        find_ways({root: {"tier"}}, catalog=catalog, store=store, now=NOW, progress=Progress())
    assert caught.value.exit_code == 33


def test_an_empty_prefix_of_a_bucket_can_be_probed(s3: Any, bucket: str) -> None:
    uri = f"s3://{bucket}/nothing/here"
    found = diagnosed(Stores().store_of(uri), uri)
    assert found.findings[0].name == "list"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with pytest.raises(ObjectNotFoundError):
        diagnosed(Stores().store_of(uri), "s3://no-such-bucket-at-all/x")


@pytest.mark.parametrize(("before", "now"), [("on", "suspended"), ("off", "on"), ("on", None)])
def test_whether_versions_are_kept_is_asked_at_every_run(
    before: str, now: str | None, tmp_path: Path
) -> None:
    rules = {"versioning": before}

    class Changing(WithClasses):
        def rules(self, uri: str) -> ContainerRules:
            return ContainerRules(versioning=rules["versioning"])

    inner, root = Changing(keeps_versions=before == "on"), "s3://b/"
    inner.put(f"{root}a", b"a")
    store = Stores(around=lambda _: inner)
    catalog = Catalog.open(LocalPlace(tmp_path), create=True)

    def is_versioned() -> bool:
        kinds = {root: {"quarantine", "expire"}}
        return find_ways(kinds, catalog=catalog, store=store, now=NOW, progress=Progress())[
            root
        ].is_versioned

    assert is_versioned() is (before == "on")
    rules["versioning"] = now  # type: ignore[assignment]
    assert is_versioned() is (now == "on")


def test_the_result_is_kept_in_the_catalog(tmp_path: Path, capsys: Any) -> None:
    catalog, place = tmp_path / "c", tmp_path / "data"
    place.mkdir()
    code = run(["--catalog", str(catalog), "doctor", str(place), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert code in (0, 33)
    import pyarrow.parquet as pq

    (file,) = Catalog.open(LocalPlace(catalog), create=False).files("diagnoses", None)
    (row,) = pq.ParquetFile(file).read().to_pylist()
    assert json.loads(row["document"]) == printed
    assert (row["uri"], row["store_id"]) == (printed["uri"], "local")


# Rules of the bucket itself


def rule(**values: Any) -> dict[str, Any]:
    return {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}} | values


def conflicts(*rules: dict[str, Any], uri: str = "s3://b/data/", versioning: str = "off") -> Any:
    found = find_conflicts(ContainerRules(lifecycle=rules, versioning=versioning), uri)
    return [(conflict.effect, set(conflict.actions)) for conflict in found]


@pytest.mark.parametrize(
    ("prefix", "uri", "is_near"),
    [
        ("", "s3://b/data/", True),
        ("data/", "s3://b/data/", True),
        ("data/.greendata/quarantine/", "s3://b/data", True),
        ("dat", "s3://b/data/", True),
        ("data/raw/", "s3://b/data/", False),
        ("logs/", "s3://b/data/", False),
        (".greendata/", "s3://b/", True),
    ],
)
def test_an_expiration_that_reaches_the_quarantine_refuses(
    prefix: str, uri: str, is_near: bool
) -> None:
    found = conflicts(rule(Filter={"Prefix": prefix}, Expiration={"Days": 7}), uri=uri)
    assert bool(found) is is_near
    if is_near:
        assert "quarantine" in found[0][1]
        assert "7 days" in found[0][0]


@pytest.mark.parametrize(
    "harmless",
    [
        rule(Expiration={"Days": 30}),
        rule(Expiration={"Days": 1}, Status="Disabled"),
        rule(Expiration={"ExpiredObjectDeleteMarker": True}),
        rule(Transitions=[{"Days": 1, "StorageClass": "GLACIER"}]),
        rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}),
        rule(NoncurrentVersionExpiration={"NoncurrentDays": 30}),
        rule(NoncurrentVersionExpiration={"NoncurrentDays": 1}, Filter={"Prefix": "logs/"}),
    ],
)
def test_rules_that_take_nothing_away_within_grace_are_no_conflict(
    harmless: dict[str, Any],
) -> None:
    assert conflicts(harmless, versioning="on") == []


def test_rules_of_every_shape_are_read() -> None:
    old_shape = {"ID": "r", "Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}}
    both = {"And": {"Prefix": "data/", "Tags": [{"Key": "a", "Value": "b"}]}}
    for found in (
        conflicts(old_shape),
        conflicts(rule(Filter=both, Expiration={"Date": "2026-01-01"})),
        conflicts(rule(Filter={}, Expiration={"Days": 1})),
    ):
        assert len(found) == 1


def test_noncurrent_versions_that_go_early_refuse_what_relies_on_them() -> None:
    early = rule(NoncurrentVersionExpiration={"NoncurrentDays": 3})
    ((effect, actions),) = conflicts(early, versioning="on")
    assert "3 days" in effect
    assert {"tier", "quarantine", "expire"} <= actions
    assert conflicts(early, versioning="off") == []


def test_a_conflict_refuses_the_action_and_exits_33(
    s3: Any, bucket: str, tmp_path: Path, capsys: Any
) -> None:
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [rule(ID="tidy", Expiration={"Days": 5})]},
    )
    arguments = ["--catalog", str(tmp_path / "c"), "doctor", f"s3://{bucket}/", "--json"]
    assert run(arguments) == 33
    actions = {a["action"]: a for a in json.loads(capsys.readouterr().out)["actions"]}
    assert not actions["quarantine"]["is_allowed"]
    assert (
        "lifecycle rule tidy deletes quarantined objects after 5 days"
        in (actions["quarantine"]["conflicts"])
    )
    assert actions["read"]["is_allowed"]
