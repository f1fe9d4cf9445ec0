"""Mail through a server that speaks SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from greendata.errors import ConfigError, DeniedError, ServiceError
from greendata.notify.base import Alert, Channel, as_json
from greendata.operating.records import MailSettings
from greendata.web import is_loopback


class Mail(Channel):
    """One message for all recipients, the alert as text and as JSON below it."""

    def __init__(
        self, settings: MailSettings, *, user: str | None = None, password: str | None = None
    ) -> None:
        self.name = f"mail {settings.host}:{settings.port}"
        self._settings = settings
        self._user = user
        self._password = password
        if settings.security == "none" and not is_loopback(settings.host):
            raise ConfigError(
                f"{self.name}: mail to another machine goes encrypted only",
                hint="Leave out `security: none`, or name a relay on this machine.",
            )

    def send(self, alert: Alert) -> None:
        message = self.message(alert)
        try:
            with self._connection() as server:
                if self._user is not None:
                    server.login(self._user, self._password or "")
                refused = server.send_message(message)
        except smtplib.SMTPAuthenticationError as error:
            raise DeniedError(
                f"{self.name}: refuses the user name or password ({error.smtp_code})",
                hint="Check the environment variables that greendata.yaml names.",
            ) from error
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise self._failure("refuses all recipients", max(codes, default=500)) from error
        except smtplib.SMTPResponseException as error:
            raise self._failure("refuses the message", error.smtp_code) from error
        except smtplib.SMTPNotSupportedError as error:
            raise ServiceError(
                f"{self.name}: does not offer what is asked of it: {error}",
                hint="`security` is starttls (port 587), tls (465), or none on this machine.",
            ) from error
        except ssl.SSLError as error:
            raise ServiceError(
                f"{self.name}: its certificate is not valid for this machine, or it speaks no TLS",
                hint="`security` is starttls (port 587), tls (465), or none on this machine.",
            ) from error
        except (smtplib.SMTPException, OSError) as error:
            raise ServiceError(
                f"{self.name}: cannot be reached: {type(error).__name__}", is_retryable=True
            ) from error
        if refused:
            raise ServiceError(f"{self.name}: refuses {len(refused)} of the recipients")

    def message(self, alert: Alert) -> EmailMessage:
        """What is sent; headers take one plain line each."""
        settings = self._settings
        message = EmailMessage()
        message["From"] = settings.sender
        message["To"] = ", ".join(settings.recipients)
        message["Subject"] = f"[greendata] {alert.plain_title}"
        message["Date"] = format_datetime(alert.at)
        message["Message-ID"] = make_msgid(idstring=alert.key, domain="greendata.invalid")
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers by machines
        facts = as_json(alert.as_dict()).decode()
        message.set_content(f"{alert.plain_text}\n\n{facts}\n")
        return message

    def _connection(self) -> smtplib.SMTP:
        settings = self._settings
        context = ssl.create_default_context()
        if settings.security == "tls":
            return smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=settings.timeout_seconds, context=context
            )
        server = smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout_seconds)
        if settings.security == "starttls":
            try:
                server.starttls(context=context)
            except BaseException:
                server.close()
                raise
        return server

    def _failure(self, what: str, code: int) -> ServiceError:
        is_passing = 400 <= code < 500
        return ServiceError(f"{self.name}: {what} ({code})", is_retryable=is_passing)
