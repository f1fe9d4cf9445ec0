from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import greendata
from greendata.catalog.places import LocalPlace
from greendata.catalog.schemas import SCHEMAS
from greendata.catalog.tables import Catalog
from greendata.cli.boundary import run
from greendata.errors import ObjectNotFoundError, PlanError, UsageError
from greendata.footprint.estimate import total
from greendata.jobs.footprint import FootprintRequest, measure_footprint
from greendata.jobs.plan import PlanRequest, make_plan
from greendata.jobs.report import choose_target, make_report, rendered, write_report
from greendata.report.document import Report
from tests.cli.conftest import write_shards
from tests.jobs.made_inventory import NOW, row, take
from tests.report.made_reports import (
    NAMES,
    add_scan,
    datasets,
    make,
    make_catalog,
    object_row,
)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_catalog(tmp_path_factory.mktemp("report") / "catalog")


def test_every_breakdown_adds_up_to_what_footprint_says(catalog: Path) -> None:
    told = measure_footprint(
        FootprintRequest(catalog=str(catalog), as_of=NOW, datasets=datasets())
    ).total
    for top in (1, 3, 100):
        stored = make(catalog, top=top).stored
        assert stored.total.footprint.missing == told.footprint.missing
        assert stored.total.unsized_objects == told.unsized_objects == 1
        for breakdown in stored.breakdowns:
            groups = [*breakdown.groups, *filter(None, [breakdown.others])]
            found = total(group.footprint for group in groups)
            assert (found.objects, found.size_bytes) == (
                told.footprint.objects,
                told.footprint.size_bytes,
            )
            assert found.cost_usd == told.footprint.cost_usd
            assert found.energy_kwh is not None
            assert told.footprint.energy_kwh is not None
            assert found.energy_kwh.high == pytest.approx(told.footprint.energy_kwh.high)
            assert sum(group.unsized_objects for group in groups) == 1
            assert sum(group.redundant_bytes for group in groups) == stored.total.redundant_bytes
            assert len(breakdown.groups) <= top


def test_the_largest_come_first_and_the_rest_is_summed(catalog: Path) -> None:
    dataset, *_ = make(catalog, top=2).stored.breakdowns
    assert [group.name for group in dataset.groups] == ["crawl", "books"]
    assert dataset.others is not None
    assert dataset.others.groups == len(NAMES) - 2 + 1  # objects of no dataset are a group, too


def test_redundancy_is_counted_of_what_was_verified(catalog: Path) -> None:
    found = make(catalog).redundant
    assert found.is_scanned
    by_name = {entry.name: entry for entry in found.datasets}
    books = by_name["books"]
    assert (books.exact_documents, books.near_documents) == (1, 1)
    assert (books.within_documents, books.across_documents) == (1, 1)
    assert books.redundant_text_bytes == 20_000
    assert found.total.redundant_text_bytes == 70_000
    assert found.total.documents == 100 * len(NAMES)
    assert found.unverified_candidates == 1
    assert found.total_groups == 3
    shares = {(cell.a, cell.b): cell.share for cell in found.overlaps}
    assert shares["books", "crawl"] == pytest.approx(0.1)
    assert shares["crawl", "books"] == pytest.approx(0.05)
    stored = make(catalog).stored
    assert stored.total.redundant_bytes == 7 * 4_000  # 10 kB of 1 MB of text in 400 kB, each
    assert stored.redundant_footprint.size_bytes == 7 * 4_000
    short = make(catalog, top=2).redundant
    assert short.others is not None
    assert short.others.groups == len(NAMES) - 2
    counted = sum(entry.redundant_text_bytes for entry in (*short.datasets, short.others))
    assert counted == 70_000


def test_trend_tells_all_scans_since_and_those_started_over_from(tmp_path: Path) -> None:
    catalog = take(tmp_path / "c", [row("b/a")], "s3://b/")
    for number in range(3):
        name = f"2026010{number + 1}T000000-00000000"
        add_scan(
            catalog, [], scan_id=name, days_ago=10 * (3 - number), starts_over=number == 2,
            text_bytes=number,
        )  # fmt: skip
    trend = make(tmp_path / "c").trend
    assert [scan.text_bytes for scan in trend.scans] == [0, 1, 2]
    assert trend.total_refreshes == 1
    late = make(tmp_path / "c", since=NOW - timedelta(days=15)).trend
    assert [scan.text_bytes for scan in late.scans] == [2]
    assert make(tmp_path / "c", since=NOW + timedelta(days=1)).trend.total_refreshes == 0


