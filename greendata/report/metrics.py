"""Metrics by convention: base units, one family a quantity, and the two text formats.

Prometheus text 0.0.4 is what node exporter's textfile collector and every scraper take, OpenMetrics
1.0 what newer ones ask for. Bounds are families of their own, because a sum over a label `bound`
would mean nothing. No object key is ever a label.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from greendata.errors import UsageError

Kind = Literal["gauge", "counter", "info"]

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Number = int | float | Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One quantity. ``name`` is without the ``_total`` of counters and the ``_info`` of infos.

    ``unit`` is the end of the name, or empty.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def sample_name(self) -> str:
        """As it stands before a value."""
        return self.name + {"gauge": "", "counter": "_total", "info": "_info"}[self.kind]


_PLACE = ("dataset", "tier", "region")


def _gauge(name: str, unit: str, text: str, *labels: str) -> Family:
    return Family(name=f"greendata_{name}", kind="gauge", unit=unit, help=text, labels=labels)


def _counter(name: str, unit: str, text: str, *labels: str) -> Family:
    return Family(name=f"greendata_{name}", kind="counter", unit=unit, help=text, labels=labels)


def _estimates(name: str, unit: str, text: str) -> Iterator[Family]:
    """A central value and what it lies between, about 90 %; they add up over labels."""
    yield _gauge(f"estimated_{name}_{unit}", unit, f"{text}, central value.", *_PLACE)
    yield _gauge(f"estimated_{name}_low_{unit}", unit, f"{text}, lower bound.", *_PLACE)
    yield _gauge(f"estimated_{name}_high_{unit}", unit, f"{text}, upper bound.", *_PLACE)


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        _gauge("stored_bytes", "bytes", "Stored, all versions.", *_PLACE),
        _gauge("stored_objects", "", "Stored objects, all versions.", *_PLACE),
        _gauge(
            "redundant_bytes",
            "bytes",
            "Share of the stored bytes whose texts are stored elsewhere too.",
            *_PLACE,
        ),
        *_estimates("cost", "usd", "List price of keeping it for a month"),
        *_estimates("energy", "joules", "Energy of keeping it for a month"),
        *_estimates("carbon", "grams", "gCO2e of keeping it for a month, running and hardware"),
        _gauge("unpriced_bytes", "bytes", "Stored, and in no estimate of cost.", *_PLACE),
        _gauge("uncounted_bytes", "bytes", "Stored, and in no estimate of carbon.", *_PLACE),
        _gauge(
            "inventory_timestamp_seconds", "seconds", "Time of the oldest part of the inventory."
        ),
        Family(
            name="greendata_model",
            kind="info",
            unit="",
            help="Version of formulae, prices and coefficients.",
            labels=("model_version",),
        ),
        _gauge("budget_used_ratio", "ratio", "Used by limit.", "dataset", "item", "level"),
        _gauge("budget_over", "", "1 where a limit is passed.", "dataset", "item", "level"),
        _gauge(
            "grid_carbon_intensity_grams_per_kilowatt_hour",
            "grams_per_kilowatt_hour",
            "Carbon intensity of the grid.",
            "region",
            "source",
            "kind",
        ),
        _gauge(
            "grid_carbon_intensity_fallback",
            "",
            "1 where an average stands in for a signal that failed.",
            "region",
        ),
        _gauge("window_start_timestamp_seconds", "seconds", "When the next run starts.", "region"),
        _gauge("run_active", "", "1 while a run is at work."),
        _gauge("run_last_success_timestamp_seconds", "seconds", "When a run last ended well."),
        _counter("runs", "", "Runs that ended.", "outcome"),
        _counter("run_energy_joules", "joules", "Energy that runs took.", "meter"),
        _counter("run_carbon_grams", "grams", "gCO2e that runs took."),
        _counter("run_cost_usd", "usd", "Requests and processors that runs took."),
        _counter("run_cpu_seconds", "seconds", "Processor time of runs."),
        _counter("run_wall_seconds", "seconds", "Wall time of runs."),
        _counter("run_read_bytes", "bytes", "Read from stores by runs."),
        _counter("run_written_bytes", "bytes", "Written to stores by runs."),
        _counter("run_requests", "", "Calls of stores by runs.", "call"),
        _counter("run_actions", "", "Actions of runs.", "action", "outcome"),
        _counter("run_alerts", "", "Alerts of runs.", "kind", "result"),
    )
}
"""All there are, by name; the Grafana dashboard names no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of a family; labels in the order of the family."""

    family: Family
    labels: tuple[str, ...]
    value: Number


class Metrics:
    """Values by family and labels. Any thread may call any method."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], Number]] = {}
        self._lock = threading.Lock()

    def set(self, name: str, value: Number, **labels: str | None) -> None:
        """Let a gauge or info be this; a label that is not known is empty.

        Raises:
            UsageError: no such family, or other labels than it has.
        """
        key = _key(name, labels)
        with self._lock:
            self._values.setdefault(name, {})[key] = value

    def add(self, name: str, value: Number, **labels: str | None) -> None:
        """Add to what there is; raises as ``set``."""
        key = _key(name, labels)
        with self._lock:
            values = self._values.setdefault(name, {})
            known = values.get(key, 0)
            is_mixed = isinstance(known, float) or isinstance(value, float)
            values[key] = float(known) + float(value) if is_mixed else known + value  # type: ignore[operator]

    def samples(self) -> list[Sample]:
        """In the order of ``FAMILIES``, then of labels."""
        with self._lock:
            return [
                Sample(family=family, labels=labels, value=value)
                for name, family in FAMILIES.items()
                for labels, value in sorted(self._values.get(name, {}).items())
            ]

    def render(self, *, is_openmetrics: bool = False) -> str:
        """All of it as text, in Prometheus text 0.0.4 or OpenMetrics 1.0."""
        lines: list[str] = []
        family = None
        for sample in self.samples():
            if sample.family is not family:
                family = sample.family
                lines += _head(family, is_openmetrics=is_openmetrics)
            lines.append(_line(sample))
        if is_openmetrics:
            lines.append("# EOF")
        return "".join(f"{line}\n" for line in lines)


def _key(name: str, labels: Mapping[str, str | None]) -> tuple[str, ...]:
    family = FAMILIES.get(name)
    if family is None or set(labels) != set(family.labels):
        raise UsageError(f"no metric {name} with labels {', '.join(labels) or 'none'}")
    return tuple(labels[label] or "" for label in family.labels)


def _head(family: Family, *, is_openmetrics: bool) -> Iterator[str]:
    text = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    if not is_openmetrics:
        kind = "gauge" if family.kind == "info" else family.kind
        yield f"# HELP {family.sample_name} {text}"
        yield f"# TYPE {family.sample_name} {kind}"
        return
    text = text.replace('"', '\\"')
    yield f"# TYPE {family.name} {family.kind}"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {text}"


def _line(sample: Sample) -> str:
    pairs = ",".join(
        f'{name}="{escape_label(value)}"'
        for name, value in zip(sample.family.labels, sample.labels, strict=True)
    )
    labels = f"{{{pairs}}}" if pairs else ""
    return f"{sample.family.sample_name}{labels} {_number(sample.value)}"


def escape_label(value: str) -> str:
    """A label's value by the rules of both formats: backslash, quote and line feed; UTF-8 only."""
    text = value.encode("utf-8", "backslashreplace").decode()
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: Number) -> str:
    if isinstance(value, int):
        return str(int(value))
    number = float(value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return repr(number)
