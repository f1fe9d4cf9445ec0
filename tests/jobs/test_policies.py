from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from greendata.cli.boundary import run
from greendata.config import DatasetSettings
from greendata.errors import ObjectNotFoundError, PolicyError, UsageError
from greendata.jobs.explain import explain_object
from greendata.jobs.policies import (
    check_policies,
    load_policies,
    policy_files,
    run_policy_cases,
    surroundings,
)
from greendata.jobs.policy_rules import export_policies, import_policies
from greendata.policy.document import json_schema
from greendata.policy.text import read_yaml
from greendata.policy.tiers import RESTORE_HOURS
from greendata.policy.verdicts import UNION_COUNTRIES
from tests.jobs.made_inventory import NOW, row, take

EXAMPLES = Path(__file__).parent.parent.parent / "policies"
FEWEST_EXAMPLES = 10


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


COOL = """version: 1
policies:
  - {name: cool, where: age_days >= 60, action: {tier: cool}}
"""
CASES = """version: 1
cases:
  - name: old
    given: {uri: "s3://b/k", age_days: 90}
    expect: {decisions: {cool: {tier: cool}}}
"""


def test_every_example_has_cases_that_pass_and_comments_that_say_why() -> None:
    found = run_policy_cases([str(EXAMPLES)])
    assert found.failed == 0
    assert found.without_cases == ()
    files, cases = policy_files([str(EXAMPLES)])
    assert len(files) == len(cases) >= FEWEST_EXAMPLES
    for path in files:
        assert path.read_text(encoding="utf-8").startswith("# ")


def test_the_examples_can_be_used_together() -> None:
    found = check_policies([str(EXAMPLES)])
    assert [finding for finding in found.findings if finding.level == "warning"] == []
    kinds = {entry.kind for entry in load_policies([str(EXAMPLES)]).policies}
    assert kinds == {
        "tier", "recompress", "quarantine", "relocate", "expire", "abort_uploads", "restore",
        "tag", "hold", "protect",
    }  # fmt: skip


def test_the_schema_beside_the_examples_is_the_program_s() -> None:
    shipped = (EXAMPLES / "policy.schema.json").read_text(encoding="utf-8")
    assert json.loads(shipped) == json_schema()


def test_the_hooks_run_commands_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (EXAMPLES.parent / ".pre-commit-hooks.yaml").read_bytes()
    check, test = read_yaml(text, "hooks").data
    changed = ["policies/legal-hold.yaml", "policies/legal-hold.cases.yaml"]
    monkeypatch.chdir(EXAMPLES.parent)
    assert check["pass_filenames"] is False  # policies that did not change may be contradicted
    assert run([*check["entry"].split()[1:], *check["args"]]) == 0
    assert run([*test["entry"].split()[1:], *changed]) == 0


def test_a_file_brings_its_cases_and_cases_their_file(tmp_path: Path) -> None:
    policies = write(tmp_path, "p.yaml", COOL)
    cases = write(tmp_path, "p.cases.yaml", CASES)
    write(tmp_path, "greendata.yaml", "catalog: x\n")
    write(tmp_path, ".hidden.yaml", "x")
    for named in ([policies], [cases], [policies, cases], [str(tmp_path)]):
        assert policy_files(named) == ((Path(policies),), (Path(cases),))
        assert check_policies(named).cases == 1
        assert [report.name for report in run_policy_cases(named).cases] == ["old"]


def test_both_endings_of_yaml_are_taken(tmp_path: Path) -> None:
    write(tmp_path, "p.yml", COOL)
    cases = write(tmp_path, "p.cases.yaml", CASES)
    assert run_policy_cases([str(tmp_path)]).failed == 0
    assert policy_files([cases])[0] == (tmp_path / "p.yml",)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError, match="no such file"):
        check_policies([str(tmp_path / "p.yaml")])
    with pytest.raises(UsageError, match=r"no \.yaml file"):
        check_policies([str(tmp_path)])
    write(tmp_path, "p.cases.yaml", CASES)
    with pytest.raises(ObjectNotFoundError, match="cases for it"):
        check_policies([str(tmp_path)])
    (tmp_path / "q.yaml").mkdir()
    with pytest.raises(UsageError, match=r"no \.yaml file"):
        check_policies([str(tmp_path / "q.yaml")])


