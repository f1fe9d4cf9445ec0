"""A store that fails on purpose, by a script: how the rest of the program is tested."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from greendata.errors import (
    DeniedError,
    PreconditionFailedError,
    StoreUnreachableError,
    UsageError,
)
from greendata.stores.base import Store
from greendata.stores.records import (
    ALWAYS,
    NOTHING_BESIDE,
    Condition,
    Deleted,
    Properties,
    Upload,
    UploadPart,
    Written,
)
from greendata.stores.wrappers.base import Call, StoreWrapper

_STEP = re.compile(r"([a-z0-9-]+)(?:\*(\d+))?")
FAULTS = ("ok", "503", "429", "409", "412", "denied", "hang", "lost", "kill", "kill-after")


class FaultyStore(StoreWrapper):
    """Does to each call what the script says, from left to right; after its end all is well.

    ``ok`` passes; ``503``, ``429``, ``409`` fail before anything is done, and may be retried;
    ``412`` and ``denied`` fail for good; ``lost`` does it and loses the answer; ``hang`` waits and
    then fails; ``kill`` ends the process before the call, ``kill-after`` after it. ``503*3`` is
    three of them. With ``only`` the script counts these calls alone.
    """

    def __init__(
        self,
        inner: Store,
        script: str,
        *,
        only: Sequence[str] = (),
        hang_seconds: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(inner)
        self._steps = _parse(script)
        self._only = frozenset(only)
        self._hang_seconds, self._sleep = hang_seconds, sleep
        self._lock = threading.Lock()
        self.calls: list[str] = []

    def _around(self, call: Call) -> Any:
        if self._only and call.name not in self._only:
            return call.make()
        with self._lock:
            self.calls.append(call.name)
            step = next(self._steps, "ok")
        return self._do(step, call)

    def _do(self, step: str, call: Call) -> Any:
        if step in ("503", "429", "409"):
            raise StoreUnreachableError(f"{call.uri}: scripted {step}.", is_retryable=True)
        if step == "412":
            raise PreconditionFailedError(f"{call.uri}: scripted 412.")
        if step == "denied":
            raise DeniedError(f"{call.uri}: scripted refusal.")
        if step == "hang":
            self._sleep(self._hang_seconds)
            raise StoreUnreachableError(f"{call.uri}: scripted timeout.", is_retryable=True)
        if step == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        done = call.make()
        if step == "kill-after":
            os.kill(os.getpid(), signal.SIGKILL)
        if step == "lost":
            raise StoreUnreachableError(f"{call.uri}: scripted loss.", is_retryable=True)
        return done


def _parse(script: str) -> Iterator[str]:
    """The steps of a script.

    Raises:
        UsageError: a word that names no fault.
    """
    steps: list[str] = []
    for word in script.split():
        match = _STEP.fullmatch(word)
        if match is None or match[1] not in FAULTS:
            raise UsageError(f"{word!r} is none of {', '.join(FAULTS)}.")
        steps += [match[1]] * int(match[2] or 1)
    return iter(steps)


class LiarStore(StoreWrapper):
    """Accepts every precondition and ignores it, as some servers do."""

    def read(
        self,
        uri: str,
        *,
        start: int = 0,
        size_bytes: int | None = None,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> bytes:
        return self.inner.read(uri, start=start, size_bytes=size_bytes, version_id=version_id)

    def put(
        self,
        uri: str,
        content: bytes,
        *,
        condition: Condition = ALWAYS,
        properties: Properties = NOTHING_BESIDE,
    ) -> Written:
        return self.inner.put(uri, content, properties=properties)

    def complete_upload(
        self, upload: Upload, parts: Sequence[UploadPart], *, condition: Condition = ALWAYS
    ) -> Written:
        return self.inner.complete_upload(upload, parts)

    def copy(
        self,
        source: str,
        target: str,
        *,
        source_etag: str | None = None,
        source_version_id: str | None = None,
        condition: Condition = ALWAYS,
        properties: Properties | None = None,
    ) -> Written:
        return self.inner.copy(
            source, target, source_version_id=source_version_id, properties=properties
        )

    def move(self, source: str, target: str, *, etag: str | None = None) -> Written:
        return self.inner.move(source, target)

    def set_tier(
        self,
        uri: str,
        storage_class: str,
        *,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> Written:
        return self.inner.set_tier(uri, storage_class, version_id=version_id)

    def delete(
        self, uri: str, *, etag: str | None = None, version_id: str | None = None
    ) -> Deleted:
        return self.inner.delete(uri, version_id=version_id)
