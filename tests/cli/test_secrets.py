"""No stream of any command shows a credential, however it fails."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.forking import run_forked
from tests.stores.servers import ACCOUNT, CANARY
from tests.stores.test_faults import Failing

SECRETS = (CANARY, "CANARYtoken", "CANARYsignature")
COMMANDS = [
    ["scan", "s3://bucket/x", "az://container/x"],
    ["scan", "az://container/x"],
    ["inventory", "s3://bucket/", "--versions"],
    ["inventory", "az://container/"],
    ["doctor", "s3://bucket/"],
    ["doctor", "az://container/"],
    ["--catalog", "s3://bucket/c", "objects"],
    ["--catalog", "az://container/c", "scan", "."],
]


@pytest.fixture(params=["403", "503", "hang", "cut", "ok"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
        made: Any = server
        made.script, made.requests, made.daemon_threads = [request.param], 0, True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def settings(kind: str, endpoint: str) -> dict[str, str]:
    """Credentials that are all canaries: keys, or tokens and signatures."""
    found = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if kind == "key":
        key = base64.b64encode(CANARY.encode()).decode()
        connection = f"AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={endpoint}/{ACCOUNT}"
        return found | {"AZURE_STORAGE_CONNECTION_STRING": connection}
    return found | {
        "AWS_SESSION_TOKEN": "CANARYtoken",
        "AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint={endpoint}/{ACCOUNT}"
        f";AccountName={ACCOUNT};SharedAccessSignature=sv=2024-01-01&sp=rl&sig=CANARYsignature",
    }


CONFIGURATION = "stores:\n" + "".join(
    f"  - {{match: '{scheme}://', attempts: 2, read_timeout_seconds: 0.5}}\n"
    for scheme in ("s3", "az")
)


def run_in(
    folder: Path, command: list[str], environment: dict[str, str]
) -> tuple[int, list[bytes]]:
    """Exit code, both streams and every file that a command left."""
    folder.mkdir()
    (folder / "greendata.yaml").write_text(CONFIGURATION)
    done = run_forked(
        *("greendata", "-vv", "--log-json", *command),
        environment={"PATH": "/usr/bin:/bin", "HOME": str(folder)} | environment,
        folder=folder,
    )
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    streams = [done.stdout, done.stderr]
    return done.returncode, [*(text.encode(errors="surrogateescape") for text in streams), *written]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["key", "token"])
def test_no_stream_shows_a_secret(endpoint: str, kind: str, tmp_path: Path) -> None:
    environment = settings(kind, endpoint)
    secrets = [*(secret.encode() for secret in SECRETS), base64.b64encode(CANARY.encode())]
    with ThreadPoolExecutor(4) as pool:
        folders = [tmp_path / str(number) for number in range(len(COMMANDS))]
        results = pool.map(run_in, folders, COMMANDS, [environment] * len(COMMANDS))
        for command, (code, streams) in zip(COMMANDS, results, strict=True):
            assert code in (0, 3, 20, 21, 22, 31, 33), (command, streams[1][-2000:])
            for secret in secrets:
                assert not any(secret in stream for stream in streams), command
