"""Alerts: made of what went wrong, sent once, and not again too soon.

What was told when is kept beside the catalog, so that every run of every machine knows it. It is
written after an alert was sent: in doubt it is sent twice, never not at all. A channel that fails
stops neither the others nor the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, assert_never

from greendata.errors import ConfigError, GreendataError
from greendata.jobs.state import State, read_state, update_state
from greendata.model import SCHEMA_VERSION
from greendata.notify.base import Alert, Channel
from greendata.notify.command import Command
from greendata.notify.mail import Mail
from greendata.notify.webhook import Webhook
from greendata.operating.reading import secret
from greendata.operating.records import (
    AlertSettings,
    ChannelSettings,
    CommandSettings,
    MailSettings,
    WebhookSettings,
)
from greendata.web import Retries, retried

if TYPE_CHECKING:
    from greendata.config import StoreSettings
    from greendata.jobs.budgets import Breach

_STATE = "alerts"
_FORGOTTEN_AFTER = timedelta(days=400)

Result = Literal["sent", "repeated", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One alert and one channel; ``repeated``: it was told not long ago, and is not told again."""

    key: str
    kind: str
    title: str
    channel: str
    result: Result
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertReport:
    """What became of the alerts of a run."""

    deliveries: tuple[Delivery, ...] = ()
    warnings: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def failed(self) -> tuple[Delivery, ...]:
        """Those that did not get there."""
        return tuple(entry for entry in self.deliveries if entry.result == "failed")

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return asdict(self)


def send_alerts(
    alerts: Sequence[Alert],
    settings: AlertSettings,
    *,
    catalog: str,
    now: datetime,
    stores: Sequence[StoreSettings] = (),
    environment: Mapping[str, str] | None = None,
    retries: Retries | None = None,
) -> AlertReport:
    """Tell every channel what it was not told lately. Nothing is raised for what fails."""
    wanted = [alert for alert in alerts if alert.kind in settings.kinds]
    if not wanted or not settings.channels:
        return AlertReport()
    warnings: list[str] = []
    try:
        known = read_state(catalog, _STATE, stores)
    except GreendataError as error:
        known = {}
        warnings.append(f"It is not known what was told before: {error}")
    variables = os.environ if environment is None else environment
    tries = retries or Retries(attempts=settings.attempts, base_seconds=1.0)
    deliveries: list[Delivery] = []
    told: dict[str, str] = {}
    for index, entry in enumerate(settings.channels):
        channel = _opened(entry, variables)
        for alert in wanted:
            place = f"{alert.key}:{_channel_key(index, channel)}"
            if place in told or not _is_due(known.get(place), now, settings.repeat_after_seconds):
                deliveries.append(_delivery(alert, channel, "repeated"))
                continue
            delivery = _sent(alert, channel, tries)
            deliveries.append(delivery)
            if delivery.result == "sent":
                told[place] = now.isoformat()
    if told:
        warnings += _remember(catalog, told, now, stores)
    return AlertReport(deliveries=tuple(deliveries), warnings=tuple(warnings))


def _is_due(last: Any, now: datetime, repeat_after_seconds: float) -> bool:
    """A time that cannot be read, or is to come, does not keep anybody from being told."""
    try:
        age = (now - datetime.fromisoformat(last)).total_seconds()
    except (TypeError, ValueError):
        return True
    return age < 0 or age >= repeat_after_seconds


def _channel_key(index: int, channel: Channel | ConfigError) -> str:
    return f"{index}:{channel.name if isinstance(channel, Channel) else '?'}"


def _opened(entry: ChannelSettings, environment: Mapping[str, str]) -> Channel | ConfigError:
    """The channel, or why there is none: the others are to be told all the same."""
    try:
        return open_channel(entry, environment)
    except ConfigError as error:
        return error


