"""A program of the user's: the alert as JSON on stdin, no shell, a limit of time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence

from greendata.errors import ConfigError, ServiceError
from greendata.notify.base import Alert, Channel, as_json, plain

_SHOWN_BYTES = 400


class Command(Channel):
    """Arguments are those of the configuration; nothing of an alert ever becomes one."""

    def __init__(self, arguments: Sequence[str], *, timeout_seconds: float = 30.0) -> None:
        self.name = f"command {plain(arguments[0], 100)}"
        self._arguments = list(arguments)
        self._timeout_seconds = timeout_seconds

    def send(self, alert: Alert) -> None:
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    self._arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,  # so that what it starts ends with it
                )
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"{self.name}: cannot be run: {getattr(error, 'strerror', None) or error}",
                    hint="`command` is a list: the program, then its arguments.",
                ) from error
            with process:
                self._feed(process, as_json(alert.as_dict()) + b"\n")
            if process.returncode:
                said = self._said(errors.fileno())
                raise ServiceError(
                    f"{self.name}: ends with {process.returncode}: {said}", is_retryable=True
                )

    def _feed(self, process: subprocess.Popen[bytes], content: bytes) -> None:
        try:
            process.communicate(content, timeout=self._timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise ServiceError(
                f"{self.name}: not done within {self._timeout_seconds:g} seconds, and ended"
            ) from error
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @staticmethod
    def _said(descriptor: int) -> str:
        size = os.fstat(descriptor).st_size
        raw = os.pread(descriptor, _SHOWN_BYTES, max(0, size - _SHOWN_BYTES))
        return plain(raw.decode("utf-8", "replace").strip(), _SHOWN_BYTES) or "nothing on stderr"
