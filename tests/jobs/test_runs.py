"""Runs in the catalog and on the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.queries import create_run_views
from greendata.catalog.tables import Catalog
from greendata.cli.boundary import run
from greendata.config import DatasetSettings
from greendata.errors import ObjectNotFoundError
from greendata.execute.journal import Journal, Record
from greendata.execute.records import Outcome, Status, done, failed, skipped
from greendata.execute.runstate import intent_record, outcome_record, read_run, run_uri
from greendata.jobs.run_history import RunsRequest, find_runs, show_run
from greendata.jobs.runs import record_run, runs_uri
from greendata.plan.actions import ACTIONS
from greendata.sql import temporary_duckdb
from greendata.stores.opening import Stores

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTILE = "s3://b/\x1b[31m\u202eevil\n"
RUN = "0f3a91c2b4d5e6f7-1"
HEADER: Record = {
    "type": "run",
    "plan_id": "0f3a91c2b4d5e6f7aa",
    "started_at": AT.isoformat(),
    "owner": "ada\x1b]0;x",
    "host": "node7",
    "policy_digest": "d" * 8,
}
QUARANTINE = {
    "quarantine": {
        "held_uri": "s3://b/.greendata/quarantine/x",
        "purge_after": (AT + timedelta(days=30)).isoformat(),
    }
}
PLANNED = {
    "tiered": ("tier", "s3://b/raw/1"),
    "moved": ("quarantine", "s3://b/raw/2"),
    "held": ("tier", HOSTILE),
    "later": ("restore", "s3://b/raw/4"),
    "denied": ("tier", "s3://b/raw/5"),
    "untouched": ("tier", "s3://b/raw/6"),
}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog.open(LocalPlace(tmp_path / "c"), create=True)


def plan(catalog: Catalog, run_id: str = RUN, carbon: float | None = 1.0) -> None:
    """A plan in a run's folder; each action is of 1000 bytes, 0.5 USD of fees, 2 USD a month."""
    rows = [
        {field.name: None for field in ACTIONS}
        | {
            "action_id": name,
            "group_id": name,
            "kind": kind,
            "uri": uri,
            "store_id": "s",
            "etag": "e",
            "policy": "p",
            "size_bytes": 1000,
            "fees_usd": Decimal("0.5"),
            "monthly_saving_usd": Decimal(2),
            "carbon_kgco2e_low": carbon,
            "carbon_kgco2e_central": carbon and 2 * carbon,
            "carbon_kgco2e_high": carbon and 3 * carbon,
        }
        for name, (kind, uri) in PLANNED.items()
    ]
    target = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=ACTIONS), target)
    uri = run_uri(runs_uri(catalog), run_id, "plan", "actions.parquet")
    Stores().put(uri, target.getvalue().to_pybytes())


def write(catalog: Catalog, *records: Record, part: str = "apply", run_id: str = RUN) -> None:
    store = Stores()
    state = read_run(store, runs_uri(catalog), run_id)
    Journal(
        store,
        run_uri(runs_uri(catalog), run_id, part),
        run_id=run_id,
        part=part,
        epoch=state.last_epoch + 1,
        previous=state.replays[part].last_digest,
    ).append(records)


OWN = {
    "cpu_seconds": 1.5,
    "wall_seconds": 2.0,
    "read_bytes": 4,
    "written_bytes": 6,
    "requests": {"put": 1, "head": 2},
    "energy_kwh": {"low": 0.001, "central": 0.002, "high": 0.004},
    "carbon_kgco2e": None,
    "cost_usd": {"low": "0", "central": "0.01", "high": "0.02"},
    "grade": "modelled",
    "basis": "watts times seconds",
}


def outcomes_of_all() -> list[Record]:
    pending = Outcome(
        status=Status.PENDING, reason="waiting", detail="thaws", due_at=AT + timedelta(hours=5)
    )
    found = {
        "tiered": Outcome(status=Status.DONE, moved_bytes=10),
        "moved": done(**QUARANTINE),
        "held": skipped("held", f"{HOSTILE}: a hold, \udcff"),
        "later": pending,
        "denied": failed("denied", "no"),
    }
    return [outcome_record(name, outcome, AT) for name, outcome in found.items()]


def finish(state: str = "partial") -> Record:
    return {"type": "finish", "state": state, "at": (AT + timedelta(1)).isoformat(), "own": OWN}


