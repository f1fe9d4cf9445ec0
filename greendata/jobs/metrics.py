"""``greendata metrics``: gauges of the catalog, and counters of all runs so far.

Counters live beside the catalog, so that they go on counting from run to run: a file that began at
zero each night would be read as if nothing had happened whenever a night took more than the last.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from greendata import __version__
from greendata.errors import ConfigError, ObjectNotFoundError, UsageError
from greendata.jobs.budgets import check_budgets
from greendata.jobs.export import published
from greendata.jobs.holdings import Holdings, measure_holdings
from greendata.jobs.state import State, read_state, update_state
from greendata.model import SCHEMA_VERSION
from greendata.operating.reading import secret
from greendata.report.metrics import FAMILIES, Metrics

if TYPE_CHECKING:
    from greendata.config import DatasetSettings, StoreSettings
    from greendata.footprint.ranges import Range, UsdRange
    from greendata.jobs.budgets import BudgetReview
    from greendata.jobs.carbon_window import Window
    from greendata.jobs.metering import OwnFootprint
    from greendata.operating.records import BudgetSettings, MetricsSettings

_STATE = "counters"
_RUNS_KEPT = 1000
_JOULES_A_KWH = 3.6e6

Outcome = Literal["success", "partial", "failed", "postponed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsRequest:
    """Metrics of one catalog."""

    catalog: str
    as_of: datetime
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    budgets: tuple[BudgetSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsDocument:
    """What ``greendata metrics`` prints."""

    metrics: Metrics
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON document: one entry a value."""
        return {
            "schema_version": SCHEMA_VERSION,
            "metrics": [
                {
                    "name": sample.family.sample_name,
                    "type": sample.family.kind,
                    "unit": sample.family.unit or None,
                    "labels": dict(zip(sample.family.labels, sample.labels, strict=True)),
                    "value": sample.value,
                }
                for sample in self.metrics.samples()
            ],
            "warnings": list(self.warnings),
        }


def catalog_metrics(request: MetricsRequest) -> MetricsDocument:
    """What is stored, what it costs, budgets, and what runs have counted.

    Raises:
        ObjectNotFoundError: nothing was listed into the catalog yet.
    """
    metrics = Metrics()
    holdings = measure_holdings(
        request.catalog, as_of=request.as_of, stores=request.stores, datasets=request.datasets
    )
    add_holdings(metrics, holdings)
    review = check_budgets(request.budgets, holdings)
    add_budgets(metrics, review)
    _add_counters(metrics, read_state(request.catalog, _STATE, request.stores))
    return MetricsDocument(metrics=metrics, warnings=review.warnings)


def add_holdings(metrics: Metrics, holdings: Holdings) -> None:
    """What is stored and what that comes to in a month."""
    for row in holdings.rows:
        place = {"dataset": row.dataset, "tier": row.tier, "region": row.region}
        found = row.footprint
        for name, value in (
            ("stored_bytes", found.size_bytes),
            ("stored_objects", found.objects),
            ("redundant_bytes", row.redundant_bytes),
            ("unpriced_bytes", found.size_bytes - found.priced_bytes),
            ("uncounted_bytes", found.size_bytes - found.carbon_bytes),
        ):
            metrics.add(f"greendata_{name}", value, **place)
        _add_bounds(metrics, "cost", "usd", found.cost_usd, 1, place)
        _add_bounds(metrics, "energy", "joules", found.energy_kwh, _JOULES_A_KWH, place)
        _add_bounds(metrics, "carbon", "grams", found.carbon_kgco2e, 1000, place)
    metrics.set("greendata_inventory_timestamp_seconds", holdings.as_of.timestamp())
    metrics.set("greendata_model", 1, model_version=holdings.model_version)


def _add_bounds(
    metrics: Metrics,
    name: str,
    unit: str,
    amount: Range | UsdRange | None,
    factor: float,
    place: Mapping[str, str | None],
) -> None:
    """What is not known has no value at all, rather than zero."""
    if amount is None:
        return
    for bound, value in (("", amount.central), ("_low", amount.low), ("_high", amount.high)):
        metrics.add(f"greendata_estimated_{name}{bound}_{unit}", float(value) * factor, **place)


def add_budgets(metrics: Metrics, review: BudgetReview) -> None:
    """Each limit; of two on the same thing the fuller one counts."""
    for use in sorted(review.uses, key=lambda use: (use.ratio or 0.0, use.state == "over")):
        labels = {"dataset": use.dataset, "item": use.item, "level": use.level}
        if use.ratio is not None:
            metrics.set("greendata_budget_used_ratio", use.ratio, **labels)
        metrics.set("greendata_budget_over", int(use.state == "over"), **labels)


