"""Shards in an S3 and an Azure server on this machine, scanned in one command.

python scripts/try_stores.py [SHARD…]     without shards, a few are made of this Python's documents
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.stores.servers import ACCOUNT, azurite_server, moto_server  # noqa: E402

BUCKET = "train"
EXIT_UNSAFE = 33


def made_shard(folder: Path) -> Path:
    """Sources of the standard library as JSON Lines."""
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    target = folder / "sources.jsonl"
    with target.open("w", encoding="utf-8") as stream:
        for source in sources:
            text = source.read_text(encoding="utf-8", errors="replace")
            stream.write(json.dumps({"text": text}) + "\n")
    return target


def upload(shards: list[Path], connection: str) -> None:
    """Put the shards into both servers, with the SDKs."""
    import boto3
    from azure.storage.blob import BlobServiceClient

    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    with BlobServiceClient.from_connection_string(connection) as service:
        service.create_container(BUCKET)
        for shard in shards:
            content = shard.read_bytes()
            client.put_object(Bucket=BUCKET, Key=f"data/{shard.name}", Body=content)
            service.get_blob_client(BUCKET, f"data/{shard.name}").upload_blob(content)
    client.close()


def show(*arguments: str) -> int:
    """Print a command and run it."""
    sys.stdout.write(f"\n$ {shlex.join(('greendata', *arguments))}\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "greendata", *arguments]
    return subprocess.run(command, check=False, timeout=600).returncode


def main(names: list[str]) -> int:
    """Exit code 0 when every command did what it should."""
    with (
        tempfile.TemporaryDirectory(prefix="greendata-stores-") as folder,
        moto_server() as endpoint,
        azurite_server() as connection,
    ):
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AZURE_STORAGE_CONNECTION_STRING": connection,
            "GREENDATA_CATALOG": f"az://{BUCKET}@{ACCOUNT}/.greendata/catalog",
            "XDG_CACHE_HOME": str(Path(folder) / "cache"),
            "PYTHONPATH": str(REPOSITORY),
        }
        shards = [Path(name) for name in names] or [made_shard(Path(folder))]
        upload(shards, connection)
        uris = f"s3://{BUCKET}/data/", f"az://{BUCKET}@{ACCOUNT}/data/"
        codes = [
            show("scan", *uris, "--estimate"),
            show("scan", *uris),
            show("overlap", "--level", "dataset"),
            show("inventory", *uris, "--verify-bytes"),
            show("objects"),
            show("doctor", uris[1]),
        ]
        if show("doctor", uris[0]) != EXIT_UNSAFE:  # moto ignores some preconditions
            codes.append(1)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