def test_a_scan_of_files_is_reported_as_it_was_summarised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shards(tmp_path / "data")
    found = greendata.scan(datasets={"old": "data/old", "new": "data/new"}, workers=1)
    document = greendata.make_report(output="report.md", with_texts=True)
    assert greendata.make_report()["redundant"]["total"] == document["redundant"]["total"]
    redundant = document["redundant"]
    assert redundant["total"]["redundant_text_bytes"] == found.redundant_text_bytes
    assert redundant["total"]["across_documents"] == found.redundant_documents == 10
    assert len(redundant["groups"][0]["text_start"]) > 100
    (scan,) = document["trend"]["scans"]
    assert scan["text_bytes"] == found.text_bytes
    assert document["stored"]["total"]["footprint"]["cost_usd"] is None
    assert (tmp_path / "report.md").read_text().startswith("# greendata: storage report\n")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError, match="there is none"):
        make_report_of(tmp_path / "nowhere")
    Catalog.open(LocalPlace(tmp_path / "empty"), create=True)
    with pytest.raises(ObjectNotFoundError, match="no object was listed"):
        make_report_of(tmp_path / "empty")
    catalog = take(tmp_path / "one", [row("b/a")], "s3://b/")
    found = make_report_of(tmp_path / "one")
    assert not found.redundant.is_scanned
    assert found.done.total_runs == 0
    assert "Nothing was scanned" in rendered(found, "html")
    assert catalog.name in rendered(found, "json")
    with pytest.raises(ObjectNotFoundError, match="no plan there"):
        make(tmp_path / "one", plan=tmp_path / "plan")


def make_report_of(folder: Path) -> Report:
    from greendata.jobs.report import ReportRequest

    return make_report(ReportRequest(catalog=str(folder), as_of=NOW))


def test_an_inventory_of_nothing_makes_a_page(tmp_path: Path) -> None:
    take(tmp_path / "c", [], "s3://b/")
    page = rendered(make(tmp_path / "c"), "html")
    assert "0 objects" in page


def test_ten_thousand_datasets_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    count = 10_000
    rows = [row(f"b/d{n}/0", size_bytes=400_000) for n in range(count)]
    catalog = take(tmp_path / "c", rows, "s3://b/")
    objects = [object_row(str(n), 0, etag=f"etag-b/d{n}/0") for n in range(count)]
    overlaps = [
        {"level": "dataset", "a": str(n), "b": str(n + 1)}
        | dict.fromkeys(SCHEMAS["overlaps"].names[3:9], 0.5)
        | dict.fromkeys(SCHEMAS["overlaps"].names[9:], 100)
        for n in range(count - 1)
    ]
    add_scan(catalog, objects, overlaps=overlaps)
    found = make(tmp_path / "c", datasets=(), top=1000)
    breakdown = found.stored.breakdowns[0]
    assert breakdown.others is not None
    assert (len(breakdown.groups), breakdown.others.groups) == (1000, count - 1000)
    assert found.redundant.total_overlaps == count - 1
    assert len(rendered(found, "html")) < 5 * 10**6


def test_a_plan_shows_what_it_does_and_refuses(catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "version: 1\npolicies:\n"
        "  - {name: cool, where: tier = 'hot' and size_bytes > 1000, action: {tier: cool}}\n"
    )
    plan = tmp_path / "plan"
    made = make_plan(
        PlanRequest(
            paths=(str(tmp_path / "p.yaml"),), directory=plan, catalog=str(catalog), as_of=NOW,
            datasets=datasets(),
        )
    )  # fmt: skip
    found = make(catalog, plan=plan)
    assert found.plan is not None
    assert found.plan.plan_id == made.plan_id
    refused = [entry for entry in made.stays if entry.is_refused]
    assert refused
    page = rendered(found, "html")
    assert made.plan_id[:16] in page
    assert "Refused, and why" in page
    assert json.loads(rendered(found, "json"))["plan"]["plan_id"] == made.plan_id
    (plan / "plan.json").write_text((plan / "plan.json").read_text().replace("cool", "cold"))
    with pytest.raises(PlanError):
        make(catalog, plan=plan)


