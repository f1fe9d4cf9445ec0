"""Servers that fail: what the SDKs make of it, and what this program says."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from greendata.errors import DeniedError, GreendataError, StoreUnreachableError
from greendata.stores.azure import AzureSettings, AzureStore
from greendata.stores.base import Store
from greendata.stores.s3 import S3Settings, S3Store
from greendata.stores.wrappers import RetryingStore, RetrySettings

CONTENT = b"0123456789" * 10
NO_LISTING = {"nothing": b"", "page": b"<html><body>Sign in to this network</body></html>"}
HANG_SECONDS = 3.0

# the SDKs leave sockets of failed requests to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Failing(BaseHTTPRequestHandler):
    """Answers by what ``server.script`` says next; the last word stays."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        server: Any = self.server
        server.requests += 1
        step = server.script.pop(0) if len(server.script) > 1 else server.script[0]
        if step == "hang":
            time.sleep(HANG_SECONDS)
        if step in ("503", "403"):
            self.send_response(int(step))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if step in NO_LISTING:
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(NO_LISTING[step])))
            self.end_headers()
            self.wfile.write(NO_LISTING[step])
            return
        self.send_response(206 if "Range" in self.headers or "x-ms-range" in self.headers else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(CONTENT[:10] if step == "cut" else CONTENT)
        if step == "cut":
            self.close_connection = True


@pytest.fixture
def server() -> Iterator[Any]:
    """A server that fails; what a test leaves open warns at its end, not at that of another."""
    gc.freeze()  # so that only what is made from here on is looked through
    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as listening:
        made: Any = listening
        made.script, made.requests, made.daemon_threads = ["ok"], 0, True
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        listening.shutdown()
    gc.collect()
    gc.unfreeze()


@pytest.fixture(params=["s3", "azure"])
def store(request: pytest.FixtureRequest, server: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    monkeypatch.setattr("greendata.stores.azure.client._BACKOFF_SECONDS", 0)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    if request.param == "s3":
        settings = S3Settings(
            endpoint_url=url, anonymous=True, path_style=True, read_timeout_seconds=0.5
        )
        return S3Store(settings)
    return AzureStore(
        AzureSettings(account="a", endpoint_url=url, anonymous=True, read_timeout_seconds=0.5)
    )


def uri_of(store: Store) -> str:
    return "s3://b/key" if isinstance(store, S3Store) else "az://b@a/key"


def test_what_a_server_sends_is_read(store: Store) -> None:
    assert store.read(uri_of(store), start=0, size_bytes=len(CONTENT)) == CONTENT


@pytest.mark.parametrize("step", ["503", "hang", "cut"])
def test_a_failing_server_is_unreachable_and_may_be_asked_again(
    store: Store, server: Any, step: str
) -> None:
    server.script = [step]
    with pytest.raises(StoreUnreachableError, match="key") as caught:
        store.read(uri_of(store), start=0, size_bytes=len(CONTENT))
    assert caught.value.is_retryable


@pytest.mark.parametrize("step", NO_LISTING)
def test_what_is_no_listing_is_no_empty_bucket(store: Store, server: Any, step: str) -> None:
    server.script = [step]
    with pytest.raises(StoreUnreachableError, match="listing"):
        list(store.own_objects(f"{uri_of(store)}/"))


def test_a_refusal_is_denied_and_asked_once(store: Store, server: Any) -> None:
    server.script = ["403"]
    with pytest.raises(DeniedError):
        store.read(uri_of(store))
    assert server.requests == 1


@pytest.mark.parametrize("step", ["503", "cut"])
def test_a_storm_that_passes_is_sat_out(store: Store, server: Any, step: str) -> None:
    server.script = [step] * 5 + ["ok"]
    waiting = RetryingStore(store, RetrySettings(attempts=8), sleep=lambda seconds: None)
    assert waiting.read(uri_of(store), start=0, size_bytes=len(CONTENT)) == CONTENT


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    settings = S3Settings(
        endpoint_url="https://no-such-host.invalid", anonymous=True, connect_timeout_seconds=1
    )
    with pytest.raises(GreendataError) as caught:
        S3Store(settings).head("s3://b/key")
    assert isinstance(caught.value, StoreUnreachableError)
