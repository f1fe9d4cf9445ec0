"""Metrics over HTTP while a run is at work: ``GET /metrics`` and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from greendata.errors import ConfigError
from greendata.report.metrics import OPENMETRICS_TYPE, PROMETHEUS_TYPE, Metrics

_IDLE_SECONDS = 10.0
_POLL_SECONDS = 0.1


@contextmanager
def serving(metrics: Metrics, host: str, port: int) -> Iterator[str]:
    """Serve ``metrics`` as they are at each request, until the block ends; the URL.

    Port 0 is any that is free.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    try:
        server = _Server((host, port), _Handler)
    except OSError as error:
        raise ConfigError(
            f"metrics: cannot listen on {host}:{port}: {error.strerror or error}",
            hint="Is another run at work? `listen` below metrics in greendata.yaml names the port.",
        ) from error
    server.metrics = metrics
    thread = threading.Thread(
        target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True, name="metrics"
    )
    with server:
        thread.start()
        try:
            yield f"http://{host}:{server.server_address[1]}/metrics"
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    metrics: Metrics

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that breaks off is nobody's concern."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _IDLE_SECONDS
    server_version = "greendata"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        is_openmetrics = "application/openmetrics-text" in self.headers.get("Accept", "")
        body = self.server.metrics.render(is_openmetrics=is_openmetrics).encode()
        self.send_response(200)
        self.send_header("Content-Type", OPENMETRICS_TYPE if is_openmetrics else PROMETHEUS_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Standard error is for the run."""
