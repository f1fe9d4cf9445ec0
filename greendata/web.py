"""Requests to services that are no store: bounded in time and size, no redirects, few retries.

The one home of requests. Errors name the address without its query and never a credential; what a
server says in an error is shown shortened, with every secret that was sent blacked out.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from greendata.errors import ConfigError, DeniedError, ServiceError

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

LARGEST_ANSWER_BYTES = 8 * 2**20
"""A forecast of 72 hours in five-minute steps is 0.1 MB."""

LONGEST_WAIT_SECONDS = 30.0
"""A service that asks for a longer wait is given up on: the run goes on without it."""

_CHUNK_BYTES = 1 << 16
_SHOWN_CHARACTERS = 200
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """When to ask again; the wait before try n + 1 is up to ``base_seconds * 2**(n - 1)``."""

    attempts: int = 3
    base_seconds: float = 0.5
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        shown: how messages name it; None is the address without query, for URLs that are secret.
        secrets: values that no message may show.
        timeout_seconds: to connect, and then for the whole answer.
    """

    url: str
    method: Literal["GET", "POST"] = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    basic: tuple[str, str] | None = None
    body: bytes | None = None
    shown: str | None = None
    secrets: Collection[str] = ()
    timeout_seconds: float = 10.0
    allow_http: bool = False


def retried(make: Callable[[], Found], retries: Retries) -> Found:
    """What ``make`` returns, tried again after failures that may pass.

    Raises:
        ServiceError: the last of them, or one that will not pass.
    """
    for attempt in range(1, retries.attempts):
        try:
            return make()
        except ServiceError as error:
            asked = error.wait_seconds or 0.0
            if not error.is_retryable or asked > LONGEST_WAIT_SECONDS:
                raise
            drawn = retries.base_seconds * 2 ** (attempt - 1) * (0.5 + 0.5 * retries.draw())
        retries.sleep(max(drawn, asked))
    return make()


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine by its name alone."""
    return host.lower() in _LOOPBACK


def _parts(url: str) -> tuple[SplitResult, int | None]:
    """Raises ConfigError: no URL. The port is told apart, because it is checked when asked for."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"a URL in the configuration is none: {error}") from error
    return parts, port


def address_of(url: str) -> str:
    """A URL for messages: without query, user and fragment."""
    parts, number = _parts(url)
    port = f":{number}" if number else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def host_of(url: str) -> str:
    """Scheme and host alone, for URLs whose path is a secret."""
    parts, _ = _parts(url)
    return f"{parts.scheme}://{parts.hostname or ''}"


def ask_json(call: Call, retries: Retries | None = None) -> Any:
    """The JSON document that a service answers with.

    Raises:
        ServiceError: it does not answer, not in time, with too much, or with no JSON.
        DeniedError: it refuses the credentials.
        ConfigError: plain HTTP to another machine, where that was not allowed.
    """
    raw = ask(call, retries)
    try:
        return json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ServiceError(
            f"{_name(call)}: the answer is no JSON: {_shown(raw, call)}",
            hint="Is the URL that of the service, and not of its web page or a proxy?",
        ) from error


def ask(call: Call, retries: Retries | None = None) -> bytes:
    """The body of a service's answer; raises as ``ask_json``."""
    refuse_plain_http(call.url, allow_http=call.allow_http, name=_name(call))
    return retried(lambda: _ask_once(call), retries or Retries())


def refuse_plain_http(url: str, *, allow_http: bool, name: str) -> None:
    """Raises ConfigError: what is sent could be read on the way, and nobody allowed that."""
    parts, _ = _parts(url)
    if parts.scheme != "https" and not (allow_http or is_loopback(parts.hostname or "")):
        raise ConfigError(
            f"{name}: plain HTTP to another machine",
            hint="Use https, or write `allow_http: true` beside the URL.",
        )


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _name(call: Call) -> str:
    return call.shown or address_of(call.url)


