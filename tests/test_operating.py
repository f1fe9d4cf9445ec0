"""The sections of greendata.yaml about operating."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from greendata.config import read_config
from greendata.errors import ConfigError
from greendata.operating.reading import secret
from greendata.operating.records import (
    CommandSettings,
    MailSettings,
    Operating,
    WebhookSettings,
)

WHOLE = """
carbon:
  region: eu-north-1
  best: 4h
  deadline: 24h
  scale_workers: true
  signal: {provider: csv, path: carbon/forecast.csv, max_age: 12h}
  machine: {is_dedicated: true, vcpus: 8, usd_per_vcpu_hour: 0.05}
budgets:
  - {usd_per_month: 5000, level: enforce}
  - {dataset: web-crawl, redundant: 2TiB, hot_percent: 40, kgco2e_per_month: 12.5}
alerts:
  repeat_after: 12h
  kinds: [budget, failed_run]
  to:
    - {webhook_env: HOOK, format: slack}
    - {smtp: mail.example.org, sender: a@example.org, recipients: [b@example.org]}
    - {command: [./told, --now], timeout: 5s}
metrics: {listen: "9464", otlp: "https://collector.example/v1/metrics"}
"""


def read(folder: Path, text: str) -> Operating:
    path = folder / "greendata.yaml"
    path.write_text(text)
    return read_config(path).operating


def test_every_section_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert found.carbon.best_seconds == 4 * 3600
    assert found.carbon.signal.path == str(tmp_path / "carbon/forecast.csv")
    assert found.carbon.signal.max_age_seconds == 12 * 3600
    assert found.carbon.machine.usd_per_vcpu_hour == Decimal("0.05")
    assert [entry.dataset for entry in found.budgets] == [None, "web-crawl"]
    assert found.budgets[1].redundant_bytes == 2 * 2**40
    assert found.alerts.repeat_after_seconds == 12 * 3600
    hook, mail, command = found.alerts.channels
    assert hook == WebhookSettings(url_env="HOOK", format="slack")
    assert isinstance(mail, MailSettings)
    assert (mail.host, mail.port, mail.security) == ("mail.example.org", 587, "starttls")
    assert command == CommandSettings(command=("./told", "--now"), timeout_seconds=5)
    assert (found.metrics.host, found.metrics.port) == ("127.0.0.1", 9464)


def test_without_sections_all_are_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "catalog: x\n") == Operating()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("carbon: {best: 4h}", "1:1: carbon: a carbon window needs a deadline"),
        ("carbon: {best: 4h, max_gco2e_per_kwh: 9, deadline: 1d}", "say either `best` or"),
        ("carbon: {best: 4h, deadline: tomorrow}", "1:20: carbon.deadline: 'tomorrow' is no"),
        ("carbon: {best: 4h, deadline: 2026-11-21 06:00}", "is no deadline"),
        ("carbon: {best: 4h, deadline: 999999999d}", "'999999999d' is no deadline"),
        ("carbon: {best: 4h, deadline: '9999-12-31T00:00Z'}", "is no deadline"),
        ("carbon: {best: 99999w, deadline: 1d}", "is longer than 8784 hours"),
        ("carbon: {signal: {timeout: 2d}}", "is longer than 1 hours"),
        ("carbon: {best: 4, deadline: 1d}", "carbon.best: Input should be a valid string"),
        ("carbon: {signal: {provider: watttime}}", "the provider watttime needs `user_env`"),
        ("carbon: {signal: {provider: csv}}", "needs `path`"),
        ("carbon: {signal: {ur: x}}", "unknown key 'ur'. Did you mean 'url'?"),
        ("carbon: {signal: {url: 'https://me:pw@x/'}}", "should match pattern"),
        ("carbon: {signal: {key_env: 'sk-12 34'}}", "should match pattern"),
        ("budgets: [{dataset: x}]", "1:11: budgets[0]: a budget without a limit"),
        ("budgets: [{redundant: 2T}]", "budgets[0].redundant: '2T' has no unit"),
        ("budgets: [{usd_per_month: -1}]", "greater than 0"),
        ("alerts: {to: [{webhok: x}]}", "unknown key 'webhok'. Did you mean 'webhook'?"),
        ("alerts: {to: [{}]}", "a channel is exactly one of"),
        ("alerts: {to: [{smtp: x}]}", "mail needs `sender` and `recipients`"),
        (
            'alerts: {to: [{smtp: x, sender: "a@b\\nBcc: c@d", recipients: [a@b]}]}',
            "should match pattern",
        ),
        ("alerts: {to: [{command: rm -rf /}]}", "should be a valid list"),
        ("alerts: {kinds: [fire]}", "Input should be 'failed_run'"),
        ("metrics: {listen: '99999'}", "99999 is no port"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text + "\n")
    assert expected in str(caught.value)
    assert "greendata.yaml:1:" in str(caught.value)


def test_a_secret_comes_from_the_environment_alone() -> None:
    assert secret(None, {}, "x") is None
    assert secret("KEY", {"KEY": " value\n"}, "x") == "value"
    for environment in ({}, {"KEY": " "}, {"KEY": "a\r\nB: c"}):
        with pytest.raises(ConfigError, match="environment variable KEY"):
            secret("KEY", environment, "x")