def add_window(metrics: Metrics, window: Window) -> None:
    """When the next run starts, and how clean the grid is now."""
    choice = window.choice
    if choice.now_gco2e_per_kwh is not None:
        metrics.set(
            "greendata_grid_carbon_intensity_grams_per_kilowatt_hour",
            choice.now_gco2e_per_kwh,
            region=window.region,
            source=window.source,
            kind=window.kind,
        )
    metrics.set(
        "greendata_grid_carbon_intensity_fallback",
        int(window.fallback is not None),
        region=window.region,
    )
    metrics.set(
        "greendata_window_start_timestamp_seconds",
        choice.starts_at.timestamp(),
        region=window.region,
    )


def add_run(metrics: Metrics, own: OwnFootprint) -> None:
    """What a run itself took; central values."""
    joules = own.energy_kwh.central * _JOULES_A_KWH
    metrics.add("greendata_run_energy_joules", joules, meter=own.meter)
    if own.carbon_kgco2e is not None:
        metrics.add("greendata_run_carbon_grams", own.carbon_kgco2e.central * 1000)
    metrics.add("greendata_run_cost_usd", float(own.cost_usd.central))
    metrics.add("greendata_run_cpu_seconds", own.cpu_seconds)
    metrics.add("greendata_run_wall_seconds", own.wall_seconds)
    metrics.add("greendata_run_read_bytes", own.read_bytes)
    metrics.add("greendata_run_written_bytes", own.written_bytes)
    for call, count in own.requests.items():
        metrics.add("greendata_run_requests", count, call=call)


def end_run(metrics: Metrics, outcome: Outcome, at: datetime) -> None:
    """A run that ended, and when one last ended well."""
    metrics.add("greendata_runs", 1, outcome=outcome)
    if outcome == "success":
        metrics.set("greendata_run_last_success_timestamp_seconds", at.timestamp())


def count_run(
    catalog: str, run_id: str, metrics: Metrics, stores: Sequence[StoreSettings] = ()
) -> None:
    """Add a run's counters to those of all runs, once, however often it is called for a run.

    Raises:
        StoreUnreachableError, DeniedError, CommitConflictError: they could not be kept.
    """

    def change(state: State) -> State:
        runs = _list(state.get("runs"))
        if run_id in runs:
            return state
        total = Metrics()
        _add_counters(total, state)
        for sample in metrics.samples():
            labels = dict(zip(sample.family.labels, sample.labels, strict=True))
            if sample.family.kind == "counter":
                total.add(sample.family.name, sample.value, **labels)
            elif sample.family.name in _KEPT_GAUGES:
                total.set(sample.family.name, sample.value, **labels)
        values = [
            [sample.family.name, list(sample.labels), float(sample.value)]
            for sample in total.samples()
        ]
        return {"runs": [*runs, run_id][-_RUNS_KEPT:], "values": values}

    update_state(catalog, _STATE, change, stores)


_KEPT_GAUGES = ("greendata_run_last_success_timestamp_seconds",)


def _add_counters(metrics: Metrics, state: State) -> None:
    """What is damaged, or of a family that is no more, is left out."""
    for entry in _list(state.get("values")):
        if not isinstance(entry, list) or len(entry) != 3:
            continue
        name, labels, value = entry
        family = FAMILIES.get(name) if isinstance(name, str) else None
        is_whole = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if family is None or not is_whole or len(labels) != len(family.labels):
            continue
        if isinstance(value, int | float) and value >= 0:
            number = int(value) if float(value).is_integer() else float(value)
            metrics.add(name, number, **dict(zip(family.labels, labels, strict=True)))


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def push_metrics(
    metrics: Metrics, settings: MetricsSettings, environment: Mapping[str, str] | None = None
) -> None:
    """Send them by OTLP to where the configuration says.

    Raises:
        ConfigError: it names no collector, or a credential that is not set.
        ExtraMissingError, ServiceError: as ``metrics_otlp.push``.
    """
    from greendata.report.metrics_otlp import push

    if settings.otlp_url is None:
        raise ConfigError(
            "metrics: no collector is configured",
            hint="Write `metrics: {otlp: https://collector:4318/v1/metrics}` in greendata.yaml.",
        )
    variables = os.environ if environment is None else environment
    push(
        metrics,
        settings.otlp_url,
        key=secret(settings.otlp_key_env, variables, "metrics: otlp_key_env"),
        allow_http=settings.allow_http,
        version=__version__,
    )


def write_text_file(metrics: Metrics, path: Path) -> int:
    """Write Prometheus text, replacing the file whole; how many values.

    The partial file ends otherwise than `.prom`, so that node exporter never reads half of it.

    Raises:
        DeniedError: not writable.
        ObjectNotFoundError: no such folder.
    """
    if not path.absolute().parent.is_dir():
        raise ObjectNotFoundError(
            f"{path.absolute().parent}: no such folder", hint="Make it first."
        )
    if path.is_dir():
        raise UsageError(f"{path}: is a folder", hint="Name a file in it.")
    stream: BinaryIO
    with published(path, overwrite=True) as stream:
        stream.write(metrics.render().encode())
    return len(metrics.samples())
