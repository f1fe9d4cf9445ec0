"""What the sections say: windows, budgets, who is told, where metrics go.

Only ``greendata.yaml`` names endpoints and commands, and credentials only by the environment
variable that holds them: a policy cannot, and no value of a secret is ever read from a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Provider = Literal[
    "static", "csv", "electricity_maps", "watttime", "carbon_aware_sdk", "uk_carbon_intensity"
]
AlertKind = Literal["failed_run", "budget", "guard", "drift", "survivor"]
ALERT_KINDS: tuple[AlertKind, ...] = ("failed_run", "budget", "guard", "drift", "survivor")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSettings:
    """``carbon.signal``: who tells the carbon intensity of the grid.

    Attributes:
        url: of the service; None is its own public address.
        path: of a CSV file, or its URI.
        zone: the provider's word for the grid; by default what the data files say of the region.
        measures: for the Carbon Aware SDK, whose source its operator chose.
        max_age_seconds: a forecast made longer ago is stale.
    """

    provider: Provider = "static"
    url: str | None = None
    path: str | None = None
    zone: str | None = None
    measures: Literal["average", "marginal", "unknown"] = "unknown"
    key_env: str | None = None
    user_env: str | None = None
    password_env: str | None = None
    max_age_seconds: float = 6 * 3600.0
    timeout_seconds: float = 10.0
    attempts: int = 3
    allow_http: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSettings:
    """``carbon.machine``: what the program itself runs on.

    Attributes:
        is_dedicated: reserved for it, so that idle time counts too.
        vcpus: reserved ones; None is what this process may use.
        network: how far what it moves travels.
        meter: ``auto`` is RAPL where it can be read, else the model of the data files.
    """

    is_dedicated: bool = False
    vcpus: int | None = None
    usd_per_vcpu_hour: Decimal | None = None
    network: Literal["intra_region", "inter_region", "internet"] = "intra_region"
    meter: Literal["auto", "model", "codecarbon"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonSettings:
    """``carbon``: when scheduled work runs. Without a rule it runs at once.

    Attributes:
        region: where the work runs, in the provider's word.
        deadline: a duration (``24h``), a time of day in UTC (``06:00``), or a moment in ISO 8601.
    """

    region: str | None = None
    max_gco2e_per_kwh: float | None = None
    best_seconds: float | None = None
    deadline: str | None = None
    scale_workers: bool = False
    signal: SignalSettings = SignalSettings()
    machine: MachineSettings = MachineSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """One entry of ``budgets``; ``dataset`` None is everything together.

    Attributes:
        warn_percent: of the limit, from which it is warned.
    """

    dataset: str | None = None
    usd_per_month: Decimal | None = None
    kgco2e_per_month: float | None = None
    redundant_bytes: int | None = None
    hot_percent: float | None = None
    level: Literal["warn", "enforce"] = "warn"
    warn_percent: float = 80.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """A URL that takes a POST; ``url_env`` names the variable where the URL itself is a secret."""

    url: str | None = None
    url_env: str | None = None
    format: Literal["json", "slack"] = "json"
    token_env: str | None = None
    timeout_seconds: float = 10.0
    allow_http: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """A mail server. Without encryption it must be on this machine."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: str
    recipients: tuple[str, ...]
    user_env: str | None = None
    password_env: str | None = None
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSettings:
    """A program that takes the alert as JSON on stdin; run without a shell."""

    command: tuple[str, ...]
    timeout_seconds: float = 30.0


ChannelSettings = WebhookSettings | MailSettings | CommandSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """``alerts``: who is told of what; the same alert not again within ``repeat_after_seconds``."""

    channels: tuple[ChannelSettings, ...] = ()
    kinds: tuple[AlertKind, ...] = ALERT_KINDS
    repeat_after_seconds: float = 86_400.0
    attempts: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """``metrics``: where a run serves its own (None: nowhere), and who else is sent them."""

    host: str | None = None
    port: int = 0
    otlp_url: str | None = None
    otlp_key_env: str | None = None
    allow_http: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operating:
    """All these sections; the defaults where the file says nothing."""

    carbon: CarbonSettings = CarbonSettings()
    budgets: tuple[BudgetSettings, ...] = ()
    alerts: AlertSettings = AlertSettings()
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