def test_a_report_appears_whole_and_replaces_nothing_unasked(catalog: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    found = make(catalog)
    size = write_report(found, choose_target(None, str(path)))
    assert path.stat().st_size == size
    with pytest.raises(UsageError, match="is there already"):
        choose_target(None, str(path))
    write_report(found, choose_target("markdown", str(path), overwrite=True))
    assert path.read_text().startswith("# ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.html"]
    for wrong in (str(tmp_path / "r.txt"), None):
        with pytest.raises(UsageError):
            choose_target(None, wrong)


def test_a_catalog_in_a_bucket_is_reported(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_shards(tmp_path / "data")
    place = f"s3://{bucket}/.greendata/catalog"
    assert run(["-q", "--catalog", place, "inventory", "data"]) == 0
    assert run(["-q", "--catalog", place, "report", "-o", "r.html"]) == 0
    assert place in (tmp_path / "r.html").read_text()


BOUNDS = {"low": 1.0, "central": 2.0, "high": 3.0}
OWN = {
    "energy_kwh": BOUNDS,
    "carbon_kgco2e": None,
    "cost_usd": {"low": "0.5", "central": "0.5", "high": "0.5"},
}


def run_rows(**values: Any) -> dict[str, Any]:
    return {
        "run_id": "r1", "plan_id": "p" * 64, "attempt": 1, "state": "finished",
        "started_at": NOW - timedelta(days=90), "finished_at": NOW - timedelta(days=89),
        "owner": "me", "totals": "{}", "reasons": "{}",
    } | values  # fmt: skip


def outcome(action: str, kind: str, part: str, days_ago: int, **values: Any) -> dict[str, Any]:
    return {
        "run_id": "r1", "action_id": action, "kind": kind, "status": "done", "part": part,
        "size_bytes": 100, "fees_usd": Decimal("0.5"), "monthly_saving_usd": Decimal(10),
        "carbon_kgco2e_low": 1.0, "carbon_kgco2e_central": 2.0, "carbon_kgco2e_high": 3.0,
        "at": NOW - timedelta(days=days_ago),
    } | values  # fmt: skip


def done_of(runs: list[dict[str, Any]], outcomes: list[dict[str, Any]], **values: Any) -> Any:
    import duckdb

    from greendata.jobs.report_done import done_section

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("all_runs", pa.Table.from_pylist(runs))
        connection.register("all_outcomes", pa.Table.from_pylist(outcomes))
        return done_section(connection, **({"now": NOW, "since": None, "top": 20} | values))


def test_savings_count_from_the_moment_at_which_bytes_are_gone() -> None:
    found = done_of(
        [run_rows(totals=json.dumps({"actions": 8, "done": 5, "monthly_saving_usd": "50",
                                     "own": OWN}),
                  reasons='{"held": 2}')],
        [
            outcome("1", "tier", "apply", 60),  # two months of 10
            outcome("2", "expire", "purge", 30),  # one month of 10
            outcome("3", "expire", "apply", 60),  # waits for its purge
            outcome("4", "tag", "apply", 30, monthly_saving_usd=Decimal(-1), size_bytes=0),
            outcome("5", "tier", "undo", 30),  # not any more
            outcome("6", "tier", "apply", 30, status="failed"),
            outcome("7", "relocate", "apply", 30, status="pending"),
            outcome("8", "abort_uploads", "apply", 30, monthly_saving_usd=None, size_bytes=None,
                    carbon_kgco2e_low=None, carbon_kgco2e_central=None, carbon_kgco2e_high=None),
        ],
    )  # fmt: skip
    total = found.total
    assert (total.actions, total.realised_actions, total.waiting_actions) == (8, 4, 2)
    assert total.realised_usd == Decimal(19)
    assert total.saved_usd == Decimal(29)
    assert total.waiting_usd == Decimal(20)
    assert total.fees_usd == Decimal("3.0")
    assert total.unknown_savings == 1
    assert total.realised_kgco2e.central == pytest.approx(6.0)
    assert total.saved_kgco2e.high == pytest.approx(3.0 * (2 + 1 + 1))
    assert total.planned_usd == Decimal(59)
    assert (found.own_kwh.central, found.own_kgco2e, found.own_usd) == (2.0, None, Decimal("0.5"))
    assert found.curve[-1].saved_usd == pytest.approx(29)
    assert found.curve[0].saved_usd == 0
    assert found.runs[0].reasons == {"held": 2}


def test_what_was_applied_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_shards(tmp_path / "data")
    (tmp_path / "data" / "copy.jsonl").write_bytes((tmp_path / "data/old/a.jsonl").read_bytes())
    (tmp_path / "greendata.yaml").write_text(
        "datasets:\n  - {name: d, prefixes: [data], readers: none}\nlimits: {max_percent: 100}\n"
    )
    (tmp_path / "p.yaml").write_text(
        "version: 1\npolicies:\n  - {name: copies, all: true, action: {quarantine: {}}}\n"
    )
    for command in (
        ["inventory", "data", "--verify-bytes"],
        ["plan", "p.yaml", "-o", "plan"],
        ["apply", "plan", "--yes"],
        ["report", "-o", "r.json"],
    ):
        assert run(["-q", *command]) == 0, command
    document = json.loads((tmp_path / "r.json").read_text())
    # until the next inventory both are there
    assert document["stored"]["identical_objects"] == 1
    done = document["done"]
    (told,) = done["runs"]
    assert (told["actions"], told["done"], told["failed"]) == (1, 1, 0)
    assert (told["savings"]["waiting_actions"], told["savings"]["realised_actions"]) == (1, 0)
    assert [entry["kind"] for entry in done["kinds"]] == ["quarantine"]


def test_runs_before_since_do_not_count() -> None:
    runs = [run_rows(), run_rows(run_id="r2", started_at=NOW, finished_at=None, totals=None,
                                 reasons=None, state="running", owner=None)]  # fmt: skip
    outcomes = [outcome("1", "tier", "apply", 60), outcome("1", "tier", "apply", 0, run_id="r2")]
    found = done_of(runs, outcomes, since=NOW - timedelta(days=1))
    assert [entry.run_id for entry in found.runs] == ["r2"]
    assert found.total.saved_usd == 0
    assert found.total.realised_usd == Decimal(10)
    assert found.own_kwh is None
    every = done_of(runs, outcomes, top=1)
    assert (every.total_runs, len(every.runs)) == (2, 1)
    assert every.total.realised_usd == Decimal(20)
