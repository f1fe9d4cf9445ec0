"""The sections as pydantic models: strict. Imported lazily, as pydantic costs start-up."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from greendata.operating.records import AlertKind, Provider

_ENV = r"^[A-Za-z_][A-Za-z0-9_]*$"
_URL = r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$"
_HOOK_URL = r"^https?://[^\s/?#@]+(/[^\s#]*)?$"
_ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$"


class Strict(BaseModel):
    """Unknown keys are errors, and no value is taken for another kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SignalEntry(Strict):
    """``carbon.signal``."""

    provider: Provider = "static"
    url: str | None = Field(default=None, pattern=_URL)
    path: str | None = Field(default=None, min_length=1)
    zone: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    measures: Literal["average", "marginal", "unknown"] = "unknown"
    key_env: str | None = Field(default=None, pattern=_ENV)
    user_env: str | None = Field(default=None, pattern=_ENV)
    password_env: str | None = Field(default=None, pattern=_ENV)
    max_age: str | None = None
    timeout: str | None = None
    attempts: int = Field(default=3, ge=1, le=20)
    allow_http: bool = False


class MachineEntry(Strict):
    """``carbon.machine``."""

    is_dedicated: bool = False
    vcpus: int | None = Field(default=None, ge=1, le=100_000)
    usd_per_vcpu_hour: float | None = Field(default=None, ge=0, le=10_000)
    network: Literal["intra_region", "inter_region", "internet"] = "intra_region"
    meter: Literal["auto", "model", "codecarbon"] = "auto"


class CarbonEntry(Strict):
    """``carbon``."""

    region: str | None = Field(default=None, min_length=1)
    max_gco2e_per_kwh: float | None = Field(default=None, gt=0, lt=1500)
    best: str | None = None
    deadline: str | None = None
    scale_workers: bool = False
    signal: SignalEntry = Field(default_factory=SignalEntry)
    machine: MachineEntry = Field(default_factory=MachineEntry)


class BudgetEntry(Strict):
    """One of ``budgets``."""

    dataset: str | None = Field(default=None, min_length=1)
    usd_per_month: float | None = Field(default=None, gt=0, le=10**12)
    kgco2e_per_month: float | None = Field(default=None, gt=0, le=10**12)
    redundant: str | None = None
    hot_percent: float | None = Field(default=None, ge=0, le=100)
    level: Literal["warn", "enforce"] = "warn"
    warn_percent: float = Field(default=80.0, gt=0, le=100)


class ChannelEntry(Strict):
    """One of ``alerts.to``."""

    webhook: str | None = Field(default=None, pattern=_HOOK_URL)
    webhook_env: str | None = Field(default=None, pattern=_ENV)
    format: Literal["json", "slack"] = "json"
    token_env: str | None = Field(default=None, pattern=_ENV)
    allow_http: bool = False
    smtp: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str | None = Field(default=None, pattern=_ADDRESS)
    recipients: list[Annotated[str, Field(pattern=_ADDRESS)]] = Field(
        default_factory=list, max_length=100
    )
    user_env: str | None = Field(default=None, pattern=_ENV)
    password_env: str | None = Field(default=None, pattern=_ENV)
    command: list[str] | None = Field(default=None, min_length=1)
    timeout: str | None = None


class AlertEntry(Strict):
    """``alerts``."""

    to: list[ChannelEntry] = Field(default_factory=list)
    kinds: list[AlertKind] = Field(default_factory=list)
    repeat_after: str | None = None
    attempts: int = Field(default=3, ge=1, le=20)


class MetricsEntry(Strict):
    """``metrics``."""

    listen: str | None = Field(default=None, pattern=r"^([A-Za-z0-9.-]+:)?[0-9]{1,5}$")
    otlp: str | None = Field(default=None, pattern=_URL)
    otlp_key_env: str | None = Field(default=None, pattern=_ENV)
    allow_http: bool = False


class OperatingSections(Strict):
    """The part of the configuration that is about operating."""

    carbon: CarbonEntry = Field(default_factory=CarbonEntry)
    budgets: list[BudgetEntry] = Field(default_factory=list)
    alerts: AlertEntry = Field(default_factory=AlertEntry)
    metrics: MetricsEntry = Field(default_factory=MetricsEntry)


ENTRIES: dict[str, type[BaseModel]] = {
    "carbon": CarbonEntry,
    "signal": SignalEntry,
    "machine": MachineEntry,
    "budgets": BudgetEntry,
    "alerts": AlertEntry,
    "to": ChannelEntry,
    "metrics": MetricsEntry,
}
"""By the keys that hold them, for suggestions about unknown keys."""