def record(catalog: Catalog, run_id: str = RUN) -> bool:
    datasets = (DatasetSettings(name="raw", prefixes=("s3://b/raw/",)),)
    return record_run(catalog, Stores(), run_id, datasets=datasets)


def view(catalog: Catalog, query: str) -> list[dict[str, Any]]:
    with temporary_duckdb("t", memory_bytes=2**28, threads=1) as connection:
        create_run_views(connection, catalog)
        rows: list[dict[str, Any]] = connection.sql(query).to_arrow_table().to_pylist()
    return rows


def totals(catalog: Catalog) -> Mapping[str, Any]:
    (row,) = view(catalog, "SELECT totals FROM runs")
    found: Mapping[str, Any] = json.loads(row["totals"])
    return found


def test_a_run_is_recorded_with_what_came_of_each_action(catalog: Catalog) -> None:
    plan(catalog)
    write(catalog, HEADER, *outcomes_of_all(), finish())
    assert record(catalog)
    (row,) = view(catalog, "SELECT * FROM runs")
    assert (row["run_id"], row["state"], row["attempt"]) == (RUN, "partial", 1)
    assert (row["started_at"], row["finished_at"]) == (AT, AT + timedelta(1))
    assert json.loads(row["reasons"]) == {"held": 1, "denied": 1, "waiting": 1}
    found = totals(catalog)
    counts = {"actions": 6, "done": 2, "pending": 1, "skipped": 1, "failed": 1, "left": 1}
    assert counts.items() <= found.items()
    assert (found["monthly_saving_usd"], found["realised_monthly_saving_usd"]) == (
        "4.000000000000",
        "2.000000000000",
    )
    assert (found["carbon_kgco2e"], found["unknown_carbon"]) == ([2.0, 4.0, 6.0], 0)
    assert (found["fees_usd"], found["moved_bytes"]) == ("1.000000000000", 10)
    assert found["own"] == OWN
    rows = {row["action_id"]: row for row in view(catalog, "SELECT * FROM outcomes")}
    assert rows.keys() == PLANNED.keys() - {"untouched"}
    assert rows["tiered"]["is_realised"]
    assert not rows["moved"]["is_realised"]
    assert rows["moved"]["purge_after"] == AT + timedelta(days=30)
    assert (rows["held"]["uri"], rows["held"]["dataset"]) == (HOSTILE, None)
    assert (rows["moved"]["dataset"], rows["later"]["due_at"]) == ("raw", AT + timedelta(hours=5))


