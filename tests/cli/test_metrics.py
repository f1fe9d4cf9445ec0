from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run
from greendata.jobs.metering import OwnFootprint, RunMeter, Traffic
from greendata.jobs.metrics import add_run, count_run, end_run
from greendata.operating.records import MachineSettings
from greendata.report.metrics import Metrics
from tests.jobs.made_inventory import row, take

Capture = pytest.CaptureFixture[str]
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

CONFIG = """datasets:
  - {name: "we\\"b", prefixes: ['s3://b/crawl'], region: us-east-1}
budgets:
  - {usd_per_month: 100, level: enforce}
  - {dataset: web, redundant: 1TiB}
"""


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "greendata.yaml").write_text(CONFIG)
    rows = [row("b/crawl/a", size_bytes=10**13), row("b/else\n", size_bytes=5)]
    take(tmp_path / ".greendata", rows, "s3://b/")
    return tmp_path


@pytest.mark.usefixtures("catalog")
def test_gauges_are_of_the_catalog_and_say_what_is_not_known(capsys: Capture) -> None:
    assert run(["metrics"]) == 0
    shown = capsys.readouterr()
    assert (
        'greendata_stored_bytes{dataset="we\\"b",tier="hot",region="us-east-1"} 10000000000000\n'
        in shown.out
    )
    assert 'greendata_uncounted_bytes{dataset="",tier="hot",region=""} 5\n' in shown.out
    assert 'greendata_estimated_carbon_grams{dataset="",' not in shown.out
    assert 'greendata_budget_over{dataset="",item="usd_per_month",level="enforce"} 1' in shown.out
    assert "nothing is stored in a dataset 'web'. Did you mean 'we\"b'?" in shown.err
    assert run(["metrics", "--openmetrics"]) == 0
    assert capsys.readouterr().out.endswith("# EOF\n")


@pytest.mark.usefixtures("catalog")
def test_the_document_has_one_entry_a_value(capsys: Capture) -> None:
    assert run(["metrics", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema_version"] == 1
    by_name: dict[str, Any] = {entry["name"]: entry for entry in found["metrics"]}
    low, central, high = (
        by_name[f"greendata_estimated_carbon{bound}_grams"]["value"]
        for bound in ("_low", "", "_high")
    )
    assert low < central < high
    assert central == pytest.approx(10 * 7600 / 12, rel=0.02)
    assert by_name["greendata_estimated_energy_joules"]["unit"] == "joules"


def test_a_file_is_replaced_whole_and_readable_by_others(catalog: Path, capsys: Capture) -> None:
    path = catalog / "out" / "greendata.prom"
    assert run(["metrics", "-o", str(path)]) == 22
    path.parent.mkdir()
    path.write_text("old")
    os.umask(0o022)
    assert run(["metrics", "-o", str(path)]) == 0
    assert path.read_text().startswith("# HELP greendata_stored_bytes")
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]
    assert "values in" in capsys.readouterr().out
    assert run(["metrics", "-o", str(path.parent)]) == 2


@pytest.mark.usefixtures("catalog")
def test_push_without_a_collector_says_where_to_write_it(capsys: Capture) -> None:
    assert run(["metrics", "--push"]) == 10
    assert "metrics: {otlp:" in capsys.readouterr().err


def ran() -> OwnFootprint:
    with RunMeter(MachineSettings(meter="model"), region="us-east-1") as meter:
        sum(range(100_000))
    return meter.footprint(Traffic(read_bytes=100, requests={"read": 2}))


@pytest.mark.usefixtures("catalog")
def test_counters_go_on_from_run_to_run_and_count_each_once(capsys: Capture) -> None:
    own = ran()
    for run_id in ("one", "two", "two"):
        metrics = Metrics()
        add_run(metrics, own)
        end_run(metrics, "success", NOW)
        metrics.set("greendata_run_active", 1)
        count_run(".greendata", run_id, metrics)
    assert run(["metrics"]) == 0
    shown = capsys.readouterr().out
    assert 'greendata_runs_total{outcome="success"} 2\n' in shown
    assert "greendata_run_read_bytes_total 200\n" in shown
    assert 'greendata_run_requests_total{call="read"} 4\n' in shown
    assert "greendata_run_last_success_timestamp_seconds 1795262400\n" in shown
    assert "greendata_run_active" not in shown


@pytest.mark.parametrize(
    "content", ['{"values": 5}', '{"values": [["x", [], 1], ["greendata_runs", ["a"], -1], 7]}']
)
def test_damaged_counters_begin_anew(catalog: Path, capsys: Capture, content: str) -> None:
    (catalog / ".greendata" / "state").mkdir()
    (catalog / ".greendata" / "state" / "counters.json").write_text(content)
    assert run(["metrics"]) == 0
    assert "greendata_runs_total" not in capsys.readouterr().out


def test_an_empty_catalog_is_named(tmp_path: Path, capsys: Capture) -> None:
    assert run(["metrics", "--catalog", str(tmp_path / "none")]) == 22
    assert "none" in capsys.readouterr().err
