"""Metrics sent by OTLP over HTTP, by the extra; the one home of OpenTelemetry.

Names get dots for the name space and lose the unit, which OTLP carries apart, in UCUM.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from greendata.errors import ExtraMissingError, ServiceError
from greendata.report.metrics import Family, Metrics, Number, Sample
from greendata.web import address_of, refuse_plain_http

_UCUM = {"bytes": "By", "joules": "J", "grams": "g", "seconds": "s", "ratio": "1"}


def push(
    metrics: Metrics,
    url: str,
    *,
    key: str | None = None,
    timeout_seconds: float = 10.0,
    allow_http: bool = False,
    version: str = "",
) -> None:
    """Send all values once.

    Raises:
        ExtraMissingError: OpenTelemetry is not installed.
        ServiceError: the collector did not take them.
        ConfigError: plain HTTP to another machine.
    """
    refuse_plain_http(url, allow_http=allow_http, name=f"metrics: {address_of(url)}")
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
        from opentelemetry.sdk.resources import Resource
    except ImportError as error:
        raise ExtraMissingError(
            "sending metrics by OTLP needs an extra package",
            hint="Install it: pip install 'greendata[otel]'",
        ) from error
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what fails is raised here
    reader = InMemoryMetricReader()
    resource = Resource({"service.name": "greendata", "service.version": version})
    provider = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
    exporter = OTLPMetricExporter(
        endpoint=url,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=timeout_seconds,
    )
    try:
        _observe(provider.get_meter("greendata", version), metrics)
        result = exporter.export(reader.get_metrics_data(), timeout_millis=timeout_seconds * 1000)
    finally:
        exporter.shutdown()
        provider.shutdown()
    if result is not MetricExportResult.SUCCESS:
        raise ServiceError(
            f"metrics: {address_of(url)}: the collector did not take them", is_retryable=True
        )


def otlp_name(family: Family) -> str:
    """``greendata_stored_bytes`` as ``greendata.stored``."""
    name = family.name.replace("greendata_", "greendata.", 1)
    return name.removesuffix(f"_{family.unit}") if family.unit in _UCUM else name


def _observe(meter: Any, metrics: Metrics) -> None:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in metrics.samples():
        found[sample.family.name].append(sample)
    for samples in found.values():
        family = samples[0].family
        make = (
            meter.create_observable_counter
            if family.kind == "counter"
            else meter.create_observable_gauge
        )
        make(
            otlp_name(family),
            callbacks=[_callback(samples)],
            unit=_UCUM.get(family.unit, ""),
            description=family.help,
        )


def _otlp_number(value: Number) -> int | float:
    """Integers of 64 bits, which is what OTLP has."""
    is_small = isinstance(value, int) and abs(value) < 2**63
    return int(value) if is_small else float(value)


def _callback(samples: Sequence[Sample]) -> Callable[[Any], list[Any]]:
    from opentelemetry.metrics import Observation

    observed = [
        Observation(
            _otlp_number(sample.value),
            dict(zip(sample.family.labels, sample.labels, strict=True)),
        )
        for sample in samples
    ]
    return lambda options: observed
