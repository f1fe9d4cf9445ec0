"""When scheduled work runs: the signal is asked, the window chosen, and the wait remembered.

``choose_window`` is what `greendata run` asks before it does anything; ``begin_waiting`` keeps the
moment from which a deadline such as `24h` counts, so that a scheduler that comes every hour and is
told to come again does arrive at the deadline.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never

from greendata.errors import ConfigError, DeniedError, ServiceError, UsageError
from greendata.footprint.carbon import Region, find_region, regions
from greendata.footprint.energy import compute_energy
from greendata.footprint.tables import rows_of
from greendata.jobs.state import State, read_state, update_state
from greendata.model import SCHEMA_VERSION
from greendata.operating.reading import secret
from greendata.operating.records import CarbonSettings, SignalSettings
from greendata.signals.base import Forecast, Signal
from greendata.signals.window import (
    Choice,
    WaitingCost,
    WindowRule,
    choose,
    run_at_once,
    workers_for,
)
from greendata.units import parse_duration
from greendata.web import Retries

if TYPE_CHECKING:
    from greendata.config import StoreSettings
    from greendata.signals.services import Service

DEFAULT_DURATION_SECONDS = 3600.0
"""Taken where nobody says how long the work will take."""

_STATE = "window"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRequest:
    """Choose a window for work that could begin now.

    Attributes:
        policy: what policy files say (``PolicySet.window``); it goes before the configuration.
        duration_seconds: how long the work is expected to take, on ``workers`` processors.
        cost: what an hour of waiting costs; None is not known.
        waiting_since: when the work was due first (``begin_waiting``).
    """

    carbon: CarbonSettings
    now: datetime
    policy: CarbonSettings | None = None
    stores: tuple[StoreSettings, ...] = ()
    duration_seconds: float = DEFAULT_DURATION_SECONDS
    workers: int = 1
    cost: WaitingCost | None = None
    waiting_since: datetime | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    retries: Retries | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When to run, why, and on whose word.

    Attributes:
        is_open: the work runs now; else at ``choice.starts_at``.
        fallback: why the average of the region stands in for the signal that was asked.
        forecast_ends_at: how far the signal knows.
        workers: as many as run at the start of the window.
        notes: what was assumed, in sentences.
    """

    is_open: bool
    choice: Choice
    decided_at: datetime
    deadline_at: datetime | None
    waiting_since: datetime | None
    region: str | None
    source: str | None
    zone: str | None
    kind: str | None
    basis: str | None
    fallback: str | None
    forecast_ends_at: datetime | None
    workers: int
    job_energy_kwh: float | None
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def wait_seconds(self) -> float:
        """From the decision to the start."""
        return max(0.0, (self.choice.starts_at - self.decided_at).total_seconds())

    def as_dict(self) -> dict[str, Any]:
        """The JSON document; times in ISO 8601, USD as decimal text."""
        document = asdict(self)
        choice = document.pop("choice")
        return {**document, **choice, "wait_seconds": self.wait_seconds}


def choose_window(request: WindowRequest) -> Window:
    """The window that configuration, policies, signal and the price of waiting come to.

    A signal that fails is replaced by the region's average, which is told; work is never held up
    by it.

    Raises:
        ConfigError: a credential that is named is not set, or a region that is not known.
    """
    settings = _effective(request)
    place = _find_place(settings.region)
    if not has_rule(request):
        choice = run_at_once(request.now, request.duration_seconds)
        return _window(request, choice, settings=settings, deadline_at=None, forecast=None)
    deadline_at = deadline_of(settings.deadline or "1s", request.waiting_since or request.now)
    seconds = settings.best_seconds or request.duration_seconds
    until = max(deadline_at, request.now) + timedelta(seconds=seconds)
    forecast = fetch_forecast(request, settings, place, until)
    energy = _job_energy(request, place)
    choice = choose(
        request.now,
        WindowRule(
            deadline_at=deadline_at,
            max_gco2e_per_kwh=settings.max_gco2e_per_kwh,
            best_seconds=settings.best_seconds,
        ),
        forecast,
        duration_seconds=request.duration_seconds,
        job_energy_kwh=energy,
        cost=request.cost,
    )
    return _window(
        request,
        choice,
        settings=settings,
        deadline_at=deadline_at,
        forecast=forecast,
        energy=energy,
    )