def test_mistakes_in_cases_are_mistakes_of_check(tmp_path: Path) -> None:
    write(tmp_path, "p.yaml", COOL)
    write(tmp_path, "p.cases.yaml", CASES.replace("age_days", "aeg_days"))
    with pytest.raises(PolicyError, match=r"p\.cases\.yaml:4:\d+: .*Did you mean 'age_days'"):
        check_policies([str(tmp_path)])


def test_policies_that_no_case_reaches_are_told(tmp_path: Path) -> None:
    write(tmp_path, "p.yaml", COOL + "  - {name: hold, where: is_locked, action: {hold: legal}}\n")
    write(tmp_path, "p.cases.yaml", CASES)
    write(tmp_path, "q.yaml", COOL)
    found = run_policy_cases([str(tmp_path)])
    assert found.untested == ("hold",)
    assert found.without_cases == (str(tmp_path / "q.yaml"),)


def test_an_object_of_the_catalog_is_explained_step_by_step(tmp_path: Path) -> None:
    take(
        tmp_path / "c",
        [row("b/a/x.jsonl", size_bytes=9), row("b/c/y.jsonl", is_held=True)],
        "s3://b/",
    )
    policies = write(
        tmp_path,
        "p.yaml",
        """version: 1
policies:
  - {name: cool, scope: {prefixes: ["s3://b/a/"]}, where: age_days >= 60 and size_bytes > 5,
     action: {tier: cool}}
  - {name: idle, where: idle_days >= 9, action: {expire: {}}}
  - {name: gold, scope: {datasets: [gold]}, action: {protect: {}}}
  - {name: late, where: age_days >= 60, action: {expire: {}}, priority: 9}
""",
    )
    gold = DatasetSettings(name="gold", prefixes=("s3://b/c/",))
    found = [
        explain_object(
            uri, [policies], catalog=str(tmp_path / "c"), stores=(), datasets=(gold,), as_of=NOW
        ).objects[0]
        for uri in ("s3://b/a/x.jsonl", "s3://b/c/y.jsonl")
    ]
    first, second = found
    assert first.decisions == {"cool": {"tier": "cool"}}
    verdicts = {entry.policy: (entry.verdict, entry.because) for entry in first.policies}
    assert verdicts["cool"][0] == "decides"
    assert verdicts["idle"] == ("unknown", "idle_days >= 9")
    assert verdicts["late"] == ("gives-way", "cool comes first")
    assert verdicts["gold"][0] == "out-of-scope"
    steps = {step.text: step for entry in first.policies for step in entry.steps}
    assert steps["size_bytes > 5"].values == {"size_bytes": 9}
    assert (steps["size_bytes > 5"].passed, steps["idle_days >= 9"].passed) == (True, None)
    assert second.stays is not None
    assert second.stays.reason == "held"
    verdicts = {entry.policy: (entry.verdict, entry.because) for entry in second.policies}
    assert verdicts["gold"][0] == "protects"
    assert verdicts["cool"] == ("out-of-scope", "below s3://b/a/")
    assert verdicts["late"][0] == "held"


def test_an_explanation_tells_what_a_plan_would_make_of_the_price(tmp_path: Path) -> None:
    rows = [row("b/large", size_bytes=2**30), row("b/small", size_bytes=2**17)]
    take(tmp_path / "c", rows, "s3://b/")
    guard = "guard: {max_payback_days: 30, min_saving_usd: 99}"
    policies = write(tmp_path, "p.yaml", COOL.replace("{tier: cool}", f"{{tier: cool}}, {guard}"))
    data = DatasetSettings(name="d", prefixes=("s3://b/",), region="us-east-1")
    large, small = (
        explain_object(
            uri, [policies], catalog=str(tmp_path / "c"), stores=(), datasets=(data,), as_of=NOW
        ).prices[0]
        for uri in ("s3://b/large", "s3://b/small")
    )
    assert large.refusal is None
    assert large.monthly_saving_usd == Decimal("0.0105")
    assert large.payback_days == 1
    assert small.refusal == "payback"