def _ask_once(call: Call) -> bytes:
    import requests
    import urllib3

    ends_at = time.monotonic() + call.timeout_seconds
    try:
        with requests.Session() as session:
            # as an object of its own, so that requests does not put credentials of ~/.netrc there
            session.auth = _Headers(call)
            with session.request(
                call.method,
                call.url,
                params=dict(call.query),
                data=call.body,
                timeout=(call.timeout_seconds, call.timeout_seconds),
                allow_redirects=False,
                stream=True,
            ) as answer:
                return _body(answer, call, ends_at)
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise _too_slow(call) from _cause(call, error)
    except requests.exceptions.SSLError as error:
        raise ServiceError(
            f"{_name(call)}: its certificate is not valid for this machine",
            hint="REQUESTS_CA_BUNDLE names the certificates of a private authority.",
        ) from _cause(call, error)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, ServiceError | DeniedError):
            raise
        raise ServiceError(
            f"{_name(call)}: cannot be reached: {type(error).__name__}", is_retryable=True
        ) from _cause(call, error)


def _cause(call: Call, error: Exception) -> Exception | None:
    """What requests says names the whole URL, which a traceback must not show if it is secret."""
    return error if call.shown is None else None


class _Headers:
    """Puts the headers of a call on a request, after requests has put its own."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        from requests.auth import HTTPBasicAuth

        request.headers["Accept-Encoding"] = "identity"  # what is not packed cannot explode
        request.headers["User-Agent"] = "greendata"
        request.headers.update(self._call.headers)
        if self._call.basic is not None:
            user, password = self._call.basic
            HTTPBasicAuth(user.encode(), password.encode())(request)
        return request


def _too_slow(call: Call) -> ServiceError:
    return ServiceError(
        f"{_name(call)}: no answer within {call.timeout_seconds:g} seconds", is_retryable=True
    )


def _body(answer: Response, call: Call, ends_at: float) -> bytes:
    """All of the answer, if it is a good one and not too long.

    ``read1`` gives what has come, so that a server that drips bytes meets the clock.
    """
    largest = LARGEST_ANSWER_BYTES if answer.ok else _CHUNK_BYTES
    content = bytearray()
    while piece := answer.raw.read1(_CHUNK_BYTES, decode_content=True):
        content += piece
        if len(content) > largest:
            if not answer.ok:
                break
            raise ServiceError(f"{_name(call)}: the answer is larger than {largest} bytes")
        if time.monotonic() > ends_at:
            raise _too_slow(call)
    if not 200 <= answer.status_code < 300:
        raise _refusal(answer, bytes(content), call)
    expected = answer.headers.get("Content-Length", "")
    is_plain = "Content-Encoding" not in answer.headers and expected.isdigit()
    if is_plain and len(content) < int(expected):
        raise ServiceError(f"{_name(call)}: the answer is cut short", is_retryable=True)
    return bytes(content)


def _refusal(answer: Response, content: bytes, call: Call) -> ServiceError | DeniedError:
    status = answer.status_code
    if 300 <= status < 400:
        try:
            target = urlsplit(answer.headers.get("Location", "")).hostname or "another path"
        except ValueError:
            target = "what is no URL"
        return ServiceError(
            f"{_name(call)}: is redirected to {target}, which is not followed",
            hint="Write the final URL in greendata.yaml: credentials go to no other host.",
        )
    said = _shown(content, call)
    if status in (401, 403):
        return DeniedError(
            f"{_name(call)}: refuses the credentials ({status}): {said}",
            hint="Check the environment variables that greendata.yaml names, and the plan's scope.",
        )
    waits = answer.headers.get("Retry-After", "")
    return ServiceError(
        f"{_name(call)}: answers {status}: {said}",
        is_retryable=status in (408, 425, 429) or status >= 500,
        wait_seconds=float(waits) if waits.isdigit() and len(waits) < 10 else None,
    )


def _shown(content: bytes, call: Call) -> str:
    """The beginning of what a server said, without secrets and control characters."""
    text = content[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace")
    sent = [*call.secrets, *(call.basic or ())]
    for value in sent:
        if value:
            text = text.replace(value, "***")
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain[:_SHOWN_CHARACTERS].strip() or "nothing"