def open_channel(entry: ChannelSettings, environment: Mapping[str, str]) -> Channel:
    """What the configuration names.

    Raises:
        ConfigError: a credential that is named is not set, or mail would go unencrypted.
    """
    if isinstance(entry, WebhookSettings):
        url = entry.url or secret(entry.url_env, environment, "alerts: webhook_env") or ""
        if not url.startswith(("https://", "http://")):
            raise ConfigError(f"alerts: the variable {entry.url_env} holds no URL")
        return Webhook(
            url,
            form=entry.format,
            token=secret(entry.token_env, environment, "alerts: webhook"),
            timeout_seconds=entry.timeout_seconds,
            allow_http=entry.allow_http,
        )
    if isinstance(entry, MailSettings):
        return Mail(
            entry,
            user=secret(entry.user_env, environment, "alerts: smtp"),
            password=secret(entry.password_env, environment, "alerts: smtp"),
        )
    if isinstance(entry, CommandSettings):
        return Command(entry.command, timeout_seconds=entry.timeout_seconds)
    assert_never(entry)


def _sent(alert: Alert, channel: Channel | ConfigError, retries: Retries) -> Delivery:
    if isinstance(channel, ConfigError):
        return _delivery(alert, channel, "failed", str(channel))
    try:
        retried(lambda: channel.send(alert), retries)
    except GreendataError as error:
        return _delivery(alert, channel, "failed", str(error))
    return _delivery(alert, channel, "sent")


def _delivery(
    alert: Alert, channel: Channel | ConfigError, result: Result, detail: str | None = None
) -> Delivery:
    return Delivery(
        key=alert.key,
        kind=alert.kind,
        title=alert.plain_title,
        channel=channel.name if isinstance(channel, Channel) else "not configured",
        result=result,
        detail=detail,
    )


def _remember(
    catalog: str, told: Mapping[str, str], now: datetime, stores: Sequence[StoreSettings]
) -> Iterator[str]:
    oldest = (now - _FORGOTTEN_AFTER).isoformat()

    def change(state: State) -> State:
        kept = {key: at for key, at in state.items() if isinstance(at, str) and at >= oldest}
        return {**kept, **told}

    try:
        update_state(catalog, _STATE, change, stores)
    except GreendataError as error:
        yield f"What was told could not be kept, and may be told again: {error}"


def failed_run(schedule: str, error: BaseException, at: datetime) -> Alert:
    """A run that ended with an error."""
    code = error.exit_code if isinstance(error, GreendataError) else 1
    return Alert(
        kind="failed_run",
        subject=schedule,
        severity="error",
        title=f"The run of {schedule} failed",
        text=f"{type(error).__name__}: {error}",
        at=at,
        facts={"exit_code": code, "error": type(error).__name__},
    )


def budget_alert(breach: Breach, at: datetime) -> Alert:
    """A budget that is over, or nearly. Going from nearly to over is another alert."""
    use = breach.use
    return Alert(
        kind="budget",
        subject=f"{use.name}:{use.state}",
        severity="error" if breach.level == "enforce" else "warn",
        title=f"Budget {use.state}: {use.name}",
        text=breach.detail,
        at=at,
        facts={
            "dataset": use.dataset,
            "item": use.item,
            "used": use.used,
            "limit": use.limit,
            "ratio": use.ratio,
            "level": breach.level,
        },
    )


def guard_alert(policy: str, guard: str, detail: str, at: datetime) -> Alert:
    """A guard or limit that kept a policy from acting."""
    return Alert(
        kind="guard",
        subject=f"{policy}:{guard}",
        severity="warn",
        title=f"Policy {policy} was stopped by its guard {guard}",
        text=detail,
        at=at,
        facts={"policy": policy, "guard": guard},
    )


def drift_alert(policy: str, objects: int, size_bytes: int, at: datetime) -> Alert:
    """Objects that are not as a policy wants them, and were not brought there."""
    return Alert(
        kind="drift",
        subject=policy,
        severity="warn",
        title=f"Drift: {objects} objects are not as policy {policy} wants them",
        text=f"{objects} objects, {size_bytes} bytes are outside policy {policy}.",
        at=at,
        facts={"policy": policy, "objects": objects, "size_bytes": size_bytes},
    )


def survivor_alert(uri: str, detail: str, at: datetime) -> Alert:
    """The kept copy of quarantined data is not what it was: nothing of it may be purged."""
    return Alert(
        kind="survivor",
        subject=uri,
        severity="error",
        title=f"A kept copy is in doubt: {uri}",
        text=f"{uri}: {detail}\nWhat was quarantined because of it is not purged.",
        at=at,
        facts={"uri": uri},
    )
