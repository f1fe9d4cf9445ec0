"""A mail server that says what a test wants, with the standard library alone."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class MailServer:
    """``codes``: what MAIL FROM is answered with, one after another; 250 when they run out."""

    port: int
    codes: list[int] = field(default_factory=list)
    password_code: int = 235
    delay_seconds: float = 0.0
    certificate: Path | None = None
    messages: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: int = 0


class _Handler(socketserver.StreamRequestHandler):
    server: Any

    def say(self, code: int, text: str = "ok") -> None:
        self.wfile.write(f"{code} {text}\r\n".encode())
        self.wfile.flush()

    def handle(self) -> None:
        made: MailServer = self.server.made
        time.sleep(made.delay_seconds)
        self.say(220)
        while line := self.rfile.readline():
            word = line.split()[0].upper().decode("ascii", "replace")
            if word == "EHLO":
                offers = ["local", "AUTH PLAIN"]
                if made.certificate is not None and not isinstance(self.connection, ssl.SSLSocket):
                    offers.append("STARTTLS")
                for offer in offers[:-1]:
                    self.wfile.write(f"250-{offer}\r\n".encode())
                self.say(250, offers[-1])
            elif word == "STARTTLS":
                self.say(220)
                self.upgrade(made)
            elif word == "AUTH":
                made.logins += 1
                self.say(made.password_code)
            elif word == "MAIL":
                self.say(made.codes.pop(0) if made.codes else 250)
            elif word == "RCPT":
                made.recipients.append(line.decode().partition("<")[2].partition(">")[0])
                self.say(250)
            elif word == "DATA":
                self.say(354)
                made.messages.append(message_from_bytes(b"".join(self.content())))
                self.say(250)
            elif word == "QUIT":
                self.say(221)
                return
            else:
                self.say(250)

    def content(self) -> Iterator[bytes]:
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            yield line[1:] if line.startswith(b"..") else line

    def upgrade(self, made: MailServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(made.certificate))
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")

    def finish(self) -> None:
        for opened in (self.wfile, self.rfile, self.connection):
            with contextlib.suppress(OSError):
                opened.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is what some tests are about."""


@contextmanager
def mail_server(**values: Any) -> Iterator[MailServer]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        made = MailServer(port=server.server_address[1], **values)
        server.made = made  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown()


def write_certificate(path: Path) -> Path:
    """Key and certificate of ``127.0.0.1``, signed by itself, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
