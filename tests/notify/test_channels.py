"""Every channel delivers an alert, says how it failed, and lets nothing hostile through."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import ConfigError, DeniedError, GreendataError, ServiceError
from greendata.notify.base import Alert, Channel
from greendata.notify.command import Command
from greendata.notify.mail import Mail
from greendata.notify.webhook import Webhook, slack_message
from greendata.operating.records import MailSettings
from tests.notify.mailserver import MailServer, mail_server, write_certificate
from tests.services import Reply, Service, service

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTILE = (
    "a\nBcc: evil@example.org\r\n<script>alert(1)</script>\x1b[31m\u202e @channel <!here> \udc80"
)
SECRET = "CANARY-hook"

ALERT = Alert(
    kind="survivor",
    subject=HOSTILE,
    severity="error",
    title=f"A kept copy is in doubt: {HOSTILE}",
    text=f"{HOSTILE}\nsecond line",
    at=NOW,
    facts={"uri": HOSTILE, "objects": 3, "share": float("nan"), HOSTILE: True},
)


@pytest.fixture
def hook() -> Iterator[Service]:
    with service(lambda request: Reply()) as running:
        yield running


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


def mail_settings(port: int, **values: Any) -> MailSettings:
    known = MailSettings(
        host="127.0.0.1", port=port, security="none", sender="greendata@example.org",
        recipients=("ops@example.org", "data@example.org"), timeout_seconds=2.0,
    )  # fmt: skip
    return replace(known, **values)


def assert_harmless(text: str) -> None:
    assert not any(ord(letter) < 0x20 and letter != "\n" for letter in text)
    assert "\u202e" not in text
    assert "\udc80" not in text


class ChannelContract:
    """What every channel keeps to."""

    @pytest.fixture
    def channel(self) -> Channel:
        raise NotImplementedError

    def received(self) -> dict[str, Any]:
        """The JSON document that arrived."""
        raise NotImplementedError

    def test_delivers_the_alert_with_nothing_hostile_in_it(self, channel: Channel) -> None:
        channel.send(ALERT)
        found = self.received()
        assert found["kind"] == "survivor"
        assert found["key"] == ALERT.key
        assert found["at"] == "2026-11-21T12:00:00+00:00"
        assert found["facts"]["objects"] == 3
        assert found["facts"]["share"] is None
        assert "\\nBcc: evil@example.org\\x0d\\n" in found["title"].replace("\\x0a", "\\n")
        for text in (found["title"], found["subject"], found["text"], *found["facts"]):
            assert_harmless(text)
        assert "\n" not in found["title"]

    def test_names_itself_without_a_secret(self, channel: Channel) -> None:
        assert SECRET not in channel.name


class TestWebhook(ChannelContract):
    @pytest.fixture
    def channel(self, hook: Service) -> Channel:
        self.hook = hook
        return Webhook(f"{hook.url}/services/{SECRET}?sig={SECRET}", token=SECRET)

    def received(self) -> dict[str, Any]:
        (request,) = self.hook.requests
        assert request.method == "POST"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert request.query == {"sig": SECRET}
        assert b"<" not in request.body
        found: dict[str, Any] = json.loads(request.body)
        return found

    @pytest.mark.parametrize(
        ("status", "kind", "is_retryable"),
        [(500, ServiceError, True), (404, ServiceError, False), (302, ServiceError, False),
         (403, DeniedError, False)],
    )  # fmt: skip
    def test_a_refusal_shows_no_secret(
        self, channel: Channel, status: int, kind: type[GreendataError], *, is_retryable: bool
    ) -> None:
        said = f"no such hook /services/{SECRET}".encode()
        self.hook.answer = lambda request: Reply(status=status, body=said)
        with pytest.raises(kind) as caught:
            channel.send(ALERT)
        assert SECRET not in str(caught.value)
        assert getattr(caught.value, "is_retryable", False) == is_retryable
        assert len(self.hook.requests) == 1


def test_a_traceback_shows_no_secret_either() -> None:
    hook = Webhook(f"http://127.0.0.1:9/services/{SECRET}", token=SECRET)
    with pytest.raises(ServiceError, match="cannot be reached") as caught:
        hook.send(ALERT)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_slack_text_calls_nobody_and_holds_no_markup(hook: Service) -> None:
    Webhook(hook.url, form="slack").send(ALERT)
    text = json.loads(hook.requests[0].body)["text"]
    assert text == slack_message(ALERT)["text"]
    assert text.startswith("greendata error: A kept copy is in doubt: a")
    assert "<" not in text
    assert "&lt;script&gt;" in text
    assert "&lt;!here&gt;" in text
    assert "@channel" not in text
    assert_harmless(text)


class TestMail(ChannelContract):
    @pytest.fixture
    def channel(self, mail: MailServer) -> Channel:
        self.mail = mail
        return Mail(mail_settings(mail.port))

    def received(self) -> dict[str, Any]:
        (message,) = self.mail.messages
        assert self.mail.recipients == ["ops@example.org", "data@example.org"]
        assert message["Bcc"] is None
        assert message["To"] == "ops@example.org, data@example.org"
        assert message.get_content_type() == "text/plain"
        payload = message.get_payload(decode=True)
        assert isinstance(payload, bytes)
        body = payload.decode()
        assert_harmless(body.replace("\r\n", "\n"))
        found: dict[str, Any] = json.loads(body.strip().rpartition("\n")[2])
        return found

    @pytest.mark.parametrize(("code", "is_retryable"), [(451, True), (550, False)])
    def test_a_refusal_may_pass_or_not(
        self, channel: Channel, code: int, *, is_retryable: bool
    ) -> None:
        self.mail.codes = [code]
        with pytest.raises(ServiceError, match=str(code)) as caught:
            channel.send(ALERT)
        assert caught.value.is_retryable == is_retryable
        channel.send(ALERT)
        assert len(self.mail.messages) == 1


def test_mail_with_a_wrong_password_says_so_without_it(mail: MailServer) -> None:
    mail.password_code = 535
    with pytest.raises(DeniedError) as caught:
        Mail(mail_settings(mail.port), user="me", password=SECRET).send(ALERT)
    assert SECRET not in str(caught.value)
    mail.password_code = 235
    Mail(mail_settings(mail.port), user="me", password=SECRET).send(ALERT)
    assert mail.logins >= 2


def test_mail_to_a_silent_or_missing_server_may_be_tried_again(mail: MailServer) -> None:
    mail.delay_seconds = 1.0
    for settings in (mail_settings(mail.port, timeout_seconds=0.2), mail_settings(9)):
        with pytest.raises(ServiceError, match="cannot be reached") as caught:
            Mail(settings).send(ALERT)
        assert caught.value.is_retryable


def test_mail_goes_encrypted_and_only_to_a_server_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path / "server.pem")
    with mail_server(certificate=certificate) as running:
        channel = Mail(mail_settings(running.port, security="starttls"))
        with pytest.raises(ServiceError, match="certificate is not valid"):
            channel.send(ALERT)
        assert running.messages == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        channel.send(ALERT)
        assert len(running.messages) == 1


def test_mail_is_never_sent_in_the_clear_where_encryption_was_asked(mail: MailServer) -> None:
    with pytest.raises(ServiceError, match="STARTTLS"):
        Mail(mail_settings(mail.port, security="starttls")).send(ALERT)
    assert mail.messages == []
    with pytest.raises(ConfigError, match="encrypted only"):
        Mail(mail_settings(25, host="mail.example.org"))


class TestCommand(ChannelContract):
    @pytest.fixture
    def channel(self, tmp_path: Path) -> Channel:
        self.path = tmp_path / "told; rm -rf x"
        program = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
        return Command([sys.executable, "-c", program, str(self.path)])

    def received(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_bytes())
        return found


def python(program: str, seconds: float = 20.0) -> Command:
    return Command([sys.executable, "-c", program], timeout_seconds=seconds)


def test_a_command_that_fails_is_told_with_what_it_said() -> None:
    with pytest.raises(ServiceError, match=r"ends with 7: .*no\\x1b route") as caught:
        python("import sys; print('no\\x1b route', file=sys.stderr); sys.exit(7)").send(ALERT)
    assert caught.value.is_retryable


def test_a_command_that_reads_nothing_is_fine() -> None:
    python("pass").send(replace(ALERT, text="x" * 10**6))


def test_a_command_that_hangs_ends_with_what_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    inner = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w')"
    program = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {inner!r}])\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(ServiceError, match=r"not done within 0\.5 seconds"):
        python(program, seconds=0.5).send(ALERT)
    time.sleep(1.6)
    assert not mark.exists()


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="command /no/such: cannot be run: No such file"):
        Command(["/no/such"]).send(ALERT)


def test_alerts_about_the_same_thing_have_one_key() -> None:
    assert replace(ALERT, title="x", at=NOW).key == ALERT.key
    assert replace(ALERT, subject="x").key != ALERT.key
    assert replace(ALERT, kind="guard").key != ALERT.key


def test_long_texts_are_shortened() -> None:
    found = replace(ALERT, title="t" * 10_000, text="x\n" * 10**6, facts={}).as_dict()
    assert len(found["title"]) == 200
    assert len(found["text"]) == 2000
