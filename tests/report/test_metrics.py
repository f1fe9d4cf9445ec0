"""Metrics as text, over HTTP and by OTLP, read by parsers that are not ours."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.errors import ConfigError, ExtraMissingError, ServiceError, UsageError
from greendata.report.metrics import FAMILIES, Metrics
from greendata.report.metrics_otlp import otlp_name, push
from greendata.report.metrics_server import serving
from tests.services import Reply, service

DASHBOARD = Path(__file__).parents[2] / "scripts" / "deploy" / "grafana.json"
HAS_OTEL = importlib.util.find_spec("opentelemetry") is not None


def made() -> Metrics:
    metrics = Metrics()
    place = {"dataset": 'a"b\\c\nd', "tier": "hot", "region": None}
    metrics.set("greendata_stored_bytes", 2**63, **place)
    metrics.set("greendata_estimated_carbon_grams", 1.5e-7, **place)
    metrics.set("greendata_model", 1, model_version="1-abc")
    metrics.add("greendata_run_energy_joules", 12, meter="rapl")
    metrics.add("greendata_run_energy_joules", 0.5, meter="rapl")
    metrics.add("greendata_run_cost_usd", Decimal("0.25"))
    return metrics


def test_prometheus_text_is_as_documented() -> None:
    assert made().render() == (
        "# HELP greendata_stored_bytes Stored, all versions.\n"
        "# TYPE greendata_stored_bytes gauge\n"
        'greendata_stored_bytes{dataset="a\\"b\\\\c\\nd",tier="hot",region=""}'
        " 9223372036854775808\n"
        "# HELP greendata_estimated_carbon_grams gCO2e of keeping it for a month, running and"
        " hardware, central value.\n"
        "# TYPE greendata_estimated_carbon_grams gauge\n"
        'greendata_estimated_carbon_grams{dataset="a\\"b\\\\c\\nd",tier="hot",region=""} 1.5e-07\n'
        "# HELP greendata_model_info Version of formulae, prices and coefficients.\n"
        "# TYPE greendata_model_info gauge\n"
        'greendata_model_info{model_version="1-abc"} 1\n'
        "# HELP greendata_run_energy_joules_total Energy that runs took.\n"
        "# TYPE greendata_run_energy_joules_total counter\n"
        'greendata_run_energy_joules_total{meter="rapl"} 12.5\n'
        "# HELP greendata_run_cost_usd_total Requests and processors that runs took.\n"
        "# TYPE greendata_run_cost_usd_total counter\n"
        "greendata_run_cost_usd_total 0.25\n"
    )


def test_names_end_in_their_units_and_values_need_their_labels() -> None:
    for family in FAMILIES.values():
        assert re.fullmatch(r"greendata_[a-z0-9_]+", family.name)
        assert family.name.endswith(family.unit)
        assert not family.name.endswith(("_total", "_info"))
    for name, labels in (("greendata_nothing", {}), ("greendata_stored_bytes", {"dataset": "a"})):
        with pytest.raises(UsageError):
            Metrics().set(name, 1, **labels)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=12), st.floats())
def test_what_is_written_is_read_back_by_the_parsers_of_prometheus(name: str, value: float) -> None:
    prometheus = pytest.importorskip("prometheus_client.parser")
    openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser")
    metrics = made()
    metrics.set("greendata_estimated_energy_joules", value, dataset=name, tier="\udc80", region="r")
    expected = name.encode("utf-8", "backslashreplace").decode()
    for parser, text in (
        (prometheus, metrics.render()),
        (openmetrics, metrics.render(is_openmetrics=True)),
    ):
        families = {family.name: family for family in parser.text_string_to_metric_families(text)}
        (sample,) = families["greendata_estimated_energy_joules"].samples
        assert sample.labels["dataset"] == expected
        assert sample.value == value or (value != value and sample.value != sample.value)
        (stored,) = families["greendata_stored_bytes"].samples
        assert stored.labels["dataset"] == 'a"b\\c\nd'
        assert stored.value == 2**63


def test_openmetrics_names_types_and_units_and_ends() -> None:
    text = made().render(is_openmetrics=True)
    assert text.endswith("# EOF\n")
    assert "# TYPE greendata_run_energy_joules counter\n# UNIT greendata_run_energy_joules" in text
    assert "# TYPE greendata_model info\n" in text
    assert Metrics().render(is_openmetrics=True) == "# EOF\n"
    assert Metrics().render() == ""


def fetch(url: str, accept: str = "") -> tuple[str, str]:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_a_run_serves_its_metrics_as_they_are_at_each_request() -> None:
    metrics = made()
    with serving(metrics, "127.0.0.1", 0) as url:
        kind, text = fetch(url)
        assert kind.startswith("text/plain; version=0.0.4")
        assert text == metrics.render()
        metrics.add("greendata_run_energy_joules", 1, meter="rapl")
        kind, text = fetch(url, "application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert 'greendata_run_energy_joules_total{meter="rapl"} 13.5\n' in text
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(url.replace("/metrics", "/"))
        port = int(url.split(":")[2].split("/")[0])
        with (
            pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"),
            serving(metrics, "127.0.0.1", port),
        ):
            pass
    with pytest.raises(urllib.error.URLError):
        fetch(url)


def test_otlp_names_have_dots_and_no_unit() -> None:
    names = {otlp_name(family) for family in FAMILIES.values()}
    assert "greendata.stored" in names
    assert "greendata.run_energy" in names
    assert "greendata.run_cost_usd" in names
    assert len(names) == len(FAMILIES)


def test_otlp_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("opentelemetry", "opentelemetry.exporter.otlp.proto.http.metric_exporter"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraMissingError) as caught:
        push(made(), "http://127.0.0.1:9/v1/metrics")
    assert caught.value.exit_code == 50
    assert "pip install 'greendata[otel]'" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="plain HTTP"):
        push(made(), "http://collector.example/v1/metrics")


@pytest.mark.skipif(not HAS_OTEL, reason="the extra otel is not installed")
def test_otlp_sends_all_values_with_units() -> None:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    with service(lambda request: Reply()) as collector:
        push(made(), f"{collector.url}/v1/metrics", key="CANARY", version="9")
        (request,) = collector.requests
    assert request.headers["authorization"] == "Bearer CANARY"
    found = ExportMetricsServiceRequest.FromString(request.body)
    sent: dict[str, Any] = {
        metric.name: metric for metric in found.resource_metrics[0].scope_metrics[0].metrics
    }
    assert sent["greendata.estimated_carbon"].unit == "g"
    assert sent["greendata.run_energy"].sum.data_points[0].as_double == 12.5
    assert sent["greendata.run_energy"].sum.is_monotonic


@pytest.mark.skipif(not HAS_OTEL, reason="the extra otel is not installed")
def test_a_collector_that_refuses_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with (
        service(lambda request: Reply(status=400)) as collector,
        pytest.raises(ServiceError, match="did not take them"),
    ):
        push(made(), f"{collector.url}/v1/metrics", key="CANARY")
    assert "CANARY" not in caplog.text


def test_the_dashboard_names_only_metrics_that_exist() -> None:
    text = DASHBOARD.read_text()
    board = json.loads(text)
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    names = set(re.findall(r"greendata_[a-z0-9_]+", " ".join(expressions)))
    assert len(names) > 10
    assert names <= {family.sample_name for family in FAMILIES.values()}
    labels = set(re.findall(r"by \(([a-z, ]+)\)", " ".join(expressions)))
    known = {label for family in FAMILIES.values() for label in family.labels}
    assert {label for group in labels for label in group.split(", ")} <= known
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in board["panels"]}) == len(places)