def has_rule(request: WindowRequest) -> bool:
    """Whether anything may have to be waited for."""
    settings = _effective(request)
    return settings.best_seconds is not None or settings.max_gco2e_per_kwh is not None


def deadline_of(text: str, since: datetime) -> datetime:
    """The moment that ``24h``, ``06:00`` (UTC, the next) or a moment in ISO 8601 means."""
    try:
        return since + timedelta(seconds=parse_duration(text))
    except UsageError:
        pass
    if len(text) == len("06:00"):
        hour, minute = text.split(":")
        day = since.astimezone(UTC).replace(
            hour=int(hour), minute=int(minute), second=0, microsecond=0
        )
        return day if day >= since else day + timedelta(days=1)
    return datetime.fromisoformat(text).astimezone(UTC)


def fetch_forecast(
    request: WindowRequest, settings: CarbonSettings, place: Region | None, until: datetime
) -> Forecast | None:
    """What the signal tells from now on; the region's average where it fails; None without either.

    Raises:
        ConfigError: a credential that is named is not set.
    """
    average = _average(place)
    why = None
    if settings.signal.provider != "static":
        try:
            signal = open_signal(request, settings.signal, place)
            return signal.forecast(request.now, until, now=request.now)
        except (ServiceError, DeniedError, OSError) as error:
            why = str(error)
    if average is None:
        return None
    found = average.forecast(request.now, until, now=request.now)
    return replace(found, fallback=why)


def _average(place: Region | None) -> Signal | None:
    from greendata.signals.averages import StaticSignal

    if place is None or place.intensity_gco2e_per_kwh is None:
        return None
    return StaticSignal(
        region=place.region,
        intensity_gco2e_per_kwh=place.intensity_gco2e_per_kwh.central,
        basis=(place.basis or "unknown").split(";")[0],
    )


def open_signal(request: WindowRequest, settings: SignalSettings, place: Region | None) -> Signal:
    """The provider that the configuration names.

    Raises:
        ConfigError: a credential that is named is not set.
    """
    if settings.provider == "csv":
        return _csv_signal(request, settings)
    if settings.provider == "static":
        average = _average(place)
        if average is None:
            raise ConfigError("carbon: the static signal needs a `region` that is known")
        return average
    service = _service(request, settings, place)
    if settings.provider == "electricity_maps":
        from greendata.signals.electricity_maps import ElectricityMaps

        return ElectricityMaps(service)
    if settings.provider == "watttime":
        from greendata.signals.watttime import WattTime

        return WattTime(service)
    if settings.provider == "carbon_aware_sdk":
        from greendata.signals.carbon_aware_sdk import CarbonAwareSdk

        return CarbonAwareSdk(service, kind=settings.measures)
    if settings.provider == "uk_carbon_intensity":
        from greendata.signals.uk_carbon_intensity import UkCarbonIntensity

        return UkCarbonIntensity(service)
    assert_never(settings.provider)


def _csv_signal(request: WindowRequest, settings: SignalSettings) -> Signal:
    from greendata.signals.csvfile import LARGEST_FILE_BYTES, CsvSignal
    from greendata.stores.opening import Stores, normalise_uri

    uri = normalise_uri(settings.path or "", request.stores)
    store = Stores(request.stores).store_of(uri)

    def read() -> bytes:
        return store.read(uri, size_bytes=LARGEST_FILE_BYTES + 1)

    return CsvSignal(place=settings.path or "", read=read)


def _service(request: WindowRequest, settings: SignalSettings, place: Region | None) -> Service:
    from greendata.signals.services import Service

    what = f"carbon.signal ({settings.provider})"
    if settings.provider == "uk_carbon_intensity" and place and place.grid_zone != "GB":
        raise ConfigError(f"{what}: tells of Great Britain, where {place.region} is not")
    environment = request.environment
    return Service(
        url=settings.url,
        zone=settings.zone or _zone_of(settings.provider, place),
        key=secret(settings.key_env, environment, what),
        user=secret(settings.user_env, environment, what),
        password=secret(settings.password_env, environment, what),
        max_age_seconds=settings.max_age_seconds,
        timeout_seconds=settings.timeout_seconds,
        allow_http=settings.allow_http,
        retries=request.retries or Retries(attempts=settings.attempts),
    )


