"""A store that tries again: backoff with jitter, a rate limit, and doubt about its own retries."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    GreendataError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnreachableError,
)
from greendata.stores.base import Store
from greendata.stores.records import Written
from greendata.stores.remote import open_ranged
from greendata.stores.wrappers.base import Call, StoreWrapper

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.model import StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """When to try again; the wait before attempt n is up to base * 2**(n - 1) seconds."""

    attempts: int = 6
    base_seconds: float = 0.2
    longest_seconds: float = 20.0
    calls_a_second: float | None = None


class RetryingStore(StoreWrapper):
    """Repeats calls that failed for a reason that may pass.

    A conditional ``put`` that was sent twice and is refused may have been done by its first try:
    what is there is then compared with what was meant, never trusted. Other conditional calls say
    what the store says.
    """

    def __init__(
        self,
        inner: Store,
        settings: RetrySettings | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(inner)
        self._settings = settings or RetrySettings()
        self._sleep, self._clock, self._draw = sleep, clock, draw
        self._lock = threading.Lock()
        self._next_at = 0.0

    def open(self, item: StoredObject) -> pa.NativeFile:
        return open_ranged(self, item)  # so that each of its ranges is retried too

    def _around(self, call: Call) -> Any:
        attempts = self._settings.attempts
        for attempt in range(1, attempts + 1):
            self._pace()
            try:
                return call.make()
            except PreconditionFailedError:
                done = self._done_before(call) if attempt > 1 else None
                if done is None:
                    raise
                return done
            except StoreUnreachableError as error:
                if not error.is_retryable or attempt == attempts:
                    raise
            self._sleep(self._wait_seconds(attempt))
        raise AssertionError  # the loop returns or raises

    def _wait_seconds(self, attempt: int) -> float:
        settings = self._settings
        longest: float = min(settings.longest_seconds, settings.base_seconds * 2 ** (attempt - 1))
        return longest * self._draw()

    def _pace(self) -> None:
        """Keep below the rate limit, whatever the number of threads."""
        rate = self._settings.calls_a_second
        if rate is None:
            return
        with self._lock:
            now = self._clock()
            wait = max(0.0, self._next_at - now)
            self._next_at = max(now, self._next_at) + 1 / rate
        if wait > 0:
            self._sleep(wait)

    def _done_before(self, call: Call) -> Written | None:
        """What an earlier try of this ``put`` left, if the object has exactly its content."""
        if call.name != "put" or call.content is None:
            return None
        try:
            item = self.inner.head(call.uri)
            if item.size_bytes != len(call.content):
                return None
            content = self.inner.read(call.uri, etag=item.etag)
        except (ObjectNotFoundError, PreconditionFailedError):
            return None
        except GreendataError as error:
            raise StoreUnreachableError(
                f"{call.uri}: it is not known whether the write was done: {error.message}",
                is_retryable=True,
            ) from error
        if content != call.content:
            return None
        return Written(
            uri=call.uri,
            etag=item.etag,
            size_bytes=item.size_bytes,
            version_id=item.version_id,
        )
