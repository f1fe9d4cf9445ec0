"""A local HTTP service that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from greendata.web import Retries

AT_ONCE = Retries(attempts=3, base_seconds=0.0, sleep=lambda seconds: None)


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Reply:
    """``drip_seconds``: bytes come one by one, with such pauses; ``cut``: fewer than announced."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    cut: bool = False


def document(found: Any, status: int = 200) -> Reply:
    return Reply(
        status=status,
        body=json.dumps(found).encode(),
        headers={"Content-Type": "application/json"},
    )


Answer = Callable[[Request], Reply]


@dataclass(slots=True)
class Service:
    url: str
    answer: Answer
    requests: list[Request] = field(default_factory=list)


@contextmanager
def service(answer: Answer) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            request = Request(
                method=self.command,
                path=parts.path,
                query=dict(parse_qsl(parts.query)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(length),
            )
            made.requests.append(request)
            send(self, made.answer(request))

        def do_POST(self) -> None:
            self.do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        made = Service(url=f"http://127.0.0.1:{server.server_address[1]}", answer=answer)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown()


def send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    time.sleep(reply.delay_seconds)
    body = reply.body
    try:
        handler.send_response(reply.status)
        headers = {"Content-Length": str(len(body) + (10 if reply.cut else 0))} | reply.headers
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if not reply.drip_seconds:
            handler.wfile.write(body)
        for byte in body if reply.drip_seconds else b"":
            handler.wfile.write(bytes([byte]))
            time.sleep(reply.drip_seconds)
    except OSError:
        pass  # the client had enough
    handler.close_connection = True
