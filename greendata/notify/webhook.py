"""A POST of JSON: the alert as it is, or the text that Slack and its likes show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from greendata.notify.base import Alert, Channel, as_json
from greendata.web import Call, Retries, ask, host_of

_ONCE = Retries(attempts=1)
_SEVERITIES = {"warn": "warning", "error": "error"}


class Webhook(Channel):
    """``format`` json sends ``Alert.as_dict``; slack sends ``{"text": …}``.

    The path of such a URL is often a secret, so only its host is ever shown.
    """

    def __init__(
        self,
        url: str,
        *,
        form: Literal["json", "slack"] = "json",
        token: str | None = None,
        timeout_seconds: float = 10.0,
        allow_http: bool = False,
    ) -> None:
        self.name = f"webhook {host_of(url)}"
        self._url = url
        self._form = form
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._allow_http = allow_http

    def send(self, alert: Alert) -> None:
        document = slack_message(alert) if self._form == "slack" else alert.as_dict()
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        call = Call(
            url=self._url,
            method="POST",
            headers=headers,
            body=as_json(document),
            shown=self.name,
            secrets=[part for part in (self._token, self._url, urlsplit(self._url).path) if part],
            timeout_seconds=self._timeout_seconds,
            allow_http=self._allow_http,
        )
        ask(call, _ONCE)  # who sends it tries again, and says so


def slack_message(alert: Alert) -> Mapping[str, Any]:
    """Text with Slack's three escapes; ``@`` is kept from calling people in its likes.

    Source: docs.slack.dev, "Formatting message text": escape ``&``, ``<`` and ``>``.
    """
    text = f"greendata {_SEVERITIES[alert.severity]}: {alert.plain_title}\n{alert.plain_text}"
    for letter, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "@\u2060")):
        text = text.replace(letter, escaped)
    return {"text": text, "mrkdwn": False}
