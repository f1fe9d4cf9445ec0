"""From what the models have checked to records; a mistake is named with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from greendata.errors import ConfigError, GreendataError, UsageError
from greendata.operating.records import (
    ALERT_KINDS,
    AlertSettings,
    BudgetSettings,
    CarbonSettings,
    ChannelSettings,
    CommandSettings,
    MachineSettings,
    MailSettings,
    MetricsSettings,
    Operating,
    SignalSettings,
    WebhookSettings,
)
from greendata.units import parse_bytes, parse_duration

Complain = Callable[[tuple[int | str, ...], str, str | None], GreendataError]
"""Makes the error about a place in the file, with its line: location, message, hint."""

LONGEST_SECONDS = 366 * 86_400.0
LONGEST_TIMEOUT_SECONDS = 3600.0
_END_OF_TIME = 2200
"""A year; beyond it sums of times leave what a datetime can hold."""

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def operating_of(sections: Mapping[str, Any], complain: Complain) -> Operating:
    """The sections as records, from what the models have checked.

    Raises:
        ConfigError: a duration, a size or a combination that makes no sense.
    """
    return Operating(
        carbon=_carbon(sections["carbon"], complain),
        budgets=tuple(
            _budget(entry, ("budgets", index), complain)
            for index, entry in enumerate(sections["budgets"])
        ),
        alerts=_alerts(sections["alerts"], complain),
        metrics=_metrics(sections["metrics"], complain),
    )


def is_deadline(text: str) -> bool:
    """Whether ``carbon.deadline`` may say so."""
    if _CLOCK.fullmatch(text):
        return True
    try:
        return parse_duration(text) <= LONGEST_SECONDS
    except UsageError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return False
    return found.tzinfo is not None and found.year < _END_OF_TIME


def window_settings(
    entry: Mapping[str, Any], path: tuple[int | str, ...], complain: Complain
) -> dict[str, Any]:
    """The part of ``carbon`` that a policy file may have too, as fields of ``CarbonSettings``."""
    best = entry["best"]
    if best is not None and entry["max_gco2e_per_kwh"] is not None:
        raise complain((*path, "best"), "say either `best` or `max_gco2e_per_kwh`", None)
    deadline = entry["deadline"]
    if deadline is not None and not is_deadline(deadline):
        hint = "Write 24h, a time of day in UTC like '06:00', or a moment like 2026-11-21T06:00Z."
        raise complain((*path, "deadline"), f"{deadline!r} is no deadline", hint)
    if (best is not None or entry["max_gco2e_per_kwh"] is not None) and deadline is None:
        hint = "Write `deadline: 24h`: at the deadline the work runs whatever the grid is like."
        raise complain(path, "a carbon window needs a deadline", hint)
    return {
        "region": entry["region"],
        "max_gco2e_per_kwh": entry["max_gco2e_per_kwh"],
        "best_seconds": _duration(best, (*path, "best"), complain),
        "deadline": deadline,
        "scale_workers": entry["scale_workers"],
    }


def _carbon(entry: Mapping[str, Any], complain: Complain) -> CarbonSettings:
    machine = dict(entry["machine"])
    price = machine["usd_per_vcpu_hour"]
    machine["usd_per_vcpu_hour"] = None if price is None else Decimal(str(price))
    return CarbonSettings(
        **window_settings(entry, ("carbon",), complain),
        signal=_signal(entry["signal"], complain),
        machine=MachineSettings(**machine),
    )


_NEEDS = {
    "csv": ("path",),
    "electricity_maps": ("key_env",),
    "watttime": ("user_env", "password_env"),
    "carbon_aware_sdk": ("url",),
}


def _signal(entry: Mapping[str, Any], complain: Complain) -> SignalSettings:
    for name in _NEEDS.get(entry["provider"], ()):
        if entry[name] is None:
            what = f"the provider {entry['provider']} needs `{name}`"
            raise complain(("carbon", "signal", "provider"), what, None)
    known = {name: value for name, value in entry.items() if name not in ("max_age", "timeout")}
    found = SignalSettings(**known)
    max_age = _duration(entry["max_age"], ("carbon", "signal", "max_age"), complain)
    timeout = _duration(
        entry["timeout"], ("carbon", "signal", "timeout"), complain, LONGEST_TIMEOUT_SECONDS
    )
    return replace(
        found,
        max_age_seconds=max_age or found.max_age_seconds,
        timeout_seconds=timeout or found.timeout_seconds,
    )


def _budget(
    entry: Mapping[str, Any], path: tuple[int | str, ...], complain: Complain
) -> BudgetSettings:
    usd, redundant = entry["usd_per_month"], entry["redundant"]
    limits = (usd, redundant, entry["kgco2e_per_month"], entry["hot_percent"])
    if all(limit is None for limit in limits):
        what = "a budget without a limit"
        raise complain(path, what, "Say usd_per_month, kgco2e_per_month, redundant or hot_percent.")
    size = None
    if redundant is not None:
        try:
            size = parse_bytes(redundant)
        except UsageError as error:
            raise complain((*path, "redundant"), error.message, error.hint) from error
    return BudgetSettings(
        dataset=entry["dataset"],
        usd_per_month=None if usd is None else Decimal(str(usd)),
        kgco2e_per_month=entry["kgco2e_per_month"],
        redundant_bytes=size,
        hot_percent=entry["hot_percent"],
        level=entry["level"],
        warn_percent=entry["warn_percent"],
    )


def _alerts(entry: Mapping[str, Any], complain: Complain) -> AlertSettings:
    repeat = _duration(entry["repeat_after"], ("alerts", "repeat_after"), complain)
    return AlertSettings(
        channels=tuple(
            _channel(channel, ("alerts", "to", index), complain)
            for index, channel in enumerate(entry["to"])
        ),
        kinds=tuple(entry["kinds"]) or ALERT_KINDS,
        attempts=entry["attempts"],
        **({} if repeat is None else {"repeat_after_seconds": repeat}),
    )


def _channel(
    entry: Mapping[str, Any], path: tuple[int | str, ...], complain: Complain
) -> ChannelSettings:
    given = [name for name in ("webhook", "webhook_env", "smtp", "command") if entry[name]]
    if len(given) != 1:
        what = "a channel is exactly one of `webhook`, `webhook_env`, `smtp` and `command`"
        raise complain(path, what, None)
    seconds = _duration(entry["timeout"], (*path, "timeout"), complain, LONGEST_TIMEOUT_SECONDS)
    timeout = {} if seconds is None else {"timeout_seconds": seconds}
    if given == ["command"]:
        return CommandSettings(command=tuple(entry["command"]), **timeout)
    if given == ["smtp"]:
        return _mail(entry, path, timeout, complain)
    return WebhookSettings(
        url=entry["webhook"],
        url_env=entry["webhook_env"],
        format=entry["format"],
        token_env=entry["token_env"],
        allow_http=entry["allow_http"],
        **timeout,
    )


_DEFAULT_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def _mail(
    entry: Mapping[str, Any],
    path: tuple[int | str, ...],
    timeout: dict[str, float],
    complain: Complain,
) -> MailSettings:
    if entry["sender"] is None or not entry["recipients"]:
        raise complain(path, "mail needs `sender` and `recipients`", None)
    if (entry["user_env"] is None) != (entry["password_env"] is None):
        raise complain(path, "`user_env` and `password_env` go together", None)
    host, _, port = entry["smtp"].partition(":")
    return MailSettings(
        host=host,
        port=int(port) if port else _DEFAULT_PORTS[entry["security"]],
        security=entry["security"],
        sender=entry["sender"],
        recipients=tuple(entry["recipients"]),
        user_env=entry["user_env"],
        password_env=entry["password_env"],
        **timeout,
    )


def _metrics(entry: Mapping[str, Any], complain: Complain) -> MetricsSettings:
    host, port = None, 0
    if entry["listen"] is not None:
        name, _, digits = entry["listen"].rpartition(":")
        host, port = name or "127.0.0.1", int(digits)
        if port > 65_535:
            raise complain(("metrics", "listen"), f"{port} is no port", None)
    return MetricsSettings(
        host=host,
        port=port,
        otlp_url=entry["otlp"],
        otlp_key_env=entry["otlp_key_env"],
        allow_http=entry["allow_http"],
    )


def _duration(
    text: str | None,
    path: tuple[int | str, ...],
    complain: Complain,
    longest: float = LONGEST_SECONDS,
) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except UsageError as error:
        raise complain(path, error.message, error.hint) from error
    if seconds > longest:
        raise complain(path, f"{text!r} is longer than {longest / 3600:g} hours", None)
    return seconds


def secret(name: str | None, environment: Mapping[str, str], what: str) -> str | None:
    """What the environment variable that the configuration names holds; None without a name.

    Raises:
        ConfigError: it is not set, is empty, or cannot stand in a header.
    """
    if name is None:
        return None
    value = environment.get(name, "").strip()
    if not value:
        raise ConfigError(
            f"{what}: the environment variable {name} is not set",
            hint=f"Set {name}; greendata.yaml names it, and never holds the secret itself.",
        )
    if not value.isprintable():
        raise ConfigError(f"{what}: the environment variable {name} holds control characters")
    return value