def test_carbon_that_is_not_known_is_never_zero(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(catalog, carbon=None)
    write(catalog, HEADER, *outcomes_of_all(), finish())
    record(catalog)
    assert (totals(catalog)["carbon_kgco2e"], totals(catalog)["unknown_carbon"]) == (None, 2)
    assert run(["--catalog", catalog.name, "runs", "show", RUN]) == 0
    text = capsys.readouterr().out
    assert "4.0000 USD and ? kgCO2e a month" in text
    assert "the carbon of 2 is not known" in text


def test_done_twice_it_appends_nothing(catalog: Catalog) -> None:
    plan(catalog)
    write(catalog, HEADER, *outcomes_of_all(), finish())
    assert record(catalog)
    files = catalog.files("outcomes", None) + catalog.files("runs", None)
    assert not record(catalog)
    assert catalog.files("outcomes", None) + catalog.files("runs", None) == files


def test_one_that_died_between_its_outcomes_and_its_row_is_completed(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(catalog)
    write(catalog, HEADER, *outcomes_of_all(), finish())
    write_rows = Catalog.write

    def dying(self: Catalog, name: str, scan_id: str, rows: pa.Table) -> None:
        if name == "runs":
            raise KeyboardInterrupt
        write_rows(self, name, scan_id, rows)

    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "write", dying)
        with pytest.raises(KeyboardInterrupt):
            record(catalog)
    assert record(catalog)
    assert len(catalog.files("outcomes", None)) == 1
    assert len(view(catalog, "SELECT * FROM runs")) == 1


def test_only_what_changed_is_appended_and_the_newest_holds(catalog: Catalog) -> None:
    plan(catalog)
    write(catalog, HEADER, *outcomes_of_all(), finish())
    record(catalog)
    write(catalog, HEADER, outcome_record("denied", done(), AT), finish("finished"))
    assert record(catalog)
    (newest,) = view(catalog, "SELECT count(*) AS n FROM outcomes_rows")
    assert newest["n"] == 6
    (row,) = view(catalog, "SELECT status, reason FROM outcomes WHERE action_id = 'denied'")
    assert row == {"status": "done", "reason": ""}
    (row,) = view(catalog, "SELECT state FROM runs")
    assert row == {"state": "finished"}


def test_what_is_purged_is_realised_and_what_is_undone_is_not_done(catalog: Catalog) -> None:
    plan(catalog)
    write(catalog, HEADER, *outcomes_of_all(), finish())
    write(catalog, intent_record("moved", {}), outcome_record("moved", done(), AT), part="purge")
    record(catalog)
    found = totals(catalog)
    assert (found["purged"], found["waiting"], found["done"]) == (1, 0, 2)
    assert found["realised_monthly_saving_usd"] == "4.000000000000"
    (row,) = view(catalog, "SELECT state FROM runs")
    assert row == {"state": "purged"}
    write(catalog, intent_record("tiered", {}), outcome_record("tiered", done(), AT), part="undo")
    record(catalog)
    assert view(catalog, "SELECT state FROM runs") == [{"state": "running"}]
    write(catalog, finish("finished"), part="undo")
    record(catalog)
    found = totals(catalog)
    assert (found["undone"], found["done"]) == (1, 1)
    assert found["realised_monthly_saving_usd"] == "2.000000000000"
    assert view(catalog, "SELECT state FROM runs") == [{"state": "undone"}]


def test_a_purge_that_was_refused_leaves_the_object_waiting(catalog: Catalog) -> None:
    plan(catalog)
    write(catalog, HEADER, *outcomes_of_all(), finish())
    write(catalog, outcome_record("moved", skipped("held", "by law"), AT), part="purge")
    record(catalog)
    (row,) = view(catalog, "SELECT * FROM outcomes WHERE action_id = 'moved'")
    assert (row["status"], row["part"], row["is_realised"]) == ("done", "apply", False)
    assert row["detail"] == "purge skipped: held: by law"
    assert row["purge_after"] is not None


def test_the_purge_of_a_copy_of_what_others_replaced_saves_nothing(catalog: Catalog) -> None:
    plan(catalog)
    changed = replace(skipped("changed", "theirs"), after=QUARANTINE)
    write(catalog, HEADER, outcome_record("moved", changed, AT), finish())
    record(catalog)
    assert totals(catalog)["waiting"] == 1
    write(catalog, outcome_record("moved", done(), AT), part="purge")
    record(catalog)
    found = totals(catalog)
    assert (found["purged"], found["waiting"], found["done"], found["skipped"]) == (0, 0, 0, 1)
    assert found["realised_monthly_saving_usd"] == "0"


def test_a_catalog_that_is_older_than_these_tables_goes_on(catalog: Catalog) -> None:
    assert view(catalog, "SELECT * FROM runs") == []
    assert find_runs(RunsRequest(catalog=catalog.name)).runs == ()
    assert not (catalog.place.folder / "tables" / "runs").exists()
    plan(catalog)
    write(catalog, HEADER, finish("finished"))
    record(catalog)
    assert [row["run_id"] for row in view(catalog, "SELECT * FROM runs")] == [RUN]
    again = Catalog.open(LocalPlace(catalog.place.folder), create=True)
    assert [row["run_id"] for row in view(again, "SELECT * FROM runs")] == [RUN]


def test_a_catalog_in_a_bucket_has_runs_too(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greendata.jobs.results import catalog_place

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = f"s3://{bucket}/.greendata/catalog"
    catalog = Catalog.open(catalog_place(name), create=True)
    plan(catalog)
    write(catalog, HEADER, *outcomes_of_all(), finish())
    assert [entry.state for entry in find_runs(RunsRequest(catalog=name)).runs] == ["partial"]
    assert record(catalog)
    assert not record(catalog)
    found = show_run(RunsRequest(catalog=name, run_id=RUN))
    assert (found.run.totals["done"], len(found.quarantine)) == (2, 1)


def test_runs_are_listed_newest_first_and_those_that_died_among_them(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    second = RUN.replace("-1", "-2")
    later = (AT + timedelta(hours=1)).isoformat()
    for name, started_at in ((RUN, AT.isoformat()), (second, later)):
        plan(catalog, name)
        write(catalog, {**HEADER, "started_at": started_at}, run_id=name)
    write(catalog, finish("finished"))
    record(catalog)
    assert run(["--catalog", catalog.name, "runs", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(entry["run_id"], entry["state"]) for entry in document["runs"]] == [
        (second, "running"),
        (RUN, "finished"),
    ]
    assert run(["--catalog", catalog.name, "runs", "--limit", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert second in lines[1]
    assert "and 1 more" in lines[2]


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_run_shows_what_is_left_of_it_and_no_name_reaches_the_terminal(
    catalog: Catalog, capsys: pytest.CaptureFixture[str], *, is_recorded: bool
) -> None:
    plan(catalog)
    write(catalog, HEADER, *outcomes_of_all(), finish())
    if is_recorded:
        record(catalog)
    assert run(["--catalog", catalog.name, "runs", "show", RUN]) == 0
    text = capsys.readouterr().out
    for words in (
        f"Run {RUN}: partial, attempt 1",
        "6 actions: 2 done, 1 pending, 1 skipped, 1 failed, 1 not begun",
        "a hold, a retention time or a lease forbids it",
        "2026-11-21 17:00 UTC",
        "In quarantine: 1 objects, 1.0 kB; to be purged from 2026-12-21 12:00 UTC\n",
        "s3://b/.greendata/quarantine/x",
        "Its own: 1.5 CPU seconds in 2.0 s, 10 bytes moved, 3 requests;",
        " 0.002 (0.001 to 0.004) kWh,",
        "\\x1b[31m\\u202eevil\\n",
    ):
        assert words in text
    assert "\x1b" not in text
    assert run(["--catalog", catalog.name, "runs", "show", RUN, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run"]["totals"]["done"] == 2
    assert [entry["uri"] for entry in document["pending"]] == ["s3://b/raw/4"]
    assert [entry["reason"] for entry in document["not_done"]] == ["denied", "waiting", "held"]


def test_damage_of_a_journal_is_shown(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    plan(catalog)
    write(catalog, HEADER, intent_record("tiered", {}))
    write(catalog, *outcomes_of_all())
    folder = catalog.place.folder / "runs" / RUN / "apply"
    (folder / "00000002-00000001.jsonl").write_bytes(b"torn")
    assert run(["--catalog", catalog.name, "runs", "show", RUN]) == 0
    text = capsys.readouterr().out
    assert "its first line is damaged" in text
    assert "1 begun, their end is not known, 5 not begun" in text


@pytest.mark.parametrize("name", ["ab-1", "../../etc", "", "\x1b[31m"])
def test_a_run_that_is_not_there_is_not_found(
    catalog: Catalog, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(["--catalog", catalog.name, "runs", "show", name]) == 22
    assert "\x1b" not in capsys.readouterr().err


def test_a_run_whose_first_lines_are_damaged_began_with_its_first_outcome(
    catalog: Catalog,
) -> None:
    plan(catalog)
    write(catalog, HEADER)
    write(catalog, *outcomes_of_all(), finish())
    folder = catalog.place.folder / "runs" / RUN / "apply"
    (folder / "00000001-00000001.jsonl").write_bytes(b"")
    found = show_run(RunsRequest(catalog=catalog.name, run_id=RUN))
    assert (found.run.started_at, found.run.plan_id, found.run.state) == (AT, None, "partial")
    assert len(found.damaged) == 2


def test_the_report_tells_of_runs(catalog: Catalog, tmp_path: Path) -> None:
    from greendata.jobs.report import ReportRequest, make_report

    data = tmp_path / "data"
    data.mkdir()
    (data / "a.jsonl").write_text("{}")
    assert run(["-q", "--catalog", catalog.name, "inventory", str(data), "--json"]) == 0
    for expected in (0, 5):
        found = make_report(ReportRequest(catalog=catalog.name, as_of=AT))
        assert found.done.total.actions == expected
        plan(catalog)
        write(catalog, HEADER, *outcomes_of_all(), finish())
        record(catalog)


def test_without_a_catalog_there_is_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError):
        find_runs(RunsRequest(catalog=str(tmp_path / "none")))