def _zone_of(provider: str, place: Region | None) -> str | None:
    """The provider's word for the grid of a region, where the data files know one."""
    if place is None or provider == "uk_carbon_intensity":
        return None
    if provider == "carbon_aware_sdk":
        return place.region
    row = rows_of("regions").get((place.provider, place.region), {})
    zone = row.get("grid_zone" if provider == "electricity_maps" else "watttime_region", "")
    return zone if zone and "|" not in zone else None


def _find_place(region: str | None) -> Region | None:
    """Regions of different clouds have different names."""
    if region is None:
        return None
    for provider, name in sorted(regions()):
        if name == region:
            return find_region(provider, name)
    from greendata.config import did_you_mean

    known = {name for _, name in regions() if name}
    raise ConfigError(
        f"carbon: {region!r} is no region that the data files know.{did_you_mean(region, known)}",
        hint="Write the cloud's own word, such as eu-north-1 or swedencentral.",
    )


def _effective(request: WindowRequest) -> CarbonSettings:
    """The policy's rule where it has one, with signal and machine of the configuration."""
    configured, policy = request.carbon, request.policy
    if policy is None:
        return configured
    return replace(
        policy,
        region=policy.region or configured.region,
        signal=configured.signal,
        machine=configured.machine,
    )


def _job_energy(request: WindowRequest, place: Region | None) -> float:
    """kWh that the work will take, by the model of the data files."""
    pue = (place or find_region("s3", None)).pue
    vcpu_hours = request.workers * request.duration_seconds / 3600
    return compute_energy(vcpu_hours, pue).central


def _window(
    request: WindowRequest,
    choice: Choice,
    *,
    settings: CarbonSettings,
    deadline_at: datetime | None,
    forecast: Forecast | None,
    energy: float | None = None,
) -> Window:
    workers = request.workers
    if settings.scale_workers and choice.reason != "deadline":
        workers = workers_for(forecast, choice.starts_at, workers)
    return Window(
        is_open=choice.starts_at <= request.now,
        choice=choice,
        decided_at=request.now,
        deadline_at=deadline_at,
        waiting_since=request.waiting_since,
        region=settings.region,
        source=forecast.source if forecast else None,
        zone=forecast.zone if forecast else None,
        kind=forecast.kind if forecast else None,
        basis=forecast.basis if forecast else None,
        fallback=forecast.fallback if forecast else None,
        forecast_ends_at=forecast.ends_at if forecast else None,
        workers=workers,
        job_energy_kwh=energy,
        notes=tuple(_notes(request, settings, deadline_at, forecast)),
    )


def _notes(
    request: WindowRequest,
    settings: CarbonSettings,
    deadline_at: datetime | None,
    forecast: Forecast | None,
) -> Sequence[str]:
    if deadline_at is None:
        return []
    notes = []
    if forecast is None:
        notes.append("No signal and no region: write `region:` below carbon in greendata.yaml.")
    elif forecast.source == "static":
        notes.append("An average over a year is the same for all hours: no hour is cleaner.")
    elif forecast.kind != "average":
        notes.append(
            f"The signal is {forecast.kind}: storage, counted by averages, is not weighed"
            " against it."
        )
    if forecast is not None and forecast.ends_at < deadline_at:
        notes.append("The forecast ends before the deadline; later hours were not weighed.")
    if request.cost is None:
        notes.append("What waiting costs was not known.")
    return notes


def begin_waiting(
    catalog: str, schedule: str, now: datetime, stores: Sequence[StoreSettings] = ()
) -> datetime:
    """Remember that the work of a schedule is due since now; since when it was, if it was before.

    ``schedule`` names what is to run, such as its policy files.
    """

    def change(state: State) -> State:
        return state if _since(state, schedule) else state | {schedule: now.isoformat()}

    return _since(update_state(catalog, _STATE, change, stores), schedule) or now


def waiting_since(
    catalog: str, schedule: str, stores: Sequence[StoreSettings] = ()
) -> datetime | None:
    """Since when the work of a schedule is due; None where it does not wait."""
    return _since(read_state(catalog, _STATE, stores), schedule)


def end_waiting(catalog: str, schedule: str, stores: Sequence[StoreSettings] = ()) -> None:
    """The work has begun: the next deadline counts anew."""

    def change(state: State) -> State:
        return {name: since for name, since in state.items() if name != schedule}

    if waiting_since(catalog, schedule, stores) is not None:
        update_state(catalog, _STATE, change, stores)


def _since(state: State, schedule: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(state[schedule])
    except (KeyError, TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None