def test_an_object_that_is_not_in_the_inventory_is_told(tmp_path: Path) -> None:
    take(tmp_path / "c", [row("b/a")], "s3://b/")
    policies = write(tmp_path, "p.yaml", COOL)
    with pytest.raises(ObjectNotFoundError, match="not in the inventory"):
        explain_object(
            "s3://b/z", [policies], catalog=str(tmp_path / "c"), stores=(), datasets=(), as_of=NOW
        )


def test_retention_and_readers_come_from_the_configuration(tmp_path: Path) -> None:
    take(tmp_path / "c", [row("b/a/x")], "s3://b/")
    policies = write(tmp_path, "p.yaml", COOL.replace("{tier: cool}", "{expire: {}}"))
    kept = DatasetSettings(name="kept", prefixes=("s3://b/a/",), retention={"min_days": 366})
    found = explain_object(
        "s3://b/a/x",
        [policies],
        catalog=str(tmp_path / "c"),
        stores=(),
        datasets=(kept,),
        as_of=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )
    stays = found.objects[0].stays
    assert stays is not None
    assert stays.reason == "retention"


def test_residency_knows_the_union_by_its_countries() -> None:
    areas = surroundings(NOW, stores=(), datasets=()).areas
    found = {name: areas.get(name) for name in ("westeurope", "uksouth", "eu-west-2", "eastus")}
    assert found == {"westeurope": "eu", "uksouth": None, "eu-west-2": None, "eastus": "us"}
    assert len(set(UNION_COUNTRIES)) == 27


def test_restore_times_are_those_of_the_price_list() -> None:
    from greendata.footprint.prices import price_list

    names = {
        "s3": {"archive": "GLACIER", "deep_archive": "DEEP_ARCHIVE"},
        "az": {"archive": "Archive"},
    }
    told = {
        (store, tier): price_list().find(store, None, name).restore_hours
        for store, tiers in names.items()
        for tier, name in tiers.items()
    }
    assert told == RESTORE_HOURS


RULES = """<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Prefix>a/</Prefix>
<Expiration><Days>9</Days></Expiration></Rule></LifecycleConfiguration>"""


def test_imported_rules_are_written_once_and_can_be_exported(tmp_path: Path) -> None:
    source = write(tmp_path, "rules.xml", RULES)
    output = tmp_path / "p.yaml"
    found = import_policies(source, bucket="b", account=None, output=str(output), overwrite=False)
    assert found.policies == ("r-expire",)
    assert output.read_text(encoding="utf-8") == found.text
    with pytest.raises(UsageError, match="there already"):
        import_policies(source, bucket="b", account=None, output=str(output), overwrite=False)
    import_policies(source, bucket="b", account=None, output=str(output), overwrite=True)
    with pytest.raises(UsageError, match="cannot be written"):
        import_policies(source, bucket=None, account=None, output=str(tmp_path), overwrite=True)
    exported = export_policies([str(output)], to="s3", container=None)
    assert exported.document["Rules"][0]["Filter"] == {"Prefix": "a/"}


def test_rules_are_of_one_bucket(tmp_path: Path) -> None:
    text = "version: 1\npolicies:\n"
    for bucket in "ab":
        text += f"""  - name: {bucket}1
    scope: {{prefixes: ["s3://{bucket}/x/"]}}
    where: age_days > 9
    action: {{expire: {{}}}}
"""
    policies = write(tmp_path, "p.yaml", text)
    with pytest.raises(UsageError, match="about a, b"):
        export_policies([policies], to="s3", container=None)
    found = export_policies([policies], to="s3", container="a")
    assert (found.exported, len(found.left_out)) == (("a1",), 1)
